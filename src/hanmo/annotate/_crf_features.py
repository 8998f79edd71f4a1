"""What the CRF annotator sees: attributes of characters and of words.

In: a text (segmentation), or words with parts of speech (tagging). Out: for each unit or word the
attributes that python-crfsuite takes, as UTF-8 bytes (str costs a third more). Training and
annotation use the same functions. A *unit* is one character, or a whole run of ASCII (or
full-width) letters and digits, so that such a run is always inside one word; white space is no
unit. The templates are the usual ones of Chinese word segmentation (Ng and Low 2004, section 2) and
of word-based tagging, with clause features for relations in place of a parser. What depends on one
word, pair or tag triple alone is built once and cached.

Example: ``units("我 有 iPhone")`` gives ``[(0, 1), (2, 3), (4, 10)]``.
"""

import functools
import re
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
Row = tuple[bytes, ...]  # the attributes of one unit or word

FEATURES_VERSION = 1  # of these templates; a model trained with other templates is refused

_UNIT = re.compile(r"[A-Za-z0-9Ａ-Ｚａ-ｚ０-９]+|\S")
_HALF_WIDTH = str.maketrans({0xFF01 + i: 0x21 + i for i in range(94)})
_NUMERALS = frozenset("〇○零一二三四五六七八九十百千万亿两")
_CLAUSE_MARKS = frozenset("，。；：！？,;:!?")
_COMMAS = frozenset("，；：,;:")
EDGE = "^"  # what stands before the first and after the last unit or word
WORD_TEMPLATES = b"wflsPShbqLdrR"  # first letters of what `word_attributes` gives
KINDS = "e0ampnc"  # types of units: edge, digits, letters, mixed, punctuation, numeral, other
BEFORE = tuple(seen + near for seen in "01" for near in "-vpu")  # what `before_in_clause` gives
AFTER = tuple(near + mark for near in "-vnu" for mark in ".,")  # what `after_in_clause` gives
_CACHED = 1 << 16


def units(text: str) -> list[Span]:
    """Return the character spans of the units of a text."""
    return [match.span() for match in _UNIT.finditer(text)]


def unit_forms(text: str) -> list[str]:
    """Return the units of a text as strings."""
    return _UNIT.findall(text)


def symbol(form: str) -> tuple[str, str]:
    """Return (symbol, one-letter type) of a unit or a word.

    A run of digits becomes its length, a run of letters or of both one symbol each, so that the
    model learns from their shape; anything else stands for itself in half width.
    """
    if form == EDGE:
        return EDGE, "e"
    folded = form.translate(_HALF_WIDTH)
    if folded.isascii():
        if folded.isdigit():
            return f"#{min(len(folded), 5)}", "0"
        if folded.isalnum():
            kind = "a" if folded.isalpha() else "m"
            return (f"#{kind}" if len(folded) > 1 else folded), kind
        return folded, "m" if any(map(str.isalnum, folded)) else "p"
    if not all(map(str.isalnum, folded)):
        return folded, "p"
    return folded, "n" if all(c in _NUMERALS for c in folded) else "c"


@functools.lru_cache(maxsize=_CACHED)
def _unit(form: str) -> tuple[bytes, bytes, Row]:
    """Return symbol, type, and the unit as seen from two places after to two places before it."""
    name, kind = (part.encode() for part in symbol(form))
    return name, kind, tuple(place + name for place in (b"a", b"b", b"c", b"d", b"e"))


@functools.lru_cache(maxsize=_CACHED)
def _unit_pair(first: bytes, second: bytes) -> Row:
    """Return two adjacent units as seen from the four places that see both."""
    return tuple(place + first + b" " + second for place in (b"A", b"B", b"C", b"D"))


def segmentation_features(forms: Iterable[str]) -> list[Row]:
    """Return the attributes of each unit for the tags S, B, I, E.

    Args:
        forms: The units as strings.
    """
    padded = [_unit(form) for form in (EDGE, EDGE, *forms, EDGE, EDGE)]
    names, kinds, single = zip(*padded, strict=True)
    a, b, c, d, e = zip(*single, strict=True)
    first, second, third, fourth = zip(*map(_unit_pair, names, names[1:]), strict=True)
    around = [b"F" + x + b" " + y for x, y in zip(names[1:], names[3:-1], strict=False)]
    shape = b"".join(kinds)
    shapes = [b"t" + shape[i : i + 5] for i in range(len(names) - 4)]
    columns = (a, b[1:], c[2:], d[3:], e[4:], first, second[1:], third[2:], fourth[3:])
    return list(zip(*columns, around, shapes, strict=False))


