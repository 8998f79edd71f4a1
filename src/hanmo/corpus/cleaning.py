"""Make a document's text plain: markup out (on request), white space and invisible characters.

In: a raw text. Out: paragraphs joined by single newlines, none of them empty, cleaned by
`hanmo.text.normalize`. Light on purpose, after the advice of BERT-wwm's authors (strip HTML and
invisible characters, no heavy normalisation): letters, width and script stay as they are.

    clean("<p>中&nbsp;文</p>", strip_html=True)    # "中 文"
"""

import html
import re

from hanmo.text.normalize import n_dropped, normalize

# ASCII: the long s (ſ) would be a case of s, which it is not in names of tags.
_HIDES = re.compile(r"<!--|<(?ai:(script|style))\b")
_SHOWS = {
    "!": re.compile("-->"),
    "script": re.compile(r"</(?ai:script)\s*>"),
    "style": re.compile(r"</(?ai:style)\s*>"),
}
_BLOCK = re.compile(
    r"</?(?:p|br|div|li|ul|ol|tr|td|th|table|h[1-6]|blockquote|section|article)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<![A-Za-z][^<>]*>")
# More digits than a character has; `int` raises an error for some thousands of them.
_NO_CHARACTER = re.compile("&#[0-9]{1000,};?")


def clean(text: str, *, strip_html: bool = False) -> str:
    """Return the text as clean paragraphs.

    Args:
        text: Any text.
        strip_html: Remove tags, comments, scripts and styles, and decode entities; tags that
            begin or end a block become line ends. `a < b` is not a tag and stays.
    """
    if strip_html:
        text = _TAG.sub("", _BLOCK.sub("\n", without_hidden(text)))
        text = unescape(text)
    return "\n".join(filter(None, normalize(text).text.split("\n")))


def unescape(text: str) -> str:
    """Decode entities: `html.unescape`, but a number of any length may stand in them."""
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text))


def without_hidden(text: str) -> str:
    """Take out comments, scripts and styles; one that does not end stays.

    Each kind's ends are looked for until there are no more, so that the time is linear.
    """
    kept: list[str] = []
    endless: set[str] = set()
    done = at = 0
    while (begin := _HIDES.search(text, at)) is not None:
        at, kind = begin.end(), (begin[1] or "!").lower()
        end = None if kind in endless else _SHOWS[kind].search(text, at)
        if end is None:
            endless.add(kind)
            continue
        kept.append(text[done : begin.start()])
        done = at = end.end()
    return "".join((*kept, text[done:]))


def invisible_characters(text: str) -> int:
    """Count the control, zero-width and replacement characters, which `clean` leaves out."""
    return n_dropped(text)
