"""Tasks in words: a table of all of them, and everything that is known of one.

In: tasks. Out: values for JSON and text for people. The table needs no kind's code, so that it does
not import torch; the description of one task does.

    print(table(TASKS.values()))
    print(text(describe(find_task("cmrc2018"))))
"""

import dataclasses
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hanmo.core import registry
from hanmo.core.flags import flags_of
from hanmo.tasks.task import TUNABLE, Layout, Task
from hanmo.tasks.task_file import KINDS

_WIDTH = 100
_LICENCE = 28  # columns of a licence in the table
_OF_LAYOUT = tuple(field.name for field in dataclasses.fields(Layout))


def how(task: Task) -> str:
    """Say in a word how a task's files are got."""
    if task.embedded:
        return "comes with hanmo"
    if task.downloads:
        return "download, part on request" if task.request else "download"
    return "on request" if task.request else "your own"


def listed(task: Task) -> dict[str, Any]:
    """Return what the table says of a task."""
    return {
        "name": task.name,
        "kind": task.kind,
        "splits": {split: task.rows.get(split) for split in task.splits},
        "metric": task.metrics[0],
        "published": task.published,
        "licence": task.licence,
        "how": how(task),
        "source": task.source,
    }


def table(tasks: Iterable[Task]) -> str:
    """Return all tasks as a table, grouped by kind."""
    head = ("name", "rows of train / dev / test", "metric", "published", "licence", "get", "where")
    groups: dict[str, list[Sequence[str]]] = {}
    for one in map(listed, tasks):
        rows = groups.setdefault(one["kind"], [])
        rows.append(
            (
                one["name"],
                _counts(one["splits"]),
                one["metric"],
                one["published"] or "-",
                textwrap.shorten(one["licence"], _LICENCE, placeholder=" …"),
                one["how"],
                _where(one["source"]),
            )
        )
    lines = aligned([head, *(row for rows in groups.values() for row in rows)])
    made, place = [lines[0]], 1
    for kind, rows in groups.items():
        shipped = kind in registry.names(KINDS)
        made += ["", f"{kind}: {registry.summary(KINDS, kind)}" if shipped else kind]
        made += lines[place : place + len(rows)]
        place += len(rows)
    made += [
        "",
        "Rows are the published usable ones; - is a split that is not public or not counted.",
        "hanmo tasks show NAME says all of one; check and get NAME --data DIR read and fetch it.",
    ]
    return "\n".join(made) + "\n"


def _where(source: str) -> str:
    """Return the first address of a source, or its first words."""
    address = source.partition(" ")[0].rstrip(",;").removeprefix("https://")
    return address if "/" in address or "." in address else "-"


def _counts(splits: Mapping[str, int | None]) -> str:
    usual = [splits.get(name) for name in ("train", "dev", "test")]
    others = [f"{name} {n:,}" for name, n in splits.items() if n and name == "trial"]
    return " / ".join("-" if n is None else f"{n:,}" for n in usual) + "".join(
        f", {one}" for one in others
    )


def describe(task: Task) -> dict[str, Any]:
    """Return everything that is known of a task."""
    made = registry.load(KINDS, task.kind).Kind
    dataclass = isinstance(made, type) and dataclasses.is_dataclass(made)
    options = flags_of(made) if dataclass else []
    return {
        **listed(task),
        "about": (made.__doc__ or "").strip().partition("\n")[0],
        "files": {split: list(names) for split, names in task.splits.items()},
        "rows": dict(task.rows),
        "layouts": _layouts(task),
        "labels": list(task.labels),
        "renamed_labels": dict(task.renamed_labels),
        "drop_labels": list(task.drop_labels),
        "metrics": list(task.metrics),
        "tabled": task.tabled,
        "options": [
            {
                "name": flag.name,
                "value": task.options.get(flag.name, flag.default),
                "default": flag.default,
                "help": flag.help,
            }
            for flag in options
        ],
        "settings": settings(task),
        "corpus": task.corpus,
        "citation": task.citation,
        "request": task.request,
        "downloads": [dataclasses.asdict(download) for download in task.downloads],
        "folders": [task.name, *task.folders],
    }


def settings(task: Task) -> list[dict[str, Any]]:
    """Return the published settings by family and size: equal ones once, with their sizes."""
    from hanmo.model.config import SIZES
    from hanmo.tasks.protocol import published

    groups: dict[Any, list[str]] = {}
    for name, shape in SIZES.items():
        groups.setdefault(published(task, shape), []).append(name)
    return [{"sizes": sizes, **dataclasses.asdict(one)} for one, sizes in groups.items()]


