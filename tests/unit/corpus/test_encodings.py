"""Encodings told apart, and text that a wrong one made."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.corpus.encodings import decode_page, guess_file, guess_line, is_utf8
from hanmo.corpus.mojibake import misread_chars

SIMPLE = "黄河是中国第二长河，发源于青藏高原。它流经九个省区，最后注入渤海。"
TRADITIONAL = "黃河是中國第二長河，發源於青藏高原。它流經九個省區，最後注入渤海。"
HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        (SIMPLE, "utf-8", "utf-8"),
        (SIMPLE, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (TRADITIONAL, "gb18030", "gb18030"),
        ("plain ASCII", "ascii", "utf-8"),
    ],
)
def test_files_are_told_apart(tmp_path: Path, text: str, encoding: str, expected: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((text * 3).encode(encoding))
    assert guess_file(path) == expected


def test_what_is_neither_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(SIMPLE.encode("utf-16"))
    with pytest.raises(UserError, match=r"a\.txt: UTF-16 by its first bytes; convert it"):
        guess_file(path)
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(UserError, match=r"a\.txt: neither UTF-8 nor.*--encoding"):
        guess_file(path)


def test_real_files_in_other_encodings(data_dir: Path, tmp_path: Path) -> None:
    import lzma

    for name in ("laws", "news_cctv", "wiki_zh"):
        with lzma.open(data_dir / "raw" / f"{name}.txt.xz", "rt", encoding="utf-8") as stream:
            text = stream.read(200_000)
        assert misread_chars(text) == 0
        path = tmp_path / f"{name}.txt"
        path.write_bytes(text.encode("gb18030"))
        assert guess_file(path) == "gb18030"
        lines = [line for line in text.split("\n") if len(line) > 40]
        assert sum(guess_line(line.encode("gb18030")) == "GB18030" for line in lines) > 0.95 * len(
            lines
        )


@given(HAN, st.integers(0, 2))
@settings(deadline=None)
def test_utf8_is_proved_even_where_a_character_is_cut(text: str, cut: int) -> None:
    raw = text.encode()
    assert is_utf8(raw[: len(raw) - cut])


SENTENCES = {
    "simple": [
        "他在北京大学学习了四年，毕业以后就回到家乡工作。",
        "这个问题的答案，我们还不知道。",
        "山上的树叶红了，来看的人很多。",
        "会议由校长主持，大家都发表了意见。",
    ],
    "traditional": [
        "他在北京大學學習了四年，畢業以後就回到家鄉工作。",
        "這個問題的答案，我們還不知道。",
        "山上的樹葉紅了，來看的人很多。",
        "會議由校長主持，大家都發表了意見。",
    ],
}


def mixtures(script: str) -> st.SearchStrategy[str]:
    latin = ["", "BERT 2018", "http://example.org/a?b=1 "]
    pieces = st.tuples(st.sampled_from(SENTENCES[script]), st.sampled_from(latin))
    return st.lists(pieces, min_size=1).map(lambda all_: "".join(a + b for a, b in all_))


@given(mixtures("simple"), mixtures("traditional"))
@settings(deadline=None)
def test_lines_of_sentences_are_told_apart(simple: str, traditional: str) -> None:
    assert guess_line(simple.encode("gb18030")) == "GB18030"
    assert guess_line(traditional.encode("gb18030")) == "GB18030"
    assert guess_line(traditional.encode("cp950")) == "Big5"


@given(mixtures("simple"), st.sampled_from(["latin-1", "cp1252", "gb18030", "gbk-as-latin"]))
@settings(deadline=None)
def test_misread_sentences_are_found_and_right_ones_are_not(text: str, how: str) -> None:
    raw = text.encode("gbk") if how == "gbk-as-latin" else text.encode()
    wrong = raw.decode("latin-1" if how == "gbk-as-latin" else how, "replace")
    assert misread_chars(text) == 0
    latin = sum(char.isascii() for char in text)
    assert misread_chars(wrong) >= 0.5 * (len(wrong) - latin)


def test_a_page_is_decoded_as_it_is_before_as_it_says() -> None:
    assert decode_page(SIMPLE.encode(), "gb2312") == SIMPLE
    assert decode_page(SIMPLE.encode("gb18030"), "gb2312") == SIMPLE
    assert decode_page(SIMPLE.encode("gb18030"), None) == SIMPLE
    assert decode_page(TRADITIONAL.encode("big5"), "no-such-thing") == TRADITIONAL
    with pytest.raises(ValueError, match="neither UTF-8"):
        decode_page(bytes(range(128, 256)) * 4, None)


@pytest.mark.parametrize(
    "wrong",
    [
        SIMPLE.encode().decode("gb18030", "replace"),
        SIMPLE.encode().decode("gbk", "ignore"),
        SIMPLE.encode().decode("latin-1"),
        SIMPLE.encode().decode("cp1252", "replace"),
        SIMPLE.encode("gbk").decode("latin-1"),
    ],
)
def test_misread_text_is_counted_and_its_neighbours_are_not(wrong: str) -> None:
    found = misread_chars(f"{SIMPLE}\n{wrong}\n{SIMPLE}")
    assert 0.6 * len(wrong) <= found <= len(wrong)


@pytest.mark.parametrize(
    "text",
    [
        SIMPLE,
        "联通、涓涓细流、横浜、鎏金、锛、钢铁是怎样炼成的。",
        "······ ±±±±±± °C × ÷ §§§§§§",
        "Là-bas, où l'été naît, l'élève goûte du café. Übergröße: Äpfel, Öl.",
        "Tiếng Việt có nhiều dấu: đường phố, người Việt.",
    ],
)
def test_sound_text_is_not(text: str) -> None:
    assert misread_chars(text) == 0


@given(HAN)
@settings(deadline=None)
def test_no_text_of_han_counts_for_more_than_it_is(text: str) -> None:
    assert 0 <= misread_chars(text) <= len(text)
