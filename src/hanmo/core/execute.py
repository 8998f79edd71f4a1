"""Run one stage's tasks, on one or many machines, so that a killed run continues where it was.

In: a step ``step(rank) -> counts`` that writes its own output atomically, and the number of tasks.
Out: the counts of every task, in task order. Beside the output, ``state_dir`` holds datatrove's
layout: ``completions/00003`` marks task 3 as done, ``counts/00003.json`` (written before the
marker) is what it counted, ``errors/00003.txt`` the traceback of a task that failed.

Where tasks run is an executor of `core/executors/`. A task that fails does not stop the others;
what failed is raised when they are through, and the next run does only what is missing.

    counts = run_tasks(partial(tag_part, source, out), 40, workers=8, state_dir=state, title="tag")
"""

import errno
import json
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from hanmo.core import remote
from hanmo.core.errors import UserError
from hanmo.core.executor import Executor, make_executor, portable
from hanmo.core.files import write_atomic
from hanmo.core.fsspec_store import each
from hanmo.core.log import Progress, say
from hanmo.core.urls import is_remote

Counts: TypeAlias = dict[str, int]
Step: TypeAlias = Callable[[int], Counts]

_HOPELESS = 3  # failures without a single success: the settings are wrong, not one input
_SHOWN = 5  # failures that a message tells


def run_tasks(
    step: Step,
    n_tasks: int,
    *,
    workers: int,
    state_dir: Path,
    title: str,
    executor: Executor | None = None,
    names: Sequence[object] = (),
) -> list[Counts]:
    """Run ``step(0)`` … ``step(n_tasks - 1)``, skipping those that an earlier run finished.

    Args:
        step: Module-level function, or a ``functools.partial`` of one (it must pickle). It writes
            its own output atomically, because a task that was killed is run again.
        n_tasks: Number of tasks.
        workers: How many at a time; 1 leaves it to the executor: `local` runs every task in this
            process, the others as many as the cluster has room for.
        state_dir: Folder of the markers and counts; made when absent.
        title: What the progress bar says.
        executor: Where tasks run; by default in processes of this machine.
        names: What a task works on, for messages that do not say it themselves.

    Returns:
        The counts of each task, in task order, those of earlier runs included.

    Raises:
        UserError: The folder belongs to other tasks, or tasks failed: the input is bad, a worker
            was killed twice at the same task, memory ran out, the disk is full. Any other
            exception of a step is raised as it is. The tasks that did not fail are done, unless
            the disk is full or no task at all succeeded.
    """
    if workers < 1:
        raise UserError(f"workers: got {workers}, expected 1 or more")
    with _full_disk_explained(state_dir):
        _claim(state_dir, step, n_tasks)
    marked = {path.name for path in remote.children(state_dir / "completions")}
    todo = [rank for rank in range(n_tasks) if _marker(state_dir, rank).name not in marked]
    run_one = partial(_run_one, step, state_dir)
    engine = executor or make_executor("local")
    failures: dict[int, Exception] = {}
    done = n_tasks - len(todo)
    outcomes = engine.run(run_one, todo, workers=workers, state_dir=state_dir, title=title)
    # Closed at once when we stop early: ends the workers.
    with Progress(title, n_tasks, "tasks") as progress, closing(outcomes):
        progress.skip(done)
        for rank, error in outcomes:
            if error is None:
                progress.advance(1)
                done += 1
                continue
            failures[rank] = error
            if _full_disk(error) or (not done and len(failures) >= _HOPELESS):
                break
    if failures:
        raise _failed(failures, n_tasks, done, names)
    folder = state_dir / "counts"
    return each(_read_counts, [folder / f"{rank:05d}.json" for rank in range(n_tasks)])


def _failed(
    failures: Mapping[int, Exception], n_tasks: int, done: int, names: Sequence[object]
) -> Exception:
    """Return what to raise for the tasks that failed."""
    told = {rank: _named(error, rank, names) for rank, error in sorted(failures.items())}
    bugs = [error for error in failures.values() if not isinstance(error, UserError)]
    first = bugs[0] if bugs else next(iter(told.values()))
    if len(failures) == 1:
        return first
    lines = [f"{error}" for error in list(told.values())[:_SHOWN]]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    text = (
        f"{len(told)} of {n_tasks} tasks failed ({done} are done and kept; run again to do the "
        f"rest): {'; '.join(lines)}{more}"
    )
    if bugs:
        say(text)
        return first
    combined = UserError(text)
    combined.__cause__ = next((e.__cause__ for e in told.values() if e.__cause__), None)
    return combined


def _named(error: Exception, rank: int, names: Sequence[object]) -> Exception:
    """Say which task failed where the message cannot know: a worker died, or a bug was met."""
    mistake = isinstance(error, UserError) and error.__cause__ is None
    if mistake or not names or _full_disk(error) or str(names[rank]) in str(error):
        return error
    if not isinstance(error, UserError):
        error.add_note(f"while working on {names[rank]}")
        return error
    named = UserError(f"{names[rank]}: {error}")
    named.__cause__ = error.__cause__
    return named


def _full_disk(error: Exception) -> bool:
    return getattr(error.__cause__, "errno", None) == errno.ENOSPC


def _run_one(step: Step, state_dir: Path, rank: int) -> None:
    """Run one task, write its counts and mark it as done; keep the traceback of a failure."""
    marker = _marker(state_dir, rank)
    with _full_disk_explained(state_dir):
        try:
            counts = step(rank)
            write_atomic(state_dir / "counts" / f"{rank:05d}.json", json.dumps(counts))
            if is_remote(marker):
                remote.write(marker, b"")
            else:
                marker.touch()
        except UserError:
            raise
        except MemoryError as error:
            raise UserError(
                "memory ran out; run again with fewer workers, or smaller limits on what is read "
                "at once (finished tasks are kept)"
            ) from error
        except Exception as error:
            if getattr(error, "errno", None) != errno.ENOSPC:
                write_atomic(state_dir / "errors" / f"{rank:05d}.txt", traceback.format_exc())
            raise portable(error) from error


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
    if not remote.exists(path):
        write_atomic(path, json.dumps(claim))
    earlier = json.loads(remote.read_bytes(path))
    if earlier != claim:
        raise UserError(
            f"{state_dir} belongs to another run: got {name} with {n_tasks} tasks, expected "
            f"{earlier['step']} with {earlier['tasks']} tasks; delete the folder to start afresh"
        )


def _marker(state_dir: Path, rank: int) -> Path:
    return state_dir / "completions" / f"{rank:05d}"


def _read_counts(path: Path) -> Counts:
    try:
        counts: Counts = json.loads(remote.read_bytes(path))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise UserError(
            f"the counts of a finished task are damaged: {path}; delete {path.parent.parent} to "
            "start afresh"
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
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(there).free
        raise UserError(
            f"no space left on the disk of {where}: {free / 2**20:.1f} MiB free; "
            "make room and run again, finished tasks are kept"
        ) from error
