"""A training sequence as an objective corrupts it: what the model sees, and what it is asked.

In: shards and what decides the corruption (the objective, the seed, the epoch). Out: `Example`, the
sequence exactly as `hanmo pretrain` with these settings makes it, with what was done to each chosen
piece and what is to be predicted there. As ELECTRA's `print_tokens`, for any objective.

    View(shards, tokenizer, corruptor, Settings(max_length=128, seed=1)).example(0, epoch=0)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.tagsets import MISSING
from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.loader import Assembler, Corruptor, Selection
from hanmo.data.ragged import Array, Corrupted, IntArray, Sequences
from hanmo.data.sequences import SequencePlan, plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.inspection.lines import Cell, Line
from hanmo.text.tokenizer import Tokenizer

STATES = {"masked": "M", "replaced": "R", "kept": "K"}
_PIECES = "pieces"  # the target that is a piece of the vocabulary
_STATE = "state"
_SAMPLE = 512  # sequences whose corruption is counted


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `hanmo pretrain` that decide a sequence and its corruption."""

    max_length: int = 512
    partner: str = "none"
    short_sequence_rate: float = 0.0
    dupe_factor: int | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """A corrupted sequence.

    Attributes:
        index: Its number in the plan.
        epoch: The epoch that sees it so.
        line: What the model sees; under each chosen piece what was done and what is predicted.
        answer: About a pair of segments: 0 or 1; None where nothing is asked.
        counts: What the objective counted in this sequence.
    """

    index: int
    epoch: int
    line: Line
    answer: int | None
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the example as JSON shows it: pieces, and what is asked of the chosen ones."""
        names = {mark: state for state, mark in STATES.items()}
        chosen = []
        for place, cell in enumerate(self.line.cells):
            if cell.under:
                asked = dict(zip(self.line.rows, cell.under, strict=True))
                asked[_STATE] = names.get(asked[_STATE] or "")
                chosen.append({"place": place, **asked})
        return {
            "sequence": self.index,
            "epoch": self.epoch,
            "input": [cell.text for cell in self.line.cells],
            "chosen": chosen,
            "answer": self.answer,
            "counts": dict(self.counts),
        }


class View:
    """The sequences of shards as training sees them.

    Args:
        shards: where the pieces are.
        tokenizer: their vocabulary.
        corruptor: the objective, bound to it.
        settings: what else decides.
        last_shard: plan no further than this shard; sequences have the same numbers then, for each
            shard is planned by itself.

    Raises:
        UserError: settings that leave no room for text.
    """

    def __init__(
        self,
        shards: ShardSet,
        tokenizer: Tokenizer,
        corruptor: Corruptor,
        settings: Settings,
        *,
        last_shard: int | None = None,
    ) -> None:
        if last_shard is not None:
            shards = ShardSet(shards.folder, shards.shards[: last_shard + 1], shards.legend)
        self._shards, self._tokenizer, self._corruptor = shards, tokenizer, corruptor
        self.plan: SequencePlan = plan_sequences(
            shards,
            max_length=settings.max_length,
            partner=settings.partner,
            short_sequence_rate=settings.short_sequence_rate,
            seed=settings.seed,
        )
        self._assembler = Assembler(
            shards,
            corruptor,
            settings.max_length,
            settings.seed,
            pack=True,
            dupe_factor=settings.dupe_factor,
            swaps=self.plan.swaps,
        )

    def index_of(self, shard: int, piece: int) -> int:
        """Return the number of the first sequence that holds a piece of a shard.

        Pairs leave out text that makes them too long: it is the next sequence then.

        Raises:
            UserError: the shard has no sequence.
        """
        plan = self.plan
        here = plan.shard == shard
        holding = here & (plan.start <= piece) & (piece < plan.stop)
        for rows in (holding, here & (plan.start >= piece), here):
            found = np.flatnonzero(rows.any(axis=1))
            if len(found):
                return int(found[0])
        raise UserError(f"shard {shard}: no sequence of these settings; try --partner none")

    def example(self, index: int, *, epoch: int) -> Example:
        """Return sequence `index` as an epoch sees it.

        Raises:
            UserError: there are fewer sequences.
        """
        if not 0 <= index < len(self.plan):
            raise UserError(
                f"--sequence: got {index}; expected 0 to {len(self.plan) - 1:,}, for there are "
                f"{len(self.plan):,} sequences of these settings"
            )
        sequences, corrupted, answers = self._corrupted(np.array([index]), epoch)
        line = self._line(sequences, corrupted)
        answer = None if answers is None else int(answers[0])
        return Example(index, epoch, line, answer, dict(corrupted.counts))

    def counts(self, *, epoch: int) -> dict[str, int]:
        """Count what becomes of the pieces of up to 512 sequences that lie evenly in the plan."""
        n = min(len(self.plan), _SAMPLE)
        indices = np.arange(n, dtype=np.int64) * len(self.plan) // max(1, n)
        counts: Counter[str] = Counter({"sequences": n, "pieces": 0, "chosen": 0})
        if not n:
            return dict(counts)
        sequences, corrupted, _ = self._corrupted(indices, epoch)
        counts["pieces"] = len(sequences.input_ids)
        places = np.unique(corrupted.positions).astype(np.int64)
        counts["chosen"] = len(places)
        inputs = corrupted.inputs["input_ids"]
        masked = inputs[places] == self._tokenizer.mask_id
        kept = ~masked & (inputs[places] == sequences.input_ids[places])
        counts.update(masked=int(masked.sum()), kept=int(kept.sum()))
        counts["replaced"] = len(places) - counts["masked"] - counts["kept"]
        counts.update(corrupted.counts)
        return dict(counts)

    def _corrupted(
        self, indices: IntArray, epoch: int
    ) -> tuple[Sequences, Corrupted, NDArray[np.int8] | None]:
        plan = self.plan
        answers = None if plan.answers is None else plan.answers[indices]
        epochs = np.full(len(indices), epoch, dtype=np.int64)
        selection = Selection(epochs, indices, plan.ranges(indices), answers)
        sequences, chance, answers = self._assembler.read(selection, np.arange(len(indices)))
        corrupted = self._corruptor.corrupt(sequences, Draws(chance, sequences.offsets))
        return sequences, corrupted, answers

    def _line(self, sequences: Sequences, corrupted: Corrupted) -> Line:
        """Write one sequence: what the model sees, and under the chosen pieces what is asked."""
        vocab, mask_id = self._tokenizer.vocab, self._tokenizer.mask_id
        targets = {
            name: names
            for name, values in corrupted.targets.items()
            if (names := self._names(name, values)) is not None
        }
        asked = {place: n for n, place in enumerate(corrupted.positions.tolist())}
        seen = corrupted.inputs["input_ids"].tolist()
        cells = []
        for place, (original, one) in enumerate(
            zip(sequences.input_ids.tolist(), seen, strict=True)
        ):
            style = "word" if sequences.maskable[place] else "special"
            under: tuple[str | None, ...] = ()
            if place in asked:
                changed = "masked" if one == mask_id else "replaced"
                style = "kept" if one == original else changed
                under = (STATES[style], *(names[asked[place]] for names in targets.values()))
            elif one == self._tokenizer.unk_id:
                style = "unknown"
            joined = place > 0 and not sequences.word_starts[place]
            cells.append(Cell(vocab[one], under, style, joined))
        return Line((_STATE, *targets), tuple(cells))

    def _names(self, name: str, values: Array) -> Sequence[str | None] | None:
        """Write targets: pieces, labels and places; None for chance that a model is given."""
        if name == _PIECES:
            return [self._tokenizer.vocab[one] for one in values.tolist()]
        if name in self._shards.layers:
            labels = self._shards.layers[name]
            return [None if one == MISSING else labels[one] for one in values.tolist()]
        if np.issubdtype(values.dtype, np.integer):
            return [None if one < 0 else str(one) for one in values.tolist()]
        return None
