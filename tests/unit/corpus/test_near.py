"""MinHash: datatrove's signature on character n-grams; who is found, and by what chance."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.corpus import near
from hanmo.corpus.dedup import united
from hanmo.corpus.near import NO_BAND, NearOptions, bands, matches, minimum_hashes, shingles

OPTIONS = NearOptions(similarity=0.8)


def random_texts(n: int, length: int) -> list[str]:
    rng = np.random.default_rng(5)
    codes = rng.integers(0x4E00, 0x4E00 + 3000, size=(n, length))
    return ["".join(map(chr, row)) for row in codes]


def changed(text: str, every: int) -> str:
    """Change one character of every few: an n-gram holds one of them with a known chance."""
    return "".join("改" if i % every == every // 2 else c for i, c in enumerate(text))


def roots(texts: list[str], options: NearOptions) -> list[int]:
    matrix = np.stack([bands(text, options) for text in texts], axis=1)
    pairs = np.concatenate([matches([row]) for row in matrix])
    return united(np.arange(len(texts)), pairs).tolist()


def test_what_is_nearly_the_same_is_found_and_what_is_not_is_not() -> None:
    texts = random_texts(20, 400)
    # One character in 100: 5 of 100 n-grams differ, similarity 0.95 / 1.05 = 0.9.
    assert roots(texts + [changed(text, 100) for text in texts], OPTIONS) == [*range(20)] * 2
    # One in 10: half of the n-grams differ, similarity a third.
    assert roots(texts + [changed(text, 10) for text in texts], OPTIONS) == [*range(40)]


def test_punctuation_white_space_and_case_do_not_count() -> None:
    one, two = "黄河是 Chang 中国，第二长河。", "黄河是 chang中国\n第二长河"
    assert bands(one, OPTIONS).tolist() == bands(two, OPTIONS).tolist()


@given(st.text("甲乙丙丁a，", max_size=30), st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_shingles_are_the_different_ngrams(text: str, ngram: int) -> None:
    bare = text.replace("，", "")
    expected = {bare[i : i + ngram] for i in range(len(bare) - ngram + 1)}
    assert len(shingles(text, ngram)) == len(expected)
    other = bare[::-1]
    common = np.intersect1d(shingles(text, ngram), shingles(other, ngram))
    assert len(common) == len(expected & {other[i : i + ngram] for i in range(len(other))})


@given(st.text("甲乙丙丁戊", max_size=40), st.text("甲乙丙丁戊", max_size=40))
@settings(deadline=None, max_examples=30)
def test_a_signature_is_the_minimum_over_the_ngrams(one: str, two: str) -> None:
    """So that texts of the same n-grams, in whatever order and number, have the same one."""
    sets = [shingles(text, 3) for text in (one, two)]
    sets = [grams for grams in sets if len(grams)]
    if not sets:
        return
    both = minimum_hashes(np.unique(np.concatenate(sets)).reshape(-1, 1), OPTIONS)
    parts = [minimum_hashes(grams, OPTIONS) for grams in sets]
    assert (both == np.minimum.reduce(parts)).all()


def test_equal_minima_are_as_frequent_as_the_similarity_says() -> None:
    """Broder: P(minima are equal) = Jaccard similarity; here over 168 hash functions a pair."""
    for text in random_texts(5, 600):
        for every in (100, 40, 20, 8):
            sets = [shingles(one, OPTIONS.ngram) for one in (text, changed(text, every))]
            common = len(np.intersect1d(*sets))
            similarity = common / (len(sets[0]) + len(sets[1]) - common)
            one, two = (minimum_hashes(grams, OPTIONS) for grams in sets)
            spread = (similarity * (1 - similarity) / one.size) ** 0.5
            assert (one == two).mean() == pytest.approx(similarity, abs=5 * spread)


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), max_size=8), st.data())
def test_who_agrees_in_a_band_is_paired_with_the_first(
    rows: list[list[int]], data: st.DataObject
) -> None:
    matrix = np.array(rows, dtype=np.uint64).reshape(-1, 4)
    matrix[matrix == 3] = NO_BAND
    cut = data.draw(st.integers(0, len(rows)))
    for band in matrix.T:
        values = band.tolist()
        expected = [
            [number, values.index(value)]
            for number, value in enumerate(values)
            if value != NO_BAND and values.index(value) != number
        ]
        assert matches([band[:cut], band[cut:]]).tolist() == expected


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.72, 0.8, 0.95])
@pytest.mark.parametrize("buckets", [2, 14, 20])
def test_the_edge_lies_at_the_similarity_asked_for(similarity: float, buckets: int) -> None:
    options = NearOptions(similarity=similarity, buckets=buckets)
    rows = near.rows_for(options)

    def found(s: float) -> float:
        return 1 - (1 - s**rows) ** buckets

    edge = (1 / buckets) ** (1 / rows)  # where datatrove puts it
    assert found(edge) == pytest.approx(1 - (1 - 1 / buckets) ** buckets)
    steps = [(1 / buckets) ** (1 / r) for r in (max(1, rows - 1), rows + 1)]
    assert abs(edge - similarity) <= min(abs(step - similarity) for step in steps) + 0.03
    if (similarity, buckets) == (0.72, 14):
        assert rows == 8  # datatrove's defaults


def test_too_short_a_text_is_like_no_other() -> None:
    assert (bands("短文", OPTIONS) == NO_BAND).all()
    assert roots(["短文", "短文", "。"], OPTIONS) == [0, 1, 2]


def test_a_long_text_is_taken_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = random_texts(1, 300)
    whole = bands(text, OPTIONS)
    monkeypatch.setattr(near, "_CHUNK", 7)
    assert bands(text, OPTIONS).tolist() == whole.tolist()


def test_groups_are_those_of_datatroves_own_pipeline(tmp_path: Path) -> None:
    """Our signatures, written as datatrove writes them, through its own two next stages."""
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
    )
    from datatrove.utils.hashing import HashConfig

    options = NearOptions(similarity=0.72, buckets=4)
    originals = random_texts(6, 200)
    texts = [*originals, *(changed(text, every) for text in originals for every in (60, 25, 15))]
    rows = near.rows_for(options)
    signatures = [minimum_hashes(shingles(text, options.ngram), options) for text in texts]
    for bucket in range(options.buckets):
        folder = tmp_path / "sigs" / f"bucket_{bucket:03d}"
        folder.mkdir(parents=True)
        records = sorted((*s[bucket].tolist(), number) for number, s in enumerate(signatures))
        packed = b"".join(struct.pack(f"<{rows}QI", *record) for record in records)
        (folder / "00000.minhash.sig").write_bytes(packed)
    config = MinhashConfig(
        num_buckets=options.buckets,
        hashes_per_bucket=rows,
        hash_config=HashConfig(precision=64, hash_fc="sha1"),
    )
    for rank in range(options.buckets):
        step = MinhashDedupBuckets(str(tmp_path / "sigs"), str(tmp_path / "dups"), config=config)
        step.run(None, rank, options.buckets)
    cluster = MinhashDedupCluster(
        str(tmp_path / "dups"), str(tmp_path / "out"), config=config, save_cluster_id=True
    )
    cluster.run(None, 0, 1)
    raw = (tmp_path / "out" / "000000.clusters").read_bytes()
    theirs: dict[int, set[int]] = {}
    for document, name in struct.iter_unpack("<2I", raw):
        theirs.setdefault(name, set()).add(document)
    ours: dict[int, set[int]] = {}
    for document, root in enumerate(roots(texts, options)):
        ours.setdefault(root, set()).add(document)
    several = [group for group in ours.values() if len(group) > 1]
    assert sorted(map(sorted, theirs.values())) == sorted(map(sorted, several))
    assert len(several) >= 3 and any(len(group) == 1 for group in ours.values())


@pytest.mark.parametrize("n", [0, 1, 4, 9])
def test_a_band_is_read_alone(n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_BLOCK", 4)
    texts = [f"第{number}天我们去北京看书，然后回家。" * 3 for number in range(n)]
    with near.BandWriter(tmp_path, 3, OPTIONS) as writer:
        for text in texts:
            writer.add(text)
    for band in range(OPTIONS.buckets):
        expected = [bands(text, OPTIONS)[band] for text in texts]
        assert near.read_band(tmp_path, 3, band, OPTIONS.buckets).tolist() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["000003.bands"]
