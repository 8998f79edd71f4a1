"""Duplicates: the first stays, whatever the order of hashes; compared with a plain set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanmo.corpus.dedup import as_hashes, first_of_each, text_digest


@given(st.lists(st.text("甲乙 \n", max_size=4)))
def test_same_as_a_set(texts: list[str]) -> None:
    seen: set[str] = set()
    expected = []
    for text in texts:
        bare = "".join(text.split())
        expected.append(bare not in seen)
        seen.add(bare)
    keep = first_of_each(as_hashes(b"".join(map(text_digest, texts))))
    assert keep.tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 130), st.integers(0, 1))))
def test_both_halves_of_a_hash_count(pairs: list[tuple[int, int]]) -> None:
    hashes = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
    expected = [pair not in pairs[:place] for place, pair in enumerate(pairs)]
    assert first_of_each(hashes).tolist() == expected


def test_a_hash_takes_16_bytes_and_memory_stays_near_that() -> None:
    import tracemalloc

    n = 400_000
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, size=(n, 2), dtype=np.uint64)
    hashes[n // 2 :] = hashes[: n // 2]
    assert hashes.nbytes == 16 * n
    tracemalloc.start()
    keep = first_of_each(hashes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert keep[: n // 2].all()
    assert not keep[n // 2 :].any()
    assert peak < 12 * n  # besides the hashes
