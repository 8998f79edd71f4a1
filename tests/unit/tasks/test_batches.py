"""Batches for training and prediction: layout must change nothing but the cost."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from hanmo.data.ragged import Corrupted
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


def batches_of(sequences: list[Corrupted], *, seed: int) -> Iterator[list[Batch]]:
    return batches.training_batches(sequences, TASK.settings, pad_id=0, seed=seed, device="cpu")


def whole(parts: list[Batch]) -> list[tuple[int, ...]]:
    """The sequences of a step's parts, sorted."""
    return sorted(piece for part in parts for piece in pieces(part))


def test_an_epoch_holds_every_sequence_once(features: list[Features]) -> None:
    sequences = [one.sequences[0] for one in features]
    made = [whole(parts) for parts in batches_of(sequences, seed=1)]
    per_epoch = batches.steps_per_epoch(len(sequences), TASK.settings)
    assert len(made) == 2 * per_epoch
    epochs = [made[:per_epoch], made[per_epoch:]]
    expected = sorted(tuple(one.inputs["input_ids"].tolist()) for one in sequences)
    for epoch in epochs:
        assert sorted(piece for batch in epoch for piece in batch) == expected
        assert [len(batch) for batch in epoch] == [5, 5, 5, 5, 3]
    assert epochs[0] != epochs[1]
    again, other = ([whole(parts) for parts in batches_of(sequences, seed=seed)] for seed in (1, 2))
    assert again == made
    assert other != made


def test_targets_follow_their_sequences(features: list[Features]) -> None:
    sequences = [one.sequences[0] for one in features]
    label_of = {
        tuple(one.inputs["input_ids"].tolist()): int(one.targets["label"][0]) for one in sequences
    }
    for batch in (part for parts in batches_of(sequences, seed=3) for part in parts):
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


def test_a_large_batch_comes_in_parts_that_add_up(
    features: list[Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [one.sequences[0] for one in features]
    one_part = list(batches_of(sequences, seed=1))
    assert {len(parts) for parts in one_part} == {1}
    monkeypatch.setattr(batches, "_PIECES", {"cpu": 100})
    several = list(batches_of(sequences, seed=1))
    assert max(len(parts) for parts in several) > 1
    assert [whole(parts) for parts in several] == [whole(parts) for parts in one_part]
    model, _ = KIND.build(random_encoder(TINY, seed=0), TASK, weights={}, seed=0)
    model.eval()
    for [together], parts in zip(one_part, several, strict=True):
        total = sum(model(part).total.item() for part in parts)
        assert total == pytest.approx(model(together).total.item(), rel=1e-5)


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
    monkeypatch.setattr(batches, "_PIECES", {"cpu": 64})  # several batches
    model.train()
    together = predict(features)
    assert model.training
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together, axis=0).min() > 1e-2, "rows differ, so that an order can be wrong"
    assert torch.is_grad_enabled()


def test_a_batch_that_does_not_fit_is_halved(
    features: list[Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = KIND.build(random_encoder(TINY, seed=0), TASK, weights={}, seed=0)
    initialise(model, 0.3, torch.Generator().manual_seed(0))
    sizes: list[int] = []
    outputs = type(model).outputs

    def limited(self: object, batch: Batch) -> object:
        sizes.append(len(batch.positions))
        if len(batch.positions) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return outputs(self, batch)  # type: ignore[arg-type]

    def predict() -> np.ndarray:
        none = contextlib.nullcontext
        return batches.predict(
            model, features, max_length=60, pad_id=0, device="cpu", autocast=none
        )["label"]

    expected = predict()
    monkeypatch.setattr(type(model), "outputs", limited)
    np.testing.assert_allclose(predict(), expected, atol=1e-5)
    assert max(sizes) == len(features)
