"""Which pieces stay, and that every id means after pruning what it meant before."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.shards import ShardSet
from hanmo.model.checkpoint import load_masked_lm
from hanmo.pruning.model_folder import WORDS, read_folder, write_folder
from hanmo.pruning.vocabulary import (
    Coverage,
    count_shards,
    count_texts,
    coverage,
    keep_pieces,
    kept_ids,
    listed_ids,
)
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import SPECIALS
from kind_cases import MIXED
from training_cases import CHARACTERS, VOCAB, tokenizer


@given(
    st.lists(st.integers(0, 5), min_size=20, max_size=20),
    st.sets(st.integers(0, 19), min_size=1, max_size=5),
    st.integers(1, 6),
    st.sets(st.integers(0, 19), max_size=4),
)
def test_kept_are_the_frequent_the_special_and_the_listed(
    counts: list[int], specials: set[int], least: int, further: set[int]
) -> None:
    ids = kept_ids(np.array(counts), specials, min_count=least, further=further)
    frequent = {i for i, n in enumerate(counts) if n >= least}
    assert ids.tolist() == sorted(frequent | specials | further)


@given(st.sets(st.integers(0, len(VOCAB) - 1), max_size=60))
def test_ids_are_mapped_to_the_same_pieces_and_rows(chosen: set[int]) -> None:
    model = read_folder(FOLDER)
    ids = np.array(sorted(chosen | set(tokenizer().special_ids)))
    small = keep_pieces(model, ids)
    assert small.config.vocab_size == len(ids) == len(small.pieces)
    assert small.pieces[small.config.pad_token_id] == "[PAD]"
    rows = {piece: number for number, piece in enumerate(small.pieces)}
    old, new = model.weights, small.weights
    for i in ids:
        assert torch.equal(new[WORDS][rows[VOCAB[i]]], old[WORDS][i])
        assert new["cls.predictions.bias"][rows[VOCAB[i]]] == old["cls.predictions.bias"][i]
    same = new.keys() - {WORDS, "cls.predictions.bias"}
    assert all(new[name] is old[name] for name in same)


@pytest.fixture(autouse=True, scope="module")
def _folder(masked_lm: Path) -> None:
    global FOLDER  # noqa: PLW0603 - hypothesis takes no fixtures of a test
    FOLDER = masked_lm


FOLDER = Path()


def test_a_pruned_model_answers_as_before_on_such_text(masked_lm: Path, tmp_path: Path) -> None:
    text = "".join(CHARACTERS[5:25])
    model = read_folder(masked_lm)
    counts = sum(count_texts([text], tokenizer()))
    ids = kept_ids(counts, tokenizer().special_ids, min_count=1)
    assert len(ids) == 25
    write_folder(keep_pieces(model, ids), tmp_path / "small", {})
    small = Tokenizer.load(tmp_path / "small")
    assert small.vocab == [piece for i, piece in enumerate(VOCAB) if i in set(ids.tolist())]
    scores = []
    for made, folder in ((tokenizer(), masked_lm), (small, tmp_path / "small")):
        encoded = torch.tensor([[made.cls_id, *made.encode(text).ids, made.sep_id]])
        one = torch.ones_like(encoded)
        lm = load_masked_lm(folder, dropout=0.0).eval()
        with torch.no_grad():
            hidden = lm.encoder(encoded, one * 0, one.cumsum(1) - 1, one)
            transformed = lm.cls.predictions.transform(hidden)
            words = lm.encoder.embeddings.word_embeddings.weight
            scores.append(lm.cls.logits(transformed, words))
    assert torch.allclose(scores[0][..., torch.from_numpy(ids)], scores[1], atol=1e-6)


def test_separators_of_lines_in_pieces_shift_nothing(tmp_path: Path, masked_lm: Path) -> None:
    vocab = [*VOCAB]
    vocab[20], vocab[30] = "\u2028", "a\u2028"
    (tmp_path / "m").mkdir()
    for path in masked_lm.iterdir():
        (tmp_path / "m" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "m" / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    model = read_folder(tmp_path / "m")
    ids = np.array([*range(6), 20, 29, 30, 31])
    write_folder(keep_pieces(model, ids), tmp_path / "small", {})
    assert Tokenizer.load(tmp_path / "small").vocab == [vocab[i] for i in ids]


def test_shards_and_texts_are_counted_alike(shards: Path) -> None:
    opened = ShardSet.open(shards)
    counts = sum(count_shards(opened, len(VOCAB)))
    assert counts.sum() == opened.n_pieces
    texts = ["".join(VOCAB[i] for i in shard.ids) for shard in opened.shards]
    again = sum(count_texts(texts * 1, tokenizer()))
    assert (counts == again).all()
    assert len([*count_texts(texts * 1100, tokenizer())]) > 1


def test_coverage_says_what_becomes_of_the_rest() -> None:
    pieces = MIXED.vocab
    counts = np.zeros(len(pieces), np.int64)
    for piece, n in (("ab", 5), ("12", 3), (CHARACTERS[0], 7), ("##b", 2), ("a", 1), ("1", 1)):
        counts[MIXED.id_of[piece]] = n
    stay = [MIXED.id_of[piece] for piece in (*SPECIALS, "a", "##b", "1", CHARACTERS[1])]
    found = coverage(counts, np.array(sorted(stay)), pieces)
    # "ab" is "a ##b"; "12" would need "##2"; the character is gone.
    assert found == Coverage(total=19, kept=4, split=5, unknown=10)


def test_listed_pieces_must_be_known() -> None:
    assert listed_ids([(1, CHARACTERS[3])], tokenizer(), "f") == [VOCAB.index(CHARACTERS[3])]
    with pytest.raises(UserError, match="f:7: 'xyz' is no piece"):
        listed_ids([(7, "xyz")], tokenizer(), "f")
