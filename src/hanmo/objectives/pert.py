"""PERT: some pieces change places, and the model says where the right one now stands.

Cui et al. 2022, "PERT: Pre-training BERT with Permuted Language Model" (facts/03). Words and
n-grams are chosen as in MacBERT, 15 % of the pieces in all; 90 % of the chosen pieces are permuted,
10 % stay; of every chosen place the model predicts where the piece that belongs there now stands.
There is no [MASK], and the answers are places of the sequence, not pieces of the vocabulary.

Sources disagree on what is permuted: the text says that chosen pieces change places among
themselves (`within = "sequence"`), the figure and the README's example show pieces that only change
places inside their word (`within = "unit"`; a unit of one piece then stays where it is). The
default is the text's.

    hanmo pretrain work/shards --objective pert --size small --steps 100000 --out work/pert
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, IntArray, Sequences, ranges
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary

if TYPE_CHECKING:
    from hanmo.model.config import EncoderConfig
    from hanmo.model.permuted_lm import PermutedLm

_WITHIN = ("sequence", "unit")


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """Options of PERT.

    Attributes:
        unit: What is chosen as a whole: "piece" or "word".
        ngram: Share of units of 1, 2, 3 … words.
        rate: Share of pieces chosen.
        permuted: Share of the chosen pieces that may change places; the others stay.
        within: Pieces change places in the whole "sequence", or inside their "unit" alone.
    """

    unit: Literal["piece", "word"] = "word"
    ngram: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    rate: float = 0.15
    permuted: float = 0.9
    within: Literal["sequence", "unit"] = "sequence"

    def __post_init__(self) -> None:
        _masking.check_unit("pert.unit", self.unit)
        _masking.check_shares("pert.ngram", self.ngram)
        _masking.check_rate("pert.rate", self.rate)
        if not 0 < self.permuted <= 1:
            raise UserError(f"pert.permuted: got {self.permuted}; expected more than 0, up to 1")
        if self.within not in _WITHIN:
            raise UserError(f"pert.within: got {self.within!r}; expected {' or '.join(_WITHIN)}")

    @property
    def layers(self) -> tuple[str, ...]:
        """No labels are needed."""
        return ()

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Permute pieces; the target "places" is where each chosen place's piece now stands."""
        starts = _masking.unit_starts(sequences, unit=self.unit, ngram=self.ngram, draws=draws)
        wanted = _masking.budgets(sequences, self.rate)
        positions = _masking.choose(starts, sequences, wanted, draws)
        # Drawn for each piece, as BERT draws its 80/10/10.
        moving = positions[draws.uniform("permuted", positions) < self.permuted]
        edges = starts if self.within == "unit" else _at(sequences.offsets[:-1], len(starts))
        groups = np.cumsum(edges)[moving]
        # The piece of moving[k] goes to goals[k]: a random order inside each group.
        goals = moving[np.lexsort((draws.bits("goal", moving), groups))]
        ids = sequences.input_ids.copy()
        ids[goals] = sequences.input_ids[moving]
        places = ranges(sequences.lengths)
        places[moving] = places[goals]
        return Corrupted(
            {"input_ids": ids}, positions, {"places": places[positions]}, sequences.offsets
        )

    def build(self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]) -> "PermutedLm":
        """Build BERT with the head that points at places."""
        from hanmo.model.permuted_lm import PermutedLm

        return PermutedLm(config)


def _at(indices: IntArray, n: int) -> NDArray[np.bool_]:
    marks = np.zeros(n, dtype=np.bool_)
    marks[indices] = True
    return marks
