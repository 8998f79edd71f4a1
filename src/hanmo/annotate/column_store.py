"""Parts of a sentences folder, read and written as columns: no object for every word.

The bytes are those of `hanmo.annotate.store.write_part` for the same sentences. Reading is some ten
times as fast as by rows, because labels stay the numbers that the file keeps them as.

    for columns in read_columns(Path("work/sentences/part-00000.parquet")): ...
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate import columns as in_memory
from hanmo.annotate.columns import Columns, columns_of
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import LAYERS, open_part, schema, writing
from hanmo.annotate.tagsets import MISSING, TAGSETS, label_ids

_LISTED = ("words", *LAYERS)


def write_columns(path: Path, blocks: Iterable[Columns]) -> None:
    """Write one part, a row group a block, under a temporary name and rename it into place."""
    with writing(path) as writer:
        for block in blocks:
            writer.write_table(_table(block))


def _table(block: Columns) -> Any:
    """Turn columns into a table of Arrow."""
    import pyarrow as pa

    offsets = pa.array(np.cumsum([0, *block.n_words]), pa.int32())

    def listed(values: Any) -> Any:
        return pa.ListArray.from_arrays(offsets, values)

    arrays = [
        pa.array(block.documents, pa.string()),
        pa.array(block.texts, pa.string()),
        listed(_forms(block)),
        listed(pa.array(block.words[:, 0], pa.int32())),
    ]
    for layer in LAYERS:
        if layer not in block.layers:
            arrays.append(pa.nulls(len(block.texts), pa.list_(pa.string())))
            continue
        ids = block.layers[layer]
        numbers = pa.array(ids, pa.int32(), mask=ids == MISSING)
        arrays.append(listed(pa.array(TAGSETS[layer], pa.string()).take(numbers)))
    return pa.Table.from_arrays(arrays, schema=schema())


def _forms(block: Columns) -> Any:
    """Cut the words out of the texts, in UTF-8."""
    import pyarrow as pa

    text = "".join(block.texts).encode()
    codes = np.frombuffer(text, dtype=np.uint8)
    begins = np.append(np.flatnonzero((codes & 0xC0) != 0x80), len(text))  # byte of each character
    places = begins[block.placed()]
    sizes = places[:, 1] - places[:, 0]
    # Most words touch: copy the stretches between gaps, not every word.
    is_gap = places[1:, 0] != places[:-1, 1]
    firsts = np.append(places[:1, 0], places[1:, 0][is_gap]).tolist()
    lasts = np.append(places[:-1, 1][is_gap], places[-1:, 1]).tolist()
    inside = b"".join([text[start:end] for start, end in zip(firsts, lasts, strict=True)])
    ends = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(inside)]
    return pa.Array.from_buffers(pa.string(), len(sizes), buffers)


def read_columns(path: Path) -> Iterator[Columns]:
    """Yield the sentences of a part of a sentences folder, a block at a time.

    Raises:
        UserError: as `hanmo.annotate.store.read_part`, and what `columns_of` raises.
    """
    dictionaries = [f"{name}.list.element" for name in _LISTED]
    with open_part(path, read_dictionary=[*dictionaries, "doc_id"]) as table:
        for batch in table.iter_batches(batch_size=in_memory.BLOCK):
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
        _unpacked(batch.column("doc_id")),
        n_words,
        np.stack([starts, ends], axis=1),
        {name: ids for name, ids in layers.items() if ids is not None},
    )
    if not same or _outside(found):
        return columns_of([Sentence.from_row(row) for row in batch.to_pylist()])  # says what
    return found


def _unpacked(column: Any) -> list[str]:
    """Return the strings of a dictionary array: Arrow itself makes each of them anew."""
    if column.null_count:
        return list(column.to_pylist())
    names = column.dictionary.to_pylist()
    return [names[number] for number in np.asarray(column.indices).tolist()]


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


def _through(items: Any, values: Callable[[list[Any]], Iterable[int]]) -> NDArray[np.int64]:
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
