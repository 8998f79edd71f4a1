"""Silver labels: a sample of a corpus for a slow annotator, and what a fast one learns from it.

In: corpus folders; then the sentences folder that the slow annotator (the teacher) made of the
sample. Out: a corpus folder with small parts, so that a kill of the teacher costs little; then
training sentences and held-out ones. Which documents are taken, and which are held out, is drawn by
their ids: the same ones whatever the parts, the workers or the machine.

Example: ``split(Path("work/student-teacher/sentences"), held_out=0.1).training``
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO, TypeAlias

from hanmo.annotate.bieos import repair
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import read_part
from hanmo.core.artifact import Build, building, checked
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, open_text
from hanmo.core.parts import part_name, parts_of

Record: TypeAlias = dict[str, str]  # id, text, source

PART_CHARS = 50_000  # a part of the sample: seconds to a minute of a slow teacher


def write_sample(corpus: Sequence[Path], out: Path, *, chars: int) -> dict[str, int | float]:
    """Write a corpus folder with documents of others; does nothing if it is there.

    Args:
        corpus: Folders of kind "corpus".
        out: Folder to make.
        chars: Characters wanted; the last document goes beyond them. 0 for all.

    Returns:
        Counts: kept (documents), characters, parts.

    Raises:
        UserError: Not a corpus folder, a damaged part, or no document in the sample.
    """
    inputs = {f"{number:06d} {path.name}": path for number, path in enumerate(corpus)}
    parts = [part for folder in corpus for part in parts_of(folder, "corpus")]
    with building(
        out, kind="corpus", config={"sample_chars": chars}, inputs=inputs, resumes=False
    ) as build:
        if not build.finished:
            records = _drawn(_records(parts), chars) if chars else _records(parts)
            build.counts.update(_write_documents(build, records))
            if not build.counts["kept"]:
                raise UserError(f"{', '.join(map(str, corpus))}: no document in it")
        return build.counts


def _drawn(records: Iterable[Record], chars: int) -> list[Record]:
    """Return the documents whose numbers are the smallest, as many as have `chars` characters.

    Only these are held in memory.
    """
    held: list[tuple[int, int, Record]] = []  # the largest number first
    total = 0
    for order, record in enumerate(records):
        heapq.heappush(held, (-_number(record["id"], "sample"), order, record))
        total += len(record["text"])
        while total - len(held[0][2]["text"]) >= chars:
            total -= len(heapq.heappop(held)[2]["text"])
    return [record for _, _, record in sorted(held, key=lambda one: one[1])]


def _records(parts: Sequence[Path]) -> Iterator[Record]:
    for path in parts:
        for _, record in json_lines(checked(path)):
            yield record


def _write_documents(build: Build, records: Iterable[Record]) -> dict[str, int]:
    counts = {"kept": 0, "characters": 0, "parts": 0}
    stream: TextIO | None = None
    n_chars = 0
    try:
        for record in records:
            if stream is None:
                stream = open_text(build.dir / part_name(counts["parts"], ".jsonl.zst"), "w")
                counts["parts"] += 1
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            counts["kept"] += 1
            counts["characters"] += len(record["text"])
            n_chars += len(record["text"])
            if n_chars >= PART_CHARS:
                stream.close()
                stream, n_chars = None, 0
    finally:
        if stream is not None:
            stream.close()
    return counts


def is_in(document: str, purpose: str, share: float) -> bool:
    """Say whether a document is one of a share, chosen by its id; purposes choose independently."""
    return _number(document, purpose) < share * 2**64


def _number(document: str, purpose: str) -> int:
    digest = hashlib.sha256(f"{purpose}\0{document}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8])


@dataclass(frozen=True, slots=True)
class Split:
    """A teacher's sentences, in two parts without a common document or text.

    Attributes:
        training: Sentences to learn from.
        held_out: Sentences to compare on.
        counts: documents, held_out_documents, held_out_sentences, repeated_sentences (in held-out
            documents, but also in the training ones: left out), incomplete_layers (left out of a
            sentence for a missing label), repaired_entities (sentences).
    """

    training: list[Sentence]
    held_out: list[Sentence]
    counts: dict[str, int]


def split(sentences: Path, *, held_out: float) -> Split:
    """Read a teacher's sentences and hold out a share of the documents.

    Args:
        sentences: Folder of kind "sentences".
        held_out: Share of the documents, between 0 and 1.

    Raises:
        UserError: Not such a folder, or too few documents for both parts.
    """
    sides: tuple[list[Sentence], list[Sentence]] = ([], [])
    documents: tuple[set[str], set[str]] = (set(), set())
    counts = dict.fromkeys(("incomplete_layers", "repaired_entities"), 0)
    for part in parts_of(sentences, "sentences"):
        for document, sentence in read_part(part):
            if sentence.words:
                side = is_in(document, "held out", held_out)
                documents[side].add(document)
                sides[side].append(_whole(sentence, counts))
    training, kept_back = sides
    known = {sentence.text for sentence in training}
    unseen = [sentence for sentence in kept_back if sentence.text not in known]
    if not (training and unseen):
        raise UserError(
            f"{sentences}: {len(documents[0])} documents to learn from, {len(documents[1])} held "
            "out: too few; give another --held-out, or a larger sample (--sample-chars, with "
            "another --teacher-dir)"
        )
    counts |= {
        "documents": len(documents[0] | documents[1]),
        "held_out_documents": len(documents[1]),
        "held_out_sentences": len(unseen),
        "repeated_sentences": len(kept_back) - len(unseen),
    }
    return Split(training, unseen, counts)


def _whole(sentence: Sentence, counts: dict[str, int]) -> Sentence:
    """Leave out layers with missing labels; make entities legal, for a CRF learns what it sees."""
    layers = {k: v for k, v in sentence.layers.items() if None not in v}
    counts["incomplete_layers"] += len(sentence.layers) - len(layers)
    if "ner" in layers:
        legal = repair([str(label) for label in layers["ner"]])
        counts["repaired_entities"] += legal != layers["ner"]
        layers["ner"] = legal
    return replace(sentence, layers=layers)


def without(examples: Sequence[Sentence], texts: Sequence[Sentence]) -> list[Sentence]:
    """Return the sentences whose text is not among those of others."""
    known = {sentence.text for sentence in texts}
    return [sentence for sentence in examples if sentence.text not in known]
