"""The models of an evaluation: how they are written, and whether they fit its tasks."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hanmo.commands import _model_names
from hanmo.core.errors import UserError
from hanmo.tasks.task import TUNABLE, Task, with_settings

_RANDOM = "random:"

# `evaluate.Config`; importing it here would be a cycle.
Options: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the evaluation: its name in tables, its folder, and "pretrained" or "random"."""

    name: str
    path: Path
    init: str


def parse_model(text: str) -> Model:
    """Read `PATH`, `NAME=PATH`, `random:PATH` or `NAME=random:PATH`.

    Raises:
        UserError: a name that cannot be a folder's, or no model folder.
    """
    name, value = _model_names.named(text)
    init = "random" if value.startswith(_RANDOM) else "pretrained"
    path = Path(value.removeprefix(_RANDOM))
    if not (path / "config.json").is_file():
        inside = f"; it is a run, its model is {path / 'model'}"
        raise UserError(
            f"--models: {text!r}: no config.json in {path}; expected PATH, NAME=PATH or "
            "random:PATH of a model folder"
            + (inside if (path / "model" / "config.json").is_file() else "")
        )
    name = name or path.resolve().name + ("-random" if init == "random" else "")
    _model_names.checked(name, value, "--models")
    return Model(name, path, init)


def check(config: Options, models: Sequence[Model], tasks: Iterable[Task]) -> None:
    """Refuse kept heads, and methods, that do not fit models and tasks.

    Args:
        config: the evaluation's settings.
        models: all of them.
        tasks: as `--tasks` names them.

    Raises:
        UserError: names the model and the task.
    """
    if config.keep_head and any(model.init == "random" for model in models):
        raise UserError("--keep-head: random weights have no head; leave it or random: out")
    for model, task in itertools.product(models, tasks):
        try:
            _check_model(config, model, task)
        except UserError as error:
            raise UserError(f"{model.name} on {task.name}: {error}") from None


def _check_model(config: Options, model: Model, usual: Task) -> None:
    from hanmo.tasks.method import make_method
    from hanmo.tasks.protocol import as_published, with_options
    from hanmo.tasks.trained import check_trained

    task = with_options(as_published(usual, model.path), config.set)
    task = with_settings(task, **{key: getattr(config, key) for key in TUNABLE})
    if config.keep_head:
        check_trained(model.path, task)
    if config.method is None:
        return
    method, asked = make_method(config.method, config.options), list[Any]()
    for seed in range(1, config.seeds + 1):
        one = method.for_run(task.name, seed)
        if one not in asked:  # seeds may share a teacher
            one.check_fit(task, model.path)
            asked.append(one)
