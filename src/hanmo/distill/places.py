"""Where the real pieces of packed rows are, as losses between hidden states need them.

Hidden states come as [N, …]: those of the real pieces, and of a few places of padding that round
their number up. Means are taken over the whole step, whatever part of it is here.

Shapes: N places, n pieces of a sequence, G sequences of a block, S sequences.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hanmo.model.layout import Layout
from hanmo.model.trainable import PAIRS, REAL_PIECES, SEQUENCES, Batch

_LENGTH_STEP = 16  # sequences whose lengths round up to the same make a block
_PLACES_AT_ONCE = 16384


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """G sequences of about the same length.

    Attributes:
        index: int64 [G, n], where their pieces lie among the N; any place where there is none.
        mask: bool [G, n], whether there is a piece.
    """

    index: Tensor
    mask: Tensor

    def take(self, x: Tensor) -> Tensor:
        """[N, …] → [G, n, …]."""
        g, n = self.index.shape
        return x.index_select(0, self.index.flatten()).view(g, n, *x.shape[1:])

    @property
    def pairs(self) -> Tensor:
        """1 where both pieces are there, else 0: float [G, n, n]."""
        mask = self.mask.float()
        return mask[:, :, None] * mask[:, None, :]


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """The places of a batch, and how many there are in the whole step.

    Attributes:
        layout: of the batch.
        n_pieces: real pieces of the step.
        n_sequences: its sequences.
        n_pairs: its pairs of pieces that share a sequence.
    """

    layout: Layout
    n_pieces: int
    n_sequences: int
    n_pairs: int

    @classmethod
    def of(cls, batch: Batch) -> "Places":
        """Take them from a batch."""
        totals = batch.totals
        return cls(batch.layout, totals[REAL_PIECES], totals[SEQUENCES], totals[PAIRS])

    def real(self, x: Tensor) -> Tensor:
        """Keep the real pieces: [N, …] → [pieces, …]."""
        return x.index_select(0, self.layout.among_real(self.layout.real))

    def firsts(self, x: Tensor) -> Tensor:
        """Keep the sequences' first pieces, [CLS]: [N, …] → [S, …]."""
        begins = torch.from_numpy(np.ascontiguousarray(self.layout.sequences[:, 0]))
        return x.index_select(0, begins.to(x.device))

    def blocks(self, device: torch.device) -> Iterator[Block]:
        """Yield all sequences, in blocks of about one length."""
        begins, lengths = self.layout.sequences.T
        rounded = -(-lengths // _LENGTH_STEP) * _LENGTH_STEP
        for size in np.unique(rounded).tolist():
            alike = np.flatnonzero(rounded == size)
            at_once = max(1, _PLACES_AT_ONCE // size)
            within = np.arange(size)
            for first in range(0, len(alike), at_once):
                some = alike[first : first + at_once]
                mask = within < lengths[some, None]
                index = np.where(mask, begins[some, None] + within, begins[some, None])
                yield Block(torch.from_numpy(index).to(device), torch.from_numpy(mask).to(device))
