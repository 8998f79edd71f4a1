"""Duplicates: the first stays, whatever the order of hashes; compared with a plain set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanmo.corpus.dedup import as_hashes, first_equal, text_digest, united


@given(st.lists(st.text("甲乙 \n", max_size=4)))
def test_same_as_a_dictionary(texts: list[str]) -> None:
    seen: dict[str, int] = {}
    expected = []
    for number, text in enumerate(texts):
        expected.append(seen.setdefault("".join(text.split()), number))
    assert first_equal(as_hashes(b"".join(map(text_digest, texts)))).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 130), st.integers(0, 1))))
def test_both_halves_of_a_hash_count(pairs: list[tuple[int, int]]) -> None:
    hashes = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
    assert first_equal(hashes).tolist() == [pairs.index(pair) for pair in pairs]


@given(st.integers(1, 12), st.data())
def test_groups_are_those_of_a_walk_along_the_pairs(n: int, data: st.DataObject) -> None:
    numbers = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers)))
    equal = data.draw(st.lists(numbers, min_size=n, max_size=n))
    first = np.array([equal.index(value) for value in equal])
    links = [*pairs, *enumerate(first.tolist())]
    expected = []
    for number in range(n):
        reached = {number}
        while (
            more := {b for a, b in [*links, *((b, a) for a, b in links)] if a in reached} - reached
        ):
            reached |= more
        expected.append(min(reached))
    got = united(first, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    assert got.tolist() == expected


def test_a_hash_takes_16_bytes_and_memory_stays_near_that() -> None:
    import tracemalloc

    n = 400_000
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, size=(n, 2), dtype=np.uint64)
    hashes[n // 2 :] = hashes[: n // 2]
    assert hashes.nbytes == 16 * n
    tracemalloc.start()
    first = first_equal(hashes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (first == np.tile(np.arange(n // 2), 2)).all()
    assert peak < 12 * n  # besides the hashes: 8 for the answer, 1 for the slice
