"""List the tasks that hanmo knows; show, check and get one.

list (the default) prints all of them; show everything about a task: columns, labels, options,
published settings and their sources, licence; check reads the files that are there and compares
them with the published counts (exit code 1 where one differs); get downloads the files from their
official places, or takes one that you fetched yourself, and compares checksums.

    hanmo tasks
    hanmo tasks show cmrc2018
    hanmo tasks get ocnli drcd --data data
    hanmo tasks get tnews --from tnews_public.zip --data data
    hanmo tasks check ocnli --data data
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError, nearest
from hanmo.core.log import Progress, complain
from hanmo.tasks import listing
from hanmo.tasks.obtain import VERIFIED, Got, folder_of, obtain
from hanmo.tasks.suite import TASKS, find_task
from hanmo.tasks.task import Task

_DIFFERS, _MENDABLE = 1, 2  # exit codes


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo tasks`.

    Attributes:
        action: list, show, check or get.
        names: Names of tasks, or paths of task.toml files; check without one reads all that are
            there.
        data: Folder of the tasks' files: each task's lie in a folder of its name below.
        from_: For get: a file or zip archive at hand, instead of the network.
        accept_changed: For get: take files that have another checksum than the known one.
    """

    action: str = field(default="list", metadata={"positional": True})
    names: list[str] = field(default_factory=list[str], metadata={"positional": True})
    data: Path | None = None
    from_: Path | None = None
    accept_changed: bool = False


def run(config: Config) -> dict[str, Any]:
    """Do one action.

    Returns:
        "text" for people, "json" for --json, and "exit_code".

    Raises:
        UserError: no such action or task, a setting that does not belong to the action, no files.
    """
    if config.action not in _ACTIONS:
        name = config.action
        known = name in TASKS or name.endswith(".toml")
        hint = f"; did you mean: hanmo tasks show {name}?" if known else nearest(name, _ACTIONS)
        raise UserError(f"tasks: no action {name!r}{hint}")
    for name, of in _ONLY.items():
        if getattr(config, name) not in (None, False) and config.action not in of:
            flag = name.removesuffix("_").replace("_", "-")
            raise UserError(f"--{flag}: belongs to hanmo tasks {' and '.join(of)}")
    return _ACTIONS[config.action](config)


def _list(config: Config) -> dict[str, Any]:
    tasks = _named(config) or list(TASKS.values())
    return {"text": listing.table(tasks), "json": [listing.listed(task) for task in tasks]}


def _show(config: Config) -> dict[str, Any]:
    shown = [listing.describe(task) for task in _needed(config)]
    return {
        "text": "\n".join(map(listing.text, shown)),
        "json": shown[0] if len(shown) == 1 else shown,
    }


def _check(config: Config) -> dict[str, Any]:
    from hanmo.tasks import checking
    from hanmo.tasks.splits import NoFilesError

    named = _named(config)
    if config.data is None and not any(task.embedded or task.folder for task in named):
        raise UserError("tasks check: no --data; expected the folder of the tasks' files")
    if config.data is not None and not config.data.is_dir():
        raise UserError(f"--data: no folder {config.data}")
    found: list[checking.Checked] = []
    absent = []
    tasks = named or list(TASKS.values())
    with Progress("check", len(tasks), "tasks") as bar:
        for task in tasks:
            try:
                found += checking.check(task, config.data)
            except NoFilesError:
                if named:
                    raise
                absent.append(task.name)
            bar.advance()
    if not found:
        raise UserError(f"--data {config.data}: no file of a known task in it")
    text = checking.table(found)
    if absent:
        text += f"no files: {', '.join(absent)}\n"
    return {
        "text": text,
        "json": {"splits": [{**asdict(one), "good": one.good} for one in found], "absent": absent},
        "exit_code": 0 if all(one.good for one in found) else _DIFFERS,
    }


def _get(config: Config) -> dict[str, Any]:
    tasks = _needed(config)
    if config.data is None:
        raise UserError("tasks get: no --data; expected the folder to put the files into")
    if config.from_ is not None and len(tasks) != 1:
        raise UserError(f"--from: got {len(tasks)} tasks; expected one that the file belongs to")
    rows: list[tuple[Task, Path, Got]] = []
    failed: dict[str, str] = {}
    for task in tasks:
        folder = folder_of(task, config.data)
        try:
            got = obtain(task, folder, given=config.from_, accept_changed=config.accept_changed)
        except UserError as error:
            if len(tasks) == 1:
                raise
            complain(f"hanmo: {error}")  # the other tasks are still to be got
            failed[task.name] = str(error)
            continue
        rows += [(task, folder, one) for one in got]
    asked = any(one.state == "on request" for _, _, one in rows)
    made = [{"task": task.name, "folder": str(folder), **asdict(one)} for task, folder, one in rows]
    return {
        "text": _got(made),
        "json": {"files": made, "failed": failed},
        "exit_code": _MENDABLE if failed or asked else 0,
    }


def _got(rows: list[dict[str, Any]]) -> str:
    requests = {one["task"]: one["note"] for one in rows if one["state"] == "on request"}
    cells = [("task", "file", "state", "")]
    for one in rows:
        asked = one["task"] in requests and one["state"] == "on request"
        cells.append((one["task"], one["file"], one["state"], "" if asked else one["note"]))
    lines = listing.aligned(cells) if rows else []
    for one in rows:
        if one["sha256"] and one["note"] != VERIFIED:
            lines.append(f"{one['task']} {one['file']}: out of a file with sha256 {one['sha256']}")
    lines += [f"{name}: {what}" for name, what in requests.items()]
    if requests:
        lines.append("Put the files into a folder of the task's name below --data, or use --from.")
    return "\n".join(lines)


def _named(config: Config) -> list[Task]:
    return [find_task(name) for name in dict.fromkeys(config.names)]


def _needed(config: Config) -> list[Task]:
    if not config.names:
        raise UserError(
            f"tasks {config.action}: no task named; expected names (hanmo tasks lists them) or the "
            "path of a task.toml"
        )
    return _named(config)


_ACTIONS: Mapping[str, Callable[[Config], dict[str, Any]]] = {
    "list": _list,
    "show": _show,
    "check": _check,
    "get": _get,
}
# Setting → actions that it belongs to.
_ONLY = {"data": ("check", "get"), "from_": ("get",), "accept_changed": ("get",)}
