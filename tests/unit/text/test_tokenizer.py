"""The tokenizer: special pieces, spans, saving, pickling."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.text.tokenizer import Encoding, Tokenizer
from hanmo.text.vocab import SPECIALS


def pieces(tokenizer: Tokenizer, encoding: Encoding) -> list[str]:
    return [tokenizer.vocab[i] for i in encoding.ids.tolist()]


def test_pieces_and_spans(tokenizer: Tokenizer) -> None:
    text = "中国 Hello，CAFE\u0301 \u200b2010年"
    encoding = tokenizer.encode(text)
    assert pieces(tokenizer, encoding) == ["中", "国", "he", "##llo", "，", "cafe", "2010", "[UNK]"]
    cut = [text[start:end] for start, end in encoding.spans.tolist()]
    assert cut == ["中", "国", "He", "llo", "，", "CAFE", "2010", "年"]
    assert (encoding.ids.dtype, encoding.spans.dtype) == (np.int32, np.int32)
    assert len(encoding) == 8


def test_special_text_is_ordinary_unless_asked_for(tokenizer: Tokenizer) -> None:
    text = "中[MASK] 国[SEP]"
    assert not tokenizer.special_ids & set(tokenizer.encode(text).ids.tolist())
    encoding = tokenizer.encode(text, specials=True)
    assert pieces(tokenizer, encoding) == ["中", "[MASK]", "国", "[SEP]"]
    assert encoding.spans.tolist() == [[0, 1], [1, 7], [8, 9], [9, 14]]


@given(st.lists(st.sampled_from([*SPECIALS, "中", "国 ", "hello", "[mask]", "[", ""])))
def test_specials_are_the_only_difference(tokenizer: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    encoding = tokenizer.encode(text, specials=True)
    special = [text[a:b] for a, b in encoding.spans.tolist() if text[a:b] in SPECIALS]
    assert special == [part for part in parts if part in SPECIALS]
    blanked = text
    for name in SPECIALS:
        blanked = blanked.replace(name, " " * len(name))
    rest = np.array([i not in tokenizer.special_ids for i in encoding.ids.tolist()], dtype=bool)
    assert np.array_equal(encoding.spans[rest], tokenizer.encode(blanked).spans)


def test_nothing_gives_nothing(tokenizer: Tokenizer) -> None:
    for text in ("", " \u3000\n", "\u200b\ud800"):
        for specials in (False, True):
            encoding = tokenizer.encode(text, specials=specials)
            assert (encoding.ids.shape, encoding.spans.shape) == ((0,), (0, 2))
    assert tokenizer.encode_batch([]) == []


def test_random_ids_leave_out_what_no_text_contains(tokenizer: Tokenizer) -> None:
    allowed = {tokenizer.vocab[i] for i in tokenizer.random_ids.tolist()}
    assert set(tokenizer.vocab) - allowed == {
        *SPECIALS,
        "<S>",
        "<T>",
        *(f"[unused{i}]" for i in range(1, 100)),
    }


def test_a_pickled_copy_is_the_same(tokenizer: Tokenizer) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.vocab == tokenizer.vocab
    assert copy.encode("中国hello").ids.tolist() == tokenizer.encode("中国hello").ids.tolist()


def test_saved_files_come_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path, max_length=128)
    assert Tokenizer.load(tmp_path).vocab == tokenizer.vocab
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 128
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    }
    Tokenizer.load(tmp_path).save(tmp_path, max_length=128)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bad_vocabulary_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n中\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"vocab\.txt: no \[UNK\] \[CLS\] \[SEP\] \[MASK\]"):
        Tokenizer.load(tmp_path)
