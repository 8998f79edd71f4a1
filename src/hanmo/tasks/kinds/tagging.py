"""A tag for every character: named entities, as BERT's and HFL's NER baselines do it.

Each character is one piece ([UNK] where the vocabulary lacks it), so that tags and pieces agree
whatever the tokenizer would join. The head is dropout and a linear layer, transformers'
`BertForTokenClassification`. A text longer than a sequence is read in windows that overlap; each
character is tagged in the window that shows most of its surroundings.

In: a text and tags, one a character (BIO, BIEOS or BMES), or CLUENER's {type: {text: [[first,
last]]}}. Out: tags in BIO, gold ones of a file in another scheme too; inside, `scheme` may be
"bieos".

Shapes: M characters, T tags.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.trainable import Batch, Losses, Outputs
from hanmo.tasks.entities import Entity, entities_of, tags_of
from hanmo.tasks.kind import Features, RowSkipped, at_least
from hanmo.tasks.kinds._windows import best_seen, windows
from hanmo.tasks.task import LABEL, Example, Prediction, Task
from hanmo.text.tokenizer import Tokenizer

OUTSIDE = "O"
_LETTERS = frozenset("BIMES")  # M is what BMES calls I
_PREFIXES = {"bio": ("B", "I"), "bieos": ("B", "I", "E", "S")}


class Tagger(nn.Module):
    """Encoder, dropout and a linear layer on every character."""

    architecture = "BertForTokenClassification"

    def __init__(self, encoder: Encoder, n_tags: int) -> None:
        super().__init__()
        self.bert = encoder
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob)
        self.classifier = nn.Linear(encoder.config.hidden_size, n_tags)

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode and score the characters."""
        hidden = self.bert(*batch.inputs, batch.positions, batch.layout)  # [M, H]
        return Outputs(hidden, {LABEL: self.classifier(self.dropout(hidden))})

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Mean cross entropy over the characters that have a tag."""
        logits = outputs.logits[LABEL].float()  # [M, T]
        summed = F.cross_entropy(logits, batch.targets[LABEL], ignore_index=-1, reduction="sum")
        total = summed / max(1, batch.totals[LABEL])
        return Losses(total, {LABEL: total.detach()})

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A tag a character.

    Attributes:
        scheme: of the tags that the head tells apart: "bio" or "bieos".
        legal: decode only sequences of tags that the scheme allows (Viterbi); else each
            character's most probable tag, as published.
        stride: characters between the beginnings of windows of a long text; half a window where
            that is less, so that windows overlap.
    """

    scheme: Literal["bio", "bieos"] = "bio"
    legal: bool = False
    stride: int = 128

    fields: ClassVar = ("text",)
    optional_fields: ClassVar[tuple[str, ...]] = ()
    answers: ClassVar = "tags"
    readers: ClassVar = {".txt": "conll", ".bio": "conll", ".conll": "conll"}

    def __post_init__(self) -> None:
        at_least(self, stride=1)

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read characters and tags, or entities."""
        text = row["text"]
        if not text:
            raise RowSkipped("empty_text")
        if not isinstance(text, str | list) or not all(isinstance(one, str) for one in text):
            raise ValueError(f"text: got {str(text)[:40]!r}; expected text, or characters")
        characters = tuple(text)
        value = row.get(LABEL)
        noted: tuple[str, ...] = ()
        if isinstance(value, Mapping):
            entities = _entities(value, characters)
            outer = _outermost(entities)
            noted = ("nested_entity_left_out",) * (len(entities) - len(outer))
            value = tags_of(outer, len(characters), "bio")
        return Example(id, {"text": characters}, self._gold(characters, value, task), noted)

    def _gold(self, text: tuple[str, ...], value: Any, task: Task) -> tuple[str, ...] | None:
        if value is None:
            return None
        tags: list[str] = value if isinstance(value, list) else []
        if not tags or not all(isinstance(tag, str) for tag in tags):
            raise ValueError(f"label: got {str(value)[:40]!r}; expected tags or entities")
        if len(tags) != len(text):
            raise ValueError(f"{len(tags)} tags for {len(text)} characters; expected one each")
        types = _types(task)
        for tag in dict.fromkeys(tags):
            prefix, _, name = tag.partition("-")
            if tag != OUTSIDE and (prefix not in _LETTERS or not name):
                raise ValueError(f"tag {tag!r}; expected O, or B-, I-, M-, E- or S- and a type")
            if types and name and name not in types:
                raise ValueError(f"tag {tag!r}; the task's types are {', '.join(types)}")
        if any(tag[0] in "MES" for tag in tags):
            plain = ["I" + tag[1:] if tag[0] == "M" else tag for tag in tags]
            tags = tags_of(entities_of(plain), len(tags), "bio")
        return tuple(tags)

    def labels(self, task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return O and the scheme's tags of every type, in the order of the task's types."""
        found = {tag.partition("-")[2] for one in examples for tag in one.gold or ()} - {""}
        types = _types(task) or tuple(sorted(found))
        if not types:
            raise ValueError("not one entity in the training split; expected tags as B-PER")
        return (OUTSIDE, *(f"{prefix}-{t}" for t in types for prefix in _PREFIXES[self.scheme]))

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn characters into [CLS] characters [SEP], in one window or several."""
        text: tuple[str, ...] = example.fields["text"]
        ids = np.array([_piece(tokenizer, one) for one in text], np.int32)
        targets = np.full(len(text), -1)
        if example.gold is not None:
            tags = tags_of(entities_of(example.gold), len(text), self.scheme)
            ids_of = {label: number for number, label in enumerate(task.labels)}
            targets = np.array([ids_of[tag] for tag in tags])
        room = task.settings.max_length - 2
        found = windows(len(text), room, min(self.stride, room // 2))
        sequences = tuple(
            _sequence(ids[begin:stop], targets[begin:stop], tokenizer) for begin, stop in found
        )
        extras = {"windows": np.array(found, np.int32)}
        return Features(example, sequences, False, extras)

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put a tagger on the encoder."""
        model = Tagger(encoder, len(task.labels))
        generator = torch.Generator().manual_seed(seed)
        initialise(model.classifier, encoder.config.initializer_range, generator)
        return model, {}

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Tag every character; tags are given as BIO."""
        allowed = _allowed(task.labels) if self.legal else None
        made = []
        for one, table in zip(features, self.tables(features, arrays), strict=True):
            best = table.argmax(1) if allowed is None else _viterbi(table, allowed)
            tags = [task.labels[number] for number in best.tolist()]
            if self.scheme != "bio":
                tags = tags_of(entities_of(tags), len(tags), "bio")
            made.append(Prediction(one.example.id, tuple(tags)))
        return made

    def tables(self, features: Sequence[Features], arrays: Mapping[str, Array]) -> list[Array]:
        """Return every example's logits, each character's from its best window: [characters, T]."""
        begin, found = 0, []
        for one in features:
            places = one.extras["windows"]
            n = int((places[:, 1] - places[:, 0]).sum())
            found.append(arrays[LABEL][begin : begin + n][best_seen(places)])
            begin += n
        return found


def _types(task: Task) -> tuple[str, ...]:
    """Return the types of entities that the task states, as types or as tags; O is none."""
    names = []
    for label in task.labels:
        letter, _, name = label.partition("-")
        names.append(name if letter in _LETTERS and name else label)
    return tuple(dict.fromkeys(name for name in names if name != OUTSIDE))


def _entities(value: Mapping[str, Any], text: Sequence[str]) -> list[Entity]:
    """Read CLUENER's {type: {text: [[first, last], …]}}; `last` belongs to the entity."""
    found: list[Entity] = []
    for name, texts in value.items():
        for surface, first, last in _placed(name, texts):
            if "".join(text[first : last + 1]) != surface:
                raise ValueError(
                    f"{name} {surface!r} is not at characters {first} to {last}; there: "
                    f"{''.join(text[first : last + 1])!r}"
                )
            found.append((name, first, last + 1))
    return sorted(found, key=lambda entity: (entity[1], -entity[2]))


