"""Ask a masked language model what stands at some places of its inputs.

In: inputs as piece ids with the places to look at. Out: ranked pieces, or label distributions, at
these places.

Shapes: n pieces of an input, m places, N ranked pieces, T labels of a layer, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hanmo.data.ragged import Array, Corrupted
from hanmo.predict._engine import PIECES, Engine

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
_VALUES = "log_probabilities"


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


@dataclass(frozen=True, slots=True)
class Forward:
    """A masked language model as a function from questions to numpy arrays.

    Attributes:
        engine: runs the model.
        layers: layer → its labels, of the label heads.
    """

    engine: Engine
    layers: Mapping[str, tuple[str, ...]]

    @property
    def max_length(self) -> int:
        """Longest input of the model in pieces, [CLS] and [SEP] included."""
        return self.engine.max_length

    def rank(
        self, questions: Sequence[Question], allowed: NDArray[np.bool_], top: int
    ) -> list[Ranking]:
        """Rank pieces at each place.

        Args:
            questions: inputs and places.
            allowed: bool [V], pieces that may be named; probabilities are over all pieces.
            top: pieces to name at each place, fewer when fewer are allowed.
        """
        banned = torch.from_numpy(~allowed)
        n = min(top, int(allowed.sum()))

        def best(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
            likely = scores[PIECES].log_softmax(-1)
            values, pieces = likely.masked_fill_(banned.to(likely.device), -torch.inf).topk(n)
            return {_VALUES: values, PIECES: pieces}

        found = self.engine.map(_sequences(questions), (PIECES,), best)
        return [Ranking(one[_VALUES], one[PIECES]) for one in _parted(found, questions)]

    def labels(self, questions: Sequence[Question]) -> list[Mapping[str, FloatArray]]:
        """Give each label layer's distribution at each place: layer → [m, T]."""

        def likely(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: values.softmax(-1) for name, values in scores.items()}

        found = self.engine.map(_sequences(questions), tuple(self.layers), likely)
        return list(_parted(found, questions))


def _sequences(questions: Sequence[Question]) -> list[Corrupted]:
    return [
        Corrupted({"input_ids": one.ids}, np.array(one.places, dtype=np.int64), {})
        for one in questions
    ]


def _parted(
    found: Mapping[str, Array], questions: Sequence[Question]
) -> Iterator[Mapping[str, Array]]:
    """Give every question its rows."""
    begin = 0
    for one in questions:
        stop = begin + len(one.places)
        yield {name: values[begin:stop] for name, values in found.items()}
        begin = stop
