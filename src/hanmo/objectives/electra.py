"""ELECTRA: a small generator fills masked places, and the model says which pieces were replaced.

Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators";
ymcui/Chinese-ELECTRA's configuration (facts/04). 15 % of the pieces are chosen; 85 % of them become
[MASK], 15 % stay; the generator, a quarter as wide, draws a piece for each, and the discriminator
judges all pieces. Losses are weighted 1 and 50.

Upstream draws the positions with replacement (`replacement = true`), so that a few are drawn twice
and count twice in the generator's loss, and fewer than 15 % are chosen; by default hanmo does not.
Upstream chooses pieces; whole words are an option that users asked for (Chinese-ELECTRA#8).

    hanmo pretrain work/shards --objective electra --size electra-small --steps 1000000 --out …
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, IntArray, Sequences, ranges
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary

if TYPE_CHECKING:
    from hanmo.model.config import EncoderConfig
    from hanmo.model.replaced import ReplacedDetection


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """Options of ELECTRA.

    Attributes:
        unit: What is chosen as a whole: "piece" (ELECTRA) or "word".
        rate: Share of pieces chosen.
        masked: Share of the chosen pieces that become [MASK] for the generator; the others stay.
        replacement: Draw positions with replacement, as upstream; for unit "piece".
        generator_size: Width of the generator as a share of the discriminator's.
        generator_layers: Its number of layers as a share of the discriminator's.
        weights: Of the generator's and the discriminator's loss.
    """

    unit: Literal["piece", "word"] = "piece"
    rate: float = 0.15
    masked: float = 0.85
    replacement: bool = False
    generator_size: float = 0.25
    generator_layers: float = 1.0
    weights: tuple[float, ...] = (1.0, 50.0)

    def __post_init__(self) -> None:
        _masking.check_unit("electra.unit", self.unit)
        _masking.check_rate("electra.rate", self.rate)
        if self.replacement and self.unit != "piece":
            raise UserError("electra.replacement: is for unit 'piece'; words are never drawn twice")
        for name in ("masked", "generator_size", "generator_layers"):
            if not 0 < getattr(self, name) <= 1:
                got = getattr(self, name)
                raise UserError(f"electra.{name}: got {got}; expected more than 0, up to 1")
        if len(self.weights) != 2 or min(self.weights) < 0:
            raise UserError(f"electra.weights: got {list(self.weights)}; expected two, 0 or more")

    @property
    def layers(self) -> tuple[str, ...]:
        """No labels are needed."""
        return ()

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Mask for the generator; targets are the original "pieces" and the chance to "sample"."""
        if self.replacement:
            positions = _with_replacement(sequences, self.rate, draws)
        else:
            starts = _masking.unit_starts(sequences, unit=self.unit, ngram=(1.0,), draws=draws)
            wanted = _masking.budgets(sequences, self.rate)
            positions = _masking.choose(starts, sequences, wanted, draws)
        ids = sequences.input_ids.copy()
        ids[positions[draws.uniform("masked", positions) < self.masked]] = vocabulary.mask_id
        targets = {
            "pieces": sequences.input_ids[positions],
            "sample": draws.uniform("sample", positions).astype(np.float32),
        }
        return Corrupted({"input_ids": ids}, positions, targets, sequences.offsets)

    def build(
        self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]
    ) -> "ReplacedDetection":
        """Build discriminator and generator."""
        from hanmo.model.replaced import ReplacedDetection

        first, second = self.weights
        return ReplacedDetection(config, self.generator_of(config), weights=(first, second))

    def generator_of(self, config: "EncoderConfig") -> "EncoderConfig":
        """Return the generator's shape: heads of 64, four times as wide inside (facts/04).

        Raises:
            UserError: a family without embeddings of a width of their own.
        """
        if not config.family.discriminates:
            raise UserError(
                f"--size: a {config.model_type} shape; objective electra needs one of the ELECTRA "
                "family, such as electra-small (its generator has narrower layers than embeddings)"
            )
        width = int(config.hidden_size * self.generator_size)
        heads = max(1, width // 64)
        if width < 1 or width % heads:
            raise UserError(
                f"electra.generator_size: {self.generator_size} of {config.hidden_size} is a width "
                f"of {width}; expected a multiple of its {heads} heads"
            )
        return dataclasses.replace(
            config.padded,
            hidden_size=width,
            intermediate_size=4 * width,
            num_attention_heads=heads,
            num_hidden_layers=max(1, round(config.num_hidden_layers * self.generator_layers)),
            embedding_size=config.embedding_width,
        )


def _with_replacement(sequences: Sequences, rate: float, draws: Draws) -> IntArray:
    """Draw round(rate · n) of each sequence's maskable pieces, perhaps some of them twice."""
    places = np.flatnonzero(sequences.maskable)
    first = np.searchsorted(places, sequences.offsets)
    counts = np.diff(first)
    wanted = np.where(counts > 0, _masking.budgets(sequences, rate), 0)
    wanted = np.minimum(wanted, sequences.lengths)
    # The k-th draw of a sequence takes the number of its k-th piece.
    here = np.repeat(sequences.offsets[:-1], wanted) + ranges(wanted)
    which = draws.integers("position", np.repeat(counts, wanted), here)
    return np.asarray(places[np.repeat(first[:-1], wanted) + which], dtype=np.int64)
