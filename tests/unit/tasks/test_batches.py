"""Batches for training and prediction: layout must change nothing but the cost."""

import contextlib

import numpy as np
import pytest
import torch

from hanmo.model.checkpoint import random_encoder
from hanmo.model.encoder import initialise
from hanmo.model.trainable import Batch
from hanmo.tasks import batches
from hanmo.tasks.kind import Features, load_kind
from hanmo.tasks.task import Example, Settings, Task
from task_cases import rows
from training_cases import TINY, tokenizer

TASK = Task(
    name="toy",
    kind="classification",
    splits={},
    columns={},
    labels=("bad", "good"),
    settings=Settings(max_length=60, batch_size=5, epochs=2),
)
KIND = load_kind("classification")


@pytest.fixture(scope="module")
def features() -> list[Features]:
    return [
        KIND.encode(Example(str(i), {"text_a": text * (1 + i % 3)}, label), TASK, tokenizer())
        for i, (label, text) in enumerate(rows(23))
    ]


def pieces(batch: Batch) -> list[tuple[int, ...]]:
    """The batch's sequences, sorted."""
    found = []
    for ids, numbers in zip(batch.input_ids.tolist(), batch.sequence_ids.tolist(), strict=True):
        for number in set(numbers) - {0}:
            found.append(tuple(i for i, n in zip(ids, numbers, strict=True) if n == number))
    return sorted(found)


def test_an_epoch_holds_every_sequence_once(features: list[Features]) -> None:
    sequences = [one.sequences[0] for one in features]
    made = list(batches.training_batches(sequences, TASK.settings, pad_id=0, seed=1, device="cpu"))
    per_epoch = batches.steps_per_epoch(len(sequences), TASK.settings)
    assert len(made) == 2 * per_epoch
    epochs = [made[:per_epoch], made[per_epoch:]]
    expected = sorted(tuple(one.inputs["input_ids"].tolist()) for one in sequences)
    for epoch in epochs:
        assert sorted(piece for batch in epoch for piece in pieces(batch)) == expected
        assert [len(pieces(batch)) for batch in epoch] == [5, 5, 5, 5, 3]
    assert [pieces(b) for b in epochs[0]] != [pieces(b) for b in epochs[1]]
    again = batches.training_batches(sequences, TASK.settings, pad_id=0, seed=1, device="cpu")
    assert [pieces(batch) for batch in again] == [pieces(batch) for batch in made]
    other = batches.training_batches(sequences, TASK.settings, pad_id=0, seed=2, device="cpu")
    assert [pieces(batch) for batch in other] != [pieces(batch) for batch in made]


def test_targets_follow_their_sequences(features: list[Features]) -> None:
    sequences = [one.sequences[0] for one in features]
    label_of = {
        tuple(one.inputs["input_ids"].tolist()): int(one.targets["label"][0]) for one in sequences
    }
    for batch in batches.training_batches(sequences, TASK.settings, pad_id=0, seed=3, device="cpu"):
        flat, numbers = batch.input_ids.flatten(), batch.sequence_ids.flatten()
        for place, label in zip(
            batch.positions.tolist(), batch.targets["label"].tolist(), strict=True
        ):
            end = place + 1
            while (
                end < len(flat) and numbers[end] == numbers[place] and end % len(batch.input_ids[0])
            ):
                end += 1
            assert label_of[tuple(flat[place:end].tolist())] == label


def test_packing_is_chosen_where_it_saves() -> None:
    def chosen(lengths: list[int]) -> bool:
        sequences = [
            KIND.encode(Example("1", {"text_a": "一" * n}, None), TASK, tokenizer()).sequences[0]
            for n in lengths
        ]
        return batches._packing_saves(sequences, 60)

    assert chosen([58, 8, 8, 8, 8, 8])
    assert not chosen([40, 40, 40])
    assert not chosen([10])


def test_predictions_come_in_the_order_of_the_features(
    features: list[Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = KIND.build(random_encoder(TINY, seed=0), TASK, weights={}, seed=0)
    initialise(model, 0.3, torch.Generator().manual_seed(0))  # far from uniform

    def predict(some: list[Features]) -> np.ndarray:
        return batches.predict(
            model,
            some,
            max_length=60,
            pad_id=0,
            device="cpu",
            autocast=contextlib.nullcontext,
        )["label"]

    alone = np.concatenate([predict([one]) for one in features])
    monkeypatch.setattr(batches, "_PIECES", 64)  # several batches
    model.train()
    together = predict(features)
    assert model.training
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together, axis=0).min() > 1e-2, "rows differ, so that an order can be wrong"
    assert torch.is_grad_enabled()
