"""The text of web pages, by datatrove's Trafilatura extractor (extra `hanmo[web]`).

Two of its settings are fixed so that the text depends on the page alone. Trafilatura's own search
for repeated passages remembers earlier pages of the same process, so it is off
(`--dedup-paragraphs` finds them in all files); a time limit would give other text on a busy
machine, so the extractor is called without its sandbox.

    extract_text("<html>…<p>黄河是中国第二长河。</p>…</html>")
"""

import re
from functools import lru_cache
from typing import Any

from hanmo.core.errors import MissingLibraryError, UserError
from hanmo.corpus.encodings import decode_page

_DECLARED = re.compile(rb"""charset\s*=\s*(?:["']\s*)?([\w-]+)""", re.IGNORECASE)
_HEAD_BYTES = 4096


def page_text(content: bytes, where: str, *, declared: str | None = None) -> str:
    """Return the main text of a page, paragraphs joined by newlines; "" where it finds none.

    Args:
        content: The page's bytes.
        where: What an error says of the place.
        declared: Encoding that the server named; before what the page says itself.

    Raises:
        UserError: Its encoding is unknown.
        MissingLibraryError: The extra is not installed.
    """
    own = _DECLARED.search(content[:_HEAD_BYTES])
    try:
        page = decode_page(content, declared or (own[1].decode("ascii") if own else None))
    except ValueError as error:
        raise UserError(f"{where}: the page's encoding is unknown: {error}") from None
    return extract_text(page)


def extract_text(page: str) -> str:
    """Return the main text of a page: without menus, advertisements and comments."""
    text: str | None = _extractor().extract(page)
    return text or ""


@lru_cache(maxsize=1)
def _extractor() -> Any:
    try:
        from datatrove.pipeline.extractors import Trafilatura

        extractor = Trafilatura(favour_precision=True, deduplicate=False)
        extractor.extract("<p></p>")
    except ImportError as error:
        raise MissingLibraryError(
            f"web pages need libraries that are not installed ({error.name or error}): "
            "pip install 'hanmo[web]'"
        ) from None
    return extractor
