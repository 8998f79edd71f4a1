"""From LTP's words and labels to a `Sentence`: spans, blanks, the relations of a divided text.

In: a text, and words and labels as LTP gives them. Out: words as character spans, and labels of
LERT's inventory. LTP drops blanks before the first word and leaves others inside words (`他 `,
`New York`; ltp 4.2.14, `nerual.py`, `_cws_post`); here a blank always ends a word and belongs to
none. Characters that LTP's tokenizer drops (control characters) stay in the word beside them.

Example: ``place_words("他 说好", ["他 ", "说好"])`` gives ``[[(0, 1)], [(2, 4)]]``.
"""

import re
from collections.abc import Sequence

from hanmo.annotate.sentence import Span
from hanmo.annotate.tagsets import ltp_dep, ltp_pos
from hanmo.core.errors import UserError

_ROOT, _ROOT_OF_A_LATER_PART = "HED", "COO"
_INSIDE = "ATT"  # the last part of a Chinese word is its head
_RUN = re.compile(r"\S+")


def runs(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Return the spans between blanks."""
    return [match.span() for match in _RUN.finditer(text, start, len(text) if end is None else end)]


def place_words(text: str, forms: Sequence[str]) -> list[list[Span]]:
    """Find LTP's words in the text.

    Args:
        text: The text.
        forms: LTP's words in order, blanks and all.

    Returns:
        For each word its parts between blanks, one in nearly all cases. Every character that is no
        blank is in one of them.

    Raises:
        UserError: A word is not where it should be.
    """
    placed: list[Span] = []
    start = 0
    for form in forms:
        place = text.find(form, start)
        if place < 0 or not form:
            raise UserError(
                f"LTP's word {form!r} is not in the text after {text[:start][-12:]!r}: "
                f"{text[start : start + 12]!r}; is this an LTP model folder?"
            )
        end = place + len(form)
        placed.append((start, end))  # what lay between is part of the word
        start = end
    if placed:
        placed[-1] = (placed[-1][0], len(text))
    return [runs(text, *span) for span in placed]


def part_labels(layer: str, labels: Sequence[str], parts: Sequence[Sequence[Span]]) -> list[str]:
    """Give the parts of each word labels: the word's, a stretch of its entity, ATT before a head.

    Args:
        layer: Name of the layer.
        labels: One label a word.
        parts: What `place_words` gave.
    """
    found: list[str] = []
    for label, spans in zip(labels, parts, strict=True):
        n = len(spans)
        if n <= 1:
            found += [label] * n
        elif layer == "ner":
            found += _stretched(label, n)
        elif layer == "dep":
            found += [*[_INSIDE] * (n - 1), label]
        else:
            found += [label] * n
    return found


def _stretched(label: str, n: int) -> list[str]:
    """Return a BIEOS label for each of n parts of one word."""
    mark, dash, kind = label.partition("-")
    if not dash:
        return [label] * n
    first = "B" if mark in ("B", "S") else "I"
    last = "E" if mark in ("E", "S") else "I"
    return [f"{x}-{kind}" for x in (first, *["I"] * (n - 2), last)]


def with_one_root(parts: Sequence[Sequence[str | None]]) -> list[str | None]:
    """Join the relations of the parts of a divided text.

    Each part has a root of its own. The first stays; the others become COO, as LTP has it for the
    second clause of a sentence.
    """
    joined: list[str | None] = []
    rooted = False
    for labels in parts:
        joined += [_ROOT_OF_A_LATER_PART if rooted and x == _ROOT else x for x in labels]
        rooted = rooted or _ROOT in labels
    return joined


def to_lert(
    layer: str, labels: Sequence[str | None], forms: Sequence[str]
) -> tuple[str | None, ...]:
    """Replace the labels that LTP documents and LERT lacks (see `tagsets`).

    Args:
        layer: Name of the layer.
        labels: LTP's labels, one a word; None where it has none.
        forms: The words.
    """
    pairs = zip(labels, forms, strict=True)
    if layer == "pos":
        return tuple(label and ltp_pos(label, form) for label, form in pairs)
    if layer == "dep":
        return tuple(label and ltp_dep(label, _coarse_pos(form)) for label, form in pairs)
    return tuple(labels)


def _coarse_pos(form: str) -> str:
    """Return what `ltp_dep` asks: punctuation or not."""
    return "n" if any(map(str.isalnum, form)) else "wp"
