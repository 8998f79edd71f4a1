"""One document's way through the first pass: read, cleaned, converted, kept or dropped.

In: files. Out, in their order: `Document`s to keep, cleaned; `Dropped` ones, as they were read,
with the reason; `Missing` for what could not be read. Here, and nowhere else, it is decided
whether a run stops at a mistake.

    for item in treated(files, TreatOptions(), counts): ...
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanmo.core.errors import MissingLibraryError, UnreachableError, UserError
from hanmo.core.remote import borrowed
from hanmo.corpus.boilerplate import without_boilerplate
from hanmo.corpus.cleaning import clean, invisible_characters
from hanmo.corpus.documents import Document, read_documents, resolve
from hanmo.corpus.filters import FilterOptions, Reason, reason_to_drop
from hanmo.corpus.inputs import InputFile
from hanmo.corpus.reading import ReadOptions, Unreadable
from hanmo.corpus.scripts import converter

# Markup and blanks make a raw text longer, but not so much: what is longer is not even cleaned,
# which would need some thirty bytes a character.
RAW_LONGER = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatOptions:
    """What is done to a document.

    Attributes:
        read: How files are read.
        filters: Limits beyond which a document is dropped.
        strip_html: Remove tags and decode entities.
        strip_boilerplate: Remove lines that the rules of `corpus/boilerplate.py` find.
        opencc: Name of an OpenCC conversion, or None.
        skip_errors: Go on after a mistake in the data.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    filters: FilterOptions = field(default_factory=FilterOptions)
    strip_html: bool = False
    strip_boilerplate: bool = False
    opencc: str | None = None
    skip_errors: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document that is not kept, its text as it was read."""

    document: Document
    reason: Reason


@dataclass(frozen=True, slots=True)
class Missing:
    """What of a file could not be read."""

    file: InputFile
    error: UserError
    n: int | None  # documents; None when nobody knows: the rest of the file

    def record(self) -> dict[str, Any]:
        """Return a line of `missing.jsonl`; paths are as documents have them."""
        text = str(self.error).replace(str(self.file.path), self.file.source)
        return {"source": self.file.source, "documents": self.n, "error": text}


def treated(
    files: Sequence[InputFile], options: TreatOptions, counts: Counter[str]
) -> Iterator[Document | Dropped | Missing]:
    """Yield what becomes of each document, and count it.

    Raises:
        UserError: Something cannot be read, and `skip_errors` is not set.
    """
    for file in files:
        try:
            with borrowed(file.path):
                yield from _of_file(file, options, counts)
        except (MissingLibraryError, UnreachableError):
            raise
        except UserError as error:
            if not options.skip_errors:
                raise _with_way_on(error) from None
            counts["files_incomplete"] += 1
            yield Missing(file, error, None)


def _with_way_on(error: UserError) -> UserError:
    return UserError(f"{error}; to leave it out and go on, and be told at the end: --on-error skip")


def _of_file(
    file: InputFile, options: TreatOptions, counts: Counter[str]
) -> Iterator[Document | Dropped | Missing]:
    read, how = resolve(file, options.read)
    counts[f"files_{how}"] += 1
    if options.read.encoding == "auto" and read.encoding not in ("auto", "utf-8"):
        counts[f"files_in_{read.encoding}"] += 1
    for found in read_documents(file, read):
        if not isinstance(found, Unreadable):
            counts["documents_in"] += 1
            yield _treat(found, options, counts)
            continue
        if not options.skip_errors:
            raise found.error
        counts["documents_in"] += found.n
        counts["dropped_unreadable"] += found.n
        yield Missing(file, found.error, found.n)


def _treat(document: Document, options: TreatOptions, counts: Counter[str]) -> Document | Dropped:
    reason: Reason | None = None
    text = ""
    if len(document.text) > RAW_LONGER * options.filters.max_chars:
        reason = "too-long"
    else:
        text = _mended(document.text, options, counts)
        reason = reason_to_drop(document.text, text, options.filters)
    if reason is None:
        return Document(document.id, text, document.source)
    counts[f"dropped_{reason}"] += 1
    return Dropped(document, reason)


def _mended(raw: str, options: TreatOptions, counts: Counter[str]) -> str:
    counts["invisible_characters"] += invisible_characters(raw)
    text = clean(raw, strip_html=options.strip_html)
    if options.opencc is not None:
        converted = converter(options.opencc)(text)
        counts["converted"] += converted != text
        text = converted
    if options.strip_boilerplate:
        text, lines = without_boilerplate(text)
        counts.update({f"lines_dropped_{name}": n for name, n in lines.items()})
    return text
