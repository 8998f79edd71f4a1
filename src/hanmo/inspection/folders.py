"""Documents of a folder of text or sentences: some by their ids, the first ones, or by a text.

In: a finished folder of kind "corpus" or "sentences", and a `Choice`. Out: `Document`s with the
sentences that are to be shown, read as a stream: only what is shown is kept.

    for document in documents(folder, Choice(find="北京", first=3)): ...
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import read_batches
from hanmo.core.artifact import checked, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines
from hanmo.core.log import Progress
from hanmo.core.parts import parts_of
from hanmo.inspection.lines import Line, line_of
from hanmo.text.normalize import normalize
from hanmo.text.sentences import split_sentences

CORPUS, SENTENCES = "corpus", "sentences"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which documents are shown, and how much of each.

    Attributes:
        names: These, by id.
        find: Those that hold this text, from the sentence on that holds it.
        first: At most so many of those that `find` fits, or of all where nothing else is given.
        sentences: At most so many sentences of each.
    """

    names: tuple[str, ...] = ()
    find: str | None = None
    first: int = 1
    sentences: int = 10


@dataclass(frozen=True, slots=True)
class Document:
    """What is shown of a document.

    Attributes:
        name: Its id; its number in the folder where ids are not kept (shards).
        lines: The sentences shown.
        begin: Number of the first of them, from 0.
        n_sentences: How many the document has.
        rows: The sentences shown as annotated, for who encodes them; empty for shards.
    """

    name: str
    lines: tuple[Line, ...]
    begin: int
    n_sentences: int
    rows: tuple[Sentence, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON shows it."""
        return {
            "document": self.name,
            "sentences": self.n_sentences,
            "shown_from": self.begin,
            "shown": [line.to_json() for line in self.lines],
        }


def documents(folder: Path, choice: Choice) -> list[Document]:
    """Read the documents that are chosen, in the order of the folder.

    Raises:
        UserError: a document that is not there, or none with the text.
    """
    kind = read_manifest(folder, (CORPUS, SENTENCES)).kind
    read = _of_corpus if kind == CORPUS else _of_sentences
    return chosen(lambda path: read(path, choice), parts_of(folder, kind), choice, folder)


def chosen(
    read: Callable[[Path], Iterator[Document]],
    parts: Sequence[Path],
    choice: Choice,
    folder: Path,
) -> list[Document]:
    """Take what is chosen from the candidates that `read` gives of each part.

    Raises:
        UserError: a document that is not there, or none with the text.
    """
    wanted = len(set(choice.names)) if choice.names else choice.first
    found: list[Document] = []
    with Progress("look for documents", len(parts), "parts") as bar:
        for part in parts:
            if len(found) >= wanted:
                break
            found += islice(read(part), wanted - len(found))
            bar.advance()
    missing = set(choice.names) - {document.name for document in found}
    if missing and choice.find is None:
        raise UserError(f"{folder}: no document {min(missing)!r} among {len(parts)} parts")
    if choice.find is not None and not found:
        raise UserError(f"{folder}: no document with the text {choice.find!r} in one sentence")
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a document lies in a part of sentences: its rows, and the first one with the text."""

    start: int
    stop: int
    hit: int


def _of_sentences(path: Path, choice: Choice) -> Iterator[Document]:
    for name, place in _places(path, choice.find):
        if choice.names and name not in choice.names:
            continue
        if place.hit < 0:
            continue
        rows = tuple(_rows(path, place.hit, min(place.stop, place.hit + choice.sentences)))
        lines = tuple(map(line_of, rows))
        yield Document(name, lines, place.hit - place.start, place.stop - place.start, rows)


def _places(path: Path, find: str | None) -> Iterator[tuple[str, _Place]]:
    """Yield every document's id and place; no sentence is made, so it takes little time."""
    import pyarrow.compute as pc

    name, start, hit, row = "", 0, -1, 0
    for batch in read_batches(path, ["doc_id", "text"] if find else ["doc_id"]):
        names = batch.column("doc_id")
        hits = np.zeros(0, dtype=np.int64)
        if find:
            mask = pc.match_substring(batch.column("text"), find)
            hits = np.flatnonzero(mask.to_numpy(zero_copy_only=False)) + row
        bounds = [*_changes(names), len(names)]
        for first, stop in pairwise(bounds):
            if row + first == 0 or names[first].as_py() != name:
                if row + first:
                    yield name, _Place(start, row + first, hit)
                name, start = names[first].as_py(), row + first
                hit = -1 if find else start
            if find and hit < 0:
                at = np.searchsorted(hits, row + first)
                hit = int(hits[at]) if at < len(hits) and hits[at] < row + stop else -1
        row += len(names)
    if row:
        yield name, _Place(start, row, hit)


def _changes(names: Any) -> list[int]:
    """Return the places of a column at which another value begins, the first one included."""
    import pyarrow.compute as pc

    if len(names) < 2:
        return list(range(len(names)))
    other = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    return [0, *(np.flatnonzero(other) + 1).tolist()]


def _rows(path: Path, start: int, stop: int) -> Iterator[Sentence]:
    row = 0
    for batch in read_batches(path):
        if row >= stop:
            return
        here = batch.slice(max(0, start - row), max(0, stop - max(start, row)))
        for value in here.to_pylist():
            yield Sentence.from_row(value)[1]
        row += len(batch)


def _of_corpus(path: Path, choice: Choice) -> Iterator[Document]:
    for name, text in corpus_texts(path):
        if choice.names and name not in choice.names:
            continue
        if choice.find is not None and choice.find not in text:
            continue
        spans = split_sentences(text)
        begin = 0
        if choice.find is not None:
            at = text.find(choice.find)
            begin = next((n for n, (_, end) in enumerate(spans) if at < end), 0)
        shown = spans[begin : begin + choice.sentences]
        lines = tuple(line_of(Sentence(text[start:end], (), {})) for start, end in shown)
        yield Document(name, lines, begin, len(spans))


def corpus_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and normalised text of every document of a part of a corpus."""
    for _, record in json_lines(checked(path)):
        yield record["id"], normalize(record["text"]).text
