"""What `hanmo finetune` says and checks about its settings."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from hanmo.core import config as configuration
from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.core.identity import plain
from hanmo.tasks.task import TUNABLE, Task


def command_line(config: Any) -> str:
    """Return the command that repeats a run; settings at their default are left out."""
    words = ["hanmo", "finetune", *([str(config.model)] if config.model else [])]
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        if one.name in {"model", "options"} or value is None or value == one.default:
            continue
        words += _flag(one.name, value)
    for name, value in method_options(config).items():
        words += _flag(name, value)
    return shlex.join(words)


def beside_labels(config: Any) -> dict[str, Any]:
    """Return what a run learnt from beside labels: runs that differ in it are other rows."""
    made: dict[str, Any] = {"keep_head": True} if config.keep_head else {}
    if config.method:
        made["method"] = config.method
    options = {
        name: " ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in method_options(config).items()
    }
    return made | options


def method_options(config: Any) -> dict[str, Any]:
    """Return the options of the run's method that are not at their defaults, as flags name them."""
    if not config.method:
        return {}
    from hanmo.tasks.method import PACKAGE

    prefix = configuration.short(config.method)
    usual = dataclasses.fields(registry.member(PACKAGE, config.method, "Method"))
    given = {one.name: (config.options.get(one.name, one.default), one.default) for one in usual}
    return {
        f"{prefix}.{name}": value
        for name, (value, default) in given.items()
        if plain(value) != plain(default)
    }


def _flag(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, list | tuple):
        return [flag, *map(str, value)]
    return [flag] if value is True else [flag, str(value)]


def changed(config: Any, published: Task) -> dict[str, Any]:
    """Return what is not as the task says: the score does not compare with published ones."""
    usual = {key: getattr(published.settings, key) for key in TUNABLE}
    usual |= {"dropout": None, "select": "last", "limit_train": None, "set": None}
    made = {k: getattr(config, k) for k, value in usual.items() if getattr(config, k) != value}
    return made | beside_labels(config)


def check(config: Any) -> None:
    if not 0 <= config.seed < 2**31:
        raise UserError(f"--seed: got {config.seed}; expected 0 to {2**31 - 1}")
    if config.limit_train is not None and config.limit_train < 1:
        raise UserError(f"--limit-train: got {config.limit_train}; expected 1 or more")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout: got {config.dropout}; expected 0 or more and below 1")
    if config.keep_head and config.init == "random":
        raise UserError("--keep-head: random weights have no head; leave it or --init random out")
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
