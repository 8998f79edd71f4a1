"""Classify texts with a fine-tuned model: a label, and the probability of every label.

In: a text; for a model fine-tuned on pairs, two texts. Out: the label and the likeliest labels with
probabilities. The folder is what `hanmo finetune --save-model` writes, or a
`BertForSequenceClassification` of transformers: labels are `id2label` of its config.json.

    hanmo predict work/runs/seed-1/model classify "味道很好，下次还来。"
    hanmo predict work/runs/seed-1/model classify "花呗怎么还款" "如何还花呗"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanmo.predict._how import DEFAULT, How
from hanmo.predict._predictor import Answer, Predictor
from hanmo.predict._task_model import TaskModel, TaskQuery, open_task_model, question_fields


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of classify.

    Attributes:
        cut: Cut texts that are too long as in fine-tuning, instead of refusing them; the answer
            says so ("truncated").
    """

    cut: bool = False

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open a fine-tuned model.

        Args:
            folder: model folder with a classifier.
            top_k: labels to give for each text.
            how: the model is run.

        Raises:
            UserError: a folder without a classifier or label names.
        """
        model = open_task_model(folder, how, answers="label", default_kind="classification")
        fields, optional = question_fields(model)
        return Predictor(
            fields=fields,
            optional_fields=optional,
            read=lambda row: model.read(row, cut=self.cut),
            cost=TaskQuery.n_pieces,
            answer=lambda queries: _answers(model, queries, top_k),
            columns=("label", "probability"),
            rows=_rows,
            engine=model.engine.name,
        )


def _answers(model: TaskModel, queries: Sequence[TaskQuery], top_k: int) -> list[Answer]:
    _, decoded = model.run(queries)
    answers = []
    for query, one in zip(queries, decoded, strict=True):
        best = sorted(one.scores.items(), key=lambda item: -item[1])[:top_k]
        labels = [{"label": label, "probability": value} for label, value in best]
        said = {"label": one.answer, "labels": labels}
        answers.append(query.echo() | said | query.said_of_cut())
    return answers


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = [
        (item["label"], f"{item['probability']:.4f}") for item in answer["labels"]
    ]
    return shown or [(answer["label"], "")]  # a kind may decide without probabilities
