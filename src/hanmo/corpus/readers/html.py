"""A web page a file; its main text is the document.

list(read(Path("page.html"), ReadOptions()))
"""

from collections.abc import Iterator
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, is_damage, open_bytes
from hanmo.corpus.pages import page_text
from hanmo.corpus.reading import RECORD_MIB, Item, ReadOptions, Row

SUFFIXES = (".html", ".htm", ".xhtml")
ENCODED = False  # says its encoding itself


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield one document: empty where the page has no text.

    Raises:
        UserError: Damaged archive, unknown encoding, too large, or the extra is not installed.
    """
    try:
        with open_bytes(path) as stream:
            content = stream.read(RECORD_MIB * MEBIBYTE + 1)
    except Exception as error:
        if not is_damage(error):
            raise
        raise UserError(f"{path}: damaged archive ({error}); fetch or pack it again") from None
    if len(content) > RECORD_MIB * MEBIBYTE:
        raise UserError(f"{path}: a page of more than {RECORD_MIB} MiB; leave it out")
    yield Row(None, page_text(content, str(path)))