def _placed(name: str, texts: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (text, first, last) of a type's entities."""
    try:
        for surface, places in texts.items():
            for first, last in places:
                yield surface, int(first), int(last)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"{name}: got {str(texts)[:40]!r}; expected entities, each with its [first, last]"
        ) from None


def _outermost(entities: Sequence[Entity]) -> list[Entity]:
    """Leave out entities that overlap an earlier or longer one: tags cannot nest."""
    kept: list[Entity] = []
    for entity in entities:
        if not kept or entity[1] >= kept[-1][2]:
            kept.append(entity)
    return kept


def _piece(tokenizer: Tokenizer, character: str) -> int:
    """Return the one piece that stands for a character (or a longer token)."""
    lowered = character.lower()
    known = tokenizer.id_of.get(lowered)
    if known is not None:
        return known
    ids = tokenizer.encode(character).ids
    return int(ids[0]) if len(ids) else tokenizer.unk_id


def _sequence(ids: Array, targets: Array, tokenizer: Tokenizer) -> Corrupted:
    pieces = np.array([tokenizer.cls_id, *ids, tokenizer.sep_id], np.int32)
    inputs: dict[str, Array] = {
        "input_ids": pieces,
        "token_type_ids": np.zeros(len(pieces), np.int8),
    }
    return Corrupted(inputs, np.arange(1, len(ids) + 1), {LABEL: targets})


def _allowed(labels: Sequence[str]) -> Array:
    """Which tag may follow which: bool [T + 1, T + 1]; row T is the beginning, column T the end."""
    edged = [*labels, OUTSIDE]
    table = np.zeros((len(edged), len(edged)), dtype=bool)
    closes = {label[:2] for label in labels} & {"E-", "S-"}
    for before, old in enumerate(edged):
        for after, new in enumerate(edged):
            inside = old[:1] in ("B", "I")
            goes_on = new[:1] in ("I", "E")
            same = old[2:] == new[2:]
            table[before, after] = (inside and same) if goes_on else not (closes and inside)
    return table


def _viterbi(logits: Array, allowed: Array) -> Array:
    """Return the best legal sequence of tags: [M, T] → int [M]."""
    never = np.where(allowed, 0.0, -1e30)
    score = logits[0].astype(np.float64) + never[-1, :-1]
    back = []
    for row in logits[1:]:
        through = score[:, None] + never[:-1, :-1]
        back.append(through.argmax(0))
        score = through.max(0) + row
    best = [int((score + never[:-1, -1]).argmax())]
    for step in reversed(back):
        best.append(int(step[best[-1]]))
    return np.array(best[::-1])
