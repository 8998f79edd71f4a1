"""Open a model that was fine-tuned on a task, and run it on questions of that task.

The folder is what `hanmo finetune --save-model` writes, or one of transformers with such a head.
`hanmo.kind` in its config.json names the kind that reads, encodes and decodes; where nothing is
said, the asking kind of answer says which one it expects.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hanmo.core.errors import UserError
from hanmo.core.files import parsed
from hanmo.data.batches import collate
from hanmo.data.ragged import Array, Corrupted, join
from hanmo.model.checkpoint import CONFIG, load_into, random_encoder, read_extra
from hanmo.model.config import EncoderConfig, read_config
from hanmo.model.trainable import Batch
from hanmo.predict._engine import N_ASKED, Engine, Network, open_engine
from hanmo.predict._how import How
from hanmo.predict._masks import require_length, require_text
from hanmo.predict._model import describe, open_tokenizer
from hanmo.predict._predictor import TEXT, Answer, Row, echo
from hanmo.tasks.entities import parts_of
from hanmo.tasks.kind import Features, Kind, RowSkipped, load_kind
from hanmo.tasks.task import Prediction, Settings, Task, with_settings
from hanmo.text.tokenizer import Tokenizer

# What kinds of tasks answer with → the kind of answer that asks them.
ASKED_BY: Mapping[str, str] = {
    "label": "classify",
    "number": "score",
    "tags": "entities",
    "text": "answer",
}
# Answers that are among the names of labels, and those that are found in windows.
_LABELLED, _IN_WINDOWS = frozenset({"label", "tags"}), frozenset({"tags", "text"})
# Classes of taggers from elsewhere that mark pieces of no character.
_OUTSIDE = frozenset({"[PAD]", "[CLS]", "[SEP]", "[UNK]", "X"})
# transformers' `problem_type` of what takes no one label.
_OTHER_PROBLEMS = frozenset({"multi_label_classification", "regression"})
# Long enough to hold any text whole, so that one that is too long shows how long it is.
_ANY = 1 << 30
_CUT = "shorten it, or let it be cut with --cut"


@dataclasses.dataclass(frozen=True, slots=True)
class TaskQuery:
    """A question, read."""

    row: Row
    features: Features

    def n_pieces(self) -> int:
        """Count the pieces of its sequences."""
        return sum(len(one.inputs["input_ids"]) for one in self.features.sequences)

    def echo(self) -> Answer:
        """Begin an answer with what was asked."""
        return echo(self.row)

    def said_of_cut(self) -> Answer:
        """Return what an answer says of a text that was cut."""
        return {"truncated": True} if self.features.truncated else {}


@dataclasses.dataclass(frozen=True, slots=True)
class TaskModel:
    """A fine-tuned model, ready to run.

    Attributes:
        kind: what it was fine-tuned by.
        task: as far as reading, encoding and decoding need it.
        tokenizer: the model's.
        engine: runs it.
        fields: what its questions have, where the folder says so.
    """

    kind: Kind
    task: Task
    tokenizer: Tokenizer
    engine: Engine
    fields: tuple[str, ...]

    def read(self, row: Row, *, cut: bool = False) -> TaskQuery:
        """Turn a question into the model's input.

        Args:
            row: its fields.
            cut: whether a text that is too long may be cut.

        Raises:
            UserError: an empty text, a value that the kind cannot read, or a text too long.
        """
        for name, value in row.items():
            if isinstance(value, str):
                require_text(value, name if len(row) > 1 else TEXT)
        features = self._encode(row, self.task)
        if features.truncated and not cut:
            whole = self._encode(row, with_settings(self.task, max_length=_ANY))
            text = " ".join(map(str, row.values()))
            n_pieces = TaskQuery(row, whole).n_pieces()
            require_length(n_pieces, self.task.settings.max_length, text, way=_CUT)
        return TaskQuery(row, features)

    def _encode(self, row: Row, task: Task) -> Features:
        try:
            example = self.kind.read("", row, task, train=False)
        except RowSkipped as skipped:
            raise UserError(f"left out by the rule {skipped.reason} of its task") from None
        except ValueError as error:
            raise UserError(str(error)) from None
        return self.kind.encode(example, task, self.tokenizer)

    def run(self, queries: Sequence[TaskQuery]) -> tuple[dict[str, Array], list[Prediction]]:
        """Run the model: its scores at all asked positions, and what the kind makes of them."""
        if not queries:
            return {}, []
        features = [query.features for query in queries]
        arrays = self.engine.map([seq for one in features for seq in one.sequences])
        return arrays, self.kind.decode(features, arrays, self.task)


def question_fields(model: TaskModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a question of a model must have, and what it may have."""
    kind = model.kind
    if model.fields:
        known = (*kind.fields, *kind.optional_fields)
        return tuple(name for name in known if name in model.fields), ()
    return tuple(kind.fields), tuple(kind.optional_fields)