def _layouts(task: Task) -> list[dict[str, Any]]:
    """Return the layouts of a task's files: equal ones once, with their files."""
    made: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for names in task.splits.values() for name in names):
        layout = task.layout(name)
        values = {key: getattr(layout, key) for key in _OF_LAYOUT if getattr(layout, key)}
        same = next((one for one in made if one["layout"] == values), None)
        if same is None:
            made.append({"files": [name], "layout": values})
        else:
            same["files"].append(name)
    return made


def text(shown: Mapping[str, Any]) -> str:
    """Write what `describe` gives for people."""
    lines = [f"{shown['name']}: {shown['kind']}. {shown['about']}", "", "files"]
    rows = [("  split", "rows", "names looked for")]
    for split, names in shown["files"].items():
        n = shown["splits"][split]
        rows.append((f"  {split}", "-" if n is None else f"{n:,}", " | ".join(names)))
    lines += aligned(rows)
    of_files = {name: n for name, n in shown["rows"].items() if name not in shown["files"]}
    lines += [f"  {name} has {n:,} rows" for name, n in of_files.items()]
    lines += [f"  in a folder {' | '.join(shown['folders'])} below --data", "", "columns"]
    for one in shown["layouts"]:
        layout = dict(one["layout"])
        reader = layout.pop("reader", "by the suffix")
        columns = layout.pop("columns")
        lines += _wrapped(f"  {', '.join(one['files'])}", f"format {reader}")
        lines += aligned([(f"    {field}", "←", _column(at)) for field, at in columns.items()])
        lines += [f"    {key}: {value!r}" for key, value in layout.items() if value != "auto"]
    lines += ["", *_rules(shown)]
    lines += ["", "options of the kind (--set NAME=VALUE)"]
    lines += [line for one in shown["options"] for line in _option(one)] or ["  none"]
    lines += ["", "settings"]
    for one in shown["settings"]:
        values = ", ".join(f"{key} {_number(one[key])}" for key in TUNABLE)
        lines += _wrapped("  " + ", ".join(one["sizes"]), values)
        lines += _wrapped("    source", one["source"])
    lines += ["", *_origin(shown)]
    return "\n".join(lines) + "\n"


def _rules(shown: Mapping[str, Any]) -> list[str]:
    labels = ", ".join(shown["labels"]) or "those of the training split"
    lines = _wrapped("labels", f"{len(shown['labels']) or ''} {labels}".strip())
    for old, new in shown["renamed_labels"].items():
        lines.append(f"  {old!r} counts as {new!r}")
    if shown["drop_labels"]:
        dropped = ", ".join(map(repr, shown["drop_labels"]))
        lines.append(f"  rows labelled {dropped} are left out and counted")
    tabled, rest = (
        shown["metrics"][: shown["tabled"]],
        shown["metrics"][shown["tabled"] :],
    )
    also = f" (also {', '.join(rest)})" if rest else ""
    lines += _wrapped("metrics", ", ".join(tabled) + also)
    if shown["published"]:
        lines.append(f"published results: {shown['published']}")
    if shown["corpus"]:
        lines.append(f"texts: {shown['corpus']}; never train on one task and test on another of it")
    return lines


def _option(one: Mapping[str, Any]) -> list[str]:
    default = f" (default: {one['default']!r})" if one["value"] != one["default"] else ""
    return _wrapped(f"  {one['name']} = {one['value']!r}{default}", one["help"])


def _origin(shown: Mapping[str, Any]) -> list[str]:
    lines = _wrapped("citation", shown["citation"] or "-")
    lines += _wrapped("licence", shown["licence"] or "-")
    lines += _wrapped("source", shown["source"] or "-")
    if shown["request"]:
        lines += _wrapped("on request", shown["request"])
    for one in shown["downloads"]:
        digest = f"sha256 {one['sha256']}" if one["sha256"] else "no checksum is known"
        note = f"; {one['note']}" if one["note"] else ""
        lines += [f"download: {one['url']}", f"  {digest}{note}"]
        if one["members"]:
            lines.append(f"  of it: {', '.join(one['members'])}")
    if shown["downloads"]:
        lines.append(f"hanmo tasks get {shown['name']} --data DIR")
    return lines


def _column(column: Any) -> str:
    if isinstance(column, int):
        return f"column {column}, counted from 0"
    return " | ".join(column) if isinstance(column, tuple) else str(column)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _wrapped(title: str, content: str) -> list[str]:
    before = " " * (len(title) - len(title.lstrip()) + 2)
    return textwrap.wrap(
        f"{title}: {content}",
        _WIDTH,
        initial_indent="",
        subsequent_indent=before,
        break_long_words=False,
        break_on_hyphens=False,
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad the columns of rows, numbers to the right; Chinese characters take two places."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            " " * (w - width(cell)) + cell if _is_number(cell) else cell + " " * (w - width(cell))
            for cell, w in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def width(text: str) -> int:
    """Return how many places a text takes on a terminal."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def _is_number(cell: str) -> bool:
    return bool(cell) and cell.replace(",", "").isdigit()
