"""Counting folders: a sample of their parts, or all of them.

In: a finished folder of kind "corpus", "sentences" or "shards", and a vocabulary where pieces of
text are to be counted. Out: a `Tally` and how much was read. Columns are counted, not sentences,
and one block is in memory at a time.

    tally, read = count(folder, everything=False, tokenizer=None)
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.store import read_batches
from hanmo.annotate.tagsets import MISSING, TAGSETS
from hanmo.core.artifact import Manifest, read_manifest
from hanmo.core.log import Progress
from hanmo.core.parts import parts_of
from hanmo.data.documents import Documents
from hanmo.data.shard_file import let_go
from hanmo.data.shards import KIND as SHARDS
from hanmo.data.shards import ShardSet
from hanmo.inspection.folders import CORPUS, SENTENCES, corpus_texts
from hanmo.inspection.shard_documents import BLOCK
from hanmo.inspection.tally import TOO_LONG, Tally
from hanmo.text.sentences import split_sentences
from hanmo.text.tokenizer import Tokenizer

SAMPLE = 16  # parts, or blocks of about a million pieces, that are read unless all are asked for
_TEXTS = 256  # documents of a corpus encoded at a time


@dataclass(frozen=True, slots=True)
class Read:
    """How much of a folder was counted.

    Attributes:
        units: "parts" or "blocks of documents".
        read: How many of them were read.
        of: How many there are.
        share: Share of the folder's characters or pieces that was read.
    """

    units: str
    read: int
    of: int
    share: float


def count(folder: Path, *, everything: bool, tokenizer: Tokenizer | None) -> tuple[Tally, Read]:
    """Count a folder.

    Args:
        folder: Of kind "corpus", "sentences" or "shards".
        everything: All of it; else `SAMPLE` parts that lie evenly in it.
        tokenizer: To count the pieces of text; shards have theirs.

    Raises:
        UserError: another kind of folder, or a damaged part.
    """
    manifest = read_manifest(folder, (CORPUS, SENTENCES, SHARDS))
    if manifest.kind == SHARDS:
        return _count_shards(folder, manifest, everything)
    tally = Tally.of("characters")
    parts = parts_of(folder, manifest.kind)
    add = _add_corpus if manifest.kind == CORPUS else _add_sentences
    steps = [partial(add, tally, part, tokenizer) for part in parts]
    n_read = _counted(steps, everything, "parts")
    total = manifest.counts.get("characters", 0)
    # A corpus counts characters before they are normalised.
    share = min(1.0, tally.counts["characters"] / total) if total and n_read < len(parts) else 1.0
    return tally, Read("parts", n_read, len(parts), share)


def evenly(n: int, wanted: int) -> list[int]:
    """Return up to `wanted` of the numbers 0 … n - 1, as evenly as can be."""
    if wanted >= n:
        return list(range(n))
    return [(2 * i + 1) * n // (2 * wanted) for i in range(wanted)]


def _counted(steps: Sequence[Callable[[], None]], everything: bool, unit: str) -> int:
    chosen = evenly(len(steps), len(steps) if everything else SAMPLE)
    with Progress("count", len(chosen), unit) as bar:
        for number in chosen:
            steps[number]()
            bar.advance()
    return len(chosen)


def _add_sentences(tally: Tally, path: Path, tokenizer: Tokenizer | None) -> None:
    import pyarrow.compute as pc

    sizes: list[NDArray[np.int64]] = []
    same: list[NDArray[np.bool_]] = []
    last = ""
    for batch in read_batches(path, ["doc_id", "text", "words", *TAGSETS]):
        characters = pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False)
        words = batch.column("words").flatten()
        tally.counts.update(
            sentences=len(batch), words=len(words), characters=int(characters.sum())
        )
        tally.lengths["word"].add(pc.utf8_length(words).to_numpy(zero_copy_only=False))
        tally.lengths["sentence"].add(characters)
        for layer in TAGSETS:
            labels = batch.column(layer)
            if labels.null_count < len(labels):
                counted = pc.value_counts(labels.flatten()).to_pylist()
                tally.add_labels(layer, [(one["values"], one["counts"]) for one in counted])
        names = batch.column("doc_id").to_pylist()
        sizes.append(characters)
        same.append(np.array([one == two for one, two in zip(names, [last, *names], strict=False)]))
        last = names[-1] if names else last
        if tokenizer is not None:
            _add_pieces(tally, batch.column("text").to_pylist(), tokenizer)
    if sizes:
        starts = np.flatnonzero(~np.concatenate([[False], np.concatenate(same)[1:]]))
        lengths = np.add.reduceat(np.concatenate(sizes), starts)
        tally.counts["documents"] += len(lengths)
        tally.lengths["document"].add(lengths)


def _add_corpus(tally: Tally, path: Path, tokenizer: Tokenizer | None) -> None:
    waiting: list[str] = []
    for _, text in corpus_texts(path):
        spans = split_sentences(text)
        sizes = np.array([end - start for start, end in spans], dtype=np.int64)
        tally.counts.update(documents=1, sentences=len(spans), characters=len(text))
        tally.lengths["sentence"].add(sizes)
        tally.lengths["document"].add(np.array([len(text)]))
        if tokenizer is not None:
            waiting += [text[start:end] for start, end in spans]
            if len(waiting) >= _TEXTS:
                _add_pieces(tally, waiting, tokenizer)
                waiting = []
    if tokenizer is not None and waiting:
        _add_pieces(tally, waiting, tokenizer)


def _add_pieces(tally: Tally, texts: Sequence[str], tokenizer: Tokenizer) -> None:
    encodings = tokenizer.encode_batch(texts)
    ids = np.concatenate([encoding.ids for encoding in encodings])
    _add_ids(tally, ids, tokenizer)
    for text, encoding in zip(texts, encodings, strict=True):
        for start, end in encoding.spans[encoding.ids == tokenizer.unk_id].tolist():
            tally.unknown.update(_guilty(tokenizer, text[start:end]))


def _guilty(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return the characters for which a text has become [UNK]."""
    if len(text) == 1:
        return [text]
    return [c for c in dict.fromkeys(text) if _is_unknown(tokenizer, c)] or [TOO_LONG]


