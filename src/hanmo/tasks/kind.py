"""The contract of a kind of task: how a row becomes pieces, and logits an answer.

A kind is a file in `kinds/` with a frozen dataclass `Kind`; its fields are its options, which a
task sets in `Task.options`. It is the only place that knows the heads of its tasks. Finding files,
batching, training and scoring are the same for all kinds.
"""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor, nn

from hanmo.core import registry
from hanmo.core.conform import conform
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import sha256
from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder
from hanmo.tasks.task import Example, Prediction, Task
from hanmo.tasks.task_file import KINDS
from hanmo.text.tokenizer import Tokenizer

# Of a task, what does not change its scores.
_TOLD = frozenset(
    {
        *("embedded", "folder", "folders", "source", "request", "downloads", "citation"),
        *("licence", "published", "rows", "stated", "small_learning_rate"),
        "electra_learning_rates",
    }
)


def definition(task: Task) -> str:
    """Return a digest of what a task is: the rules of its rows, its kind and its scores.

    A finished run is of that definition; where the data come from, and what they may be used for,
    is no part of it.
    """
    told = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if field.name not in _TOLD
    }
    told["settings"] = None  # a run's own settings have them
    told["layouts"] = {name: dataclasses.asdict(one) for name, one in task.layouts.items()}
    if task.kind.endswith(".py") and Path(task.kind).is_file():
        told["kind"] = sha256(Path(task.kind))  # a user's own, wherever it lies
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class RowSkipped(Exception):  # noqa: N818 - a rule's decision, not a mistake
    """A rule leaves this row out; the reason is a count."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class Features:
    """One example as model input.

    Attributes:
        example: where it came from.
        sequences: its sequences (most kinds: one), each with the positions that the head looks at
            and their targets; -1 is an unknown target.
        truncated: pieces that did not fit were left out.
        extras: name → integers [n, …] that `decode` needs, such as where pieces lie in the text.
    """

    example: Example
    sequences: tuple[Corrupted, ...]
    truncated: bool
    extras: Mapping[str, Array] = dataclasses.field(default_factory=dict)


class Kind(Protocol):
    """How tasks of one kind are solved.

    Attributes:
        fields: fields that a task's columns must name, besides "label".
        optional_fields: fields that they may name.
        answers: what its predictions are, for the metrics: "label", "number", "text" or "tags".
    """

    fields: ClassVar[tuple[str, ...]]
    optional_fields: ClassVar[tuple[str, ...]]
    answers: ClassVar[str]

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Turn the values of a row into an example.

        Args:
            id: the row's.
            row: field → what the file has.
            task: which task.
            train: of the training split, where what cannot be trained on is refused.

        Raises:
            RowSkipped: a rule leaves it out.
            ValueError: what is wrong with the row; the caller says where.
        """
        ...

    def labels(self, task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the labels that the head tells apart, in the order of their ids.

        Args:
            task: as described; it may state its labels.
            examples: of the training split.

        Raises:
            ValueError: too few of them.
        """
        ...

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn an example into pieces, at most `task.settings.max_length` a sequence."""
        ...

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put heads on the encoder.

        Args:
            encoder: becomes part of the model.
            task: says how many labels.
            weights: all weights of the checkpoint; a head may start from those.
            seed: of the heads' random weights.

        Returns:
            A `Trainable` with `architecture`, and what is to be said of it in the run's record.
        """
        ...

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Turn logits into answers.

        Args:
            features: of N examples.
            arrays: name of the logits → [M, classes], positions in the order of `features`.
            task: the task.
        """
        ...


def load_kind(name: str, options: Mapping[str, Any] | None = None) -> Kind:
    """Return the kind of that name, of a dotted module, or of a .py file.

    Args:
        name: of the kind.
        options: its options; default: its own.

    Raises:
        UserError: no such kind, no such option, or a value of a wrong type.
    """
    made = _class(name)
    hints = typing.get_type_hints(made)
    known = [one.name for one in dataclasses.fields(made)] if dataclasses.is_dataclass(made) else []
    given = {}
    for option, value in (options or {}).items():
        if option not in known:
            raise UserError(f"options: kind {name} has no {option!r}{nearest(option, known)}")
        try:
            given[option] = conform(value, hints[option])
        except TypeError as error:
            raise UserError(f"options.{option}: got {value!r}; {error}") from None
    kind: Kind = made(**given)
    return kind


def at_least(kind: Any, **least: int) -> None:
    """Check a kind's options that are whole numbers.

    Args:
        kind: whose.
        least: option → its least value.

    Raises:
        UserError: one is below it.
    """
    for option, wanted in least.items():
        if getattr(kind, option) < wanted:
            raise UserError(
                f"options.{option}: got {getattr(kind, option)}; expected {wanted} or more"
            )


def _class(name: str) -> Any:
    try:
        return registry.load(KINDS, name).Kind
    except (ImportError, SyntaxError, NameError, AttributeError, TypeError) as error:
        raise UserError(
            f"kind {name}: the file does not give a class Kind: {type(error).__name__}: {error}"
        ) from None


def text_of(value: Any, field: str) -> str:
    """Return a row's value as text.

    Raises:
        ValueError: neither text nor a whole number.
        RowSkipped: nothing but blanks, as "empty_text".
    """
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, int):
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowSkipped("empty_text")
    if not isinstance(value, str):
        raise ValueError(f"{field}: a JSON {type(value).__name__}; expected text or a whole number")
    return value


def label_of(value: Any, task: Task) -> str | None:
    """Return a row's label, renamed as the task says; None where there is none.

    Raises:
        RowSkipped: one of the labels that the task drops, as "dropped_label".
        ValueError: a label that the task does not have, or an empty one.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int):
        raise ValueError(f"label: a JSON {type(value).__name__}; expected text or a whole number")
    label = str(value)
    label = task.renamed_labels.get(label, label)
    if label in task.drop_labels:
        raise RowSkipped("dropped_label")
    if task.labels and label not in task.labels:
        raise ValueError(f"unknown label {label!r}{nearest(label, task.labels)}")
    if not label.strip():
        raise ValueError("an empty label; expected one of the task's labels")
    return label


def labels_found(task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
    """Return the task's labels, or those of the examples, sorted.

    Raises:
        ValueError: fewer than two.
    """
    found = {str(example.gold) for example in examples if example.gold is not None}
    labels = task.labels or tuple(sorted(found))
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} label ({', '.join(labels)}); expected two or more")
    return labels


def softmax(logits: Array) -> Array:
    """Return probabilities along the last axis, float64."""
    shifted = logits.astype(np.float64)
    powers = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
