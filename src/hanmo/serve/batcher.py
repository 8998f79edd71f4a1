"""Dynamic batching: inputs of many requests run together, as many as a budget of pieces holds.

Nothing waits for company: when the model is free, what is there runs, oldest first, together with
all later inputs of the same question that fit. Under load batches grow by themselves. One thread
runs all models, because they share the processor. What may wait is bounded by its cost; what comes
on top is refused with the time after which it is worth coming again.

    batcher = Batcher(budget=2048, waiting=262_144)
    answers = await batcher.ask(asked, queries)
"""

import asyncio
import collections
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hanmo.predict._predictor import Answer, Predictor
from hanmo.serve.metrics import Metrics
from hanmo.serve.problems import Problem

T = TypeVar("T")
_MOST_SECONDS = 60  # that a client is asked to wait
_MOST_INPUTS = 512  # of a batch; of texts that cost next to nothing
_MEMORY = 0.8  # weight of the past in the measured speed


@dataclasses.dataclass(slots=True, eq=False)
class Asked:
    """A question that can be asked: a predictor and the model whose it is."""

    model: str
    kind: str
    predictor: Predictor


@dataclasses.dataclass(slots=True)
class _Job:
    """A request's inputs, some of them answered."""

    answers: list[Answer | None]
    left: int
    done: "asyncio.Future[list[Answer]]"


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    asked: Asked
    query: Any
    cost: int
    job: _Job
    place: int


class Batcher:
    """One thread that runs models, and the queue before it.

    Args:
        budget: pieces of a batch; an input that is larger runs alone.
        waiting: pieces that may wait.
        metrics: where figures go.
    """

    def __init__(self, *, budget: int, waiting: int, metrics: Metrics) -> None:
        self._budget, self._most = budget, waiting
        self._metrics = metrics
        self._queue: collections.deque[_Item] = collections.deque()
        self._waiting = 0
        self._speed = 0.0  # pieces a second, as lately measured
        self._something = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run what comes."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; what still waits is not answered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for pool in (self._thread, self._aside):
            pool.shutdown(wait=False, cancel_futures=True)

    async def aside(self, function: Callable[[], T]) -> T:
        """Run what takes a while but no model beside the others."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, function)

    async def ask(self, asked: Asked, queries: Sequence[Any], costs: Sequence[int]) -> list[Answer]:
        """Answer queries, together with those of others.

        Args:
            asked: what to ask.
            queries: as its predictor read them.
            costs: pieces of each.

        Raises:
            Problem: 429, too much waits already.
        """
        cost = sum(costs)
        # What is larger than the queue is let in when nothing waits, or it would never be.
        if self._waiting and self._waiting + cost > self._most:
            raise Problem(
                429,
                "queue_full",
                f"{self._waiting:,} pieces wait already and this request has {cost:,}; at most "
                f"{self._most:,} may wait; come again later, or with less",
                headers={"Retry-After": str(self._retry_after())},
            )
        job = _Job([None] * len(queries), len(queries), asyncio.get_running_loop().create_future())
        for place, (query, one) in enumerate(zip(queries, costs, strict=True)):
            self._queue.append(_Item(asked, query, one, job, place))
        self._count(cost)
        self._something.set()
        try:
            return await job.done
        except asyncio.CancelledError:  # whoever asked has gone
            waiting = [one for one in self._queue if one.job is job]
            self._queue = collections.deque(one for one in self._queue if one.job is not job)
            self._count(-sum(one.cost for one in waiting))
            raise

    def _retry_after(self) -> int:
        seconds = self._waiting / self._speed if self._speed else 1.0
        return min(_MOST_SECONDS, max(1, math.ceil(seconds)))

    def _count(self, change: int) -> None:
        self._waiting += change
        self._metrics.waiting.set(self._waiting)

    async def _run(self) -> None:
        while True:
            while not self._queue:
                self._something.clear()
                await self._something.wait()
            batch = self._next()
            if batch:
                await self._answer(batch)

    def _next(self) -> list[_Item]:
        """Take the oldest input that still waits for its answer, and what may run beside it."""
        batch: list[_Item] = []
        kept: collections.deque[_Item] = collections.deque()
        cost = 0
        while self._queue and len(batch) < _MOST_INPUTS:
            item = self._queue.popleft()
            if item.job.done.done():  # whoever asked has gone
                self._count(-item.cost)
            elif batch and item.asked is not batch[0].asked:
                kept.append(item)
            elif batch and cost + item.cost > self._budget:
                kept.append(item)
                break
            else:
                batch.append(item)
                cost += item.cost
                self._count(-item.cost)
        kept.extend(self._queue)
        self._queue = kept
        return batch

    async def _answer(self, batch: list[_Item]) -> None:
        asked = batch[0].asked
        begin = time.perf_counter()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, asked.predictor.answer, [one.query for one in batch]
            )
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers to {len(batch)} queries")
        except Exception as error:  # noqa: BLE001 - whatever it is, the next batch must run
            if len(batch) == 1:
                _fail(batch[0].job, error)
                return
            for one in batch:  # only the culprit's request fails
                if not one.job.done.done():
                    await self._answer([one])
            return
        seconds = time.perf_counter() - begin
        cost = sum(one.cost for one in batch)
        self._speed = _MEMORY * (self._speed or cost / seconds) + (1 - _MEMORY) * cost / seconds
        self._metrics.batches.labels(asked.model).observe(len(batch))
        self._metrics.model_seconds.labels(asked.model).observe(seconds)
        self._metrics.model_pieces.labels(asked.model).inc(cost)
        self._metrics.inputs.labels(asked.model, asked.kind).inc(len(batch))
        for one, answer in zip(batch, answers, strict=True):
            job = one.job
            job.answers[one.place] = answer
            job.left -= 1
            if not job.left and not job.done.done():
                job.done.set_result([given for given in job.answers if given is not None])


def _fail(job: _Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)
