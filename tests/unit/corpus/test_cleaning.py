"""Cleaning: markup goes when asked, paragraphs stay, and cleaning twice changes nothing."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanmo.corpus.cleaning import clean, invisible_characters, without_hidden
from hanmo.text.normalize import normalize


@settings(deadline=None)  # the first call compiles the patterns
@given(st.text(), st.booleans())
def test_paragraphs_are_plain(text: str, strip_html: bool) -> None:
    cleaned = clean(text, strip_html=strip_html)
    assert "\ufeff" not in cleaned
    assert all(p and p == p.strip() for p in cleaned.split("\n")) or cleaned == ""
    assert clean(cleaned) == cleaned


def test_chinese_text_stays_as_it_is() -> None:
    text = "“你好，”他说——ＡＢＣ１２３、㎏……《詩經》：關關雎鳩。\n第二段。"
    assert clean(text) == text


def test_white_space_and_invisible_characters() -> None:
    assert clean("\u3000\u3000中\u200b文\t \tword\r\n\r\n\u00a0\n二\ufeff ") == "中文 word\n二"


@given(st.characters())
@example("\U000e0067")  # a tag of flags
@example("\u0601")  # an Arabic sign before numbers
@example("\ud800")
@example("\ufffd")
def test_all_that_goes_is_counted(char: str) -> None:
    goes = normalize(f"字{char}字").text == "字字"
    assert invisible_characters(char) == goes


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>中&nbsp;文</p>", "中 文"),
        ("<P class='a'>一<br/>二</P><div>三</div>四", "一\n二\n三\n四"),
        ("<b>粗</b>体<a href='x'>链</a>", "粗体链"),
        ("前<!-- 注\n释 <p> -->后", "前后"),
        ("前<script>if (a < b) {}</script><style>p {}</style >后", "前后"),
        ("前<SCRIPT>//</script\n>后<!--><!-- </style> --!> --->尾", "前后尾"),
        ("前<scripts>一</scripts><script>二</style>三<style>四</script>五", "前一五"),
        ("前<!-- 注<style>二</STYLE>三<script>四", "前<!-- 注三四"),
        ("&#20013;&#x6587;&#0;&#" + "9" * 5000 + ";&#" + "9" * 5000 + "文", "中文文"),
        ("a &lt; b &amp; c", "a < b & c"),
        ("若 a < b，则 c > d，3<5>2", "若 a < b，则 c > d，3<5>2"),
        ("<!DOCTYPE html>正文", "正文"),
    ],
)
def test_html(markup: str, expected: str) -> None:
    assert clean(markup, strip_html=True) == expected
    assert clean("<p>") == "<p>"


@pytest.mark.parametrize(
    "markup", ["<!--", "<script>", "<style>", "<script><!--<style>", "<style></script>"]
)
def test_what_never_ends_is_read_once(markup: str) -> None:
    """Looking for the end from each of the beginnings would take more than half an hour."""
    text = markup * (2_000_000 // len(markup))
    assert clean(text, strip_html=True) == ("<!--" in markup) * clean("<!--" * text.count("<!--"))


_ONE_PATTERN = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<!--",
                "<!",
                "-->",
                "-",
                "<script",
                "<STYLE",
                "</Script",
                "</style",
                ">",
                "!",
                "x",
                "中",
                "\n",
            ]
        )
    )
)
def test_what_is_hidden_goes(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert without_hidden(text) == _ONE_PATTERN.sub("", text)
