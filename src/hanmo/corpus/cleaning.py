"""Make a document's text plain: markup out (on request), white space and invisible characters.

In: a raw text. Out: paragraphs joined by single newlines, none of them empty, cleaned by
`hanmo.text.normalize`. Light on purpose, after the advice of BERT-wwm's authors (strip HTML and
invisible characters, no heavy normalisation): letters, width and script stay as they are.

    clean("<p>中&nbsp;文</p>", strip_html=True)    # "中 文"
"""

import html
import re

from hanmo.text.normalize import n_dropped, normalize

_HIDDEN = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BLOCK = re.compile(
    r"</?(?:p|br|div|li|ul|ol|tr|td|th|table|h[1-6]|blockquote|section|article)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<![A-Za-z][^<>]*>")


def clean(text: str, *, strip_html: bool = False) -> str:
    """Return the text as clean paragraphs.

    Args:
        text: Any text.
        strip_html: Remove tags, comments, scripts and styles, and decode entities; tags that
            begin or end a block become line ends. `a < b` is not a tag and stays.
    """
    if strip_html:
        text = _HIDDEN.sub("", text)
        text = html.unescape(_TAG.sub("", _BLOCK.sub("\n", text)))
    return "\n".join(filter(None, normalize(text).text.split("\n")))


def invisible_characters(text: str) -> int:
    """Count the control, zero-width and replacement characters, which `clean` leaves out."""
    return n_dropped(text)
