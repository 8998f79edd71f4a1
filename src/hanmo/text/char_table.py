"""A quick road through BERT's tokenizer: a table of characters, words from a memory.

Nearly every character of Chinese text is a piece by itself, whatever stands beside it. So the
characters of many texts are looked up at once in a NumPy table, and only runs of other characters
(Latin words, numbers, kana) are split by the crate, once each. What a character does is not
written here but asked of the crate the first time it is seen, so the result is the crate's own,
piece for piece and span for span (tests/unit/text/test_char_table.py).

    CharTable({"[UNK]": 0, "中": 1}).encode_batch(["中", "X"])    # ids [1] and [0]
"""

import unicodedata
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hanmo.text.wordpiece import Rows, build, encode_rows, replace_surrogates

# What a character does: stand alone as a piece, part words, vanish, be part of a word;
# ODD: none of these by itself, the whole text goes through the crate.
_UNSEEN, _ALONE, _SPACE, _GONE, _WORD, _ODD = range(6)
Pieces = tuple[NDArray[np.int32], NDArray[np.int32]]
IntArray = NDArray[np.int64]
Joined = tuple[IntArray, IntArray, IntArray]
_GROUP_CHARS = 1 << 17  # characters looked at together: bounds the memory
_MAX_WORDS = 1 << 16  # words remembered
_LONG_WORD = 100  # characters of a word that is not: one of 20,000 is no word
_NONE = np.empty(0, dtype=np.int64)


class CharTable:
    """The crate's tokenizer behind a table of characters and a memory of words; thread-safe."""

    def __init__(self, id_of: dict[str, int]) -> None:
        self._crate = build(id_of)
        self._kinds = np.zeros(0x110000, dtype=np.uint8)
        self._ids = np.zeros(0x110000, dtype=np.int32)
        self._words: dict[str, Rows] = {}

    def encode_batch(self, texts: Sequence[str]) -> list[Pieces]:
        """Encode texts; each result is (ids int32 [n], character spans int32 [n, 2])."""
        return [pieces for group in _groups(texts) for pieces in _split(*self._encode_group(group))]

    def encode_joined(self, texts: Sequence[str]) -> Joined:
        """Encode texts as if they stood in one long text with a character between them.

        Returns:
            int64 [n, 3], id, first character and character after of every piece, in that long
            text; int64 [texts], where each text starts in it; int64 [texts], its pieces.
        """
        tables, starts, counts = [np.empty((0, 3), np.int64)], [_NONE], [_NONE]
        shift = 0
        for group in _groups(texts):
            table, begins, sizes = self._encode_group(group)
            moved = table.astype(np.int64)
            moved[:, 1:] += shift
            tables.append(moved)
            starts.append(begins + shift)
            counts.append(sizes)
            shift += int(begins[-1]) + len(group[-1]) + 1
        return np.concatenate(tables), np.concatenate(starts), np.concatenate(counts)

    def _encode_group(self, texts: list[str]) -> tuple[Rows, IntArray, IntArray]:
        """Return the rows of the joined texts, where each text starts, how many rows it has."""
        text = replace_surrogates("\n".join(texts))
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        kinds = self._look_up(codes)  # [characters]
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        starts = np.cumsum(lengths + 1) - (lengths + 1)  # [texts], in characters of the join
        alone = np.flatnonzero(kinds == _ALONE)
        table = np.empty((len(alone), 3), dtype=np.int32)
        table[:, 0] = self._ids[codes[alone]]
        table[:, 1] = alone
        table[:, 2] = alone + 1
        words = self._word_rows(text, kinds)
        if len(words):
            table = np.concatenate((table, words))
            table = table[np.argsort(table[:, 1], kind="stable")]
        counts = np.diff(np.append(np.searchsorted(table[:, 1], starts), len(table)))
        odd = np.unique(np.searchsorted(starts, np.flatnonzero(kinds == _ODD), side="right") - 1)
        if len(odd):
            slow = encode_rows(self._crate, [texts[i] for i in odd])
            sizes = np.fromiter(map(len, slow), dtype=np.int64, count=len(slow))
            exact = np.concatenate(slow)
            exact[:, 1:] += np.repeat(starts[odd], sizes).astype(np.int32)[:, None]
            owner = np.repeat(np.arange(len(texts)), counts)
            others = ~np.isin(owner, odd)
            # By text only: inside one, the crate's order is kept.
            order = np.argsort(np.append(owner[others], np.repeat(odd, sizes)), kind="stable")
            table = np.concatenate((table[others], exact))[order]
            counts[odd] = sizes
        return table, starts, counts

    def _look_up(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        kinds = self._kinds[codes]
        if not kinds.all():  # 0 is _UNSEEN
            for code in np.unique(codes[kinds == _UNSEEN]).tolist():
                self._kinds[code] = self._ask(chr(code))
            kinds = self._kinds[codes]
        return kinds

    def _ask(self, char: str) -> int:
        """Find out from the crate what a character does between two letters."""
        normal = self._crate.normalizer.normalize_str(f"a{char}a")
        words = [word for word, _ in self._crate.pre_tokenizer.pre_tokenize_str(normal)]
        if words == ["aa"]:
            return _GONE
        if words == ["a", "a"]:
            return _SPACE
        if len(words) == 1:
            return _WORD
        ids = self._crate.encode(char, add_special_tokens=False).ids
        if len(words) != 3 or len(ids) != 1 or unicodedata.combining(char):
            return _ODD
        self._ids[ord(char)] = ids[0]
        return _ALONE

    def _word_rows(self, text: str, kinds: NDArray[np.uint8]) -> Rows:
        """Encode the runs of characters that are parts of words, in order."""
        inside = np.concatenate(([False], (kinds == _WORD) | (kinds == _GONE), [False]))
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[0::2], edges[1::2]
        words = [text[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
        known = self._learn(words)
        rows = [known[word] for word in words]
        if not rows:
            return np.empty((0, 3), dtype=np.int32)
        table = np.concatenate(rows)
        counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        table[:, 1:] += np.repeat(starts, counts).astype(np.int32)[:, None]
        return table

    def _learn(self, words: list[str]) -> Mapping[str, Rows]:
        """Return a memory that holds all of `words`; threads may share it, it only grows."""
        known = self._words
        new = [word for word in dict.fromkeys(words) if word not in known]
        if new and len(known) + len(new) > _MAX_WORDS:
            known = self._words = {}
            new = list(dict.fromkeys(words))
        rows = dict(zip(new, encode_rows(self._crate, new), strict=True))
        long = {word: rows.pop(word) for word in new if len(word) > _LONG_WORD}
        known.update(rows)
        return ChainMap(long, known) if long else known


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    n_chars = 0
    for text in texts:
        group.append(text)
        n_chars += len(text)
        if n_chars >= _GROUP_CHARS:
            yield group
            group, n_chars = [], 0
    if group:
        yield group


def _split(table: Rows, starts: IntArray, counts: IntArray) -> list[Pieces]:
    """Cut the rows of joined texts into pieces a text, spans counted from its start."""
    bounds = np.cumsum([0, *counts])  # [texts + 1]
    shifts = np.repeat(starts.astype(np.int32), counts)
    ids, spans = table[:, 0].copy(), table[:, 1:] - shifts[:, None]
    return [(ids[i:j], spans[i:j]) for i, j in pairwise(bounds.tolist())]
