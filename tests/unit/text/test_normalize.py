"""Cleaning: the policy by example, and the map back to the original."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.text.normalize import normalize, normalize_all

MESSY = (
    " \t\u3000\xa0\r\n\u2028\x85\u200b\ufeff\ufffd\x00\xad中文a1１Ａ，。ﾊﾞe\u0301¨㎏각\u1100\u1161"
)
messy = st.text(st.sampled_from(MESSY) | st.characters(exclude_categories=()), max_size=40)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\ufeff　　中\u200b文 \r\n", "中文\n"),
        ("a\tb\xa0\u3000c", "a b c"),
        ("a \n\r\n b\rc\u2028d\x85e\ff", "a\n\nb\nc\nd\ne\nf"),
        ("中\x00\x07国\ufffd人\xad\u202e民\ud800", "中国人民"),
        ("  ", ""),
        ("a\u200b \u200bb", "a b"),
        ("ＡＢＣ，１２３", "ＡＢＣ，１２３"),
        ("\ue000私用", "\ue000私用"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_policy(raw: str, clean: str) -> None:
    assert normalize(raw).text == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("ＡＢＣ，１２３。", "ABC，123。"),
        ("㎏…！？：（）", "kg…！？：（）"),
        ("ﾊﾞｽ", "バス"),
        ("e\u200b\u0301x", "éx"),
        ("\u1112\u1161\u11ab", "한"),
    ],
)
def test_nfkc_keeps_chinese_punctuation(raw: str, clean: str) -> None:
    assert normalize(raw, nfkc=True).text == clean


def test_spans_lead_back_to_the_original() -> None:
    raw = "\ufeff第㎏\u200b章　　ＡＢ"
    clean = normalize(raw, nfkc=True)
    assert clean.text == "第kg章 AB"
    assert clean.offsets.tolist() == [1, 2, 2, 4, 5, 7, 8, 9]
    start = clean.text.index("AB")
    assert raw[slice(*clean.original_span(start, start + 2))] == "ＡＢ"
    assert clean.original_span(2, 2) == (2, 2)


@given(messy, st.booleans())
def test_twice_is_once(text: str, nfkc: bool) -> None:
    once = normalize(text, nfkc=nfkc)
    again = normalize(once.text, nfkc=nfkc)
    assert again.text == once.text
    assert again.offsets.tolist() == list(range(len(once.text) + 1))


@given(messy)
def test_every_character_comes_from_where_the_map_says(text: str) -> None:
    clean = normalize(text)
    assert clean.offsets.dtype == np.int32
    assert clean.offsets[-1] == len(text)
    assert (np.diff(clean.offsets) >= 1).all() or not clean.text
    for char, at in zip(clean.text, clean.offsets[:-1].tolist(), strict=True):
        if char == " ":
            assert text[at] == "\t" or unicodedata.category(text[at]) == "Zs"
        elif char == "\n":
            assert text[at] in "\n\r\v\f\x85\u2028\u2029"
        else:
            assert text[at] == char


@given(messy, st.booleans())
def test_nothing_unwanted_is_left(text: str, nfkc: bool) -> None:
    clean = normalize(text, nfkc=nfkc)
    assert (np.diff(clean.offsets) >= 0).all()
    assert not any(
        unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in clean.text if char != "\n"
    )
    assert "  " not in clean.text
    assert "\n " not in clean.text
    assert " \n" not in clean.text
    assert clean.text.strip(" ") == clean.text


@given(st.lists(messy, max_size=6))
def test_many_at_once_are_each_alone(texts: list[str]) -> None:
    assert normalize_all(texts) == [normalize(text).text for text in texts]
