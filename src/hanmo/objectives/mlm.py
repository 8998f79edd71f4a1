"""Masked language modelling by piece, whole word or n-gram (BERT, BERT-wwm, RoBERTa-wwm-ext).

Devlin et al. 2019, §3.1; Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT".

    hanmo pretrain work/shards --objective mlm --mlm.unit word --size small --steps 100000 --out …
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, Sequences
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary

if TYPE_CHECKING:
    from hanmo.model.config import EncoderConfig
    from hanmo.model.masked_lm import MaskedLm


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """Options of masked language modelling.

    Attributes:
        unit: What is chosen as a whole: "piece" (BERT) or "word" (whole word masking).
        ngram: Share of units of 1, 2, 3 … words; HFL's n-gram masking is 0.4 0.3 0.2 0.1.
        rate: Share of pieces chosen.
        shares: Of the chosen pieces: [MASK], random piece, kept.
        any_random: Random pieces may be [unusedN] and specials too, as in Google's script.
    """

    unit: Literal["piece", "word"] = "word"
    ngram: tuple[float, ...] = (1.0,)
    rate: float = 0.15
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    any_random: bool = False

    def __post_init__(self) -> None:
        _masking.check_unit("mlm.unit", self.unit)
        _masking.check_shares("mlm.ngram", self.ngram)
        _masking.check_shares("mlm.shares", self.shares, n=3)
        _masking.check_rate("mlm.rate", self.rate)

    @property
    def layers(self) -> tuple[str, ...]:
        """No labels are needed."""
        return ()

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Choose units, mask them; the targets "pieces" are the original ids there."""
        masked, positions = _masking.mask_units(
            sequences,
            draws,
            vocabulary,
            unit=self.unit,
            ngram=self.ngram,
            rate=self.rate,
            shares=self.shares,
            any_random=self.any_random,
        )
        pieces = sequences.input_ids[positions]
        return Corrupted({"input_ids": masked}, positions, {"pieces": pieces}, sequences.offsets)

    def build(self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]) -> "MaskedLm":
        """Build BERT with its MLM head."""
        from hanmo.model.masked_lm import MaskedLm

        return MaskedLm(config)
