"""A task is a value: which files, which columns, which labels, how it is scored and trained.

Nothing here reads a file or knows a head; `splits.py` reads, `kinds/` solves. Entries of published
datasets are in `suite/`; a user's own task is a TOML file (`task_file.py`).

    Task(name="my-reviews", kind="classification", splits={"train": ("train.tsv",)}, ...)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from hanmo.core.errors import UserError

# In the order of tables. CMRC 2018 has a trial and a challenge set beside the usual three.
SPLITS = ("train", "dev", "test", "trial", "challenge")
LABEL = "label"  # the field of a row that holds what is to be predicted
Column: TypeAlias = str | int | tuple[str, ...]
Columns: TypeAlias = Mapping[str, Column]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a task is fine-tuned unless the user says otherwise.

    Attributes:
        max_length: pieces of a sequence, [CLS] and [SEP] included; longer texts are cut, or read
            in several windows by kinds that can.
        batch_size: sequences a step.
        learning_rate: peak learning rate.
        epochs: passes over the training split.
        warmup_rate: share of the steps in which the learning rate rises.
        layer_decay: ELECTRA's layer-wise decay of the learning rate; 1 is none.
        schedule: of the learning rate: "bert" or "electra" (decays during warm-up too).
        clip_norm: the gradient's global norm is clipped to this.
        weight_decay: decoupled decay of all weights but biases and layer normalisation.
        source: where these numbers come from.
    """

    max_length: int = 128
    batch_size: int = 32
    learning_rate: float = 2e-5
    epochs: int = 3
    warmup_rate: float = 0.1
    layer_decay: float = 1.0
    schedule: str = "bert"
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    source: str = ""

    def __post_init__(self) -> None:
        expected = {
            "max_length": (self.max_length >= 4, "4 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "learning_rate": (0 < self.learning_rate < 1, "between 0 and 1"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "warmup_rate": (0 <= self.warmup_rate < 1, "0 or more and below 1"),
            "layer_decay": (0 < self.layer_decay <= 1, "more than 0, up to 1"),
            "clip_norm": (self.clip_norm > 0, "more than 0"),
            "weight_decay": (0 <= self.weight_decay < 1, "0 or more and below 1"),
        }
        for name, (good, what) in expected.items():
            if not good:
                raise UserError(f"{name}: got {getattr(self, name)}; expected {what}")


# Those that a command line may change.
TUNABLE = tuple(one.name for one in dataclasses.fields(Settings) if one.name != "source")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a file of rows looks.

    Attributes:
        columns: field of the kind ("text_a", "text_b", "label") → the file's column name, JSON key
            ("target.span1_text" for a nested one) or column number from 0. Several names: versions
            of the file differ, and the first one that a row has is taken.
        reader: name in `readers.READERS`; empty: by the file's suffix.
        quoted: a TSV whose fields may be quoted as in CSV; by default quotes are ordinary text.
        delimiter: between a TSV's fields; empty: a tab.
        header: of a file whose columns are numbers: "no", "yes" (its first line is passed over), or
            "auto" (passed over when it holds names of columns such as "label").
        keep: column → value: rows with another value are not of the task, as XNLI's other
            languages.
    """

    columns: Columns
    reader: str = ""
    quoted: bool = False
    delimiter: str = ""
    header: Literal["auto", "no", "yes"] = "auto"
    keep: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """A file at its official place.

    Attributes:
        url: where it is.
        file: what it is called here; of an archive, its name.
        sha256: of the file as it lies there; empty: not known to this project (unverified).
        members: of a zip archive: name inside, or the end of its path there (archives differ in
            their folders) → file name to unpack it as.
        note: what a user must know of it, as "third-party copy".
    """

    url: str
    file: str
    sha256: str = ""
    members: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A dataset with a score.

    Attributes:
        name: what the command line calls it, and the name of its folder under `--data`.
        kind: how it is solved: a file in `hanmo.tasks.kinds`.
        options: of the kind, such as a window's stride.
        splits: "train", "dev", "test" … → file names to look for; compressed ones are found too.
        columns, reader, quoted, delimiter, header, keep: see `Layout`.
        layouts: file name → its layout, for files that look otherwise.
        labels: all labels, in the order of their ids; empty: those of the training split, sorted.
        renamed_labels: label as some files have it → label.
        drop_labels: rows with these labels are left out and counted.
        metrics: names in `metrics.py`; the first ones are those of the tables.
        tabled: how many of the metrics tables show.
        settings: published fine-tuning settings, of models of BERT-base's size and larger.
        small_learning_rate: of smaller models, where it is not the usual one (`protocol.py`).
        electra_learning_rates: "small", "base", "large" → of ELECTRAs of that size, where they are
            not the usual ones.
        embedded: folder inside the package that holds the files, for a task that comes with it.
        folder: folder of the files when `--data` is not given (a task file's own folder).
        folders: further names of the task's folder under `--data`.
        source: where to get the files.
        request: what to do for data that is given on request only; empty: anybody may download.
        downloads: the official files.
        citation: paper or author to cite.
        licence: terms of the data.
        published: the task's name in `report/published_results.csv`; empty when it has none.
        corpus: name of the texts that it shares with other tasks; empty: none.
        stated: names of the settings that a user's task file states; the others are published ones.
        rows: split, or the name of one of its files that holds another number → published number of
            usable rows.
    """

    name: str
    kind: str
    splits: Mapping[str, tuple[str, ...]]
    columns: Columns
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reader: str = ""
    quoted: bool = False
    delimiter: str = ""
    header: Literal["auto", "no", "yes"] = "auto"
    keep: Mapping[str, str] = dataclasses.field(default_factory=dict)
    layouts: Mapping[str, Layout] = dataclasses.field(default_factory=dict)
    labels: tuple[str, ...] = ()
    renamed_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    drop_labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    tabled: int = 1
    settings: Settings = Settings()
    small_learning_rate: float | None = None
    electra_learning_rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    embedded: str = ""
    folder: str = ""
    folders: tuple[str, ...] = ()
    source: str = ""
    request: str = ""
    downloads: tuple[Download, ...] = ()
    citation: str = ""
    licence: str = ""
    published: str = ""
    corpus: str = ""
    stated: tuple[str, ...] = ()
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def layout(self, file: str) -> Layout:
        """Return how a file of that name (without compression suffix) looks."""
        return self.layouts.get(file) or Layout(
            columns=self.columns,
            reader=self.reader,
            quoted=self.quoted,
            delimiter=self.delimiter,
            header=self.header,
            keep=self.keep,
        )

    def published_rows(self, split: str, file: str) -> int | None:
        """Return how many usable rows a file of a split has as published; None: not known."""
        return self.rows.get(file, self.rows.get(split))


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One row of a split.

    Attributes:
        id: the row's own id where its format has one, else the number of its line, as text.
        fields: field → value, as the kind names and reads them.
        gold: what is to be predicted, as the kind reads it; None where the file does not say.
        noted: what was mended in reading it, to be counted, such as "answer_found_by_text".
    """

    id: str
    fields: Mapping[str, Any]
    gold: Any
    noted: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one example.

    Attributes:
        id: the example's.
        answer: a label, a number, a text or tags, as the kind's metrics take it.
        scores: label → probability, where the kind has them.
    """

    id: str
    answer: Any
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)


def with_settings(task: Task, **changes: Any) -> Task:
    """Return the task with those settings replaced whose value is not None.

    Raises:
        UserError: a value out of its range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(task, settings=dataclasses.replace(task.settings, **given))
