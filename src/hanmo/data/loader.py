"""Batches as a pure function of the step: order, corruption and rows follow from the seed.

In: a `SequencePlan` and an objective's `corrupt`. Out: for each step the arrays of `batches.py`.
Sample k of the endless stream is sequence `order[k % n]` of epoch `k // n`; the order of an epoch
and the corruption of a sequence are functions of their own keys, so that a batch depends neither
on the number of workers nor on what was asked for before, and the state to resume from is the step.

    loader = Loader(plan, objective, batch_size=64, max_length=512, seed=1, workers=2)
    for arrays in loader.batches(start=step): ...
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.core.memory import keep_freed_arrays
from hanmo.data.batches import collate, place
from hanmo.data.draws import Bits, Draws, keys, shuffled
from hanmo.data.pairing import NO_ANSWER
from hanmo.data.ragged import Array, Corrupted, IntArray, Sequences, join, none_of
from hanmo.data.sequences import SequencePlan, read_sequences, sequence_lengths
from hanmo.data.shard_file import let_go
from hanmo.data.shards import ShardSet

# Batches between two times that the pages of the shards' files are let go.
_LET_GO_EVERY = 4
# Sequences corrupted in one call: their arrays stay in the cache.
_AT_ONCE = 1024


class Corruptor(Protocol):
    """The half of an objective that the loader needs: numpy in, numpy out, no state.

    If it has `layers`, only those label layers are read.
    """

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        """Corrupt sequences; `draws` is the only source of chance."""
        ...


class Beside(Protocol):
    """Something that knows more of a sequence, such as a teacher's answers (`answers.py`)."""

    def add(self, corrupted: Corrupted, *, repeats: IntArray, indices: IntArray) -> Corrupted:
        """Put it beside sequences, each known by its way of masking and its number."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """The samples of one batch.

    Attributes:
        epochs: int64 [B].
        indices: int64 [B], sequence numbers in the plan.
        ranges: int64 [B, K, 3], where their pieces are.
        answers: int8 [B], about their pairs; None without a question.
    """

    epochs: NDArray[np.int64]
    indices: NDArray[np.int64]
    ranges: NDArray[np.int64]
    answers: NDArray[np.int8] | None = None


@dataclass(slots=True)
class Assembler:
    """Make a batch of a selection; this is what a worker process holds."""

    shards: ShardSet
    objective: Corruptor
    max_length: int
    seed: int
    pack: bool
    dupe_factor: int | None = None
    swaps: bool = False
    part: int = 0
    n_parts: int = 1
    least_rows: int = 1
    beside: tuple[Beside, ...] = ()
    _made: int = 0  # batches by this process

    def assemble(self, selection: Selection) -> dict[str, Array]:
        """Place, read, corrupt and collate the part of the batch that this process trains on."""
        # By what this process has made: of the steps, a worker sees only some.
        if self._made % _LET_GO_EVERY == 0:
            for documents in self.shards.shards:
                let_go(documents.ids)
        self._made += 1
        lengths = sequence_lengths(selection.ranges[:, :, 2] - selection.ranges[:, :, 1])
        whole = place(
            lengths, max_length=self.max_length, pack=self.pack, least_rows=self.least_rows
        )
        here, placement = whole.part(self.part, self.n_parts)
        if len(here):
            starts = range(0, len(here), _AT_ONCE)
            made = join([self.corrupted(selection, here[i : i + _AT_ONCE]) for i in starts])
        else:  # fewer rows than processes; the names are those of any sequence
            made = none_of(self.corrupted(selection, np.zeros(1, dtype=np.int64)))
        return collate(
            made,
            max_length=self.max_length,
            pad_id=self.shards.legend.special_ids["pad"],
            pack=self.pack,
            placement=placement,
        )

    def corrupted(self, selection: Selection, here: IntArray) -> Corrupted:
        """Read and corrupt the samples `here` of a selection; their segments are their types."""
        sequences, chance, answers = self.read(selection, here)
        corrupted = self.objective.corrupt(sequences, Draws(chance, sequences.offsets))
        inputs = {"token_type_ids": sequences.token_type_ids, **corrupted.inputs}
        corrupted = replace(corrupted, inputs=inputs, partners=answers)
        repeats = self.repeats(selection.epochs[here])
        for other in self.beside:
            corrupted = other.add(corrupted, repeats=repeats, indices=selection.indices[here])
        return corrupted

    def repeats(self, epochs: IntArray) -> IntArray:
        """Which way of masking an epoch has."""
        return epochs if self.dupe_factor is None else epochs % self.dupe_factor

    def read(
        self, selection: Selection, here: IntArray
    ) -> tuple[Sequences, Bits, NDArray[np.int8] | None]:
        """Read the samples `here` of a selection, each with its chance and its answer, if any."""
        epochs, indices = selection.epochs[here], selection.indices[here]
        chance = keys(self.seed, "corrupt", self.repeats(epochs), indices)
        segments = selection.ranges[here]
        answers = None if selection.answers is None else selection.answers[here]
        if self.swaps and answers is not None:
            swapped = (Draws.once(chance, "swap") < 0.5) & (answers != NO_ANSWER)
            segments = np.where(swapped[:, None, None], segments[:, ::-1], segments)
            answers = np.where(swapped, np.int8(1), answers)
        layers = getattr(self.objective, "layers", None)
        return read_sequences(self.shards, segments, layers=layers), chance, answers


class Loader:
    """Batches of a plan for an objective.

    Args:
        plan: the sequences.
        objective: anything with `corrupt`; must pickle when there are workers.
        batch_size: sequences a batch.
        max_length: pieces a packed row; at least the plan's.
        seed: decides order and corruption.
        pack: several sequences a row (see `batches.collate`).
        dupe_factor: number of ways in which a sequence is corrupted, taken in turn by the epochs
            (static masking, as BERT's data has it); None: anew in every epoch (dynamic masking).
        part: which part of each batch this process trains on, of `n_parts`: batches are the same
            for any number of parts.
        n_parts: number of training processes.
        least_rows: rows of a batch at least, empty ones behind the others, so that every part has
            some.
        beside: what else is known of the sequences.
        workers: processes that make batches ahead; 0 makes them here.
        prefetch: batches in the making; by default two for each worker.
    """

    def __init__(
        self,
        plan: SequencePlan,
        objective: Corruptor,
        *,
        batch_size: int,
        max_length: int,
        seed: int,
        pack: bool = True,
        dupe_factor: int | None = None,
        part: int = 0,
        n_parts: int = 1,
        least_rows: int = 1,
        beside: tuple[Beside, ...] = (),
        workers: int = 0,
        prefetch: int | None = None,
    ) -> None:
        _check("batch_size", batch_size, 1)
        _check("workers", workers, 0)
        _check("dupe_factor", dupe_factor or 1, 1)
        if len(plan) == 0:
            raise UserError(f"{plan.shards.folder}: no sequences to train on: the shards are empty")
        if max_length < plan.max_length:
            raise UserError(
                f"max_length: got {max_length}; expected at least the plan's {plan.max_length}"
            )
        self.plan = plan
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers
        self.prefetch = 2 * workers if prefetch is None else prefetch
        self._assembler = Assembler(
            plan.shards,
            objective,
            max_length,
            seed,
            pack,
            dupe_factor,
            swaps=plan.swaps,
            part=part,
            n_parts=n_parts,
            least_rows=least_rows,
            beside=beside,
        )

    def select(self, step: int) -> Selection:
        """Which samples batch `step` is made of; O(1) in `step`."""
        numbers = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        epochs, places = np.divmod(numbers, len(self.plan))
        indices = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            here = epochs == epoch
            key = keys(self.seed, "order", np.array([epoch]))[0]
            indices[here] = shuffled(places[here], len(self.plan), key)
        if step % _LET_GO_EVERY == 0:
            let_go(self.plan.start)
        answers = None if self.plan.answers is None else self.plan.answers[indices]
        return Selection(epochs, indices, self.plan.ranges(indices), answers)

    def batch(self, step: int) -> dict[str, Array]:
        """The arrays of batch `step`, made in this process."""
        return self._assembler.assemble(self.select(step))

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, Array]]:
        """Yield the batches of steps `start` to `stop` (for ever if None), made ahead.

        Close the iterator (or let it go) to end its workers.

        Raises:
            UserError: a worker was killed.
        """
        steps = itertools.count(start) if stop is None else iter(range(start, stop))
        if self.workers == 0:
            return (self.batch(step) for step in steps)
        return self._from_workers(steps)

    def _from_workers(self, steps: Iterator[int]) -> Iterator[dict[str, Array]]:
        # forkserver: a fork of a process that has threads (torch, a progress bar) may hang.
        context = multiprocessing.get_context("forkserver")
        pool = ProcessPoolExecutor(
            self.workers, context, initializer=_start_worker, initargs=(self._assembler,)
        )
        waiting: deque[Future[dict[str, Array]]] = deque()
        try:
            for step in itertools.islice(steps, max(self.prefetch, 1)):
                waiting.append(pool.submit(_assemble, self.select(step)))
            while waiting:
                arrays = waiting.popleft().result()
                for step in itertools.islice(steps, 1):
                    waiting.append(pool.submit(_assemble, self.select(step)))
                yield arrays
        except BrokenProcessPool:
            raise UserError(
                "a loader worker was killed, most often because memory ran out; run again with "
                f"fewer workers (now {self.workers}) to continue from the last checkpoint"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_assembler: Assembler | None = None  # of a worker process; never set in the parent


def _start_worker(assembler: Assembler) -> None:
    global _assembler  # noqa: PLW0603 - the pool's initializer has no other place to put it
    _assembler = assembler
    keep_freed_arrays()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent decides
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is gone, also after `kill -9`."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _assemble(selection: Selection) -> dict[str, Array]:
    assert _assembler is not None
    return _assembler.assemble(selection)


def _check(name: str, value: Any, least: int) -> None:
    if value < least:
        raise UserError(f"{name}: got {value}; expected {least} or more")
