"""Alignment against a slow definition, and the cases that break string comparison."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.text.align import align_words
from hanmo.text.tokenizer import Tokenizer

Spans = list[tuple[int, int]]


@st.composite
def word_spans(draw: st.DrawFn) -> Spans:
    spans, at = [], 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=12)):
        spans.append((at + gap, at + gap + length))
        at += gap + length
    return spans


@st.composite
def piece_spans(draw: st.DrawFn) -> Spans:
    """Ascending; some share a character, some are empty, some overlap as jamo do."""
    spans, start, end = [], 0, 0
    for step, length in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)))):
        start += step
        end = max(end, start + length)
        spans.append((start, end))
    return spans


def table(spans: Spans) -> np.ndarray:
    return np.array(spans, dtype=np.int32).reshape(-1, 2)


def aligned_by_definition(words: Spans, pieces: Spans) -> tuple[list[int], int]:
    reached = [
        {i for i, (a, b) in enumerate(words) if max(a, start) < min(b, end)}
        for start, end in pieces
    ]
    shared = set().union(*(words for words in reached if len(words) > 1))
    owners = [next(iter(w)) if len(w) == 1 and not w & shared else -1 for w in reached]
    return owners, len(shared)


@given(word_spans(), piece_spans())
def test_alignment_is_its_definition(words: Spans, pieces: Spans) -> None:
    got = align_words(table(words), table(pieces))
    assert (got.piece_words.tolist(), got.n_unaligned) == aligned_by_definition(words, pieces)
    assert got.piece_words.dtype == np.int32


@given(word_spans())
def test_characters_as_pieces_name_the_word_of_each_character(words: Spans) -> None:
    expected = [-1] * (words[-1][1] + 1 if words else 1)
    for number, (start, end) in enumerate(words):
        expected[start:end] = [number] * (end - start)
    characters = table([(i, i + 1) for i in range(len(expected))])
    assert align_words(table(words), characters).piece_words.tolist() == expected


@pytest.mark.parametrize(
    ("words", "owners"),
    [
        (["中国", "人民"], [0, 0, 1, 1]),
        (["中国", "hello", "2010"], [0, 0, 1, 1, 2]),  # he ##llo
        (["𝄞x", "中国"], [0, 1, 1]),  # [UNK] of two characters
        (["café", "CAFE\u0301", "中"], [0, 1, 2]),  # accents, composed or not, upper case
        (["中\u200b国", "\ufeff人"], [0, 0, 1]),  # dropped characters
        (["中国", "\u200b", "人"], [0, 0, 2]),  # a word without pieces
        (["豈", "한", "人"], [0, 1, 1, 1, 2]),  # decomposed: one piece, then three
        (["[MASK]"], [0] * 6),  # [ m ##a ##s ##k ]
    ],
)
def test_words_of_real_text(tokenizer: Tokenizer, words: list[str], owners: list[int]) -> None:
    text, spans = "", []
    for word in words:
        spans.append((len(text), len(text) + len(word)))
        text += word + " "
    got = align_words(table(spans), tokenizer.encode(text).spans)
    assert (got.piece_words.tolist(), got.n_unaligned) == (owners, 0)


def test_a_piece_over_two_words_takes_both_out(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode("中hello国")  # 中 he ##llo 国
    got = align_words(table([(0, 1), (1, 4), (4, 6), (6, 7)]), encoding.spans)
    assert got.piece_words.tolist() == [0, -1, -1, 3]
    assert got.n_unaligned == 2


@pytest.mark.parametrize("words", [[(0, 2), (1, 3)], [(2, 3), (0, 1)], [(1, 1)], [(-1, 1)]])
def test_words_out_of_order_are_refused(words: Spans) -> None:
    with pytest.raises(ValueError, match="expected ascending spans"):
        align_words(table(words), table([(0, 1)]))
