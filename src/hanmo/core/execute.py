"""Run one stage's tasks, over several processes, so that a killed run continues where it was.

In: a step ``step(rank) -> counts`` that writes its own output atomically, and the number of tasks.
Out: the counts of every task, in task order. Beside the output, ``state_dir`` holds datatrove's
layout: ``completions/00003`` marks task 3 as done, ``counts/00003.json`` (written before the
marker) is what it counted, ``errors/00003.txt`` the traceback of a task that failed.

datatrove's ``LocalPipelineExecutor`` runs, marks and skips one task. The loop over the tasks is
ours, for three reasons: its pool waits for ever when the system kills a worker for its memory,
its manager process outlives a killed parent, and its log goes to the console.

    counts = run_tasks(partial(tag_part, source, out), 40, workers=8, state_dir=state, title="tag")
"""

import errno
import json
import os
import pickle
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic
from hanmo.core.log import Progress

Counts: TypeAlias = dict[str, int]
Step: TypeAlias = Callable[[int], Counts]


def run_tasks(
    step: Step, n_tasks: int, *, workers: int, state_dir: Path, title: str
) -> list[Counts]:
    """Run ``step(0)`` … ``step(n_tasks - 1)``, skipping those that an earlier run finished.

    Args:
        step: Module-level function, or a ``functools.partial`` of one (it must pickle). It writes
            its own output atomically, because a task that was killed is run again.
        n_tasks: Number of tasks.
        workers: Processes; 1 runs every task in this process.
        state_dir: Folder of the markers and counts; made when absent.
        title: What the progress bar says.

    Returns:
        The counts of each task, in task order, those of earlier runs included.

    Raises:
        UserError: The folder belongs to other tasks, the disk is full, a worker was killed, or the
            step itself raised it. Any other exception of a step is raised as it is.
    """
    if workers < 1:
        raise UserError(f"workers: got {workers}, expected 1 or more")
    with _full_disk_explained(state_dir):
        _claim(state_dir, step, n_tasks)
    todo = [rank for rank in range(n_tasks) if not _marker(state_dir, rank).exists()]
    run_one = partial(_run_one, step, n_tasks, state_dir)
    with Progress(title, n_tasks, "tasks") as progress:
        progress.skip(n_tasks - len(todo))
        for _ in _each(run_one, todo, min(workers, len(todo))):
            progress.advance(1)
    return [_read_counts(state_dir, rank) for rank in range(n_tasks)]


def _each(run_one: Callable[[int], None], ranks: list[int], workers: int) -> Iterator[None]:
    """Yield once for every task that finished, in the order of finishing."""
    if workers <= 1:
        yield from map(run_one, ranks)
        return
    # forkserver: a fork of a process that has threads (torch, a progress bar) may hang.
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", "datatrove.executor", __name__])
    lifeline, held_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(lifeline, run_one))
    try:
        with _main_without_a_file():
            futures: list[Future[None]] = [pool.submit(_run_in_worker, rank) for rank in ranks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died: most often memory ran out (run again with fewer workers, now "
            f"{workers}; finished tasks are kept), or the calling script does not guard its call "
            "with: if __name__ == '__main__'"
        ) from error
    except BaseException:
        held_end.close()  # ends the workers at once: what they were at is run again next time
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held_end.close()
        lifeline.close()


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


_IN_WORKER: list[Callable[[int], None]] = []  # the task, sent once and not with every rank


def _run_in_worker(rank: int) -> None:
    _IN_WORKER[0](rank)


def _begin(lifeline: Connection, run_one: Callable[[int], None]) -> None:
    """Start a worker that ends with its parent, also when that is killed with ``kill -9``.

    Nothing is ever sent: the pipe becomes readable when its other end, which only the parent has,
    is closed. A plain worker would wait for its next task for ever.
    """

    def watch() -> None:
        lifeline.poll(None)
        os._exit(1)

    _IN_WORKER.append(run_one)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent decides
    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _run_one(step: Step, n_tasks: int, state_dir: Path, rank: int) -> None:
    """Run one task through datatrove, which marks it as done; keep the traceback of a failure."""
    from datatrove.executor import LocalPipelineExecutor
    from loguru import logger

    with _full_disk_explained(state_dir):
        pipeline = [partial(_count, step, state_dir)]
        task = LocalPipelineExecutor(pipeline, tasks=n_tasks, logging_dir=str(state_dir))
        logger.disable("datatrove")  # else it logs to the console
        try:
            task._run_for_rank(rank)  # its run() is the loop that we do not want
        except UserError:
            raise
        except Exception as error:
            if getattr(error, "errno", None) != errno.ENOSPC:
                write_atomic(state_dir / "errors" / f"{rank:05d}.txt", traceback.format_exc())
            raise _portable(error) from error
        finally:
            logger.enable("datatrove")


def _count(step: Step, state_dir: Path, data: object, rank: int, world_size: int) -> None:
    """Be datatrove's pipeline: one step that runs the task and writes its counts."""
    write_atomic(state_dir / "counts" / f"{rank:05d}.json", json.dumps(step(rank)))


def _portable(error: Exception) -> Exception:
    """Return the exception, or its text when it cannot travel between processes."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - any failure to pickle means the same
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _claim(state_dir: Path, step: Step, n_tasks: int) -> None:
    """Write what the folder's tasks are, or check it against what an earlier run wrote."""
    inner = step
    while isinstance(inner, partial):
        inner = inner.func
    name = f"{inner.__module__}.{inner.__qualname__}"
    claim = {"step": name, "tasks": n_tasks}
    path = state_dir / "tasks.json"
    for folder in ("completions", "counts", "errors"):
        (state_dir / folder).mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_atomic(path, json.dumps(claim))
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if earlier != claim:
        raise UserError(
            f"{state_dir} belongs to another run: got {name} with {n_tasks} tasks, expected "
            f"{earlier['step']} with {earlier['tasks']} tasks; delete the folder to start afresh"
        )


def _marker(state_dir: Path, rank: int) -> Path:
    return state_dir / "completions" / f"{rank:05d}"


def _read_counts(state_dir: Path, rank: int) -> Counts:
    path = state_dir / "counts" / f"{rank:05d}.json"
    try:
        counts: Counts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise UserError(
            f"the counts of a finished task are damaged: {path}; delete {state_dir} to start afresh"
        ) from error
    return counts


@contextmanager
def _full_disk_explained(folder: Path) -> Iterator[None]:
    """Turn "no space left on device" into a line that names the folder and what is free."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = Path(error.filename).parent if error.filename else folder
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
        raise UserError(
            f"no space left on the disk of {where}: {free / 2**20:.1f} MiB free; "
            "make room and run again, finished tasks are kept"
        ) from error
