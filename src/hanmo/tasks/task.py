"""A task is a value: which files, which columns, which labels, how it is scored and trained.

Nothing here reads a file or knows a head; `splits.py` reads, `kinds/` solves. Entries of published
datasets are in `suite.py`; a user's own task is a TOML file (`task_file.py`).

    Task(name="my-reviews", kind="classification", splits={"train": ("train.tsv",)}, ...)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hanmo.core.errors import UserError

SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a task is fine-tuned unless the user says otherwise.

    Attributes:
        max_length: pieces of a sequence, [CLS] and [SEP] included; longer texts are cut.
        batch_size: sequences a step.
        learning_rate: peak learning rate.
        epochs: passes over the training split.
        warmup_rate: share of the steps in which the learning rate rises.
        source: where these numbers come from.
    """

    max_length: int = 128
    batch_size: int = 32
    learning_rate: float = 2e-5
    epochs: int = 3
    warmup_rate: float = 0.1
    source: str = ""

    def __post_init__(self) -> None:
        expected = {
            "max_length": (self.max_length >= 4, "4 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "learning_rate": (0 < self.learning_rate < 1, "between 0 and 1"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "warmup_rate": (0 <= self.warmup_rate < 1, "0 or more and below 1"),
        }
        for name, (good, what) in expected.items():
            if not good:
                raise UserError(f"{name}: got {getattr(self, name)}; expected {what}")


# Those that a command line may change.
TUNABLE = tuple(one.name for one in dataclasses.fields(Settings) if one.name != "source")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A dataset with a score.

    Attributes:
        name: what the command line calls it, and the name of its folder under `--data`.
        kind: how it is solved: a file in `hanmo.tasks.kinds`.
        splits: "train", "dev", "test" → file names to look for; compressed ones are found too.
        columns: field of the kind ("text_a", "text_b", "label") → the file's column name, JSON key
            or column number from 0 (then the file has no header).
        reader: "tsv", "csv" or "jsonl"; empty: by the file's suffix.
        quoted: a TSV whose fields may be quoted as in CSV; by default quotes are ordinary text.
        labels: all labels, in the order of their ids; empty: those of the training split, sorted.
        drop_labels: rows with these labels are left out and counted.
        metrics: names in `metrics.py`; the first is the one of the tables.
        settings: published fine-tuning settings.
        embedded: folder inside the package that holds the files, for a task that comes with it.
        folder: folder of the files when `--data` is not given (a task file's own folder).
        source: where to get the files.
        citation: paper or author to cite.
        licence: terms of the data.
        published: the task's name in `report/published_results.csv`; empty when it has none.
    """

    name: str
    kind: str
    splits: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, str | int]
    reader: str = ""
    quoted: bool = False
    labels: tuple[str, ...] = ()
    drop_labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    settings: Settings = Settings()
    embedded: str = ""
    folder: str = ""
    source: str = ""
    citation: str = ""
    licence: str = ""
    published: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One row of a split.

    Attributes:
        id: number of the row's line in its file, as text.
        fields: field → text, as the kind names them.
        label: None where the file has no labels.
    """

    id: str
    fields: Mapping[str, str]
    label: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one example.

    Attributes:
        id: the example's.
        label: the answer.
        scores: label → probability.
    """

    id: str
    label: str
    scores: Mapping[str, float]


def with_settings(task: Task, **changes: Any) -> Task:
    """Return the task with those settings replaced whose value is not None.

    Raises:
        UserError: a value out of its range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(task, settings=dataclasses.replace(task.settings, **given))
