"""Parquet: a row a document, with a column for the text and perhaps one for the id.

Own code: datatrove's reader passes over rows without text and does not say which row is wrong.
Row groups are read one by one, so that a damaged one leaves the others readable.

    list(read(Path("a.parquet"), ReadOptions(text_key="body")))
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.corpus.reading import Item, ReadOptions, Unreadable, missing_key, row_of

SUFFIXES = (".parquet",)
ENCODED = False  # says its encoding itself
PACKED = False  # compresses its own columns; nothing stands behind the suffix
_BATCH = 1024


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document for each row; the rest of a damaged row group is unreadable."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise UserError(f"{path}: not a Parquet file ({_short(error)})") from None
    with table:
        columns = _columns(table.schema_arrow, options, path)
        begin = 0
        for group in range(table.num_row_groups):
            n_rows = table.metadata.row_group(group).num_rows
            yield from _group(table, group, columns, options, (path, begin, n_rows))
            begin += n_rows


def _group(
    table: Any, group: int, columns: list[str], options: ReadOptions, place: tuple[Path, int, int]
) -> Iterator[Item]:
    import pyarrow

    path, begin, n_rows = place
    row = begin
    try:
        batches = table.iter_batches(batch_size=_BATCH, row_groups=[group], columns=columns)
        for batch in batches:
            for record in _records(batch):
                row += 1
                where = f"{path}: row {row}"
                if isinstance(record, UnicodeDecodeError):
                    yield Unreadable(UserError(f"{where}: not UTF-8: byte {record.start} of it"))
                else:
                    yield row_of(record, options, where)
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        missing = begin + n_rows - row
        yield Unreadable(
            UserError(
                f"{path}: damaged after row {row} ({_short(error)}): {missing:,} rows of row group "
                f"{group} are lost; fetch or make the file again"
            ),
            missing,
        )


def _records(batch: Any) -> list[dict[str, Any] | UnicodeDecodeError]:
    """Return the rows of a batch; instead of one that is not UTF-8, the error."""
    try:
        rows: list[dict[str, Any] | UnicodeDecodeError] = batch.to_pylist()
    except UnicodeDecodeError:
        rows = [_record(batch.slice(row, 1)) for row in range(batch.num_rows)]
    return rows


def _record(row: Any) -> dict[str, Any] | UnicodeDecodeError:
    try:
        record: dict[str, Any] = row.to_pylist()[0]
    except UnicodeDecodeError as error:
        return error
    return record


def _columns(schema: Any, options: ReadOptions, path: Path) -> list[str]:
    keys = {"--text-key": options.text_key, "--id-key": options.id_key}
    for flag, key in keys.items():
        if key is None:
            continue
        if key not in schema.names:
            raise missing_key(f"{path}", key, schema.names, flag)
        kind = schema.field(key).type
        if not _fits(kind, is_id=flag == "--id-key"):
            raise UserError(
                f"{path}: column {key!r} holds {kind}, expected strings; name another one with "
                f"{flag}"
            )
    return [key for key in keys.values() if key is not None]


def _fits(kind: Any, *, is_id: bool) -> bool:
    """Whether a column of this type may hold texts, or ids; one of nulls is told row by row."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(is_text or types.is_null(kind) or (is_id and types.is_integer(kind)))


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
