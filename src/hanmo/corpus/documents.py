"""Read documents from files of any format that `corpus/readers/` knows.

In: an `InputFile`. Out: `Document`s in file order, and `Unreadable` for what cannot be read. Ids
are the file's name and the number of the document in it, from 0, or what the id key says.

    for found in read_documents(file, ReadOptions(layout="lines")): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.corpus.encodings import guess_file
from hanmo.corpus.inputs import READERS, InputFile
from hanmo.corpus.reading import ReadOptions, Row, Unreadable, without_surrogates


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


def resolve(file: InputFile, options: ReadOptions) -> tuple[ReadOptions, str]:
    """Return the options with every "auto" replaced by what the file shows, and how it is read.

    The second value is a word for a count: the format, or the layout of a plain text file.

    Raises:
        UserError: Its encoding or layout cannot be told.
    """
    reader = registry.load(READERS, file.format)
    if options.encoding == "auto" and getattr(reader, "ENCODED", True):
        options = replace(options, encoding=guess_file(file.path))
    if hasattr(reader, "resolve"):
        resolved: tuple[ReadOptions, str] = reader.resolve(file.path, options)
        return resolved
    return options, file.format


def read_documents(file: InputFile, options: ReadOptions) -> Iterator[Document | Unreadable]:
    """Yield the documents of one file, and what is wrong with those that cannot be read.

    A document that cannot be read takes its number with it, so that the others keep theirs.

    Args:
        file: The file.
        options: As `resolve` returns them.

    Raises:
        UserError: The rest of the file cannot be read, or there is no document at all.
    """
    number = 0
    for item in registry.member(READERS, file.format, "read")(file.path, options):
        _check(item, file)
        if isinstance(item, Unreadable):
            yield item
            number += item.n
            continue
        name = f"{file.name}-{number}" if item.key is None else without_surrogates(item.key)
        yield Document(name, without_surrogates(item.text), file.source)
        number += 1
    if number == 0:
        raise UserError(f"{file.path}: no document in it (empty file); fill it or leave it out")


def _check(item: Any, file: InputFile) -> None:
    """Refuse what a reader of somebody's gives against its contract."""
    if isinstance(item, Row) and isinstance(item.text, str) and isinstance(item.key, str | None):
        return
    if isinstance(item, Unreadable) and isinstance(item.error, UserError) and item.n >= 1:
        return
    raise UserError(
        f"{file.path}: the reader {file.format} gave {repr(item)[:60]}; expected Row(key, text) "
        "with a text and an id or None, or Unreadable(error, n) with a UserError and n of 1 or "
        "more, of hanmo.corpus.reading"
    )
