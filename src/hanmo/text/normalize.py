r"""Clean text with a map back to the original: control characters, line ends and blanks.

In: a raw text. Out: `Normalized(text, offsets)`; `offsets[i]` is the place in the original of
character i, so that spans found in the clean text can be shown in the raw one. What changes:

- dropped: control (Cc) and format (Cf: zero-width, direction marks, soft hyphen, BOM) characters,
  lone surrogates, and U+FFFD (it stands for bytes lost upstream; BERT's tokenizer drops it, too);
- line ends (CRLF, CR, VT, FF, NEL, U+2028, U+2029) become one line feed each;
- a run of blanks (tab, NBSP, ideographic space, ...) becomes one space, and none beside a line end
  or at the ends of the text;
- with `nfkc=True`, compatibility forms are folded (Ａ → A, １ → 1, ㎏ → kg) except punctuation:
  ， 。 ！ ？ … keep their Chinese forms, on which sentence splitting and the vocabulary depend.

Nothing else: no case folding, no traditional → simplified; private-use characters stay.

    normalize("　　中文 \r\n").text    # "中文\n"
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_KEEP, _DROP, _BLANK, _LINE = range(4)
_LINES = "\n\r\v\f\x85\u2028\u2029"
_N_CODE_POINTS = 0x110000
_BETWEEN = "\u2028"


@dataclass(frozen=True, slots=True)
class Normalized:
    """A clean text and where its characters came from.

    Attributes:
        text: the clean text, n characters.
        offsets: int32 [n + 1], not descending; the last entry is the length of the original.
    """

    text: str
    offsets: NDArray[np.int32]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the clean text to the original, dropped characters inside included."""
        first = int(self.offsets[start])
        return first, first if start >= end else int(self.offsets[end])


def normalize(text: str, *, nfkc: bool = False) -> Normalized:
    """Clean a text.

    Args:
        text: any string; lone surrogates are allowed.
        nfkc: fold compatibility forms such as full-width letters, punctuation excepted.

    Returns:
        The clean text and its offsets. Cleaning it once more changes nothing.
    """
    clean = _clean(text)
    if not nfkc or unicodedata.is_normalized("NFKC", clean.text):
        return clean
    folded = _fold(clean.text)
    again = _clean(folded.text)  # folding makes new blanks (U+00A8 → space + mark)
    return Normalized(again.text, clean.offsets[folded.offsets[again.offsets]])


def normalize_all(texts: Sequence[str]) -> list[str]:
    """Clean many texts at once: what `normalize` makes of each, without the offsets, but faster."""
    # A line end of its own kind between texts: blanks beside it vanish as they do at a text's ends.
    clean = _clean(_BETWEEN.join(texts))
    ends = np.cumsum([len(text) + 1 for text in texts])[:-1] - 1  # of all but the last
    places = np.searchsorted(clean.offsets, ends)
    bounds = [-1, *places.tolist(), len(clean.text)]
    return [clean.text[start + 1 : end] for start, end in pairwise(bounds)] if texts else []


def n_dropped(text: str) -> int:
    """Return how many characters `normalize` leaves out, white space and line ends aside."""
    return int((_KINDS.of(_codes(text)) == _DROP).sum())


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _clean(text: str) -> Normalized:
    codes = _codes(text)
    kinds = _KINDS.of(codes)
    kinds[:-1][(codes[:-1] == ord("\r")) & (codes[1:] == ord("\n"))] = _DROP
    places = np.flatnonzero(kinds != _DROP)
    places = places[_kept_blanks(kinds[places])]
    kinds = kinds[places]
    codes = np.where(kinds == _BLANK, ord(" "), np.where(kinds == _LINE, ord("\n"), codes[places]))
    offsets = np.append(places, len(text)).astype(np.int32)
    return Normalized(codes.astype("<u4").tobytes().decode("utf-32-le"), offsets)


def _kept_blanks(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Keep everything but blanks, and the first blank of each run that lies between words."""
    keep: NDArray[np.bool_] = kinds != _BLANK
    edge = np.concatenate(([_LINE], kinds, [_LINE]))  # the text's ends count as line ends
    blank = edge == _BLANK
    starts = np.flatnonzero(blank[1:] & ~blank[:-1])  # first blank of each run, in `kinds`
    stops = np.flatnonzero(~blank[1:] & blank[:-1])  # what follows the run, in `kinds`
    inner = (edge[starts] != _LINE) & (edge[stops + 1] != _LINE)
    keep[starts[inner]] = True
    return keep


_BY_CATEGORY = {"Cc": _DROP, "Cf": _DROP, "Cs": _DROP, "Zs": _BLANK}
_OTHERS = {"\ufffd": _DROP, "\t": _BLANK} | dict.fromkeys(_LINES, _LINE)


class _Kinds:
    """Table of code points, from this Python's Unicode data: keep, drop, blank or line.

    It is filled a page of 256 at a time: all of Unicode takes a third of a second, which a short
    command would feel.
    """

    def __init__(self) -> None:
        self._table = np.zeros(_N_CODE_POINTS, dtype=np.uint8)
        self._filled = np.zeros(_N_CODE_POINTS >> 8, dtype=np.bool_)

    def of(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Return the kind of each code point, uint8 of the same shape."""
        needed = np.zeros_like(self._filled)
        needed[codes >> 8] = True
        for page in np.flatnonzero(needed & ~self._filled).tolist():
            chars = [chr(code) for code in range(page << 8, (page + 1) << 8)]
            self._table[page << 8 : (page + 1) << 8] = [_kind(char) for char in chars]
            self._filled[page] = True
        return self._table[codes]


def _kind(char: str) -> int:
    return _OTHERS.get(char, _BY_CATEGORY.get(unicodedata.category(char), _KEEP))


_KINDS = _Kinds()


def _fold(text: str) -> Normalized:
    """NFKC in steps that know where they started; a step is a character and what joins it."""
    joining = _joining()
    parts: list[str] = []
    starts = [i for i, char in enumerate(text) if i == 0 or char not in joining]
    offsets: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        step = text[start:end]
        if not (len(step) == 1 and unicodedata.category(step).startswith("P")):
            step = unicodedata.normalize("NFKC", step)
        parts.append(step)
        offsets.extend([start] * len(step))
    return Normalized("".join(parts), np.array([*offsets, len(text)], dtype=np.int32))


@lru_cache(maxsize=1)
def _joining() -> frozenset[str]:
    """Characters that normalisation may merge with, or move before, the one in front."""
    joining: set[str] = set()
    for code in range(_N_CODE_POINTS):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            joining.add(chr(int(parts[1], 16)))
    joining.update(chr(code) for code in range(0x1160, 0x1200))  # Hangul vowels and finals
    for code in range(_N_CODE_POINTS):
        first = unicodedata.normalize("NFKD", chr(code))[0]
        if first in joining or unicodedata.combining(first):
            joining.add(chr(code))
    return frozenset(joining)