def open_task_model(folder: Path, how: How, *, answers: str, default_kind: str) -> TaskModel:
    """Open a fine-tuned model.

    Args:
        folder: model folder with a head.
        how: it is run.
        answers: what its kind must answer with (`Kind.answers`).
        default_kind: of folders that name none.

    Raises:
        UserError: no such folder, another kind of model, or no head or names of labels.
    """
    config = read_config(folder / CONFIG)
    kind = _kind(folder, answers, default_kind)
    task = _task(folder, kind, config)
    if kind.answers in _READ_LABELS and "kind" not in read_extra(folder):
        task = dataclasses.replace(task, labels=_READ_LABELS[kind.answers](folder, task.labels))
    tokenizer = open_tokenizer(folder, config.vocab_size, how)
    engine = open_engine(
        how, folder, lambda: _network(folder, kind, task, config), pad_id=tokenizer.pad_id
    )
    fields = tuple(read_extra(folder).get("fields", ()))
    return TaskModel(kind, task, tokenizer, engine, fields)


def task_network(folder: Path, *, answers: str, default_kind: str) -> Network:
    """Load the network of a fine-tuned model.

    Raises:
        UserError: as `open_task_model`.
    """
    config = read_config(folder / CONFIG)
    kind = _kind(folder, answers, default_kind)
    return _network(folder, kind, _task(folder, kind, config), config)


def _network(folder: Path, kind: Kind, task: Task, config: EncoderConfig) -> Network:
    model, _ = kind.build(random_encoder(config, seed=0), task, weights={}, seed=0)
    fresh = load_into(model, folder).fresh
    if fresh:
        raise UserError(
            f"{folder}: holds {describe(folder)}, not {', '.join(fresh)}; {_needed(kind.answers)}"
        )
    return Network(model.eval(), _heads(model))


def _heads(model: Any) -> tuple[str, ...]:
    """Return the names of a model's scores, by running it."""
    ids = np.zeros(N_ASKED, dtype=np.int32)
    sequence = Corrupted({"input_ids": ids}, np.arange(N_ASKED), {})
    arrays = collate(join([sequence]), max_length=len(ids), pad_id=0, pack=False)
    with torch.inference_mode():
        return tuple(model.outputs(Batch.from_arrays(arrays)).logits)


def _kind(folder: Path, answers: str, default: str) -> Kind:
    extra = read_extra(folder)
    name = extra.get("kind", default)
    try:
        kind = load_kind(name, extra.get("options"))
    except UserError as error:
        raise UserError(f"{folder}: was fine-tuned by the kind {name}: {error}") from None
    if kind.answers != answers:
        asked = ASKED_BY.get(kind.answers)
        way = f"ask it with hanmo predict {folder} {asked}" if asked else _needed(answers)
        raise UserError(
            f"{folder}: was fine-tuned by the kind {name}, which answers with {kind.answers}; {way}"
        )
    return kind


def _task(folder: Path, kind: Kind, config: EncoderConfig) -> Task:
    raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    extra: Mapping[str, Any] = raw.get("hanmo", {})
    named = raw.get("id2label") or {}
    # A kind whose answers are no labels has none, whatever a configuration of transformers lists.
    has_labels = kind.answers in _LABELLED
    if has_labels and not named:
        raise UserError(
            f"{folder}: holds {describe(folder)}, no label names (id2label in config.json); "
            f"{_needed(kind.answers)}"
        )
    labels = tuple(str(named[key]) for key in sorted(named, key=int)) if has_labels else ()
    # Windows are as long as those that it was fine-tuned on; what is read whole may be as long as
    # the model allows, for it is answered whole or refused, never cut in silence.
    longest = config.max_position_embeddings
    stated = extra.get("max_length")
    length = longest
    if kind.answers in _IN_WINDOWS and isinstance(stated, int):
        length = min(stated, longest)
    return Task(
        name=str(extra.get("task", folder.name)),
        kind=str(extra.get("kind", "")),
        splits={},
        columns={},
        labels=labels,
        settings=Settings(max_length=length),
    )


def _classes(folder: Path, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse classifiers that do not take one of several labels."""
    problem = parsed(folder / CONFIG).get("problem_type")
    if len(labels) > 1 and problem not in _OTHER_PROBLEMS:
        return labels
    what = f"problem_type {problem}" if problem else "a single label"
    raise UserError(
        f"{folder}: a classifier with {what} in config.json; classify takes one of several labels"
    )


def _tags(folder: Path, labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_tag(folder, label) for label in labels)


# What kinds of tasks answer with → how names of labels from elsewhere are read.
_READ_LABELS: Mapping[str, Callable[[Path, tuple[str, ...]], tuple[str, ...]]] = {
    "label": _classes,
    "tags": _tags,
}


def _tag(folder: Path, label: str) -> str:
    """Read a tag of a program that has other ones: M is I, special pieces are outside."""
    if label in _OUTSIDE:
        return "O"
    tag = f"I{label[1:]}" if label == "M" or label.startswith("M-") else label
    try:
        parts_of(tag)
    except ValueError as error:
        raise UserError(f"{folder}: id2label in config.json: {error}") from None
    return tag


def _needed(answers: str) -> str:
    return (
        f"{ASKED_BY[answers]} needs a fine-tuned model; make one with hanmo finetune --save-model"
    )
