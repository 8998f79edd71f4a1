"""Annotated sentences and a vocabulary → ids, word starts and label ids by piece.

In: rows (document id, `Sentence`), the rows of one document one after another. Out: `Documents`
and counts. A word's label goes to all its pieces, as in the figure of LERT (arXiv 2211.05344); a
piece of no word, or of a word that shares a piece with another, is a word of its own without
labels.

`ner_level` settles what LERT leaves open: "word" copies the word's label (哈尔滨 S-Ns → S-Ns S-Ns
S-Ns, which fits the order of the released tags), "char" spreads the entity over its pieces (B-Ns
I-Ns E-Ns, as the figure has it).

    documents, counts = encode_documents(rows, tokenizer, ner_level="word")
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.columns import Columns, Row, blocks_of
from hanmo.annotate.tagsets import MISSING, TAGSETS
from hanmo.data.documents import Documents, nothing
from hanmo.text.align import align_words
from hanmo.text.tokenizer import Tokenizer

NerLevel: TypeAlias = Literal["word", "char"]
IntArray: TypeAlias = NDArray[np.int64]

_ENTITIES = "ner"  # the layer whose labels say where in an entity they stand (B, I, E, S)


def encode_documents(
    rows: Iterable[Row], tokenizer: Tokenizer, *, ner_level: NerLevel = "word"
) -> tuple[Documents, Counter[str]]:
    """Encode documents.

    Args:
        rows: document id and sentence; a document ends where the id changes.
        tokenizer: makes the pieces; its spans are what words are compared with.
        ner_level: what entity labels refer to, words or pieces.

    Returns:
        The documents (sentences without pieces, and documents without sentences, are left out),
        and counts: documents, sentences, empty_sentences, empty_documents where there are any,
        words, unaligned_words, pieces, unknown_pieces, and for each layer the words that have a
        label (labels_pos, …).

    Raises:
        UserError: a label that is not in its tag set, words outside their text, or labels that
            are not as many as the words.
    """
    return encode_columns(blocks_of(rows), tokenizer, ner_level=ner_level)


def encode_columns(
    blocks: Iterable[Columns], tokenizer: Tokenizer, *, ner_level: NerLevel = "word"
) -> tuple[Documents, Counter[str]]:
    """Encode documents whose sentences come in blocks; a document may go over several.

    Args and results as `encode_documents`.
    """
    counts: Counter[str] = Counter()
    parts: list[_Encoded] = []
    document, last = 0, None
    for block in blocks:
        if not len(block.texts):
            continue
        document += last is not None and block.documents[0] != last
        numbers = document + np.cumsum(block.changes)
        document, last = int(numbers[-1]), block.documents[-1]
        parts.append(_encode_block(block, numbers, tokenizer, ner_level, counts))
    if not parts:
        return nothing(), Counter(dict.fromkeys(("documents", "sentences", "pieces"), 0))
    found = {name for part in parts for name in part.layers}
    starts = _starts(
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.lengths for part in parts]),
    )
    layers = {
        name: np.concatenate([part.labels(name) for part in parts])
        for name in TAGSETS
        if name in found
    }
    ids, word_starts = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "word_starts")
    )
    documents = Documents(ids, word_starts, *starts, layers)
    counts["documents"] = len(documents.document_starts) - 1
    if empty := document + 1 - counts["documents"]:
        counts["empty_documents"] = empty
    counts["sentences"] = len(documents.sentence_starts) - 1
    counts["pieces"] = len(documents.ids)
    return documents, counts


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A block of sentences: pieces one after another, and for each sentence document and length."""

    ids: NDArray[Any]
    word_starts: NDArray[np.uint8]
    layers: dict[str, NDArray[np.int8]]
    documents: IntArray
    lengths: IntArray

    def labels(self, name: str) -> NDArray[np.int8]:
        return self.layers.get(name, np.full(len(self.ids), MISSING, dtype=np.int8))


def _encode_block(
    block: Columns,
    documents: IntArray,
    tokenizer: Tokenizer,
    ner_level: NerLevel,
    counts: Counter[str],
) -> _Encoded:
    """Encode sentences at once: their texts are thought of as one long text."""
    rows, shifts, lengths = tokenizer.encode_joined(block.texts)
    ids, pieces = rows[:, 0], rows[:, 1:]
    words = block.words + np.repeat(shifts, block.n_words)[:, None]
    alignment = align_words(words, pieces)
    word_starts = _word_starts(alignment.piece_words)
    layers: dict[str, NDArray[np.int8]] = {}
    for name, labels in block.layers.items():
        counts[f"labels_{name}"] += int((labels != MISSING).sum())
        # Pieces of word -1, of no word, take the label that is appended.
        layers[name] = np.append(labels, np.int8(MISSING))[alignment.piece_words]
    if ner_level == "char" and _ENTITIES in layers:
        layers[_ENTITIES] = spread_entities(layers[_ENTITIES], word_starts)
    counts["words"] += len(words)
    counts["unaligned_words"] += alignment.n_unaligned
    counts["unknown_pieces"] += int((ids == tokenizer.unk_id).sum())
    counts["empty_sentences"] += int((lengths == 0).sum())
    id_dtype = np.uint16 if tokenizer.size < 1 << 16 else np.uint32
    return _Encoded(ids.astype(id_dtype), word_starts.astype(np.uint8), layers, documents, lengths)


def spread_entities(labels: NDArray[np.int8], word_starts: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Turn entity labels of words into entity labels of pieces.

    The first piece of an entity gets B, its last E, those between I, an only piece S: S-Ns over
    three pieces becomes B-Ns I-Ns E-Ns, B-Ni over two becomes B-Ni I-Ni.

    Args:
        labels: int8 [n], the label id of each piece's word, -1 where it is missing.
        word_starts: bool [n].

    Returns:
        int8 [n].
    """
    word_ends = np.append(word_starts[1:], True)
    return _entity_table()[labels, word_starts.astype(np.int8), word_ends.astype(np.int8)]


def _entity_table() -> NDArray[np.int8]:
    """int8 [labels + 1, first piece, last piece] → label id; row -1 is the missing label."""
    tags = TAGSETS[_ENTITIES]
    table = np.full((len(tags) + 1, 2, 2), MISSING, dtype=np.int8)
    for number, tag in enumerate(tags):
        place, _, kind = tag.partition("-")
        for first in (0, 1):
            for last in (0, 1):
                begins = first and place in "SB"
                ends = last and place in "SE"
                new = ("S" if ends else "B") if begins else ("E" if ends else "I")
                table[number, first, last] = tags.index(f"{new}-{kind}") if kind else number
    return table


def _word_starts(piece_words: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the pieces whose word is not the word of the piece before, or that have no word."""
    starts = np.ones(len(piece_words), dtype=np.bool_)
    starts[1:] = (piece_words[1:] != piece_words[:-1]) | (piece_words[1:] == MISSING)
    return starts


def _starts(documents: IntArray, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Sentence starts and document starts, without empty sentences and documents."""
    kept = lengths > 0
    sentence_starts = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
    _, sizes = np.unique(documents[kept], return_counts=True)
    document_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return sentence_starts, document_starts
