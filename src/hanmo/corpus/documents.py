"""Read documents from plain text, JSON lines or Parquet, compressed or not.

In: an `InputFile`. Out: `Document`s in file order. Their ids are the file's name and the number
of the document in it, from 0, or what the id key says. Nothing is skipped: what cannot be read
stops the run with file and line.

    for document in read_documents(file, ReadOptions(layout="lines")): ...
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, LineTooLongError, json_lines, read_lines
from hanmo.corpus.inputs import InputFile
from hanmo.corpus.layouts import Layout, cut, detect

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name.

    Attributes:
        id: Unique among the documents, unless an id key says otherwise.
        text: Paragraphs joined by newlines.
        source: File that it came from.
    """

    id: str
    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read the files.

    Attributes:
        layout: How a plain text file is cut into documents.
        text_key: JSON key or Parquet column of the text.
        id_key: JSON key or Parquet column of the id; None numbers the documents.
        max_line_mib: Longest line accepted, in MiB.
    """

    layout: Layout = "auto"
    text_key: str = "text"
    id_key: str | None = None
    max_line_mib: int = 8


def resolve_layout(file: InputFile, options: ReadOptions) -> ReadOptions:
    """Return the options with `auto` replaced by the layout that the file shows."""
    if file.format != "text" or options.layout != "auto":
        return options
    return replace(options, layout=detect(_lines(file.path, options), file.path))


def read_documents(file: InputFile, options: ReadOptions) -> Iterator[Document]:
    """Yield the documents of one file.

    Raises:
        UserError: Bad UTF-8, bad JSON, a missing key or column, a text that is not a string, a
            line that is too long, or no document at all.
    """
    read = {"text": _read_text, "json": _read_json, "parquet": _read_parquet}[file.format]
    number = -1
    for number, (key, text) in enumerate(read(file.path, options)):
        name = f"{file.name}-{number}" if key is None else key
        yield Document(name, text, file.source)
    if number < 0:
        raise UserError(f"{file.path}: no document in it (empty file); fill it or leave it out")


def _lines(path: Path, options: ReadOptions) -> Iterator[tuple[int, str]]:
    try:
        yield from read_lines(path, max_bytes=options.max_line_mib * MEBIBYTE)
    except LineTooLongError as error:
        raise UserError(f"{error}: --max-line-mib, now {options.max_line_mib}") from None


def _read_text(path: Path, options: ReadOptions) -> Iterator[tuple[None, str]]:
    layout = options.layout
    if layout == "auto":
        layout = detect(_lines(path, options), path)
    for text in cut(_lines(path, options), layout):
        yield None, text


def _read_json(path: Path, options: ReadOptions) -> Iterator[tuple[str | None, str]]:
    for number, record in json_lines(path):
        where = f"{path}:{number}"
        if not isinstance(record, Mapping):
            raise UserError(f"{where}: got {type(record).__name__}, expected a JSON object a line")
        text = _string(record, options.text_key, "--text-key", where)
        key = options.id_key
        yield None if key is None else _string(record, key, "--id-key", where), text


def _read_parquet(path: Path, options: ReadOptions) -> Iterator[tuple[str | None, str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from None
    keys = {"--text-key": options.text_key, "--id-key": options.id_key}
    for flag, key in keys.items():
        if key is not None and key not in table.schema_arrow.names:
            raise UserError(_missing(f"{path}", key, table.schema_arrow.names, flag))
    columns = [key for key in keys.values() if key is not None]
    row = 0
    with table:
        for batch in table.iter_batches(batch_size=1024, columns=columns):
            for record in batch.to_pylist():
                row += 1
                where = f"{path}: row {row}"
                text = _string(record, options.text_key, "--text-key", where)
                key = options.id_key
                yield None if key is None else _string(record, key, "--id-key", where), text


def _string(record: Mapping[str, Any], key: str, flag: str, where: str) -> str:
    """Return a record's text or id; a number is accepted for an id."""
    if key not in record:
        raise UserError(_missing(where, key, list(record), flag))
    value = record[key]
    if flag == "--id-key" and isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise UserError(
            f"{where}: key {key!r} holds {type(value).__name__}, expected a string; mend the "
            f"record or name another key with {flag}"
        )
    return _SURROGATE.sub("\ufffd", value)


def _missing(where: str, key: str, present: list[str], flag: str) -> str:
    shown = ", ".join(present) or "none"
    return f"{where}: no key {key!r}; keys present: {shown}; name the right one with {flag}"
