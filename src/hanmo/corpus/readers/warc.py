"""Web archives: WARC files of pages, and WET files of their text (extra `hanmo[web]`).

Pages (records of type response, status 200, HTML) give the text that `corpus/pages.py` finds, WET's
records (type conversion) theirs. Requests, redirects, pictures and the like are no documents.

The records are read by warcio, as datatrove's reader does it; that one needs libmagic, and passes
over pages it cannot decode without saying so. `--id-key` may be `id` (WARC-Record-ID) or `url`.

    list(read(Path("CC-MAIN-0001.warc.gz"), ReadOptions(id_key="url")))
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanmo.core.errors import MissingLibraryError, UserError
from hanmo.core.files import MEBIBYTE, is_damage, open_bytes
from hanmo.corpus.pages import page_text
from hanmo.corpus.reading import (
    RECORD_MIB,
    Item,
    ReadOptions,
    Row,
    Unreadable,
    string_of,
)

SUFFIXES = (".warc", ".wet")
ENCODED = False  # says its encoding itself
_PAGES = ("text/html", "application/xhtml+xml")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document for each page or text.

    Raises:
        UserError: Not a WARC file, cut off or damaged.
        MissingLibraryError: The extra is not installed.
    """
    try:
        from warcio.archiveiterator import ArchiveIterator
        from warcio.exceptions import ArchiveLoadFailed
    except ImportError:
        raise MissingLibraryError(f"{path}: web archives need: pip install 'hanmo[web]'") from None
    number = -1
    try:
        with open_bytes(path) as stream:
            records = ArchiveIterator(_Decompressed(stream))
            records.INC_RECORD = ""  # what it would write to the console; we raise it
            for number, record in enumerate(records):
                where = f"{path}: record {number}"
                if records.err_count:
                    raise _lost(path, number - 1)
                items = list(_items(record, options, where))
                _pass_over_rest(record, where)
                yield from items
            if records.err_count:
                raise _lost(path, number)
    except ArchiveLoadFailed as error:
        first = str(error).strip().splitlines()[0][:120]
        raise UserError(f"{path}: damaged {_after(number)}, or no WARC file ({first})") from None
    except Exception as error:
        if not is_damage(error):
            raise
        raise UserError(
            f"{path}: damaged archive {_after(number)} ({error}); fetch or pack it again"
        ) from None


class _Decompressed:
    """The bytes of an archive for warcio, which takes a cut end (EOFError) for its proper end."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            # One piece: of more, an error in the second would lose the first.
            piece: bytes = self._stream.read1(size)
        except EOFError as error:
            raise OSError(str(error)) from error
        return piece


def _after(number: int) -> str:
    return "at its beginning" if number < 0 else f"after record {number}"


def _lost(path: Path, number: int) -> UserError:
    return UserError(
        f"{path}: damaged {_after(number)}: it does not end where it says; fetch it again"
    )


def _pass_over_rest(record: Any, where: str) -> None:
    """Go to the end of a record.

    Raises:
        UserError: The file ends before, or the record does not say where its end is.
    """
    if not hasattr(record.raw_stream, "limit"):
        raise UserError(f"{where}: no Content-Length; damaged, or no WARC file")
    while record.raw_stream.read(MEBIBYTE):
        pass
    if record.raw_stream.limit:
        raise UserError(f"{where}: the file was cut off within it; fetch it again")


def _items(record: Any, options: ReadOptions, where: str) -> Iterator[Item]:
    kind = record.rec_type
    if not (kind == "conversion" or (kind == "response" and _is_page(record))):
        return
    if (record.length or 0) > RECORD_MIB * MEBIBYTE:
        yield Unreadable(UserError(f"{where}: a page of more than {RECORD_MIB} MiB"))
        return
    content = record.content_stream().read()
    try:
        text = _text(record, content, where)
        key = None if options.id_key is None else _key(record, options.id_key, where)
    except MissingLibraryError:
        raise
    except UserError as error:
        yield Unreadable(error)
        return
    yield Row(key, text)


def _is_page(record: Any) -> bool:
    headers = record.http_headers
    if headers is None or headers.get_statuscode() != "200":
        return False
    named = record.rec_headers.get_header("WARC-Identified-Payload-Type")
    kind: str = named or headers.get_header("Content-Type") or ""
    return kind.partition(";")[0].strip().lower() in _PAGES


def _text(record: Any, content: bytes, where: str) -> str:
    if record.rec_type == "conversion":
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: not UTF-8: byte {error.start} of the text") from None
    declared = (record.http_headers.get_header("Content-Type") or "").partition("charset=")[2]
    return page_text(content, where, declared=declared.strip(" \"';") or None)


def _key(record: Any, key: str, where: str) -> str:
    headers = {"id": "WARC-Record-ID", "url": "WARC-Target-URI"}
    values = {name: record.rec_headers.get_header(header) for name, header in headers.items()}
    return string_of({k: v for k, v in values.items() if v}, key, "--id-key", where)
