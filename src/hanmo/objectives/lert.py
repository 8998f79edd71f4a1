"""LERT: masked language modelling that also predicts POS, NER and DEP labels of masked words.

Cui et al. 2022, "LERT: A Linguistically-motivated Pre-trained Language Model"; the released
training script (facts/01). The three label heads read the MLM head's transform at the masked
positions, kept and randomly replaced ones included. Linguistically-informed pre-training (LIP)
ramps the weight of each label loss from 0 to 1: POS over the first sixth of training, NER over
the first third, DEP over the first half.

    total = L_mlm + a_pos · L_pos + a_ner · L_ner + a_dep · L_dep
    a_x = clip(progress / end_x, 0, 1)

Masking is whole-word n-gram 40/30/20/10: what the sister models MacBERT and PERT use; LERT's own
shares are not published (facts/01, an assumption).

    hanmo pretrain work/shards --objective lert --size small --steps 100000 --out work/lert
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from hanmo.core.errors import UserError, nearest
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, Sequences
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary

if TYPE_CHECKING:
    from hanmo.model.config import EncoderConfig
    from hanmo.model.masked_lm import MaskedLm

# Share of training at which a layer's weight reaches 1 (facts/01: 333k, 666k, 1M of 2M steps).
# Upstream's constants are rounded; as shares of the run they are the sixth, third and half that
# the paper states.
RAMPS: Mapping[str, float] = {"pos": 1 / 6, "ner": 1 / 3, "dep": 1 / 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """Options of LERT.

    Attributes:
        layers: Label layers to predict; any subset of what the shards hold.
        ramps: Layer → share of training at which its weight reaches 1, as in --lert.ramps.pos 0.25;
            0 means 1 from the start (for all layers: constant weights, without LIP).
        unit: What is chosen as a whole: "piece" or "word".
        ngram: Share of units of 1, 2, 3 … words.
        rate: Share of pieces chosen.
        shares: Of the chosen pieces: [MASK], random piece, kept.
        any_random: Random pieces may be [unusedN] and specials too, as in Google's script.
    """

    layers: tuple[str, ...] = ("pos", "ner", "dep")
    ramps: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict(RAMPS))
    unit: Literal["piece", "word"] = "word"
    ngram: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    rate: float = 0.15
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    any_random: bool = False

    def __post_init__(self) -> None:
        _masking.check_unit("lert.unit", self.unit)
        _masking.check_shares("lert.ngram", self.ngram)
        _masking.check_shares("lert.shares", self.shares, n=3)
        _masking.check_rate("lert.rate", self.rate)
        for layer in self.layers:
            if not layer or set(layer) & set(",[]'\" "):
                raise UserError(
                    f"lert.layers: got {layer!r}; expected one word a layer: --lert.layers pos ner"
                )
            if self.layers.count(layer) > 1:
                raise UserError(f"lert.layers: {layer!r} is there twice")
            if layer not in self.ramps:
                near = "" if layer in RAMPS else nearest(layer, RAMPS)
                raise UserError(
                    f"lert.ramps: no ramp for layer {layer!r}{near}; add one, 0 for none"
                )
        for layer, end in self.ramps.items():
            if layer not in self.layers and layer not in RAMPS:
                raise UserError(f"lert.ramps: no layer {layer!r}{nearest(layer, self.layers)}")
            if not 0 <= end <= 1:
                raise UserError(f"lert.ramps.{layer}: got {end}; expected a share in [0, 1]")

    def weights(self, progress: float) -> dict[str, float]:
        """Return each layer's weight after the share `progress` of training."""
        ends = {layer: self.ramps[layer] for layer in self.layers}
        return {layer: min(1.0, progress / end) if end > 0 else 1.0 for layer, end in ends.items()}

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Mask as MLM does; targets are the pieces and, for each layer, their words' labels."""
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
        labels = {layer: sequences.layers[layer][positions] for layer in self.layers}
        return Corrupted(
            {"input_ids": masked}, positions, {"pieces": pieces, **labels}, sequences.offsets
        )

    def build(self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]) -> "MaskedLm":
        """Build BERT with its MLM head and a linear head per layer."""
        from hanmo.model.masked_lm import MaskedLm

        return MaskedLm(
            config, layers={layer: layers[layer] for layer in self.layers}, schedule=self.weights
        )
