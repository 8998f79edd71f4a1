"""Find a task's files and read its splits; every row that is left out is counted.

In: a task and the folder given as `--data`. Out: `Split` values. The files are looked for in DIR,
in DIR/<task> and in any folder named after the task below DIR, plain or compressed; then beside the
user's task file. A task that comes with hanmo has its files in the package.

    files = locate(task, Path("data"))          # {"train": Path("data/single/…/train.tsv.xz"), …}
    train = read_split(task, "train", files["train"])
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.files import COMPRESSIONS
from hanmo.tasks.kind import RowSkipped, load_kind
from hanmo.tasks.readers import read_rows
from hanmo.tasks.task import LABEL, Example, Task


class NoFilesError(UserError):
    """No folder has a task's files."""


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """A split that was read.

    Attributes:
        name: "train", "dev", "test" …
        path: its file.
        examples: rows that are used.
        skipped: reason → rows left out ("blank_line", "empty_text", "dropped_label" …).
        noted: what was mended → rows ("answer_found_by_text" …).
    """

    name: str
    path: Path
    examples: tuple[Example, ...]
    skipped: Mapping[str, int]
    noted: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether the file has labels (all rows or none have)."""
        return self.examples[0].gold is not None


def locate(task: Task, data: Path | None, *, needed: str = "train") -> dict[str, Path]:
    """Find the files of a task's splits; splits that are not there are left out.

    Args:
        task: whose files.
        data: where to look, as given by `--data`.
        needed: the split without which a folder is not the task's; empty: any split will do.

    Raises:
        NoFilesError: no folder has the training split.
        UserError: several have it, or there is no folder to look in.
    """
    candidates = _folders(task, data)
    found = _found(candidates, task, needed)
    if not found and data is not None and task.folder:
        candidates.append(Path(task.folder))
        found = _found(candidates, task, needed)
    if len(found) > 1:
        raise UserError(
            f"task {task.name}: files in several folders: {', '.join(map(str, found))}; "
            "narrow --data to one of them"
        )
    files = next(iter(found.values()), {})
    if not files or (needed and needed not in files):
        wanted = task.splits.get(needed or "train", ("a file of the task",))
        there = f" (there: {', '.join(path.name for path in files.values())})" if files else ""
        raise NoFilesError(
            f"task {task.name}: no {' or '.join(wanted)} (plain or compressed) in "
            f"{_places(data, task)} or in a folder {task.name}/ below{there}"
            + (f"; get the data from {task.source}{_command(task)}" if task.source else "")
        )
    return files


def _command(task: Task) -> str:
    known = task.downloads or task.request
    return f": hanmo tasks get {task.name} --data DIR" if known else ""


def _places(data: Path | None, task: Task) -> str:
    return ", ".join(str(path) for path in (data, task.folder) if path)


def _found(folders: list[Path], task: Task, needed: str) -> dict[Path, dict[str, Path]]:
    """Return folder → its files of the task; DIR itself only where it has the needed split.

    A folder with many datasets has a dev.tsv somewhere: the folder named after the task is meant.
    """
    found = {folder: files for folder in folders if (files := _files_in(folder, task))}
    named = {folder: files for folder, files in found.items() if folder.name in _names(task)}
    if needed and any(needed in files for files in found.values()):
        return {folder: files for folder, files in found.items() if needed in files}
    return named or found


def _names(task: Task) -> tuple[str, ...]:
    return (task.name, *task.folders)


def _folders(task: Task, data: Path | None) -> list[Path]:
    if data is not None and not data.is_dir():
        raise UserError(f"--data: no folder {data}")
    if task.embedded:
        return [Path(str(resources.files("hanmo").joinpath(task.embedded)))]
    if data is not None:
        names = _names(task)
        below = sorted({p for name in names for p in data.rglob(name) if p.is_dir()} - {data})
        return [data, *below]
    if task.folder:
        return [Path(task.folder)]
    raise UserError(
        f"task {task.name}: its files do not come with hanmo; get them from {task.source}"
        f"{_command(task)}, and pass --data DIR"
    )


def _files_in(folder: Path, task: Task) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, names in task.splits.items():
        for name, suffix in itertools.product(names, ("", *COMPRESSIONS)):
            if (folder / (name + suffix)).is_file():
                found.setdefault(split, folder / (name + suffix))
    return found


def read_split(task: Task, name: str, path: Path) -> Split:
    """Read one split.

    Args:
        task: with `labels` known, or empty for "any label".
        name: "train" must have labels; other splits may be without.
        path: its file.

    Raises:
        UserError: as `read_rows`; a row that its kind refuses; rows with and without labels in one
            file; not one usable row.
    """
    kind = load_kind(task.kind, task.options)
    examples: list[Example] = []
    skipped: Counter[str] = Counter()
    train = name == "train"
    # What a task names must be in its training file; hidden test sets lack labels and marks.
    optional = frozenset() if train else frozenset({LABEL, *kind.optional_fields})
    for row in read_rows(path, task.layout(plain_name(path)), optional=optional):
        try:
            if row.left_out:
                raise RowSkipped(row.left_out)
            example = kind.read(row.id, row.values, task, train=train)
        except RowSkipped as skip:
            skipped[skip.reason] += 1
            continue
        except ValueError as error:
            raise UserError(f"{row.where}: {error}") from None
        if train and example.gold is None:
            raise UserError(f"{row.where}: no label; the training split must have one in every row")
        examples.append(example)
        if (example.gold is None) != (examples[0].gold is None):
            raise UserError(
                f"{row.where}: {'no label' if example.gold is None else 'a label'}, unlike the "
                "rows before; expected labels in all rows or in none"
            )
    if not examples:
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in skipped.items()) or "none"
        raise UserError(f"{path}: not one usable row (left out: {left_out})")
    noted = Counter(note for example in examples for note in example.noted)
    return Split(name, path, tuple(examples), dict(skipped), dict(noted))


def plain_name(path: Path) -> str:
    """Name of a file without its compression suffix."""
    return path.stem if path.suffix in COMPRESSIONS else path.name


def with_labels(task: Task, train: Split) -> Task:
    """Return the task with the labels that its head tells apart.

    Raises:
        UserError: too few labels for the kind.
    """
    kind = load_kind(task.kind, task.options)
    try:
        labels = kind.labels(task, train.examples)
    except ValueError as error:
        raise UserError(f"{train.path}: column {task.columns[LABEL]!r}: {error}") from None
    return dataclasses.replace(task, labels=labels)
