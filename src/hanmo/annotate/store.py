"""Parts of a sentences folder: Parquet files that a person can open.

In and out: pairs (document id, `Sentence`), one row each; rows of one document stand together.
Columns: doc_id string, text string, words list<string>, starts list<int32>, and one list<string>
per layer of `TAGSETS`, null where the sentence does not have the layer. The same rows always give
the same bytes.

Example: ``write_part(Path("part-00000.parquet"), [("news-1", sentence)])``
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import remote
from hanmo.core.artifact import checked
from hanmo.core.errors import UserError
from hanmo.core.files import replacing

ROW_GROUP = 4096  # rows in memory at a time
LAYERS = tuple(TAGSETS)


def write_part(path: Path, rows: Iterable[tuple[str, Sentence]]) -> int:
    """Write one part under a temporary name and rename it into place.

    Args:
        path: The file to make.
        rows: Document ids and sentences.

    Returns:
        The number of rows.
    """
    from pyarrow import Table

    n_rows, source = 0, iter(rows)
    with writing(path) as writer:
        while group := [sentence.to_row(key) for key, sentence in islice(source, ROW_GROUP)]:
            writer.write_table(Table.from_pylist(group, schema=schema()))
            n_rows += len(group)
    return n_rows


@contextmanager
def writing(path: Path) -> Iterator[Any]:
    """Give pyarrow's writer of a part that gets its name when all of it is on the disk."""
    from pyarrow import parquet

    with (
        replacing(path) as temporary,
        parquet.ParquetWriter(temporary, schema(), compression="zstd") as writer,
    ):
        yield writer


def read_part(path: Path) -> Iterator[tuple[str, Sentence]]:
    """Yield document ids and sentences.

    Raises:
        UserError: The file is absent, damaged, not the one that its folder's manifest names, or
            lacks a column.
    """
    for batch in read_batches(path):
        for row in batch.to_pylist():
            yield Sentence.from_row(row)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield record batches of at most `ROW_GROUP` rows, for who counts columns and not sentences.

    Args:
        path: One part.
        columns: Names of the columns to read; default: all.

    Raises:
        UserError: As `read_part`.
    """
    with open_part(path) as table:
        yield from table.iter_batches(batch_size=ROW_GROUP, columns=columns)


@contextmanager
def open_part(path: Path, **options: Any) -> Iterator[Any]:
    """Open a part as pyarrow's `ParquetFile`; damage that is met while it is read is explained.

    Args:
        path: The part.
        options: Of `ParquetFile`.

    Raises:
        UserError: As `read_part`.
    """
    import pyarrow
    from pyarrow import parquet

    if not remote.is_file(path):
        raise UserError(f"{path}: no such file")
    try:
        with parquet.ParquetFile(checked(path), **options) as table:
            missing = [name for name in schema().names if name not in table.schema_arrow.names]
            if missing:
                raise UserError(f"{path}: no column {missing[0]!r}; expected a part of sentences")
            yield table
    except (pyarrow.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's: a full disk, say
            raise
        raise UserError(f"{path}: damaged Parquet file ({error}); make the folder again") from None


def schema() -> Any:
    """Return the columns of a part, as pyarrow has them."""
    import pyarrow as pa

    layers = [(layer, pa.list_(pa.string())) for layer in LAYERS]
    words = [("words", pa.list_(pa.string())), ("starts", pa.list_(pa.int32()))]
    return pa.schema([("doc_id", pa.string()), ("text", pa.string()), *words, *layers])
