"""Statistics are what counting sentence by sentence gives, of all or of a sample."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspection_cases import DOCUMENTS, VOCAB, sentence, write_sentences

from hanmo.annotate import store
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands import encode
from hanmo.core.artifact import read_manifest
from hanmo.data.shards import ShardSet
from hanmo.inspection import counting, shard_documents
from hanmo.inspection.counting import count, evenly
from hanmo.inspection.tables import binned
from hanmo.inspection.tally import TOO_LONG, Lengths
from hanmo.text.tokenizer import Tokenizer

ROWS = [row for part in DOCUMENTS for row in part]
SENTENCES = [one for _, one in ROWS]


def labels_of(sentences: list[Sentence], layer: str) -> Counter[str | None]:
    return Counter(label for one in sentences for label in one.layers[layer])


@pytest.mark.parametrize("rows", [1, 2, 5, 4096])
def test_sentences_are_counted(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", rows)
    tally, read = count(folders["sentences"], everything=False, tokenizer=None)
    assert (read.read, read.of, read.share) == (3, 3, 1.0)
    assert tally.counts == {
        "documents": 5,
        "sentences": len(SENTENCES),
        "words": sum(len(one.words) for one in SENTENCES),
        "characters": sum(len(one.text) for one in SENTENCES),
    }
    for layer in TAGSETS:
        expected = labels_of(SENTENCES, layer)
        assert tally.missing[layer] == expected.pop(None, 0)
        assert tally.labels[layer] == expected
    forms = [form for one in SENTENCES for form in one.forms]
    assert tally.lengths["word"].counts == Counter(map(len, forms))
    assert tally.lengths["sentence"].counts == Counter(len(one.text) for one in SENTENCES)
    sizes: Counter[str] = Counter()
    for name, one in ROWS:
        sizes[name] += len(one.text)
    assert tally.lengths["document"].counts == Counter(sizes.values())


def test_pieces_and_what_became_unknown(folders: dict[str, Path]) -> None:
    tokenizer = Tokenizer.load(folders["vocab"])
    tally, _ = count(folders["sentences"], everything=True, tokenizer=tokenizer)
    made = read_manifest(folders["shards"]).counts
    assert tally.counts["pieces"] == made["pieces"]
    assert tally.counts["unknown_pieces"] == made["unknown_pieces"] == 1
    assert tally.counts["continued_pieces"] == 1
    assert tally.unknown == {"囧": 1}
    shown = tally.to_json()
    assert shown["unknown_rate"] == 1 / made["pieces"]
    assert shown["unknown_characters"][0]["code_point"] == "U+56E7"


def test_a_word_of_known_characters_may_be_unknown(tmp_path: Path) -> None:
    text = "xi/ws/O/HED _ weø/ws/O/VOB"  # "x" begins no word; ø is in no piece
    folder = write_sentences(tmp_path / "s", [[("a", sentence(text))]])
    tokenizer = Tokenizer([*VOCAB, "w", "##x", "##i", "##e"])
    tally, _ = count(folder, everything=True, tokenizer=tokenizer)
    assert tally.unknown == {TOO_LONG: 1, "ø": 1}
    assert tally.counts["unknown_pieces"] == 2


def test_shards_are_counted_as_the_sentences_were(folders: dict[str, Path]) -> None:
    tally, read = count(folders["shards"], everything=False, tokenizer=None)
    made = read_manifest(folders["shards"]).counts
    assert read.share == 1.0
    for name in ("documents", "sentences", "pieces", "unknown_pieces"):
        assert tally.counts[name] == made[name]
    assert tally.counts["words"] == made["words"]
    for layer in TAGSETS:
        expected = labels_of(SENTENCES, layer)
        assert tally.missing[layer] == expected.pop(None, 0)
        assert {label: n for label, n in tally.labels[layer].items() if n} == expected
    assert sum(n * size for size, n in tally.lengths["word"].counts.items()) == made["pieces"]


def test_entities_by_piece_are_counted_by_piece(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "shards"
    encode.run(encode.Config(folders["sentences"], folders["vocab"], out, ner_level="char"))
    tally, _ = count(out, everything=True, tokenizer=None)
    [part] = ShardSet.open(out).shards
    names = TAGSETS["ner"]
    expected = Counter(names[one] for one in part.layers["ner"].tolist() if one >= 0)
    assert {label: n for label, n in tally.labels["ner"].items() if n} == expected
    assert "by piece" in tally.notes[0]


def test_a_sample_says_how_much_it_is(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SAMPLE", 1)
    tally, read = count(folders["sentences"], everything=False, tokenizer=None)
    middle = [one for _, one in DOCUMENTS[1]]
    assert (read.read, read.of) == (1, 3)
    assert tally.counts["characters"] == sum(len(one.text) for one in middle)
    assert read.share == tally.counts["characters"] / sum(len(one.text) for one in SENTENCES)
    whole, read = count(folders["sentences"], everything=True, tokenizer=None)
    assert (read.read, read.share, whole.counts["documents"]) == (3, 1.0, 5)


def test_blocks_of_shards_are_whole_documents(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ShardSet.open(folders["shards"])
    expected, _ = count(folders["shards"], everything=True, tokenizer=None)
    for block in (1, 7, 30):
        monkeypatch.setattr(counting, "BLOCK", block)
        tally, read = count(folders["shards"], everything=True, tokenizer=None)
        assert tally == expected
        assert read.of == sum(-(-len(part.ids) // block) for part in shards.shards)
    monkeypatch.setattr(counting, "SAMPLE", 1)
    tally, read = count(folders["shards"], everything=False, tokenizer=None)
    assert read.read == 1
    assert read.share == tally.counts["pieces"] / expected.counts["pieces"] < 1


def test_a_text_is_found_across_blocks(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_documents, "BLOCK", 3)
    shards, tokenizer = ShardSet.open(folders["shards"]), Tokenizer.load(folders["shards"])
    choice = shard_documents.Choice(find="在北京大学", first=9)
    found = shard_documents.shard_documents(shards, tokenizer, choice)
    assert [one.document.name for one in found] == ["0", "3"]


@given(st.integers(0, 300), st.integers(1, 40))
def test_parts_lie_evenly(n: int, wanted: int) -> None:
    chosen = evenly(n, wanted)
    assert len(chosen) == min(n, wanted) == len(set(chosen))
    assert all(0 <= one < n for one in chosen)
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


@given(st.lists(st.integers(0, 3000), min_size=1), st.integers(2, 30))
def test_bins_hold_every_length_once(lengths: list[int], n_bins: int) -> None:
    bins = binned(Counter(lengths), n_bins)
    assert len(bins) <= n_bins + 1
    assert sum(n for *_, n in bins) == len(lengths)
    for low, high, n in bins:
        assert low <= high
        assert n == sum(low <= one <= high for one in lengths)
    assert bins[0][0] == min(lengths)
    assert bins[-1][1] == max(lengths)


@given(st.lists(st.integers(0, 500), min_size=1))
def test_quantiles_are_lengths_that_occur(values: list[int]) -> None:
    lengths = Lengths()
    lengths.add(np.array(values[:3]))
    lengths.add(np.array(values[3:], dtype=np.int64))
    facts = lengths.to_json()
    ordered = np.sort(values)
    assert facts["n"] == len(values)
    assert facts["mean"] == pytest.approx(np.mean(values))
    assert facts["max"] == max(values)
    for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
        method = "inverted_cdf"
        assert facts[name] == np.quantile(ordered, share, method=method)
