"""A program that runs `pretrain` again and again, each time killed with -9 at some system call.

It trains a step, so that everything is imported, and forks for each run, which then costs a
fraction of a second. Arguments are the settings and the calls to die at, both as JSON; it prints a
JSON line a run: the call, how the run ended, and the step of the newest valid checkpoint.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hanmo.commands import pretrain
from hanmo.core.artifact import MANIFEST
from hanmo.train import state

# What changes files: before each of these calls a run may die.
CALLS = ("fsync", "replace", "rename", "link", "unlink", "rmdir")


def die_at(n: int) -> None:
    """Make the n-th call of `CALLS` the last thing this process does."""
    made = 0

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))


def run_once(settings: dict[str, Any], n: int) -> int:
    """Run in a fork that dies at call `n`; returns minus the signal, or the exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_at(n)
            pretrain.run(pretrain.Config(**settings))
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    settings, moments = (json.loads(argument) for argument in sys.argv[1:])
    settings |= {"shards": Path(settings["shards"]), "out": Path(settings["out"])}
    warm_up = {"out": settings["out"].with_name("warm-up"), "steps": 1, "resume": False}
    pretrain.run(pretrain.Config(**settings | warm_up))
    for n in moments:
        code = run_once(settings, n)
        newest = state.latest(settings["out"])
        step = state.step_of(newest) if newest else 0
        finished = (settings["out"] / MANIFEST).is_file()
        record = {"call": n, "code": code, "step": step, "finished": finished}
        sys.stdout.write(json.dumps(record) + "\n")
        if code != -signal.SIGKILL:
            return


if __name__ == "__main__":
    main()