@functools.lru_cache(maxsize=_CACHED)
def word_attributes(form: str) -> tuple[Row, Row, Row]:
    """Return a word's own attributes, and those that it gives to the next and the previous word."""
    name, kind = symbol(form)
    is_spelt = name[0] != "#" and name != EDGE
    first, last = (name[0], name[-1]) if is_spelt else (name, name)
    shape = f"{min(len(form), 4)}{kind}"
    own = ["w" + name, "f" + first, "l" + last, "s" + shape]
    if is_spelt and len(name) > 1:
        own += ["P" + name[:2], "S" + name[-2:], *("h" + character for character in name)]
    to_next = ("b" + name, "q" + last, "L" + shape)
    to_previous = ("d" + name, "r" + first, "R" + shape)
    return _encoded(own), _encoded(to_next), _encoded(to_previous)


def _encoded(attributes: Iterable[str]) -> Row:
    return tuple(attribute.encode() for attribute in attributes)


def word_features(forms: Sequence[str]) -> list[Row]:
    """Return the attributes of each word that need no tags; parts of speech use only these."""
    words = [word_attributes(form) for form in (EDGE, *forms, EDGE)]
    return [
        own + before[1] + after[2]
        for before, (own, _, _), after in zip(words, words[1:], words[2:], strict=False)
    ]


@functools.lru_cache(maxsize=_CACHED)
def _tag_triple(b: str, c: str, d: str) -> tuple[Row, Row, Row]:
    """Return three adjacent tags as seen from the middle, from the last and from the first."""
    middle = ("0" + c, f"1{b}", f"2{d}", f"3{b} {c}", f"4{c} {d}", f"5{b} {c} {d}")
    return _encoded(middle), _encoded((f"6{b} {c} {d}",)), _encoded((f"7{b} {c} {d}",))


def entity_features(words: Sequence[Row], pos: Sequence[str]) -> list[Row]:
    """Return attributes for entity labels.

    Args:
        words: What `word_features` gave.
        pos: Parts of speech.
    """
    tags = [EDGE, *pos, EDGE]
    return [
        row + _tag_triple(b, c, d)[0]
        for row, b, c, d in zip(words, tags, tags[1:], tags[2:], strict=False)
    ]


def relation_features(words: Sequence[Row], forms: Sequence[str], pos: Sequence[str]) -> list[Row]:
    """Return attributes for relations: words, parts of speech around, and the clause.

    Args:
        words: What `word_features` gave.
        forms: The words.
        pos: Parts of speech.
    """
    tags = [EDGE, EDGE, *pos, EDGE, EDGE]
    triples = list(map(_tag_triple, tags, tags[1:], tags[2:]))
    names = [EDGE, *forms, EDGE]
    left, right = before_in_clause(forms, pos), after_in_clause(forms, pos)
    return [
        row
        + triples[i + 1][0]
        + triples[i][1]
        + triples[i + 2][2]
        + _clause(tag, left[i], right[i])
        + (f"8{names[i]} {tag}".encode(), f"9{tag} {names[i + 2]}".encode())
        for i, (row, tag) in enumerate(zip(words, pos, strict=True))
    ]


@functools.lru_cache(maxsize=_CACHED)
def _clause(tag: str, left: str, right: str) -> Row:
    return _encoded((f"x{tag} {left}", f"y{tag} {right}", f"z{tag} {left} {right}"))


def before_in_clause(forms: Sequence[str], pos: Sequence[str]) -> list[str]:
    """Return for each word: was there a verb in the sentence, nearest v or p in the clause."""
    result: list[str] = []
    seen, near = "0", "-"
    for form, tag in zip(forms, pos, strict=True):
        result.append(seen + near)
        if tag == "wp" and form in _CLAUSE_MARKS:
            near = "-"
        elif tag in ("v", "p"):
            near = tag
            seen = "1" if tag == "v" else seen
        elif (form == "的" or tag == "nd") and near != "-":
            near = "u"
    return result


def after_in_clause(forms: Sequence[str], pos: Sequence[str]) -> list[str]:
    """Return for each word: nearest v, 的 or localiser in the clause, how the clause ends."""
    result: list[str] = []
    mark, near = ".", "-"
    for form, tag in zip(reversed(forms), reversed(pos), strict=True):
        result.append(near + mark)
        if tag == "wp" and form in _CLAUSE_MARKS:
            mark, near = ("," if form in _COMMAS else "."), "-"
        elif tag in ("v", "nd"):
            near = tag[0]
        elif form == "的":
            near = "u"
    return result[::-1]
