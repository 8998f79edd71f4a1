"""Whole documents as flat arrays: what the encoder makes and what a shard holds.

A document is a run of sentences, a sentence a run of pieces; both are kept as start offsets.

    documents.cut(0, 10)            # the first ten documents
    join([first, second], ["pos"])  # one after the other
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.tagsets import MISSING


@dataclass(frozen=True, slots=True)
class Documents:
    """Whole documents of n pieces, s sentences and d documents as flat arrays.

    Attributes:
        ids: uint16 or uint32 [n], no specials.
        word_starts: uint8 [n].
        sentence_starts: int64 [s + 1], piece offsets; the last is n.
        document_starts: int64 [d + 1], sentence indices; the last is s.
        layers: layer → int8 [n].
    """

    ids: NDArray[Any]
    word_starts: NDArray[np.uint8]
    sentence_starts: NDArray[np.int64]
    document_starts: NDArray[np.int64]
    layers: Mapping[str, NDArray[np.int8]]

    @property
    def piece_offsets(self) -> NDArray[np.int64]:
        """int64 [d + 1], where each document's pieces start; the last is n."""
        return self.sentence_starts[self.document_starts]

    def cut(self, start: int, stop: int) -> "Documents":
        """Documents `start` to `stop`, as views where nothing has to be renumbered."""
        first, last = int(self.document_starts[start]), int(self.document_starts[stop])
        begin, end = int(self.sentence_starts[first]), int(self.sentence_starts[last])
        return Documents(
            self.ids[begin:end],
            self.word_starts[begin:end],
            self.sentence_starts[first : last + 1] - begin,
            self.document_starts[start : stop + 1] - first,
            {name: labels[begin:end] for name, labels in self.layers.items()},
        )

    def chosen(self, kept: NDArray[np.bool_]) -> "Documents":
        """The documents that `kept`, bool [d], says."""
        sentences = np.repeat(kept, np.diff(self.document_starts))
        sizes = np.diff(self.sentence_starts)
        pieces = np.repeat(sentences, sizes)
        return Documents(
            self.ids[pieces],
            self.word_starts[pieces],
            np.cumsum([0, *sizes[sentences]], dtype=np.int64),
            np.cumsum([0, *np.diff(self.document_starts)[kept]], dtype=np.int64),
            {name: labels[pieces] for name, labels in self.layers.items()},
        )


def join(parts: Sequence[Documents], layers: Sequence[str]) -> Documents:
    """Concatenate documents (one part or more); a part without one of `layers` has -1 there."""
    sentences = np.cumsum([0, *(len(part.ids) for part in parts)])
    documents = np.cumsum([0, *(len(part.sentence_starts) - 1 for part in parts)])

    def starts(arrays: list[NDArray[np.int64]], shifts: NDArray[np.int64]) -> NDArray[np.int64]:
        moved = [array[:-1] + shift for array, shift in zip(arrays, shifts[:-1], strict=True)]
        return np.concatenate([*moved, shifts[-1:]])

    def labels(part: Documents, name: str) -> NDArray[np.int8]:
        return part.layers.get(name, np.full(len(part.ids), MISSING, dtype=np.int8))

    return Documents(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.word_starts for part in parts]),
        starts([part.sentence_starts for part in parts], sentences),
        starts([part.document_starts for part in parts], documents),
        {name: np.concatenate([labels(part, name) for part in parts]) for name in layers},
    )


def nothing() -> Documents:
    """No documents."""
    start = np.zeros(1, dtype=np.int64)
    empty = np.zeros(0, dtype=np.uint16)
    return Documents(empty, empty.astype(np.uint8), start, start, {})
