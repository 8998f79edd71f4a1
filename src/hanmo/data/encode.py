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
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.tagsets import MISSING, TAGSETS, label_ids
from hanmo.data.documents import Documents, join, nothing
from hanmo.text.align import align_words
from hanmo.text.tokenizer import Tokenizer

NerLevel: TypeAlias = Literal["word", "char"]
Row: TypeAlias = tuple[str, Sentence]
IntArray: TypeAlias = NDArray[np.int64]

BLOCK = 2048  # sentences encoded at once, and the rest of the last one's document
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
        and counts: documents, sentences, empty_sentences, words, unaligned_words, pieces,
        unknown_pieces, and for each layer the words that have a label (labels_pos, …).

    Raises:
        UserError: a label that is not in its tag set, words outside their text, or labels that
            are not as many as the words.
    """
    parts: list[Documents] = []
    counts: Counter[str] = Counter()
    for block in _blocks(rows):
        parts.append(_encode_block(block, tokenizer, ner_level, counts))
    found = {name for part in parts for name in part.layers}
    documents = join(parts or [nothing()], [name for name in TAGSETS if name in found])
    counts["documents"] = len(documents.document_starts) - 1
    counts["sentences"] = len(documents.sentence_starts) - 1
    counts["pieces"] = len(documents.ids)
    return documents, counts


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Group rows into blocks of whole documents."""
    block: list[Row] = []
    for row in rows:
        if len(block) >= BLOCK and row[0] != block[-1][0]:
            yield block
            block = []
        block.append(row)
    if block:
        yield block


def _encode_block(
    block: Sequence[Row], tokenizer: Tokenizer, ner_level: NerLevel, counts: Counter[str]
) -> Documents:
    """Encode whole documents at once: their texts are thought of as one long text."""
    _check(block)
    sentences = [sentence for _, sentence in block]
    encodings = tokenizer.encode_batch([sentence.text for sentence in sentences])
    ids = np.concatenate([encoding.ids for encoding in encodings])
    lengths = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
    n_words = np.array([len(sentence.words) for sentence in sentences], dtype=np.int64)
    shifts = np.cumsum([0, *(len(sentence.text) for sentence in sentences)])[:-1]
    pieces = np.concatenate([encoding.spans for encoding in encodings]).astype(np.int64)
    pieces += np.repeat(shifts, lengths)[:, None]
    words = _word_spans(sentences) + np.repeat(shifts, n_words)[:, None]
    alignment = align_words(words, pieces)
    word_starts = _word_starts(alignment.piece_words)
    layers: dict[str, NDArray[np.int8]] = {}
    for name in TAGSETS:
        if any(name in sentence.layers for sentence in sentences):
            labels = _word_labels(name, sentences)
            counts[f"labels_{name}"] += int((labels != MISSING).sum())
            # Pieces of word -1, of no word, take the label that is appended.
            layers[name] = np.append(labels, np.int8(MISSING))[alignment.piece_words]
    if ner_level == "char" and _ENTITIES in layers:
        layers[_ENTITIES] = spread_entities(layers[_ENTITIES], word_starts)
    counts["words"] += len(words)
    counts["unaligned_words"] += alignment.n_unaligned
    counts["unknown_pieces"] += int((ids == tokenizer.unk_id).sum())
    counts["empty_sentences"] += int((lengths == 0).sum())
    starts = _starts([name for name, _ in block], lengths)
    id_dtype = np.uint16 if tokenizer.size < 1 << 16 else np.uint32
    return Documents(ids.astype(id_dtype), word_starts.astype(np.uint8), *starts, layers)


def _check(block: Sequence[Row]) -> None:
    """Refuse what would shift the labels of a whole block: lengths and ends that do not fit."""
    for name, sentence in block:
        n = len(sentence.words)
        end = sentence.words[-1][1] if n else 0
        if end > len(sentence.text) or any(len(x) != n for x in sentence.layers.values()):
            sentence.validate(f"document {name}")


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


def _word_spans(sentences: Sequence[Sentence]) -> IntArray:
    numbers = chain.from_iterable(chain.from_iterable(one.words for one in sentences))
    return np.fromiter(numbers, dtype=np.int64).reshape(-1, 2)


def _word_labels(name: str, sentences: Sequence[Sentence]) -> NDArray[np.int8]:
    """int8 [W], the label ids of all words, -1 where a sentence has no such layer."""
    return np.asarray(
        label_ids(
            name,
            chain.from_iterable(
                one.layers[name] if name in one.layers else (None,) * len(one.words)
                for one in sentences
            ),
        ),
        dtype=np.int8,
    )


def _word_starts(piece_words: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the pieces whose word is not the word of the piece before, or that have no word."""
    starts = np.ones(len(piece_words), dtype=np.bool_)
    starts[1:] = (piece_words[1:] != piece_words[:-1]) | (piece_words[1:] == MISSING)
    return starts


def _starts(names: Sequence[str], lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Sentence starts and document starts, without empty sentences and documents."""
    changes = [False, *(one != two for one, two in pairwise(names))]
    documents = np.cumsum(np.array(changes, dtype=np.int64))
    kept = lengths > 0
    sentence_starts = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
    _, sizes = np.unique(documents[kept], return_counts=True)
    document_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return sentence_starts, document_starts
