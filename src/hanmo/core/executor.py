"""The contract of what runs a stage's tasks, and how one is chosen by name.

Each file in `executors/` exposes a frozen dataclass called `Executor` whose fields are its
options. It gets a function that runs one task (and marks it as done where all machines see it)
and yields each task's outcome as it comes.

    executor = make_executor("slurm", ["partition=cpu", "time=24:00:00"])

Where tasks go on when the command is killed, `jobs.json` in the folder of markers says which: they
must end before other tasks write to the same place. An executor writes it with `note_jobs`, naming
its module, which has a function `cancel(jobs)` that returns when none of them runs.
"""

import dataclasses
import json
import pickle
import typing
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from hanmo.core import registry, remote
from hanmo.core.conform import conform
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import write_json
from hanmo.core.urls import shown

EXECUTORS = "hanmo.core.executors"
JOBS = "jobs.json"  # in a folder of markers: what may write there without the command

Failure: TypeAlias = Exception | None
Outcome: TypeAlias = tuple[int, Failure]  # rank, what went wrong
RunOne: TypeAlias = Callable[[int], None]


class Executor(Protocol):
    """What runs tasks on one or more machines."""

    def run(
        self, run_one: RunOne, ranks: list[int], *, workers: int, state_dir: Path, title: str
    ) -> Generator[Outcome]:
        """Run tasks that do not depend on each other, in any order.

        Args:
            run_one: runs the task of a rank; raises when it fails. It pickles.
            ranks: the tasks to run.
            workers: how many at a time.
            state_dir: folder of the stage's markers, seen by all machines.
            title: what the stage is called.

        Yields:
            Rank and None, or rank and the exception, for every task, as they end.
        """
        ...


def make_executor(name: str, options: Sequence[str] = ()) -> Executor:
    """Load an executor by name and build it with its options, each KEY=VALUE.

    Raises:
        UserError: No such executor or option, or a value of the wrong type.
    """
    made = registry.member(EXECUTORS, name, "Executor")
    hints = typing.get_type_hints(made)
    known = [option.name for option in dataclasses.fields(made)]
    values: dict[str, Any] = {}
    for given in options:
        key, equals, value = given.partition("=")
        key = key.replace("-", "_")
        if not equals:
            raise UserError(f"--executor-options: got {given!r}, expected KEY=VALUE")
        if key not in known:
            raise UserError(f"executor {name}: no option {key!r}{nearest(key, known)}")
        try:
            values[key] = conform(_read(value), hints[key])
        except TypeError:
            try:
                values[key] = conform(value, hints[key])
            except TypeError as error:
                raise UserError(f"executor {name}: {key}: got {value!r}; {error}") from None
    executor: Executor = made(**values)
    return executor


def _read(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def note_jobs(state_dir: Path, executor: str, jobs: str) -> None:
    """Note jobs that go on when the command is killed.

    Args:
        state_dir: the folder of markers; it may be in a store.
        executor: the executor's module, as `registry.load` takes it.
        jobs: what its `cancel` takes.
    """
    write_json(state_dir / JOBS, {"executor": executor, "jobs": jobs})


def noted_jobs(state_dir: Path, executor: str) -> str:
    """Return the jobs that an interrupted run left; "" when there are none of this executor."""
    if not remote.exists(state_dir / JOBS):
        return ""
    note = json.loads(remote.read_bytes(state_dir / JOBS))
    return str(note["jobs"]) if note["executor"] == executor else ""


def end_jobs(state_dir: Path) -> None:
    """End the jobs that an interrupted run left, so that others can work on its tasks.

    Raises:
        UserError: they cannot be ended from here.
    """
    path = state_dir / JOBS
    if not remote.exists(path):
        return
    try:
        note = json.loads(remote.read_bytes(path))
        registry.member(EXECUTORS, note["executor"], "cancel")(note["jobs"])
    except UserError as error:
        raise UserError(
            f"{shown(path)}: jobs of an interrupted run may still write there, and cannot be ended "
            f"from here ({error}); where it is known that none of them runs, delete that file"
        ) from error
    remote.remove(path)


def end_all_jobs(folder: Path) -> None:
    """End the jobs that are noted anywhere below a folder, before it is removed.

    Raises:
        UserError: as `end_jobs`.
    """
    for path in remote.listing(folder):
        if path.name == JOBS:
            end_jobs(path.parent)


def portable(error: Exception) -> Exception:
    """Return the exception, or its text when it cannot travel between processes."""
    try:
        made = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - any failure to pickle means the same
        return RuntimeError(f"{type(error).__name__}: {error}")
    if error.__cause__ is not None and isinstance(made, UserError):
        return _CausedError(str(error), getattr(error.__cause__, "errno", None) or 0)
    return error


class _CausedError(UserError):
    """A `UserError` with a cause, which pickling forgets: it tells a full disk from a mistake."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.__cause__ = OSError(number, message)

    def __reduce__(self) -> Any:
        return _CausedError, (str(self), getattr(self.__cause__, "errno", 0))
