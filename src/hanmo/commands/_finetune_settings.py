"""What `hanmo finetune` says and checks about its settings."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.tasks.task import TUNABLE, Task


def command_line(config: Any) -> str:
    """Return the command that repeats a run; settings at their default are left out."""
    words = ["hanmo", "finetune", *([str(config.model)] if config.model else [])]
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        if one.name in {"model", "options"} or value is None or value == one.default:
            continue
        words += _flag(one.name, value)
    if config.method:
        from hanmo.tasks.method import make_method

        usual = make_method(config.method, {**config.options})
        prefix = Path(config.method).stem.rpartition(".")[2]
        for one in dataclasses.fields(usual):  # type: ignore[arg-type]
            value = config.options.get(one.name)
            if value is not None and value not in (one.default, [], ()):
                words += _flag(f"{prefix}.{one.name}", value)
    return shlex.join(words)


def _flag(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, list | tuple):
        return [flag, *map(str, value)]
    return [flag] if value is True else [flag, str(value)]


def changed(config: Any, published: Task) -> dict[str, Any]:
    """Return what is not as the task says: the score does not compare with published ones."""
    usual = {key: getattr(published.settings, key) for key in TUNABLE}
    usual |= {"dropout": None, "select": "last", "limit_train": None, "set": None, "method": None}
    return {k: getattr(config, k) for k, value in usual.items() if getattr(config, k) != value}


def check(config: Any) -> None:
    if not 0 <= config.seed < 2**31:
        raise UserError(f"--seed: got {config.seed}; expected 0 to {2**31 - 1}")
    if config.limit_train is not None and config.limit_train < 1:
        raise UserError(f"--limit-train: got {config.limit_train}; expected 1 or more")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout: got {config.dropout}; expected 0 or more and below 1")
    for option, allowed in (("init", ("pretrained", "random")), ("select", ("last", "best"))):
        if getattr(config, option) not in allowed:
            raise UserError(
                f"--{option}: got {getattr(config, option)!r}; expected {' or '.join(allowed)}"
            )


def wanted(task: Task, files: dict[str, Path], asked: list[str] | None) -> dict[str, Path]:
    """Return the training file and those of the splits to score."""
    for split in asked or []:
        if split not in files:
            raise UserError(
                f"--splits: task {task.name} has no file for {split!r}; there: {', '.join(files)}"
            )
    scored = [split for split in files if split != "train"] if asked is None else asked
    return {split: files[split] for split in dict.fromkeys(["train", *scored])}
