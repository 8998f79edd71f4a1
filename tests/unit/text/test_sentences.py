"""Sentence splitting: the rules by example, and what holds for every text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.text.sentences import split_sentences

PUNCTUATION = "。！？；?!;.…⋯，、：,:“”‘’\"'（）()《》」 \n\r\u2028\u3000中国人aB12/="
messy = st.text(st.sampled_from(PUNCTUATION) | st.characters(), max_size=60)


def split(text: str, **options: int) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, **options)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["今天下雨。", "我没出门！", "你呢？"],
        ["真的？！", "好……", "嗯…啊。。。", "完"],
        ["他说：“走吧。”", "然后离开。"],
        ["“走吧！”，他说。", "（你听见了吗？）。", "没有。"],
        ['他说："你好。"', '她说"再见！"', "完"],
        ["他走了。", '"好。"', '"不。"'],
        ["看《你好！李焕英》吧。", "好看！"],
        ["我来；你走;他留。", "散。"],
        ["圆周率是3.14。", "版本2.0.1发布了。", "第1.2节"],
        ["使用.NET框架.", "然后关.", "完"],
        ["见http://a.com/?q=1!x。", "a!=b吗?", "对"],
        ["等等......", "还有...", "没了"],
        ["「他来了。」", "『真的吗？』", "【是！】", "好"],
        ["怎么办？……”", "他问。"],
    ],
)
def test_glued_sentences(sentences: list[str]) -> None:
    assert split("".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Li met J. Smith in the U.S. in 2010.", "Then he left."],
        ["It costs 3.14 yuan vs. 2.71.", "Fine!", "Really?"],
        ["1. 打开文件.", "2. 关闭文件."],
        ["He left (early.)", "She stayed."],
    ],
)
def test_sentences_with_blanks(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n\n  ", "\u2028", "\x85"])
def test_a_line_end_always_splits(line_end: str) -> None:
    assert split(f"第一，{line_end}　第二 {line_end}") == ["第一，", "第二"]


def test_semicolons_join_clauses() -> None:
    assert split("我来；你走;好。") == ["我来；你走;好。"]


def test_long_sentences_are_cut_at_commas_then_blanks_then_anywhere() -> None:
    assert split("一二三四，五六七八，九十百。", max_chars=8) == [
        "一二三四，",
        "五六七八，",
        "九十百。",
    ]
    assert split("abcd efgh ijkl", max_chars=10) == ["abcd efgh", "ijkl"]
    assert split("一" * 25, max_chars=10) == ["一" * 10, "一" * 10, "一" * 5]


def test_max_chars_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_chars is 0"):
        split_sentences("中", max_chars=0)


@given(messy, st.sampled_from([1, 2, 7, 500]))
def test_spans_cover_all_but_white_space(text: str, max_chars: int) -> None:
    spans = split_sentences(text, max_chars=max_chars)
    covered: set[int] = set()
    previous = 0
    for start, end in spans:
        assert previous <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert end - start <= max_chars
        covered.update(range(start, end))
        previous = end
    assert all(i in covered or char.isspace() for i, char in enumerate(text))


@given(messy)
def test_nobody_starts_with_a_joiner_or_holds_a_line_break(text: str) -> None:
    for start, end in split_sentences(text):
        assert "\n" not in text[start:end]
        if start and not text[start - 1].isspace():
            assert text[start] not in "，、；："


@pytest.mark.parametrize(
    "unit", ["字", "。", '。"', '！"，', "《", "《。", ". ", "a.", "…", " ", "！）"]
)
def test_time_is_linear(unit: str) -> None:
    def seconds(n: int) -> float:
        text = unit * n
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            split_sentences(text)
            best = min(best, time.process_time() - start)
        return best

    # Eight times the text: a quadratic step would take 64 times as long.
    assert seconds(24_000) < 30 * seconds(3_000) + 0.01
