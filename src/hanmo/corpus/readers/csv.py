"""CSV and TSV with a header line: a row a document, quoted as RFC 4180 has it.

Own code: datatrove's reader passes over rows without text, fills up short rows, and cannot say
which row is wrong. A TSV (`.tsv`, `.tab`) is separated by tabs; its quotes are the same.

    list(read(Path("news.csv"), ReadOptions(text_key="content", id_key="url")))
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, format_suffix
from hanmo.corpus.reading import (
    RECORD_MIB,
    Item,
    ReadOptions,
    Unreadable,
    lines,
    missing_key,
    row_of,
)

SUFFIXES = (".csv", ".tsv", ".tab")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document for each row; a row may have several lines.

    Raises:
        UserError: No header, or no such column.
    """
    csv.field_size_limit(max(options.max_line_mib, RECORD_MIB) * MEBIBYTE)
    wrong: list[UserError] = []
    delimiter = "," if format_suffix(path).lower() == ".csv" else "\t"
    rows = csv.reader(_marked(path, options, wrong), delimiter=delimiter, strict=True)
    _, header = _next(rows, path)
    if not isinstance(header, list) or wrong:
        raise wrong[0] if wrong else UserError(f"{path}: no header line; expected column names")
    for flag, key in (("--text-key", options.text_key), ("--id-key", options.id_key)):
        if key is not None and key not in header:
            raise missing_key(f"{path}:1", key, header, flag)
    while True:
        number, row = _next(rows, path)
        if row is None:
            return
        yield _item(row, header, options, f"{path}:{number}", wrong)
        wrong.clear()


def _marked(path: Path, options: ReadOptions, wrong: list[UserError]) -> Iterator[str]:
    for _, line in lines(path, options, records=True):
        if isinstance(line, UserError):
            wrong.append(line)
            yield "\ufffd\n"
        else:
            yield line + "\n"


def _next(rows: Any, path: Path) -> tuple[int, list[str] | UserError | None]:
    """Return where the next row that is not blank begins, and it, or what is wrong with it.

    At the end the row is None.
    """
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            text = f'{path}:{number}: not {_name(path)}: {error}; quote fields with "…"'
            return number, UserError(text)
        if row is None or row:
            return number, row


def _item(
    row: list[str] | UserError,
    header: list[str],
    options: ReadOptions,
    where: str,
    wrong: list[UserError],
) -> Item:
    if wrong:
        return Unreadable(wrong[0])
    if isinstance(row, UserError):
        return Unreadable(row)
    if len(row) != len(header):
        return Unreadable(
            UserError(
                f"{where}: {len(row)} columns; expected {len(header)} as in the header; quote "
                "fields that hold the separator or a line end"
            )
        )
    return row_of(dict(zip(header, row, strict=True)), options, where)


def _name(path: Path) -> str:
    return format_suffix(path).removeprefix(".").upper()
