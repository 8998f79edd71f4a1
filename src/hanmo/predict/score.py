"""Give a number with a fine-tuned model, such as how alike two texts are.

In: two texts, or one, as the model was fine-tuned on. Out: the number, in the range of its task.

    hanmo predict work/runs/stsb/seed-1/model score "一个人在弹吉他" "有人弹着乐器"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanmo.predict._how import DEFAULT, How
from hanmo.predict._predictor import Answer, Predictor
from hanmo.predict._task_model import TaskModel, TaskQuery, open_task_model, question_fields


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of score.

    Attributes:
        cut: Cut texts that are too long as in fine-tuning, instead of refusing them; the answer
            says so ("truncated").
    """

    cut: bool = False

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open a fine-tuned model.

        Args:
            folder: model folder with one output.
            top_k: not used: a number has no alternatives.
            how: the model is run.

        Raises:
            UserError: a folder without such a head.
        """
        model = open_task_model(folder, how, answers="number", default_kind="regression")
        fields, optional = question_fields(model)
        return Predictor(
            fields=fields,
            optional_fields=optional,
            read=lambda row: model.read(row, cut=self.cut),
            cost=TaskQuery.n_pieces,
            answer=lambda queries: _answers(model, queries),
            columns=("score",),
            rows=lambda answer: [(f"{answer['score']:.4f}",)],
            engine=model.engine.name,
        )


def _answers(model: TaskModel, queries: Sequence[TaskQuery]) -> list[Answer]:
    _, decoded = model.run(queries)
    return [
        query.echo() | {"score": one.answer} | query.said_of_cut()
        for query, one in zip(queries, decoded, strict=True)
    ]
