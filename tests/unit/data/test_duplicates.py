"""Copies of a document: the first one stays, and knows what all of them know."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanmo.data.documents import Documents, join
from hanmo.data.duplicates import firsts, without_duplicates

KEY = np.dtype([("high", "<u8"), ("low", "<u8")])


def keys_of(numbers: Sequence[int]) -> NDArray[np.void]:
    return np.array([(number % 3, number) for number in numbers], dtype=KEY)


@given(st.lists(st.integers(0, 6), max_size=30))
def test_firsts(numbers: list[int]) -> None:
    assert firsts(keys_of(numbers)).tolist() == [numbers.index(number) for number in numbers]


def part(
    texts: Sequence[int], starts: Sequence[Sequence[int]], pos: Sequence[Sequence[int]]
) -> Documents:
    """Documents of one sentence: text k has k + 1 pieces with the id k."""
    sizes = [text + 1 for text in texts]
    return Documents(
        np.repeat(np.array(texts, dtype=np.uint16), sizes),
        np.array([one for row in starts for one in row], dtype=np.uint8),
        np.cumsum([0, *sizes]),
        np.arange(len(texts) + 1),
        {"pos": np.array([one for row in pos for one in row], dtype=np.int8)},
    )


def test_copies_put_together_what_they_know() -> None:
    first = part([2, 1], [[1, 1, 1], [1, 1]], [[-1, 5, -1], [-1, -1]])
    second = part([2, 2, 0], [[1, 0, 1], [1, 1, 1], [1]], [[7, -1, -1], [-1, -1, -1], [3]])
    parts = [first, second]
    found = list(without_duplicates(parts, [keys_of([2, 1]), keys_of([2, 2, 0])]))
    assert [one.ids.tolist() for one in found] == [[2, 2, 2, 1, 1], [0]]
    assert found[0].word_starts.tolist() == [1, 0, 1, 1, 1]
    assert found[0].layers["pos"].tolist() == [7, 5, -1, -1, -1]
    assert found[1].layers["pos"].tolist() == [3]
    # What was given is as it was.
    assert first.word_starts.tolist() == [1, 1, 1, 1, 1]


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_any_parts(texts: list[list[int]], data: st.DataObject) -> None:
    def drawn(low: int, high: int) -> list[list[list[int]]]:
        return [
            [
                data.draw(st.lists(st.integers(low, high), min_size=t + 1, max_size=t + 1))
                for t in one
            ]
            for one in texts
        ]

    starts, pos = drawn(0, 1), drawn(-1, 4)
    parts = [part(*one) for one in zip(texts, starts, pos, strict=True)]
    whole = join(list(without_duplicates(parts, [keys_of(one) for one in texts])), ["pos"])
    flat = [text for one in texts for text in one]
    kept = list(dict.fromkeys(flat))
    assert whole.ids.tolist() == [text for text in kept for _ in range(text + 1)]
    assert whole.document_starts.tolist() == list(range(len(kept) + 1))
    for field, rows, least in (("word_starts", starts, min), ("pos", pos, max)):
        copies = [row for one in rows for row in one]
        expected = [
            least(values)
            for text in kept
            for values in zip(
                *(row for row, t in zip(copies, flat, strict=True) if t == text), strict=True
            )
        ]
        found = whole.word_starts if field == "word_starts" else whole.layers["pos"]
        assert found.tolist() == expected


def test_chosen_documents() -> None:
    documents = Documents(
        np.arange(6, dtype=np.uint16),
        np.ones(6, dtype=np.uint8),
        np.array([0, 1, 3, 6]),
        np.array([0, 2, 2, 3]),
        {"pos": np.arange(6, dtype=np.int8)},
    )
    made = documents.chosen(np.array([False, True, True]))
    assert made.ids.tolist() == made.layers["pos"].tolist() == [3, 4, 5]
    assert made.sentence_starts.tolist() == [0, 3]
    assert made.document_starts.tolist() == [0, 0, 1]
    assert documents.chosen(np.zeros(3, dtype=np.bool_)).document_starts.tolist() == [0]
