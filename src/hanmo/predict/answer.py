"""Answer questions from a passage with a fine-tuned reader: the answer, and where it stands.

In: a question and a passage of any length; one longer than a sequence is read in windows that
overlap. Out: the best answers, no two of which overlap, with their characters [start, end) in the
passage and their probabilities. A probability is over the spans of one window, so those of a long
passage may add up to more than one. A model that knows questions without an answer, or with yes and
no, also says how likely each kind of answer is; its answer is then "" or the word.

The folder is what `hanmo finetune --save-model` writes, or a `BertForQuestionAnswering` of
transformers.

    hanmo predict work/runs/cmrc2018/seed-1/model answer "谁写的？" "《呐喊》是鲁迅的小说集。"
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo.predict._how import DEFAULT, How
from hanmo.predict._predictor import Answer, Predictor
from hanmo.predict._task_model import TaskModel, TaskQuery, open_task_model

QUESTION, CONTEXT = "question", "context"


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of answer: none."""

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open a fine-tuned reader.

        Args:
            folder: model folder with a head for spans.
            top_k: answers to give for each question.
            how: the model is run.

        Raises:
            UserError: a folder without such a head.
        """
        model = open_task_model(folder, how, answers="text", default_kind="span")
        return Predictor(
            fields=(QUESTION, CONTEXT),
            read=lambda row: model.read(row, cut=True),  # the question may be; it then says so
            cost=TaskQuery.n_pieces,
            answer=lambda queries: _answers(model, queries, top_k),
            columns=("rank", "answer", "start", "end", "probability"),
            rows=_rows,
            engine=model.engine.name,
        )


def _answers(model: TaskModel, queries: Sequence[TaskQuery], top_k: int) -> list[Answer]:
    arrays, decoded = model.run(queries)
    # A kind from elsewhere may give the best text alone.
    ranked: Callable[..., list[list[dict[str, Any]]]] | None = getattr(model.kind, "ranked", None)
    spans = (
        ranked([query.features for query in queries], arrays, top_k)
        if ranked
        else [[{"text": one.answer}] if one.answer else [] for one in decoded]
    )
    answers = []
    for query, one, found in zip(queries, decoded, spans, strict=True):
        answer: Answer = {QUESTION: query.row[QUESTION], "answer": one.answer, "answers": found}
        if set(one.scores) - {"probability"}:
            answer["kinds"] = dict(one.scores)
        answers.append(answer | query.said_of_cut())
    return answers


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = [
        (
            str(rank),
            one["text"],
            str(one.get("start", "")),
            str(one.get("end", "")),
            f"{one['probability']:.4f}" if "probability" in one else "",
        )
        for rank, one in enumerate(answer["answers"], start=1)
    ]
    for name, value in answer.get("kinds", {}).items():
        shown.append(("", f"[{name}]", "", "", f"{value:.4f}"))
    return shown or [("", answer["answer"] or "-", "", "", "")]