@lru_cache(maxsize=1 << 16)
def _is_unknown(tokenizer: Tokenizer, character: str) -> bool:
    """Whether a character is a piece neither at the beginning of a word nor inside one."""
    split = unicodedata.normalize("NFD", character.lower())
    plain = "".join(one for one in split if unicodedata.category(one) != "Mn")
    alone = tokenizer.unk_id in tokenizer.encode(character).ids
    return alone and f"##{plain}" not in tokenizer.id_of


def _add_ids(tally: Tally, ids: NDArray[Any], tokenizer: Tokenizer) -> None:
    seen = np.bincount(ids, minlength=tokenizer.size)
    tally.counts.update(
        pieces=len(ids),
        unknown_pieces=int(seen[tokenizer.unk_id]),
        continued_pieces=int(seen[_continued(tokenizer)].sum()),
    )


@lru_cache(maxsize=4)
def _continued(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Bool [V], the pieces that go on with a word."""
    return np.array([piece.startswith("##") and len(piece) > 2 for piece in tokenizer.vocab])


def _count_shards(folder: Path, manifest: Manifest, everything: bool) -> tuple[Tally, Read]:
    shards, tokenizer = ShardSet.open(folder, verify=False), Tokenizer.load(folder)
    tally = Tally.of("pieces")
    by_piece = {"ner"} if manifest.config.get("ner_level") == "char" else set()
    layers = {layer: (names, layer in by_piece) for layer, names in shards.layers.items()}
    if any(counted_by_piece for _, counted_by_piece in layers.values()):
        tally.notes.append("entity labels are counted by piece (--ner-level char), others by word")
    tally.notes.append(
        "shards do not tell which characters became [UNK]: hanmo inspect "
        f"{manifest.config.get('sentences', 'SENTENCES')} --vocab {folder}"
    )
    steps = [
        partial(_add_block, tally, part, number, tokenizer=tokenizer, layers=layers)
        for part in shards.shards
        for number in range(-(-len(part.ids) // BLOCK))
    ]
    n_read = _counted(steps, everything, "blocks")
    share = tally.counts["pieces"] / max(1, shards.n_pieces)
    return tally, Read("blocks of documents", n_read, len(steps), share)


def _add_block(
    tally: Tally,
    part: Documents,
    number: int,
    *,
    tokenizer: Tokenizer,
    layers: Mapping[str, tuple[tuple[str, ...], bool]],
) -> None:
    """Count the documents that begin in block `number` of a shard.

    Args:
        tally: Where to count.
        part: The shard.
        number: Of the block; there may be no document in it.
        tokenizer: The vocabulary.
        layers: Layer → its labels, and whether they are counted by piece and not by word.
    """
    bounds = (number * BLOCK, (number + 1) * BLOCK)
    start, stop = np.searchsorted(part.piece_offsets[:-1], bounds).tolist()
    if start == stop:
        return
    here = part.cut(start, stop)
    starts = np.flatnonzero(here.word_starts)
    tally.counts.update(
        documents=stop - start, sentences=len(here.sentence_starts) - 1, words=len(starts)
    )
    _add_ids(tally, here.ids, tokenizer)
    tally.lengths["word"].add(np.diff(starts, append=len(here.ids)))
    tally.lengths["sentence"].add(np.diff(here.sentence_starts))
    tally.lengths["document"].add(np.diff(here.piece_offsets))
    for layer, (names, by_piece) in layers.items():
        labels = here.layers[layer] if by_piece else here.layers[layer][starts]
        seen = np.bincount(labels.astype(np.int64) - MISSING, minlength=len(names) + 1).tolist()
        tally.add_labels(layer, zip([None, *names], seen, strict=True))
    let_go(part.ids)
