"""CSV and TSV with a header line: a row a document, quoted as RFC 4180 has it.

Own code: datatrove's reader passes over rows without text, fills up short rows, and cannot say
which row is wrong. A TSV (`.tsv`, `.tab`) is separated by tabs; its quotes are the same.

    list(read(Path("news.csv"), ReadOptions(text_key="content", id_key="url")))
"""

import csv
from collections import deque
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

# Rows with an open quote, and times that a line may be read then: they may cost the square.
_MOST_OPEN, _MOST_AGAIN = 20, 100


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document for each row; a row may have several lines.

    Raises:
        UserError: No header, or no such column, or several.
    """
    csv.field_size_limit(max(options.max_line_mib, RECORD_MIB) * MEBIBYTE)
    source = _Lines(lines(path, options, records=True))
    delimiter = "," if format_suffix(path).lower() == ".csv" else "\t"
    rows = csv.reader(source, delimiter=delimiter, strict=True)
    header, _ = _next(rows, source, path)
    if not isinstance(header, list) or source.wrong:
        raise source.wrong or UserError(f"{path}: no header line; expected column names")
    for flag, key in (("--text-key", options.text_key), ("--id-key", options.id_key)):
        if key is not None and key not in header:
            raise missing_key(f"{path}:1", key, header, flag)
        if key is not None and header.count(key) > 1:
            raise UserError(f"{path}:1: {header.count(key)} columns {key!r}; rename all but one")
    while True:
        row, number = _next(rows, source, path)
        if row is None:
            return
        item = _item(row, header, options, f"{path}:{number}", source.wrong)
        if isinstance(row, UserError) and len(source.taken) > 1:
            # Most likely a quote was left open, and the rows behind it are in order.
            last = number + len(source.taken) - 1
            item = Unreadable(UserError(f"{row}; read to line {last}: is a quote left open?"))
            source.give_back()
            if source.n_in_vain > _MOST_OPEN and source.n_given_back > _MOST_AGAIN * number:
                raise UserError(
                    f"{path}:{number}: quotes that are never closed in very many rows; is it "
                    f"{_name(path)}, with quotes doubled inside fields?"
                )
            rows = csv.reader(source, delimiter=delimiter, strict=True)
        yield item


class _Lines:
    """The lines of a file for csv's reader, which can be given back.

    Attributes:
        number: of the last line that was taken.
        taken: the lines of the row that is being read.
        wrong: what is wrong with one of them, if something is.
        n_in_vain, n_given_back: rows, and their lines, that were taken in vain.
    """

    def __init__(self, source: Iterator[tuple[int, str | UserError]]) -> None:
        self._source = source
        self._given_back: deque[tuple[int, str | UserError]] = deque()
        self.number = 0
        self.taken: list[tuple[int, str | UserError]] = []
        self.wrong: UserError | None = None
        self.n_in_vain = self.n_given_back = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        one = self._given_back.popleft() if self._given_back else next(self._source)
        self.taken.append(one)
        self.number, line = one
        if isinstance(line, UserError):
            self.wrong = self.wrong or line
            return "\ufffd\n"
        return line + "\n"

    def start_row(self) -> None:
        """Forget the lines of the row before."""
        self.taken, self.wrong = [], None

    def give_back(self) -> None:
        """Have all lines of the row but the first read again."""
        self._given_back.extendleft(reversed(self.taken[1:]))
        self.n_in_vain += 1
        self.n_given_back += len(self.taken) - 1


def _next(rows: Any, source: _Lines, path: Path) -> tuple[list[str] | UserError | None, int]:
    """Return the next row that is not blank, or what is wrong with it, and where it begins.

    At the end the row is None.
    """
    while True:
        source.start_row()
        try:
            row = next(rows, None)
        except csv.Error as error:
            number = source.taken[0][0]
            text = f'{path}:{number}: not {_name(path)}: {error}; quote fields with "…"'
            return UserError(text), number
        if row is None or row:
            return row, source.taken[0][0] if source.taken else source.number


def _item(
    row: list[str] | UserError,
    header: list[str],
    options: ReadOptions,
    where: str,
    wrong: UserError | None,
) -> Item:
    if wrong is not None:
        return Unreadable(wrong)
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
