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

from hanmo.core.errors import UserError, nearest
from hanmo.core.files import COMPRESSIONS
from hanmo.tasks.readers import read_rows
from hanmo.tasks.task import Example, Task

_LABEL = "label"


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """A split that was read.

    Attributes:
        name: "train", "dev" or "test".
        path: its file.
        examples: rows that are used.
        skipped: reason → rows left out ("blank_line", "empty_text", "dropped_label").
    """

    name: str
    path: Path
    examples: tuple[Example, ...]
    skipped: Mapping[str, int]

    @property
    def labelled(self) -> bool:
        """Whether the file has labels (all rows or none have)."""
        return self.examples[0].label is not None


def locate(task: Task, data: Path | None) -> dict[str, Path]:
    """Find the files of a task's splits; splits that are not there are left out.

    Raises:
        UserError: no folder has the training split, or several have.
    """
    candidates = _folders(task, data)
    found = {folder: files for folder in candidates if (files := _files_in(folder, task))}
    if not found and data is not None and task.folder:
        candidates.append(Path(task.folder))
        found = {folder: files for folder in candidates if (files := _files_in(folder, task))}
    if len(found) > 1:
        raise UserError(
            f"task {task.name}: files in several folders: {', '.join(map(str, found))}; "
            "narrow --data to one of them"
        )
    files = next(iter(found.values()), {})
    if "train" not in files:
        names = " or ".join(task.splits.get("train", ("a training file",)))
        raise UserError(
            f"task {task.name}: no {names} (plain or compressed) in "
            f"{', '.join(map(str, candidates))} or in a folder {task.name}/ below"
            + (f"; get the data from {task.source}" if task.source else "")
        )
    return files


def _folders(task: Task, data: Path | None) -> list[Path]:
    if data is not None and not data.is_dir():
        raise UserError(f"--data: no folder {data}")
    if task.embedded:
        return [Path(str(resources.files("hanmo").joinpath(task.embedded)))]
    if data is not None:
        below = sorted(path for path in data.rglob(task.name) if path.is_dir())
        return [data, *below]
    if task.folder:
        return [Path(task.folder)]
    raise UserError(
        f"task {task.name}: its files do not come with hanmo; get them from {task.source} and "
        "pass --data DIR"
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
        UserError: as `read_rows`; a label that the task does not have; rows with and without
            labels in one file; not one usable row.
    """
    examples: list[Example] = []
    skipped: Counter[str] = Counter()
    optional = frozenset[str]() if name == "train" else frozenset({_LABEL})
    rows = read_rows(
        path, columns=task.columns, reader=task.reader, quoted=task.quoted, optional=optional
    )
    for number, row in rows:
        label = row.pop(_LABEL, None)
        texts = {field: text or "" for field, text in row.items()}
        reason = _reason_to_skip(task, texts, label)
        if reason:
            skipped[reason] += 1
            continue
        _check_label(task, name, label, f"{path}:{number}")
        examples.append(Example(str(number), texts, label))
        if (label is None) != (examples[0].label is None):
            raise UserError(
                f"{path}:{number}: {'no label' if label is None else 'a label'}, unlike the rows "
                "before; expected labels in all rows or in none"
            )
    if not examples:
        raise UserError(f"{path}: not one usable row (left out: {dict(skipped) or 'none'})")
    return Split(name, path, tuple(examples), dict(skipped))


def _reason_to_skip(task: Task, texts: Mapping[str, str], label: str | None) -> str:
    if not texts:
        return "blank_line"
    if not all(text.strip() for text in texts.values()):
        return "empty_text"
    return "dropped_label" if label in task.drop_labels else ""


def _check_label(task: Task, split: str, label: str | None, where: str) -> None:
    if label is None:
        if split == "train":
            raise UserError(f"{where}: no label; the training split must have one in every row")
    elif task.labels and label not in task.labels:
        raise UserError(f"{where}: unknown label {label!r}{nearest(label, task.labels)}")
    elif not label.strip():
        raise UserError(f"{where}: an empty label; expected one of the task's labels")


def with_labels(task: Task, train: Split) -> Task:
    """Return the task with its labels: those it states, or the training split's, sorted.

    Raises:
        UserError: fewer than two labels.
    """
    found = {example.label for example in train.examples if example.label is not None}
    labels = task.labels or tuple(sorted(found))
    if len(labels) < 2:
        raise UserError(
            f"{train.path}: {len(labels)} label ({', '.join(labels)}) in the column "
            f"{task.columns[_LABEL]!r}; expected two or more"
        )
    return dataclasses.replace(task, labels=labels)
