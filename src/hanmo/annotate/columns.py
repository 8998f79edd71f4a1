"""Many sentences as flat arrays: what the encoder reads, without an object for every word.

In: rows (document id, `Sentence`), or batches of a part's Parquet file. Out: `Columns`. A part is
read some ten times as fast as by rows, because labels stay the numbers that the file keeps them as.

    for columns in read_columns(Path("work/sentences/part-00000.parquet")): ...
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import LAYERS, open_part
from hanmo.annotate.tagsets import MISSING, TAGSETS, label_ids

BLOCK = 4096  # sentences at once
_LISTED = ("words", *LAYERS)
Row = tuple[str, Sentence]


@dataclass(frozen=True, slots=True)
class Columns:
    """S sentences with W words, one after another.

    Attributes:
        texts: S texts.
        documents: S document ids.
        n_words: int64 [S].
        words: int64 [W, 2], character spans in their sentence.
        layers: layer → int8 [W], label ids, -1 where one is missing; only layers that a sentence
            of these has.
    """

    texts: Sequence[str]
    documents: Sequence[str]
    n_words: NDArray[np.int64]
    words: NDArray[np.int64]
    layers: Mapping[str, NDArray[np.int8]]

    @property
    def changes(self) -> NDArray[np.bool_]:
        """Bool [S], whether the document of a sentence is not that of the one before."""
        return np.array([False, *(one != two for one, two in pairwise(self.documents))], np.bool_)


def columns_of(rows: Sequence[Row]) -> Columns:
    """Turn rows into columns.

    Raises:
        UserError: a label that is not in its tag set, words outside their text, or labels that are
            not as many as the words.
    """
    sentences = [sentence for _, sentence in rows]
    for name, sentence in rows:
        n = len(sentence.words)
        end = sentence.words[-1][1] if n else 0
        if end > len(sentence.text) or any(len(x) != n for x in sentence.layers.values()):
            sentence.validate(f"document {name}")
    numbers = chain.from_iterable(chain.from_iterable(one.words for one in sentences))
    return Columns(
        [sentence.text for sentence in sentences],
        [name for name, _ in rows],
        np.array([len(sentence.words) for sentence in sentences], dtype=np.int64),
        np.fromiter(numbers, dtype=np.int64).reshape(-1, 2),
        {
            name: label_ids(name, chain.from_iterable(_labels(name, one) for one in sentences))
            for name in TAGSETS
            if any(name in sentence.layers for sentence in sentences)
        },
    )


def _labels(layer: str, sentence: Sentence) -> Sequence[str | None]:
    labels = sentence.layers.get(layer)
    return (None,) * len(sentence.words) if labels is None else labels


def blocks_of(rows: Iterable[Row]) -> Iterator[Columns]:
    """Turn any number of rows into columns, a block at a time."""
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            yield columns_of(block)
            block = []
    if block:
        yield columns_of(block)


def read_columns(path: Path) -> Iterator[Columns]:
    """Yield the sentences of a part of a sentences folder, a block at a time.

    Raises:
        UserError: as `hanmo.annotate.store.read_part`, and what `columns_of` raises.
    """
    dictionaries = [f"{name}.list.element" for name in _LISTED]
    with open_part(path, read_dictionary=[*dictionaries, "doc_id"]) as table:
        for batch in table.iter_batches(batch_size=BLOCK):
            yield _columns(batch)


def _columns(batch: Any) -> Columns:
    """Turn a batch of rows of a part into columns."""
    texts = batch.column("text").to_pylist()
    n_words = _lengths(batch.column("words"))
    starts = np.asarray(batch.column("starts").flatten(), dtype=np.int64)
    lengths = _through(batch.column("words").flatten(), lambda words: [len(x) for x in words])
    same = len(starts) == len(lengths) and (_lengths(batch.column("starts")) == n_words).all()
    layers = {}
    for name in LAYERS:
        column = batch.column(name)
        if column.null_count < len(column):
            layers[name] = _layer(name, column, n_words)
            same = same and layers[name] is not None
    ends = starts + lengths if same else starts
    found = Columns(
        texts,
        batch.column("doc_id").to_pylist(),
        n_words,
        np.stack([starts, ends], axis=1),
        {name: ids for name, ids in layers.items() if ids is not None},
    )
    if not same or _outside(found):
        return columns_of([Sentence.from_row(row) for row in batch.to_pylist()])  # says what
    return found


def _outside(columns: Columns) -> bool:
    """Whether a word ends behind its text."""
    has_words = columns.n_words > 0
    last = np.cumsum(columns.n_words)[has_words] - 1
    lengths = np.fromiter(map(len, columns.texts), dtype=np.int64, count=len(columns.texts))
    return bool((columns.words[last, 1] > lengths[has_words]).any())


def _lengths(column: Any) -> NDArray[np.int64]:
    """int64 [S], items of each list; 0 where it is null."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)


def _through(items: Any, values: Any) -> NDArray[np.int64]:
    """Map a dictionary array by a function of its dictionary; -1 for null."""
    table = np.array([*values(items.dictionary.to_pylist()), MISSING], dtype=np.int64)
    return table[np.asarray(items.indices.fill_null(len(table) - 1))]


def _layer(name: str, column: Any, n_words: NDArray[np.int64]) -> NDArray[np.int8] | None:
    """int8 [W]; None where a sentence has not as many labels as words."""
    present = np.asarray(column.is_valid())
    if (_lengths(column)[present] != n_words[present]).any():
        return None
    found = _through(column.flatten(), lambda labels: label_ids(name, labels)).astype(np.int8)
    if present.all():
        return found
    ids = np.full(int(n_words.sum()), MISSING, dtype=np.int8)
    ids[np.repeat(present, n_words)] = found
    return ids
