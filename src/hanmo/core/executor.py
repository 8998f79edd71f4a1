"""The contract of what runs a stage's tasks, and how one is chosen by name.

Each file in `executors/` exposes a frozen dataclass called `Executor` whose fields are its
options. It gets a function that runs one task (and marks it as done where all machines see it)
and yields each task's outcome as it comes.

    executor = make_executor("slurm", ["partition=cpu", "time=24:00:00"])
"""

import dataclasses
import pickle
import typing
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from hanmo.core import registry
from hanmo.core.conform import conform
from hanmo.core.errors import UserError, nearest

EXECUTORS = "hanmo.core.executors"

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
