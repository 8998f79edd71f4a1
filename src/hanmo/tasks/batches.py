"""Batches of a task's sequences: random and packed for training, sorted by length for prediction.

A training batch holds `batch_size` sequences drawn at random, as published recipes do: sorting by
length would make batches of like texts. Padding costs nothing all the same, for the encoder works
on real pieces and attends to sequences of like length together. A large batch goes through the
model in parts of a limited number of pieces, whose gradients add up to the batch's.

    for parts in training_batches(sequences, task.settings, pad_id=0, seed=1, device="cpu"): ...
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from hanmo.core.seeds import generator
from hanmo.data.batches import collate, split
from hanmo.data.ragged import Array, Corrupted, join
from hanmo.model.trainable import Batch, Trainable, totals_of
from hanmo.tasks.kind import Features
from hanmo.tasks.task import Settings

# Padded pieces of one batch in prediction, halved where memory runs out, and of one part of a step
# in training.
_PIECES = {"cpu": 8192, "cuda": 131072}
_PLACE = "_sequence"


def steps_per_epoch(n_sequences: int, settings: Settings) -> int:
    """Return the number of batches in an epoch; the last may be smaller."""
    return -(-n_sequences // settings.batch_size)


def training_batches(
    sequences: Sequence[Corrupted], settings: Settings, *, pad_id: int, seed: int, device: str
) -> Iterator[list[Batch]]:
    """Yield the batches of all epochs, each in parts; an epoch's order depends on (seed, epoch).

    Args:
        sequences: of the training split.
        settings: batch size, epochs, longest sequence.
        pad_id: what fills rows.
        seed: of the run.
        device: where the batches go.
    """
    for epoch in range(settings.epochs):
        order = generator(seed, "order", epoch).permutation(len(sequences)).tolist()
        for begin in range(0, len(order), settings.batch_size):
            chosen = [sequences[i] for i in order[begin : begin + settings.batch_size]]
            arrays = collate(join(chosen), max_length=settings.max_length, pad_id=pad_id, pack=True)
            n_parts = -(-arrays["input_ids"].size // _PIECES[device])
            totals = totals_of(arrays)
            yield [
                Batch.from_arrays(part, device, totals=totals) for part in split(arrays, n_parts)
            ]


def predict(
    model: Trainable,
    features: Sequence[Features],
    *,
    max_length: int,
    pad_id: int,
    device: str,
    autocast: Callable[[], AbstractContextManager[object]],
) -> dict[str, Array]:
    """Run the model over all features, in evaluation mode.

    Returns:
        Name of the logits → float32 [M, classes], positions in the order of `features`.
    """
    assert isinstance(model, torch.nn.Module)
    sequences = [sequence for one in features for sequence in one.sequences]

    def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
        with autocast():
            outputs = model.outputs(Batch.from_arrays(arrays, device))
        return {name: values.float().cpu().numpy() for name, values in outputs.logits.items()}

    was_training = model.training
    model.eval()
    with torch.inference_mode():
        found = map_batches(
            sequences, run, max_length=max_length, pad_id=pad_id, budget=_PIECES[device]
        )
    model.train(was_training)
    return found


def map_batches(
    sequences: Sequence[Corrupted],
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    *,
    max_length: int,
    pad_id: int,
    budget: int,
) -> dict[str, Array]:
    """Run sequences of like length together, and put the results back in order.

    Args:
        sequences: one at least, each with the positions that are asked.
        run: the arrays of a batch, one sequence a row → name → [M, …], a row a position.
        max_length: longest sequence.
        pad_id: what fills rows.
        budget: pieces of a batch, padding included; a batch that memory is too small for is halved.

    Returns:
        Name → [M, …], positions in the order of `sequences`.
    """
    found: dict[str, list[Array]] = {}
    places: list[Array] = []
    waiting = list(_by_length(sequences, max_length, budget))[::-1]
    while waiting:
        chosen = waiting.pop()
        numbered = [_numbered(sequences[i], i) for i in chosen]
        arrays = collate(join(numbered), max_length=max_length, pad_id=pad_id, pack=False)
        numbers = arrays.pop(_PLACE)
        try:
            results = run(arrays)
        except torch.OutOfMemoryError:
            if len(chosen) == 1:
                raise
            half = len(chosen) // 2
            waiting += [chosen[half:], chosen[:half]]
            continue
        places.append(numbers)
        for name, values in results.items():
            found.setdefault(name, []).append(values)
    order = np.argsort(np.concatenate(places), kind="stable")
    return {name: np.concatenate(parts)[order] for name, parts in found.items()}


def _by_length(sequences: Sequence[Corrupted], max_length: int, budget: int) -> Iterator[list[int]]:
    """Yield indices of sequences of like length, at most `budget` padded pieces together."""
    lengths = np.array([len(sequence.inputs["input_ids"]) for sequence in sequences])
    order = np.argsort(-lengths, kind="stable").tolist()
    begin = 0
    while begin < len(order):
        size = max(1, budget // min(int(lengths[order[begin]]), max_length))
        yield order[begin : begin + size]
        begin += size


def _numbered(sequence: Corrupted, number: int) -> Corrupted:
    targets: dict[str, Any] = {
        **sequence.targets,
        _PLACE: np.full(len(sequence.positions), number),
    }
    return Corrupted(sequence.inputs, sequence.positions, targets)
