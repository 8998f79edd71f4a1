"""Run a masked language model over many inputs and read it at some places.

In: inputs as piece ids with the places to look at. Out: ranked pieces, or label distributions, at
these places. Inputs are run `batch_size` at a time, ordered by length; logits over the vocabulary
are never kept for more than one batch.

Shapes: n pieces of an input, m places, N ranked pieces, T labels of a layer, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hanmo.data.batches import collate
from hanmo.data.ragged import Corrupted, join
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch, Outputs

T = TypeVar("T")
_Parts = TypeVar("_Parts")
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Question:
    """What stands at some places of an input?"""

    ids: NDArray[np.int32]  # [n]
    places: tuple[int, ...]  # m of them


@dataclass(frozen=True, slots=True)
class Ranking:
    """The likeliest pieces at m places, best first."""

    log_probabilities: FloatArray  # [m, N]
    pieces: IntArray  # [m, N]


class Forward:
    """A masked language model as a function from questions to numpy arrays.

    Args:
        model: the model; put into evaluation mode and moved to `device`.
        pad_id: what short inputs are filled with.
        batch_size: inputs of one forward pass.
        device: torch device; products run in fp32.
    """

    def __init__(
        self, model: MaskedLm, *, pad_id: int, batch_size: int = 32, device: str = "cpu"
    ) -> None:
        self._model = model.eval().to(device)
        self._pad_id = pad_id
        self._batch_size = batch_size
        self._device = device
        self.max_length = model.encoder.config.max_position_embeddings

    def rank(
        self, questions: Sequence[Question], allowed: NDArray[np.bool_], top: int
    ) -> list[Ranking]:
        """Rank pieces at each place.

        Args:
            questions: inputs and places.
            allowed: bool [V], pieces that may be named; probabilities are over all pieces.
            top: pieces to name at each place, fewer when fewer are allowed.
        """
        banned = torch.from_numpy(~allowed).to(self._device)
        n = min(top, int(allowed.sum()))

        def read(outputs: Outputs) -> tuple[Tensor, Tensor]:
            scores = self._model.piece_logits(outputs).float().log_softmax(-1)
            values, pieces = scores.masked_fill_(banned, -torch.inf).topk(n)
            return values.cpu(), pieces.cpu()

        def take(parts: tuple[Tensor, Tensor], rows: slice) -> Ranking:
            return Ranking(parts[0][rows].numpy(), parts[1][rows].numpy())

        return self._map(questions, read, take)

    def labels(self, questions: Sequence[Question]) -> list[Mapping[str, FloatArray]]:
        """Give each label layer's distribution at each place: layer → [m, T]."""

        def read(outputs: Outputs) -> dict[str, Tensor]:
            return {name: x.float().softmax(-1).cpu() for name, x in outputs.logits.items()}

        def take(parts: dict[str, Tensor], rows: slice) -> Mapping[str, FloatArray]:
            return {name: part[rows].numpy() for name, part in parts.items()}

        return self._map(questions, read, take)

    @torch.inference_mode()
    def _map(
        self,
        questions: Sequence[Question],
        read: Callable[[Outputs], _Parts],
        take: Callable[[_Parts, slice], T],
    ) -> list[T]:
        order = sorted(range(len(questions)), key=lambda i: len(questions[i].ids))
        answers: dict[int, T] = {}
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            parts = read(self._model.outputs(self._batch([questions[i] for i in chosen])))
            row = 0
            for i in chosen:
                n_places = len(questions[i].places)
                answers[i] = take(parts, slice(row, row + n_places))
                row += n_places
        return [answers[i] for i in range(len(questions))]

    def _batch(self, questions: Sequence[Question]) -> Batch:
        samples = [
            Corrupted({"input_ids": q.ids}, np.array(q.places, dtype=np.int64), {})
            for q in questions
        ]
        arrays = collate(join(samples), max_length=self.max_length, pad_id=self._pad_id, pack=False)
        return Batch.from_arrays(arrays, self._device)
