r"""Rows of a dataset's file: TSV, CSV, JSON lines, SQuAD's JSON, CoNLL; plain or compressed.

In: a file and its layout. Out: `Row(id, where, values)`: field → what the file has there (text, or
whatever JSON holds); a field that may be absent and is gives None, a blank line no fields at all.
A TSV is raw: a quotation mark is ordinary text (Chinese reviews are full of lone ones) unless the
layout says that it is quoted. A CSV is RFC 4180.

    read_rows(Path("train.tsv.xz"), Layout(columns={"label": "label", "text_a": "text_a"}))
"""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hanmo.core.errors import UserError, nearest
from hanmo.core.files import format_suffix, json_lines, read_lines
from hanmo.tasks.conll import read_conll
from hanmo.tasks.squad import read_squad
from hanmo.tasks.task import Column, Columns, Layout

Cells: TypeAlias = Iterable[tuple[int, list[str]]]

_SUFFIXES = {".tsv": "tsv", ".txt": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl"}
# What the first line of a file without column names would never hold as data.
_HEADINGS = frozenset({"label", "text_a", "text_b", "sentence1", "sentence2", "gold_label"})


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        id: its own, or the number of its (first) line.
        where: the place for messages: "train.tsv:12".
        values: field → value; none where the row is left out.
        left_out: why, for the count: "blank_line", or "another_language" where the layout keeps one
            value of a column "language".
    """

    id: str
    where: str
    values: dict[str, Any]
    left_out: str = ""


def read_rows(
    path: Path, layout: Layout, *, optional: frozenset[str] = frozenset()
) -> Iterator[Row]:
    """Yield the rows of a file.

    Args:
        path: plain or compressed.
        layout: what its columns are.
        optional: fields whose column may be absent.

    Raises:
        UserError: unknown format, missing column, or wrong number of columns; with file:line.
    """
    name = layout.reader or _SUFFIXES.get(format_suffix(path), "")
    if not name:
        raise UserError(f"{path}: format unknown from its suffix; set reader to one of {_KNOWN}")
    check_reader(name)
    return READERS[name](path, layout, optional)


def check_reader(name: str) -> None:
    """Raise a `UserError` unless there is a reader of that name."""
    if name not in READERS:
        raise UserError(f"reader: no {name!r}{nearest(name, READERS)}")


def _tsv(path: Path, layout: Layout, optional: frozenset[str]) -> Iterator[Row]:
    between = layout.delimiter or "\t"
    if layout.quoted:
        cells: Cells = _quoted(path, between)
    else:
        cells = ((number, line.split(between)) for number, line in read_lines(path))
    return _table(path, cells, layout, optional)


def _csv(path: Path, layout: Layout, optional: frozenset[str]) -> Iterator[Row]:
    return _table(path, _quoted(path, layout.delimiter or ","), layout, optional)


def _jsonl(path: Path, layout: Layout, optional: frozenset[str]) -> Iterator[Row]:
    for number, value in json_lines(path):
        where = f"{path}:{number}"
        if not isinstance(value, dict):
            raise UserError(f"{where}: a JSON {type(value).__name__}; expected one object a line")
        reason = _other(where, value, layout)
        row = {} if reason else _picked(where, value, layout.columns, optional)
        yield Row(str(number), where, row, reason)


def _squad(path: Path, layout: Layout, optional: frozenset[str]) -> Iterator[Row]:
    for id_, value in read_squad(path):
        where = f"{path}: question {id_}"
        reason = _other(where, value, layout)
        row = {} if reason else _picked(where, value, layout.columns, optional)
        yield Row(id_, where, row, reason)


def _conll(path: Path, layout: Layout, optional: frozenset[str]) -> Iterator[Row]:
    if layout.keep:
        raise UserError(f"keep: got {dict(layout.keep)}; tagged sentences have no further columns")
    for number, value in read_conll(path, layout.delimiter):
        where = f"{path}:{number}"
        yield Row(str(number), where, _picked(where, value, layout.columns, optional))


READERS: Mapping[str, Callable[[Path, Layout, frozenset[str]], Iterator[Row]]] = {
    "tsv": _tsv,
    "csv": _csv,
    "jsonl": _jsonl,
    "squad": _squad,
    "conll": _conll,
}
_KNOWN = ", ".join(READERS)


def _picked(
    where: str, value: Mapping[str, Any], columns: Columns, optional: frozenset[str]
) -> dict[str, Any]:
    """Return a JSON object's values by field."""
    row: dict[str, Any] = {}
    for field, column in columns.items():
        for key in column if isinstance(column, tuple) else (str(column),):
            there, row[field] = _at(value, key)
            if there:
                break
        else:
            if field not in optional:
                raise _no_column(where, field, column, list(value))
    return row


def _at(value: Any, key: str) -> tuple[bool, Any]:
    """Return whether a JSON object has a key, such as "target.span1_text", and what is there."""
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


def _other(where: str, value: Mapping[str, Any], layout: Layout) -> str:
    """Say why a JSON object is not of the task, if so; 1 and true are the texts "1" and "true"."""
    found = _picked(where, value, {key: key for key in layout.keep}, frozenset())
    texts = {key: one if isinstance(one, str) else json.dumps(one) for key, one in found.items()}
    return _another(texts, layout)


def _another(found: Mapping[str, str], layout: Layout) -> str:
    others = (key for key, wanted in layout.keep.items() if found[key] != wanted)
    column = next(others, "")
    return f"another_{column.rpartition('.')[2]}" if column else ""


def _quoted(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line of the record, cells); a quoted field may span lines."""
    if len(delimiter) != 1:
        raise UserError(f"delimiter: got {delimiter!r}; expected one character of a quoted file")
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


def _table(path: Path, cells: Cells, layout: Layout, optional: frozenset[str]) -> Iterator[Row]:
    rows = iter(cells)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path}: empty; expected rows with {', '.join(layout.columns)}")
    number, header = first
    places = _places(f"{path}:1", header, layout.columns, optional)
    keep = _places(f"{path}:1", header, {name: name for name in layout.keep}, frozenset())

    if not _has_header(header, layout):
        yield Row(str(number), f"{path}:{number}", _pick(header, places))
    for number, row in rows:
        where = f"{path}:{number}"
        if row in ([], [""]):
            yield Row(str(number), where, {}, "blank_line")
            continue
        if len(row) != len(header):
            raise UserError(
                f"{where}: {len(row)} columns; expected {len(header)} as in the first line "
                f"({' | '.join(header)[:60]})"
            )
        reason = _another({name: row[place or 0] for name, place in keep.items()}, layout)
        yield Row(str(number), where, {} if reason else _pick(row, places), reason)


def _has_header(first: list[str], layout: Layout) -> bool:
    if layout.keep or not any(isinstance(column, int) for column in layout.columns.values()):
        return True
    if layout.header == "auto":
        return bool(_HEADINGS & {cell.strip().lower() for cell in first})
    return layout.header == "yes"


def _places(
    where: str, header: list[str], columns: Columns, optional: frozenset[str]
) -> dict[str, int | None]:
    """Find each field's place in a row; None for an optional one that is absent."""
    if len({isinstance(column, int) for column in columns.values()}) > 1:
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
            named = column if isinstance(column, tuple) else (column,)
            name = next((one for one in named if one in header), "")
            there = bool(name)
            place = header.index(name) if there else -1
            if there and header.count(name) > 1:
                raise UserError(f"{where}: column {name!r} is there {header.count(name)} times")
        if not there and field not in optional:
            raise _no_column(where, field, column, header)
        places[field] = place if there else None
    return places


def _pick(row: list[str], places: Mapping[str, int | None]) -> dict[str, Any]:
    return {field: None if place is None else row[place] for field, place in places.items()}


def _no_column(where: str, field: str, column: Column, there: list[str]) -> UserError:
    if isinstance(column, int):
        return UserError(
            f"{where}: no column {column} for {field}: the line has {len(there)} columns, "
            "counted from 0; correct the task's columns"
        )
    names = ", ".join(there)[:200]
    wanted = " or ".join(map(repr, column if isinstance(column, tuple) else (column,)))
    return UserError(
        f"{where}: no column {wanted} for {field}; there: {names}; correct the task's columns"
    )
