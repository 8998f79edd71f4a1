"""Several passes over the text, shuffled and dealt out to files: what static records are made of.

In: a `ShardSet`. Out: for each of F files the samples that it holds, in blocks. As upstream's
create_pretraining_data.py, every pass cuts the text into sequences and pairs anew, where chance has
a part in that, and masks anew; all samples are shuffled and dealt out to the files in turn. Which
sample stands where is computed where it is asked for, so a file is made alone and by any process;
the plans lie in a folder, for processes to map.

    passes = plan_passes(shards, folder, max_length=128, partner="nsp", …)
    for selection in passes.samples(3, n_files=10): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.core.seeds import generator
from hanmo.data.draws import keys, shuffled
from hanmo.data.loader import Selection
from hanmo.data.pairing import NO_ANSWER
from hanmo.data.ragged import Array, IntArray
from hanmo.data.sequences import SequencePlan, plan_sequences
from hanmo.data.shards import ShardSet

BLOCK = 1024  # samples of a selection: their arrays stay in the cache
_COLUMNS = ("shard", "start", "stop", "answers")


@dataclass(frozen=True, slots=True)
class Passes:
    """All samples of all passes; pickles as the place of its plans.

    Attributes:
        shards: where the pieces are.
        folder: where the plans are.
        max_length: longest sequence.
        swaps: see `SequencePlan`.
        numbers: of each pass, its plan; the same one where chance has no part.
        seed: decides the order.
        n_left_out: pieces of sequences that have no answer to the question about pairs, all passes
            together; such a sequence is no sample.
        n_cut: pieces left out because their pair was too long.
    """

    shards: ShardSet
    folder: Path
    max_length: int
    swaps: bool
    numbers: tuple[int, ...]
    seed: int
    n_left_out: int = 0
    n_cut: int = 0
    plans: tuple[SequencePlan, ...] = field(init=False)

    def __post_init__(self) -> None:
        made = {number: self._map(number) for number in set(self.numbers)}
        object.__setattr__(self, "plans", tuple(made[number] for number in self.numbers))

    def __reduce__(self) -> tuple[Any, ...]:
        settings = (self.max_length, self.swaps, self.numbers, self.seed)
        return Passes, (self.shards, self.folder, *settings, self.n_left_out, self.n_cut)

    def __len__(self) -> int:
        return sum(map(len, self.plans))

    def samples(self, file: int, n_files: int) -> Iterator[Selection]:
        """Yield the samples of file `file`, of `n_files`, in blocks; `epochs` are the passes."""
        total = len(self)
        key = keys(self.seed, "order", np.zeros(1, dtype=np.int64))[0]
        bounds = np.cumsum([0, *(len(plan) for plan in self.plans)])
        for start in range(file, total, n_files * BLOCK):
            stop = min(total, start + n_files * BLOCK)
            numbers = shuffled(np.arange(start, stop, n_files, dtype=np.int64), total, key)
            passes = np.searchsorted(bounds[1:], numbers, side="right")
            yield self._selection(passes, numbers - bounds[passes])

    def _selection(self, passes: IntArray, indices: IntArray) -> Selection:
        segments = np.empty((len(indices), self.plans[0].shard.shape[1], 3), dtype=np.int64)
        answers = np.full(len(indices), NO_ANSWER, dtype=np.int8)
        asked = False
        for number, plan in enumerate(self.plans):
            here = np.flatnonzero(passes == number)
            segments[here] = plan.ranges(indices[here])
            if plan.answers is not None:
                answers[here], asked = plan.answers[indices[here]], True
        return Selection(passes, indices, segments, answers if asked else None)

    def _map(self, number: int) -> SequencePlan:
        shard, start, stop, answers = (
            np.load(_path(self.folder, number, name), mmap_mode="r") for name in _COLUMNS
        )
        asked = answers if shard.shape[1] > 1 else None
        return SequencePlan(
            self.shards, self.max_length, shard, start, stop, asked, swaps=self.swaps
        )


def plan_passes(
    shards: ShardSet,
    folder: Path,
    *,
    max_length: int,
    partner: str,
    short_sequence_rate: float,
    dupe_factor: int,
    seed: int,
) -> Passes:
    """Plan all passes; their plans are written into `folder`, over what is there.

    Raises:
        UserError: as `plan_sequences`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_chance = partner != "none" or short_sequence_rate > 0
    n_plans = dupe_factor if by_chance else 1
    n_left_out = n_cut = 0
    for number in range(n_plans):
        plan = plan_sequences(
            shards,
            max_length=max_length,
            partner=partner,
            short_sequence_rate=short_sequence_rate,
            # The first pass has the sequences that training with this seed would have.
            seed=int(generator(seed, "pass", number).integers(2**63)) if number else seed,
            scratch=folder,
        )
        n_left_out, n_cut = n_left_out + _write(plan, folder, number), n_cut + plan.n_cut
    numbers = tuple(range(dupe_factor)) if by_chance else (0,) * dupe_factor
    swaps = partner == "sop"
    return Passes(shards, folder, max_length, swaps, numbers, seed, n_left_out, n_cut)


def _write(plan: SequencePlan, folder: Path, number: int) -> int:
    """Write the sequences that are samples; returns how many pieces the others have."""
    kept = np.ones(len(plan), dtype=np.bool_)
    answers = np.zeros(len(plan), dtype=np.int8)
    if plan.answers is not None:
        answers = np.asarray(plan.answers)
        kept = answers != NO_ANSWER
    columns: dict[str, Array] = {
        "shard": plan.shard,
        "start": plan.start,
        "stop": plan.stop,
        "answers": answers,
    }
    for name in _COLUMNS:
        np.save(_path(folder, number, name), columns[name][kept])
    return int((plan.stop[~kept] - plan.start[~kept]).sum())


def _path(folder: Path, number: int, name: str) -> Path:
    return folder / f"{number:05d}.{name}.npy"
