"""A sentence with its words and linguistic layers, and the contract of everything that makes one.

In: text, and words found in it. Out: `Sentence`, which the store writes and the encoder reads.
Words are character spans into the text, so nothing is lost between the text and its annotation; a
layer holds one label per word. A layer that a backend does not give is absent; a single label that
is not known is None.

Example: ``Sentence("我们去", ((0, 2), (2, 3)), {"pos": ("r", "v")}).forms`` is ``["我们", "去"]``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hanmo.annotate.tagsets import TAGSETS, unknown_label
from hanmo.core.errors import UserError

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence.

    Attributes:
        text: The sentence.
        words: Character spans [start, end) into `text`, ascending, not overlapping; white space may
            stay uncovered.
        layers: Layer name (a key of `TAGSETS`) to one label per word; None where it is missing.
    """

    text: str
    words: tuple[Span, ...]
    layers: Mapping[str, tuple[str | None, ...]]

    @property
    def forms(self) -> list[str]:
        """The words as strings."""
        return [self.text[start:end] for start, end in self.words]

    def validate(self, where: str = "sentence") -> None:
        """Check spans, layer names, layer lengths and labels.

        Args:
            where: What to name in the message, for example ``file:line``.

        Raises:
            UserError: At the first thing that is wrong.
        """
        position = 0
        for start, end in self.words:
            if not position <= start < end <= len(self.text):
                raise UserError(
                    f"{where}: word span ({start}, {end}) — expected a non-empty span inside "
                    f"[{position}, {len(self.text)}]"
                )
            _check_gap(self.text, position, start, where)
            position = end
        _check_gap(self.text, position, len(self.text), where)
        for layer, labels in self.layers.items():
            _check_layer(layer, labels, len(self.words), where)

    def to_row(self, document: str) -> dict[str, Any]:
        """Return the Parquet row: doc_id, text, words, starts and a list (or None) per layer."""
        row: dict[str, Any] = {
            "doc_id": document,
            "text": self.text,
            "words": self.forms,
            "starts": [start for start, _ in self.words],
        }
        for layer in TAGSETS:
            labels = self.layers.get(layer)
            row[layer] = None if labels is None else list(labels)
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "tuple[str, Sentence]":
        """Read a Parquet row back into (document id, sentence)."""
        words = tuple(
            (start, start + len(word))
            for start, word in zip(row["starts"], row["words"], strict=True)
        )
        layers = {layer: tuple(row[layer]) for layer in TAGSETS if row.get(layer) is not None}
        return row["doc_id"], cls(row["text"], words, layers)


def _check_gap(text: str, start: int, end: int, where: str) -> None:
    gap = text[start:end].strip()
    if gap:
        raise UserError(f"{where}: characters {start}–{end} ({gap[:20]!r}) belong to no word")


def _check_layer(layer: str, labels: Sequence[str | None], n_words: int, where: str) -> None:
    if layer not in TAGSETS:
        raise UserError(f"{where}: unknown layer {layer!r} — expected one of {', '.join(TAGSETS)}")
    if len(labels) != n_words:
        raise UserError(f"{where}: layer {layer} has {len(labels)} labels for {n_words} words")
    for label in sorted(set(labels) - {None} - set(TAGSETS[layer]), key=str):
        raise unknown_label(layer, label, where)


def locate_words(text: str, forms: Sequence[str], where: str = "text") -> tuple[Span, ...]:
    """Find consecutive words in a text; only white space may lie between them.

    Args:
        text: The text.
        forms: The words in order.
        where: What to name in the message, for example ``file:line``.

    Returns:
        One character span per word.

    Raises:
        UserError: A word does not stand where it should, or text is left over.
    """
    spans: list[Span] = []
    position = 0
    for index, form in enumerate(forms):
        start = position
        while not text.startswith(form, start) and text[start : start + 1].isspace():
            start += 1
        if not form or not text.startswith(form, start):
            raise UserError(
                f"{where}: word {index + 1} is {form!r} but the text goes on with "
                f"{text[start : start + 12]!r} — words must follow the text"
            )
        position = start + len(form)
        spans.append((start, position))
    if text[position:].strip():
        raise UserError(f"{where}: text after the last word: {text[position : position + 20]!r}")
    return tuple(spans)


class Annotator(Protocol):
    """What finds words and their labels in texts.

    Each file in `annotators/` exposes a frozen dataclass called `Annotator` whose fields are its
    options. One that reads pre-annotated files also has
    ``read_documents(path) -> Iterator[tuple[str, list[str]]]``: document ids and their sentences in
    the form that `annotate` takes. A quick one also has ``columns(texts) -> Columns``, which
    `hanmo annotate` prefers: the same sentences as flat arrays, all of them with all of `layers`.
    One that cannot take every text as it is has
    ``annotate_counted(texts) -> tuple[list[Sentence], Mapping[str, int]]``: what `annotate` gives,
    and how often it had to do what. An option with the metadata ``content=False`` changes how the
    annotator works and not what it finds, such as the device; a path in it is one of `sources`.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that `annotate` fills besides the words."""
        ...

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        """Annotate sentences; the result has one `Sentence` per text, in order."""
        ...
