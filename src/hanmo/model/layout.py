"""Where the real pieces of packed rows are, and who may attend to whom.

Made of the batch's numpy arrays before they go to a device: counting there would stop it.

Shapes: R rows, L length, N real pieces (and a few of padding), S sequences, A heads.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Blocks of ever new sizes fragment the heap without end (8 GB after 500 steps): few sizes.
_PLACES_STEP = 512
# Sequences whose lengths round up to the same are attended to together: few sizes of products.
_LENGTH_STEP = 16
# Scores of a group of several sequences: 1 MB in half precision, which stays in the cache.
_SCORES_AT_ONCE = 1 << 19


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """G sequences of about the same length, on a CPU.

    Attributes:
        length: n, pieces of each, rounded up.
        shortest: pieces of the shortest.
        sources: int64 [G·n] where their pieces lie among the N; any place where there is no piece.
        goals: the same, but N where there is no piece.
        dead: bool [G, n - shortest], where behind the shortest's pieces there is no piece; None
            where there always is one.
    """

    length: int
    shortest: int
    sources: Tensor
    goals: Tensor
    dead: Tensor | None

    @classmethod
    def of(cls, begins: NDArray[np.int64], lengths: NDArray[np.int64], n_places: int) -> "Group":
        """Group sequences by where they begin and how long they are, int64 [G] each."""
        length = -(-int(lengths.max()) // _LENGTH_STEP) * _LENGTH_STEP
        within = np.arange(length)
        missing = within >= lengths[:, None]
        goals = np.where(missing, n_places, begins[:, None] + within).reshape(-1)
        shortest = int(lengths.min())
        return cls(
            length,
            shortest,
            torch.from_numpy(np.minimum(goals, n_places - 1)),
            torch.from_numpy(goals),
            torch.from_numpy(missing[:, shortest:]) if shortest < length else None,
        )


@dataclasses.dataclass(slots=True)
class Layout:
    """See the module's docstring.

    Attributes:
        n_rows: R.
        length: L.
        sequence_ids: [R, L], 0 for padding.
        real: flat indices of the real pieces, without those that round N up.
        places: [N] flat indices r · L + c of the real pieces, and of a few padding places that
            round N up; None when there is no padding to leave out.
        bounds: int32 [S + 1], where each sequence begins among the N; runs of padding count as
            sequences.
        longest: pieces of the longest sequence.
        sequences: int64 [S, 2], begin and length of each among the N, without runs of padding.
    """

    n_rows: int
    length: int
    sequence_ids: Tensor
    real: Tensor
    places: Tensor | None
    bounds: Tensor
    longest: int
    sequences: NDArray[np.int64]
    _groups: dict[int, tuple[Group, ...]] = dataclasses.field(default_factory=dict)
    _masks: dict[torch.dtype, Tensor] = dataclasses.field(default_factory=dict)
    _index: Tensor | None = None

    @classmethod
    def of(cls, sequence_ids: NDArray[Any], device: str | torch.device = "cpu") -> "Layout":
        """Describe packed rows of sequence ids, int [R, L]."""
        n_rows, length = sequence_ids.shape
        flat = sequence_ids.reshape(-1)
        real = places = np.flatnonzero(flat)
        missing = min(-len(places) % _PLACES_STEP, len(flat) - len(places))
        if len(places) + missing == len(flat):
            places = np.arange(len(flat))  # everything stays where it is
        elif missing:
            places = np.concatenate([places, np.flatnonzero(flat == 0)[:missing]])
        # A sequence ends where the id or the row changes; a run of padding is one more.
        labels = flat[places].astype(np.int64) + (places // length) * (int(flat.max(initial=0)) + 1)
        padding = np.flatnonzero(flat[places] == 0)
        labels[padding] = -1 - padding // length  # none longer than a sequence can be
        starts = np.flatnonzero(np.diff(labels, prepend=-2))
        bounds = np.append(starts, len(places))
        sizes = np.diff(bounds)
        sequences = np.stack([starts, sizes], axis=1)[flat[places[starts]] > 0]

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

        return cls(
            n_rows,
            length,
            tensor(sequence_ids),
            tensor(real),
            tensor(places) if len(places) < len(flat) else None,
            tensor(bounds.astype(np.int32)),
            int(sizes.max(initial=0)),
            sequences,
        )

    @property
    def n_places(self) -> int:
        """N."""
        return self.n_rows * self.length if self.places is None else len(self.places)

    def groups(self, n_heads: int) -> tuple[Group, ...]:
        """Return the sequences in groups of about one length, for attention of so many heads."""
        if n_heads not in self._groups:
            begins, lengths = self.sequences.T
            rounded = -(-lengths // _LENGTH_STEP)
            found = []
            for size in np.unique(rounded).tolist():
                alike = np.flatnonzero(rounded == size)
                at_once = max(1, _SCORES_AT_ONCE // (n_heads * (size * _LENGTH_STEP) ** 2))
                for first in range(0, len(alike), at_once):
                    some = alike[first : first + at_once]
                    found.append(Group.of(begins[some], lengths[some], self.n_places))
            self._groups[n_heads] = tuple(found)
        return self._groups[n_heads]

    def take(self, x: Tensor, asked: Tensor | None = None) -> Tensor:
        """Keep the real pieces, or the asked ones: [R·L, …] → [N, …] or [M, …]."""
        places = self.places if asked is None else asked
        return x if places is None else x.index_select(0, places)

    def spread(self, x: Tensor) -> Tensor:
        """Put the real pieces back among zeros: [N, …] → [R·L, …]."""
        if self.places is None:
            return x
        rows = x.new_zeros(self.n_rows * self.length, *x.shape[1:])
        return rows.index_copy(0, self.places, x)

    def among_real(self, asked: Tensor) -> Tensor:
        """Turn flat indices of real pieces into their indices among the N: [M] → [M]."""
        if self.places is None:
            return asked
        if self._index is None:
            index = torch.zeros(
                self.n_rows * self.length, dtype=torch.int64, device=self.places.device
            )
            order = torch.arange(len(self.places), device=self.places.device)
            self._index = index.index_copy(0, self.places, order)
        return self._index.index_select(0, asked)

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return the additive mask [R, 1, L, L]: 0 within a sequence, a large negative across.

        Padding attends to padding, which keeps its rows finite.
        """
        if dtype not in self._masks:
            ids = self.sequence_ids
            apart = ids[:, None, :, None] != ids[:, None, None, :]
            mask = torch.zeros(apart.shape, dtype=dtype, device=apart.device)
            self._masks[dtype] = mask.masked_fill_(apart, -1e4)
        return self._masks[dtype]
