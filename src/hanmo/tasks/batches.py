"""Batches of a task's sequences: random and packed for training, sorted by length for prediction.

A training batch holds `batch_size` sequences drawn at random, as published recipes do; packing
several of them into a row of `max_length`, where that saves padding, changes the cost and not the
batch. ChnSentiCorp (length 256): 2.1 times the pieces a second of padding to the longest, as many
as sorting by length, which would make batches of like texts.

    for batch in training_batches(sequences, task.settings, pad_id=0, seed=1, device="cpu"): ...
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from hanmo.core.seeds import generator
from hanmo.data.batches import best_fit_decreasing, collate
from hanmo.data.ragged import Array, Corrupted, join
from hanmo.model.trainable import Batch, Trainable
from hanmo.tasks.kind import Features
from hanmo.tasks.task import Settings

# Padded pieces of one batch in prediction.
_PIECES = 8192
_PLACE = "_sequence"
# Packed rows must save this factor of padded pieces: their attention masks cost something too.
_CLEARLY = 1.2


def steps_per_epoch(n_sequences: int, settings: Settings) -> int:
    """Return the number of batches in an epoch; the last may be smaller."""
    return -(-n_sequences // settings.batch_size)


def training_batches(
    sequences: Sequence[Corrupted], settings: Settings, *, pad_id: int, seed: int, device: str
) -> Iterator[Batch]:
    """Yield the batches of all epochs; the order of an epoch depends on (seed, epoch) alone."""
    for epoch in range(settings.epochs):
        order = generator(seed, "order", epoch).permutation(len(sequences)).tolist()
        for begin in range(0, len(order), settings.batch_size):
            chosen = [sequences[i] for i in order[begin : begin + settings.batch_size]]
            pack = _packing_saves(chosen, settings.max_length)
            arrays = collate(join(chosen), max_length=settings.max_length, pad_id=pad_id, pack=pack)
            yield Batch.from_arrays(arrays, device)


def _packing_saves(sequences: Sequence[Corrupted], max_length: int) -> bool:
    """Whether packed rows are clearly smaller; texts of over half a row leave only one in each."""
    lengths = np.array([len(one.inputs["input_ids"]) for one in sequences], dtype=np.int64)
    _, n_rows = best_fit_decreasing(lengths, max_length)
    return bool(len(lengths) * lengths.max() > _CLEARLY * n_rows * max_length)


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
    was_training = model.training
    model.eval()
    logits: dict[str, list[Array]] = {}
    places: list[Array] = []
    with torch.inference_mode():
        for chosen in _by_length(sequences, max_length):
            numbered = [_numbered(sequences[i], i) for i in chosen]
            arrays = collate(join(numbered), max_length=max_length, pad_id=pad_id, pack=False)
            places.append(arrays.pop(_PLACE))
            with autocast():
                outputs = model.outputs(Batch.from_arrays(arrays, device))
            for name, values in outputs.logits.items():
                logits.setdefault(name, []).append(values.float().cpu().numpy())
    model.train(was_training)
    order = np.argsort(np.concatenate(places), kind="stable")
    return {name: np.concatenate(parts)[order] for name, parts in logits.items()}


def _by_length(sequences: Sequence[Corrupted], max_length: int) -> Iterator[list[int]]:
    """Yield indices of sequences of like length, at most `_PIECES` padded pieces together."""
    lengths = np.array([len(sequence.inputs["input_ids"]) for sequence in sequences])
    order = np.argsort(-lengths, kind="stable").tolist()
    begin = 0
    while begin < len(order):
        size = max(1, _PIECES // min(int(lengths[order[begin]]), max_length))
        yield order[begin : begin + size]
        begin += size


def _numbered(sequence: Corrupted, number: int) -> Corrupted:
    targets: dict[str, Any] = {
        **sequence.targets,
        _PLACE: np.full(len(sequence.positions), number),
    }
    return Corrupted(sequence.inputs, sequence.positions, targets)
