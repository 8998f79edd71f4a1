"""What a reader of files gives, and what readers share: options, lines, fields of records.

A reader is a file of `corpus/readers/`: `SUFFIXES` (the files it takes when no format is named;
`NAMES`, a pattern, for those that have no suffix) and `read(path, options)`, which yields

- `Row(key, text)`: a document; `key` is its id, or None to be numbered;
- `Unreadable(error)`: a document, or `n` of them, that cannot be read, though the next ones can.

What it raises as a `UserError` ends the file. So whether a run stops at a mistake is decided in
one place (`corpus/treating.py`), and not by each reader. A reader may also have `ENCODED = False`
(the format says its encoding itself), `PACKED = False` (nothing like .gz stands behind its suffix)
and `resolve(path, options)`, which returns the options with what the file shows, and a word for how
it is read, which is counted.

    for number, line in lines(Path("a.txt"), ReadOptions()): ...
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, BadEncodingError, LineTooLongError, scan_lines
from hanmo.corpus.encodings import Encoding, by_first_bytes, codec, guess_line, to_utf8
from hanmo.corpus.layouts import Layout

RECORD_MIB = 64  # a line of JSON or CSV escapes its text: longer than text's own lines
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read the files.

    Attributes:
        layout: How a plain text file is cut into documents.
        text_key: JSON key or column of the text.
        id_key: JSON key or column of the id; None numbers the documents.
        max_line_mib: Longest line accepted, in MiB; records may have `RECORD_MIB` at least.
        encoding: Encoding of the text; "auto" tells it apart for each file.
        longest: Characters of a document after which its further lines are passed over; such a
            document is dropped anyway.
    """

    layout: Layout = "auto"
    text_key: str = "text"
    id_key: str | None = None
    max_line_mib: int = 8
    encoding: Encoding = "utf-8"
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A document as a file has it."""

    key: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Documents that cannot be read, and why."""

    error: UserError
    n: int = 1


Item = Row | Unreadable


def lines(
    path: Path, options: ReadOptions, *, records: bool = False
) -> Iterator[tuple[int, str | UserError]]:
    """Yield the numbered lines of a text file, or what is wrong with one.

    Args:
        path: The file.
        options: `encoding` is not "auto" any more.
        records: A line is a record, and may be longer than one of text.
    """
    mib = max(options.max_line_mib, RECORD_MIB) if records else options.max_line_mib
    found = scan_lines(path, max_bytes=mib * MEBIBYTE, encoding=codec(options.encoding))
    for number, line in found:
        yield number, _explained(line, mib) if isinstance(line, UserError) else line


def sound_lines(path: Path, options: ReadOptions) -> Iterator[tuple[int, str]]:
    """Yield the lines that can be read: to look at a file, not to read it.

    Damage ends them, and is told when the file is read.
    """
    number = 0
    try:
        for number, line in lines(path, options):
            if not isinstance(line, UserError):
                yield number, line
    except UserError:
        if number == 0:
            raise


def _explained(error: UserError, mib: int) -> UserError:
    """Add what only this side knows: the flag, and what the line looks like."""
    if isinstance(error, LineTooLongError):
        return UserError(f"{error}: --max-line-mib, now {mib}")
    if not isinstance(error, BadEncodingError):
        return error
    if error.number == 1 and (wide := by_first_bytes(error.line)) is not None:
        return UserError(
            f"{error.fact}; the file is {wide} by its first bytes; convert it: {to_utf8(wide)}"
        )
    if (looks := guess_line(error.line)) is not None:
        return UserError(
            f"{error.fact}; the line reads as {looks}: if all of the file is {looks}, give "
            "--encoding auto"
        )
    return error


def row_of(record: Mapping[str, Any], options: ReadOptions, where: str) -> Item:
    """Make a document of a record's fields."""
    try:
        text = string_of(record, options.text_key, "--text-key", where)
        if options.id_key is None:
            return Row(None, text)
        return Row(string_of(record, options.id_key, "--id-key", where), text)
    except UserError as error:
        return Unreadable(error)


def string_of(record: Mapping[str, Any], key: str, flag: str, where: str) -> str:
    """Return a record's text or id; a number is accepted for an id.

    Raises:
        UserError: No such key, or its value is no string.
    """
    if key not in record:
        raise missing_key(where, key, list(record), flag)
    value = record[key]
    if flag == "--id-key" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UserError(
            f"{where}: key {key!r} holds {type(value).__name__}, expected a string"
            f"{' or a whole number' if flag == '--id-key' else ''}; mend the record or name "
            f"another key with {flag}"
        )
    return value


def missing_key(where: str, key: str, present: list[str], flag: str) -> UserError:
    """Return the error of a record without the key asked for."""
    shown = ", ".join(present) or "none"
    return UserError(
        f"{where}: no key {key!r}; keys present: {shown}; name the right one with {flag}"
    )


def without_surrogates(text: str) -> str:
    """Replace unpaired surrogates, which no encoding can write, with U+FFFD."""
    if len(text) > MEBIBYTE:  # a copy of it would be large
        return _SURROGATE.sub("\ufffd", text)
    try:
        text.encode()  # ten times as fast as looking for them
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text
