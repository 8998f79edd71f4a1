r"""Rows of a dataset's file: tab-separated, comma-separated, or JSON lines, plain or compressed.

In: a file and field → column. Out: (line number, field → text); a field that may be absent and is
gives None, a blank line gives no fields at all. A TSV is raw: a quotation mark is ordinary text
(Chinese reviews are full of lone ones) unless it is said to be quoted. A CSV is RFC 4180.

    read_rows(Path("train.tsv.xz"), reader="tsv", columns={"label": "label", "text_a": "text_a"})
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hanmo.core.errors import UserError, nearest
from hanmo.core.files import format_suffix, json_lines, read_lines

Columns: TypeAlias = Mapping[str, str | int]
Row: TypeAlias = tuple[int, dict[str, str | None]]
Cells: TypeAlias = Iterable[tuple[int, list[str]]]

_SUFFIXES = {".tsv": "tsv", ".txt": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl"}


def read_rows(
    path: Path,
    *,
    columns: Columns,
    reader: str = "",
    quoted: bool = False,
    optional: frozenset[str] = frozenset(),
) -> Iterator[Row]:
    """Yield the rows of a file.

    Args:
        path: plain or compressed.
        columns: field → column name, JSON key, or column number from 0 of a file without header.
        reader: name in `READERS`; empty: by the file's suffix.
        quoted: a TSV with CSV's quoting.
        optional: fields whose column may be absent.

    Raises:
        UserError: unknown format, missing column, wrong number of columns, or a value that is no
            text; with file:line.
    """
    name = reader or _SUFFIXES.get(format_suffix(path), "")
    if not name:
        raise UserError(f"{path}: format unknown from its suffix; set reader to one of {_KNOWN}")
    if name not in READERS:
        raise UserError(f"reader: no {name!r}{nearest(name, READERS)}")
    return READERS[name](path, columns, quoted, optional)


def _tsv(path: Path, columns: Columns, quoted: bool, optional: frozenset[str]) -> Iterator[Row]:
    if quoted:
        cells: Cells = _quoted(path, "\t")
    else:
        cells = ((number, line.split("\t")) for number, line in read_lines(path))
    return _table(path, cells, columns, optional)


def _csv(path: Path, columns: Columns, quoted: bool, optional: frozenset[str]) -> Iterator[Row]:
    return _table(path, _quoted(path, ","), columns, optional)


def _jsonl(path: Path, columns: Columns, quoted: bool, optional: frozenset[str]) -> Iterator[Row]:
    for number, value in json_lines(path):
        if not isinstance(value, dict):
            raise UserError(
                f"{path}:{number}: a JSON {type(value).__name__}; expected one object a line"
            )
        row: dict[str, str | None] = {}
        for field, key in columns.items():
            if key not in value and field not in optional:
                raise _no_column(path, number, field, key, list(value))
            row[field] = _text(value.get(key), f"{path}:{number}: {key}")
        yield number, row


READERS: Mapping[str, Callable[[Path, Columns, bool, frozenset[str]], Iterator[Row]]] = {
    "tsv": _tsv,
    "csv": _csv,
    "jsonl": _jsonl,
}
_KNOWN = ", ".join(READERS)


def _quoted(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line of the record, cells); a quoted field may span lines."""
    lines = csv.reader(
        (line + "\n" for _, line in read_lines(path)), delimiter=delimiter, strict=True
    )
    begin = 1
    try:
        for cells in lines:
            yield begin, cells
            begin = lines.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{begin}: not a well-formed record: {error}; is a quotation mark left open?"
        ) from None


def _table(path: Path, cells: Cells, columns: Columns, optional: frozenset[str]) -> Iterator[Row]:
    rows = iter(cells)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path}: empty; expected rows with {', '.join(columns)}")
    number, header = first
    places = _places(path, header, columns, optional)
    if any(isinstance(column, int) for column in columns.values()):
        yield number, _pick(header, places)
    for number, row in rows:
        if row in ([], [""]):
            yield number, {}
            continue
        if len(row) != len(header):
            raise UserError(
                f"{path}:{number}: {len(row)} columns; expected {len(header)} as in the first line "
                f"({' | '.join(header)[:60]})"
            )
        yield number, _pick(row, places)


def _places(
    path: Path, header: list[str], columns: Columns, optional: frozenset[str]
) -> dict[str, int | None]:
    """Find each field's place in a row; None for an optional one that is absent."""
    kinds = {type(column) for column in columns.values()}
    if len(kinds) > 1:
        raise UserError(
            f"columns: got {dict(columns)}; expected all names (a file with a header) or all "
            "numbers (without)"
        )
    places: dict[str, int | None] = {}
    for field, column in columns.items():
        if isinstance(column, int):
            there = 0 <= column < len(header)
            place = column
        else:
            there = column in header
            place = header.index(column) if there else -1
            if header.count(column) > 1:
                raise UserError(
                    f"{path}:1: column {column!r} is there {header.count(column)} times"
                )
        if not there and field not in optional:
            raise _no_column(path, 1, field, column, header)
        places[field] = place if there else None
    return places


def _pick(row: list[str], places: Mapping[str, int | None]) -> dict[str, str | None]:
    return {field: None if place is None else row[place] for field, place in places.items()}


def _no_column(
    path: Path, number: int, field: str, column: str | int, there: list[str]
) -> UserError:
    if isinstance(column, int):
        return UserError(
            f"{path}:{number}: no column {column} for {field}: the line has {len(there)} columns, "
            "counted from 0; correct the task's columns"
        )
    names = ", ".join(there)[:200]
    return UserError(
        f"{path}:{number}: no column {column!r} for {field}; there: {names}; "
        "correct the task's columns"
    )


def _text(value: Any, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise UserError(f"{where}: a JSON {type(value).__name__}; expected text or a whole number")
