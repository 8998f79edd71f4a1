"""What the tests of spans share: a task, questions, and logits that are sure of the targets."""

from typing import Any

import numpy as np

from hanmo.data.ragged import Array
from hanmo.tasks.kind import Features, load_kind
from hanmo.tasks.kinds.span import Kind
from hanmo.tasks.task import Example, Settings, Task
from training_cases import CHARACTERS

A, B, C, D = CHARACTERS[:4]
NAMES = ("start", "end")


def make_task(max_length: int = 24, **options: Any) -> Task:
    return Task(
        name="toy",
        kind="span",
        splits={},
        columns={"context": "context", "question": "question", "label": "answers"},
        reader="squad",
        options=options,
        settings=Settings(max_length=max_length),
    )


def make(**options: Any) -> Kind:
    kind = load_kind("span", options)
    assert isinstance(kind, Kind)
    return kind


CJRC = make(no_answer=True, yes_no=True)


def read(
    context: str,
    *answers: tuple[str, int],
    question: str = A,
    train: bool = True,
    kind: Kind = make(),  # noqa: B008 - frozen
    **more: Any,
) -> Example:
    given = [{"text": text, "answer_start": start} for text, start in answers]
    row = {"context": context, "question": question, "label": given, **more}
    return kind.read("Q", row, make_task(), train=train)


def pieces_of(one: Features) -> list[list[int]]:
    return [sequence.inputs["input_ids"].tolist() for sequence in one.sequences]


def perfect(one: Features) -> Array:
    """Logits that are sure of the targets."""
    columns = [np.concatenate([s.targets[name] for s in one.sequences]) for name in NAMES]
    return np.where(np.stack(columns, axis=1) == 1, 50.0, 0.0).astype(np.float32)


def answer(kind: Kind, one: Features, logits: Array, types: Array | None = None) -> str:
    arrays = {"label": logits} | ({} if types is None else {"type": types})
    [prediction] = kind.decode([one], arrays, make_task())
    return str(prediction.answer)
