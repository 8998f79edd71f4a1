"""Read every split of a task that is there, and compare it with what was published.

In: a task and the folder given as `--data`. Out: a `Checked` for each split.

    [one.rows for one in check(find_task("ocnli"), Path("data"))]   # [50437, 2950, 3000]
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.tasks.entities import entities_of
from hanmo.tasks.kind import load_kind
from hanmo.tasks.listing import aligned, width
from hanmo.tasks.splits import (
    NoFilesError,
    Split,
    locate,
    plain_name,
    read_split,
    with_labels,
)
from hanmo.tasks.task import Task

_LABELS = 6  # that the table shows


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """What a split's file holds.

    Attributes:
        task: name of the task.
        split: "train", "dev" …
        path: the file.
        rows: usable ones.
        published: how many there should be; None: not known.
        skipped: reason → rows left out.
        noted: what was mended → times.
        labels: label, or type of an entity, or number of answers → times; most frequent first.
        longest: field → characters of its longest text.
        problem: why the file cannot be used; empty where it can.
    """

    task: str
    split: str
    path: str
    rows: int = 0
    published: int | None = None
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    noted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    longest: Mapping[str, int] = dataclasses.field(default_factory=dict)
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether it can be read and has as many rows as published."""
        return not self.problem and self.published in (None, self.rows)


def check(task: Task, data: Path | None) -> Iterator[Checked]:
    """Yield what each split that is found holds, in the order of tables.

    Raises:
        NoFilesError: no file of the task is there.
    """
    try:
        files = locate(task, data, needed="")
    except NoFilesError:
        raise
    except UserError as error:
        yield Checked(task.name, "-", str(data), problem=str(error))
        return
    for split, path in files.items():
        try:
            read = read_split(task, split, path)
            if split == "train":  # its labels are those that the other splits may have
                task = with_labels(task, read)
        except UserError as error:
            yield Checked(task.name, split, str(path), problem=str(error))
            continue
        published = task.published_rows(split, plain_name(path))
        yield _checked(task, read, published)


def _checked(task: Task, split: Split, published: int | None) -> Checked:
    return Checked(
        task.name,
        split.name,
        str(split.path),
        len(split.examples),
        published,
        split.skipped,
        split.noted,
        _labels(task, split),
        _longest(split),
    )


def _labels(task: Task, split: Split) -> dict[str, int]:
    answers = load_kind(task.kind, task.options).answers
    counts: Counter[str] = Counter()
    for gold in (example.gold for example in split.examples):
        if gold is not None:
            counts.update(_NAMES[answers](gold))
    return dict(counts.most_common())


# What a kind answers → the names that are counted of a gold answer.
_NAMES: Mapping[str, Any] = {
    "label": lambda gold: [gold],
    "number": lambda gold: [f"{gold:g}"],
    "text": lambda gold: [f"{len(gold)} answer{'s' * (len(gold) != 1)}"],
    "tags": lambda gold: [name for name, _, _ in entities_of(gold)],
}


def _longest(split: Split) -> dict[str, int]:
    """Return the longest texts, in characters; a text may be a tuple of characters."""
    longest: dict[str, int] = {}
    for example in split.examples:
        for field, value in example.fields.items():
            characters = isinstance(value, tuple) and bool(value) and isinstance(value[0], str)
            if isinstance(value, str) or characters:
                longest[field] = max(longest.get(field, 0), len(value))
    return longest


def table(checked: list[Checked]) -> str:
    """Write what was found as a table."""
    head = ("task", "split", "file", "rows", "published", "", "left out", "mended", "longest")
    rows = [head, *map(_row, checked)]
    lines = aligned(rows)
    indent = " " * (2 + max(width(one.task) for one in checked))
    made = [lines[0]]
    for one, line in zip(checked, lines[1:], strict=True):
        made.append(line)
        if one.problem:
            made.append(f"{indent}{one.problem}")
        elif one.labels:
            made.append(f"{indent}{_some(one.labels)}")
    return "\n".join(made) + "\n"


def _row(one: Checked) -> tuple[str, ...]:
    if one.problem:
        return (one.task, one.split, Path(one.path).name, "-", "-", "PROBLEM", "", "", "")
    published = "-" if one.published is None else f"{one.published:,}"
    field = max(one.longest, key=one.longest.__getitem__, default="")
    return (
        *(one.task, one.split, Path(one.path).name, f"{one.rows:,}", published),
        "" if one.published is None else ("ok" if one.good else "DIFFERS"),
        _some(one.skipped) or "-",
        _some(one.noted) or "-",
        f"{field} {one.longest[field]:,}" if field else "-",
    )


def _some(counts: Mapping[str, int]) -> str:
    shown = [f"{name}: {n:,}" for name, n in list(counts.items())[:_LABELS]]
    more = f", … {len(counts)} in all" if len(counts) > _LABELS else ""
    return ", ".join(shown) + more
