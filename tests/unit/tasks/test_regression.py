"""Numbers for pairs of texts: what is read, trained on and answered."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.model.checkpoint import random_encoder
from hanmo.tasks.kind import Features, RowSkipped, load_kind
from hanmo.tasks.kinds.regression import squared_error
from hanmo.tasks.task import Example, Settings, Task
from kind_cases import packed
from training_cases import CHARACTERS, TINY, tokenizer

A, B = CHARACTERS[:2]
KIND = load_kind("regression")
TASK = Task(name="toy", kind="regression", splits={}, columns={}, settings=Settings(max_length=16))


def read(label: Any, **texts: Any) -> Example:
    row = {"text_a": A, "text_b": B, "label": label} | texts
    return KIND.read("1", row, TASK, train=True)


@pytest.mark.parametrize(
    ("label", "expected"),
    [("0", 0.0), ("5", 5.0), (3, 3.0), ("2.5", 2.5), (1.25, 1.25), (None, None)],
)
def test_numbers_may_be_texts(label: Any, expected: float | None) -> None:
    assert read(label).gold == expected


@pytest.mark.parametrize("label", ["", "x", "-0.1", "5.01", "nan", "inf", [], True])
def test_other_labels_are_refused(label: Any) -> None:
    with pytest.raises(ValueError, match=r"label: got .*; expected a number from 0 to 5"):
        read(label)


def test_a_second_text_that_is_named_must_be_there() -> None:
    with pytest.raises(RowSkipped, match="empty_text"):
        read("1", text_b=None)
    single = KIND.read("1", {"text_a": A, "label": "1"}, TASK, train=True)
    assert single.fields == {"text_a": A}
    [sequence] = KIND.encode(single, TASK, tokenizer()).sequences
    assert len(sequence.inputs["input_ids"]) == 3
    [pair] = KIND.encode(read("1"), TASK, tokenizer()).sequences
    assert pair.inputs["token_type_ids"].tolist() == [0, 0, 0, 1, 1]


def test_the_range_is_an_option() -> None:
    kind = load_kind("regression", {"least": -1, "greatest": 1})
    assert kind.read("1", {"text_a": A, "label": "-0.5"}, TASK, train=True).gold == -0.5
    with pytest.raises(ValueError, match="expected a number from -1 to 1"):
        kind.read("1", {"text_a": A, "label": "2"}, TASK, train=True)
    with pytest.raises(UserError, match=r"options\.least: got 5; expected less than"):
        load_kind("regression", {"least": 5})


def features_of(*labels: float | None) -> list[Features]:
    return [KIND.encode(read(label), TASK, tokenizer()) for label in labels]


def test_the_loss_is_the_mean_squared_error_of_known_numbers() -> None:
    features = features_of(1.5, None, 4.0)
    model, _ = KIND.build(random_encoder(TINY, seed=0), TASK, weights={}, seed=0)
    batch = packed(features, max_length=32)
    assert batch.totals["label"] == 2
    outputs = model.eval().outputs(batch)
    loss = model.losses(outputs, batch, progress=0.0).total
    known = outputs.logits["label"][[0, 2], 0]
    assert loss.item() == pytest.approx(((known - torch.tensor([1.5, 4.0])) ** 2).mean().item())
    # A batch without a known number costs nothing.
    none = packed(features_of(None, None), max_length=32)
    assert model(none).total.item() == 0


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=5))
def test_answers_stay_in_the_range(values: list[float]) -> None:
    features = features_of(*[None] * len(values))
    logits = np.array(values, np.float32)[:, None]
    answers = [one.answer for one in KIND.decode(features, {"label": logits}, TASK)]
    assert answers == pytest.approx([min(max(value, 0.0), 5.0) for value in values], abs=1e-6)


def test_squared_error_leaves_out_what_is_not_known() -> None:
    outputs = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    loss = squared_error(outputs, torch.tensor([0.0, torch.nan, 5.0]))
    loss.backward()
    assert loss.item() == 5.0
    assert outputs.grad is not None
    assert outputs.grad.flatten().tolist() == [2.0, 0.0, -4.0]
