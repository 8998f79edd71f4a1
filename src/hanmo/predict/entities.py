"""Find named entities with a fine-tuned model: their types, and where they stand.

In: a text of any length; one longer than a sequence is read in windows that overlap. Out: the
entities with their characters [start, end) and a probability: that its characters are of its type,
on the mean. The folder is what `hanmo finetune --save-model` writes, or a
`BertForTokenClassification` of transformers that tags characters.

    hanmo predict work/runs/msra-ner/seed-1/model entities "王小明在北京大学读书。"
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.data.ragged import Array
from hanmo.predict._how import DEFAULT, How
from hanmo.predict._masks import require_text
from hanmo.predict._predictor import TEXT, Answer, Predictor
from hanmo.predict._task_model import TaskModel, TaskQuery, open_task_model
from hanmo.tasks.entities import entities_of, parts_of
from hanmo.tasks.kind import softmax

_NONE = "-"  # of the readable table, where a text has no entity


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of entities: none."""

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open a fine-tuned model.

        Args:
            folder: model folder with a tagger.
            top_k: not used: all entities are given.
            how: the model is run.

        Raises:
            UserError: a folder without a tagger or names of tags.
        """
        model = open_task_model(folder, how, answers="tags", default_kind="tagging")
        return Predictor(
            fields=(TEXT,),
            read=lambda row: model.read({TEXT: require_text(row[TEXT])}),
            cost=TaskQuery.n_pieces,
            answer=lambda queries: _answers(model, queries),
            columns=("entity", "type", "start", "end", "probability"),
            rows=_rows,
            engine=model.engine.name,
        )


def _answers(model: TaskModel, queries: Sequence[TaskQuery]) -> list[Answer]:
    arrays, decoded = model.run(queries)
    # A kind from elsewhere may not say how sure it is of a tag.
    tables: Callable[..., list[Array]] | None = getattr(model.kind, "tables", None)
    sure = tables([one.features for one in queries], arrays) if tables else [None] * len(queries)
    return [
        query.echo() | {"entities": _entities(query.row[TEXT], one.answer, table, model)}
        for query, one, table in zip(queries, decoded, sure, strict=True)
    ]


def _entities(
    text: str, tags: Sequence[str], table: Array | None, model: TaskModel
) -> list[dict[str, Any]]:
    found = []
    scores = None if table is None else softmax(table)  # [characters, T]
    for kind, start, end in entities_of(tags):
        entity = {"text": text[start:end], "type": kind, "start": start, "end": end}
        if scores is not None:
            own = [n for n, label in enumerate(model.task.labels) if parts_of(label)[1] == kind]
            mean = float(np.mean(scores[start:end, own].sum(axis=1)))
            entity["probability"] = round(mean, 6)
        found.append(entity)
    return found


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    return [
        (
            one["text"],
            one["type"],
            str(one["start"]),
            str(one["end"]),
            f"{one['probability']:.4f}" if "probability" in one else "",
        )
        for one in answer["entities"]
    ] or [(_NONE, "", "", "", "")]
