"""Processes of this machine, as many as `--workers` says.

A worker that dies (memory, ``kill -9``) costs the task that it was at: the task is tried once
more by a new worker, and the others go on. All workers end with their parent, however it dies.

A pool of the standard library would be shorter, but all of its workers end when one dies.

    for rank, error in Executor().run(run_one, [0, 1, 2], workers=2): ...
"""

import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.executor import Failure, Outcome, RunOne, end_jobs, portable

ATTEMPTS = 2  # of a task whose worker died


@dataclass(frozen=True, slots=True)
class Executor:
    """Processes of this machine; has no options."""

    def run(
        self, run_one: RunOne, ranks: list[int], *, workers: int, state_dir: Path, title: str
    ) -> Generator[Outcome]:
        """Run tasks; see `hanmo.core.executor.Executor`."""
        end_jobs(state_dir)
        if workers <= 1 or len(ranks) <= 1:
            for rank in ranks:
                yield rank, _attempt(run_one, rank)
            return
        with _workers(run_one, min(workers, len(ranks))) as team:
            yield from _share_out(team, ranks, workers)


def _attempt(run_one: RunOne, rank: int) -> Failure:
    """Run a task; returns what went wrong."""
    try:
        run_one(rank)
    except Exception as error:  # noqa: BLE001 - the caller decides what to raise
        return error
    return None


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    rank: int | None = None


@dataclass(slots=True)
class _Team:
    """Workers, and how to get another one."""

    workers: list[_Worker]
    hire: Callable[[], _Worker]


@contextmanager
def _workers(run_one: RunOne, n: int) -> Iterator[_Team]:
    # forkserver: a fork of a process that has threads (torch, a progress bar) may hang.
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", "hanmo.core.execute", __name__])
    lifeline, held_end = context.Pipe(duplex=False)

    def hire() -> _Worker:
        ours, theirs = context.Pipe()
        with _main_without_a_file():
            process = context.Process(target=_work, args=(lifeline, theirs, run_one))
            process.start()
        theirs.close()  # so that ours ends when the process does
        return _Worker(process, ours)

    team = _Team([], hire)
    try:
        team.workers += [hire() for _ in range(n)]
        yield team
        for worker in team.workers:
            with suppress(OSError):  # gone already
                worker.pipe.send(None)
    finally:
        held_end.close()  # ends the workers at once: what they were at is run again next time
        for worker in team.workers:
            _buried(worker)
        lifeline.close()


def _share_out(team: _Team, ranks: list[int], asked: int) -> Iterator[Outcome]:
    """Give every worker a task whenever it is free; yields each task's outcome."""
    todo, tried = deque(ranks), Counter[int]()

    def give(worker: _Worker) -> None:
        worker.rank = todo.popleft() if todo else None
        if worker.rank is not None:
            tried[worker.rank] += 1
            with suppress(OSError):  # it died: its pipe says so when it is read
                worker.pipe.send(worker.rank)

    for worker in team.workers:
        give(worker)
    while busy := [worker for worker in team.workers if worker.rank is not None]:
        ready = wait([worker.pipe for worker in busy])
        for worker in [one for one in busy if one.pipe in ready]:
            rank = worker.rank
            assert rank is not None
            try:
                error: Failure = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                code = _buried(worker)
                worker.process, worker.pipe = (hired := team.hire()).process, hired.pipe
                if tried[rank] < ATTEMPTS:
                    todo.appendleft(rank)
                else:
                    yield rank, _died(code, asked)
            else:
                yield rank, error
            give(worker)


def _buried(worker: _Worker) -> int | None:
    """Wait for the end of a worker; returns its exit code."""
    worker.process.join()
    worker.pipe.close()
    return worker.process.exitcode


def _died(code: int | None, workers: int) -> UserError:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    error = UserError(
        f"its worker process died {ATTEMPTS} times ({how}): most often memory ran out (run again "
        f"with fewer workers, now {workers}; finished tasks are kept), or the calling script does "
        "not guard its call with: if __name__ == '__main__'"
    )
    error.__cause__ = ChildProcessError(how)  # not a mistake in the settings
    return error


@contextmanager
def _main_without_a_file() -> Iterator[None]:
    """Let workers start for a program read from standard input, whose "file" cannot be opened."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or Path(path).exists():
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = path


def _work(lifeline: Connection, pipe: Connection, run_one: RunOne) -> None:
    """Be a worker: take ranks until None comes, or the parent is gone.

    Nothing is ever sent through the lifeline: it becomes readable when its other end, which only
    the parent has, is closed, also when the parent is killed with ``kill -9``.
    """

    def watch() -> None:
        lifeline.poll(None)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
    while (rank := _next(pipe)) is not None:
        error = _attempt(run_one, rank)
        pipe.send(None if error is None else portable(error))


def _next(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return None
