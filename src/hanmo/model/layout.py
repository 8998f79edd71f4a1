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
    """

    n_rows: int
    length: int
    sequence_ids: Tensor
    real: Tensor
    places: Tensor | None
    bounds: Tensor
    longest: int
    _biases: dict[int, Tensor] = dataclasses.field(default_factory=dict)
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
        labels[flat[places] == 0] = -1
        starts = np.flatnonzero(np.diff(labels, prepend=-2))
        bounds = np.append(starts, len(places)).astype(np.int32)

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

        return cls(
            n_rows,
            length,
            tensor(sequence_ids),
            tensor(real),
            tensor(places) if len(places) < len(flat) else None,
            tensor(bounds),
            int(np.diff(bounds).max(initial=0)),
        )

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

    def bias(self, n_heads: int) -> Tensor:
        """Return the additive mask [R·A, L, L]: 0 within a sequence, a large negative across.

        Padding attends to padding, which keeps its rows finite.
        """
        if n_heads not in self._biases:
            ids = self.sequence_ids
            apart = ids[:, :, None] != ids[:, None, :]  # [R, L, L]
            bias = torch.zeros(apart.shape, device=apart.device).masked_fill_(apart, -1e4)
            self._biases[n_heads] = bias.repeat_interleave(n_heads, dim=0)
        return self._biases[n_heads]
