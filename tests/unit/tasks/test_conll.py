"""Tagged characters in their several layouts, and the line of every mistake."""

import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.tasks.conll import read_conll

TOKENS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=2
)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "E-book-title", "S-地"])


def read(path: Path, content: str | bytes, delimiter: str = "") -> list[tuple[int, Any, Any]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(n, row["text"], row["tags"]) for n, row in read_conll(path, delimiter)]


def message(path: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(path, content)
    return str(caught.value)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.tuples(TOKENS, TAGS), min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from(["\t", " "]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\t-", " NN -"]),
    st.booleans(),
)
def test_sentences_come_back(  # noqa: PLR0917
    tmp_path_factory: pytest.TempPathFactory,
    sentences: list[list[tuple[str, str]]],
    between: str,
    newline: str,
    middle: str,
    last: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "sentences.txt"
    middle = middle.strip()
    columns = [[(token, *middle.split(), tag) for token, tag in one] for one in sentences]
    blocks = [newline.join(between.join(row) for row in one) for one in columns]
    content = (newline * 2).join(blocks) + newline * last
    found = read(path, content)
    assert [[*zip(text, tags, strict=True)] for _, text, tags in found] == sentences
    lines = content.encode().decode().split(newline)
    assert [lines[n - 1].split(between)[0] for n, _, _ in found] == [one[0][0] for one in sentences]


@pytest.mark.parametrize(
    ("line", "token"),
    [
        ("  O", " "),
        (" O", " "),
        ("\tO", "\t"),
        ("　 O", "　"),
        ("　\tO", "　"),
        (" \tO", " "),
        ("中 国\tO", "中 国"),  # a tab separates, so that a space does not
        ("中  O", "中"),
        ("\u200b O", "\u200b"),
        ("\ufffd O", "\ufffd"),
        ("\u2028 O", "\u2028"),
    ],
)
def test_blank_and_odd_tokens(tmp_path: Path, line: str, token: str) -> None:
    assert read(tmp_path / "a.txt", f"上 O\n{line}\n") == [(1, ["上", token], ["O", "O"])]


def test_a_delimiter_may_be_stated(tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", "a b/O\nc/B-X\n", "/") == [(1, ["a b", "c"], ["O", "B-X"])]


def test_blank_lines_document_marks_and_byte_order_marks(tmp_path: Path) -> None:
    content = "\ufeff-DOCSTART- -X- O\n\n\n上 O\n \n\n海 O\n-DOCSTART- O\n市 O\n\n\n"
    assert read(tmp_path / "a.txt", content) == [
        (4, ["上"], ["O"]),
        (7, ["海"], ["O"]),
        (9, ["市"], ["O"]),
    ]
    assert read(tmp_path / "a.txt", "") == []


def test_a_file_without_tags(tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", "上\n海\n\n市\n") == [
        (1, ["上", "海"], None),
        (4, ["市"], None),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("上 O\n海\n", "a.txt:2: got '海'; expected a token and a tag"),
        ("上 O\n海 \n", "a.txt:2: got '海 '; expected a token and a tag"),
        ("上\tO\n\n海\t\n", "a.txt:3: got '海\\t'; expected a token and a tag"),
        ("上\n海 O\n", "a.txt:2: got '海 O'; expected a token alone"),
        (b"\xc9\xcf O\n", "a.txt:1: not UTF-8"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert expected in message(tmp_path / "a.txt", content)


def test_a_truncated_archive(tmp_path: Path) -> None:
    whole = lzma.compress("".join(f"{chr(0x4E00 + n)} O\n" for n in range(3000)).encode())
    assert len(read(tmp_path / "a.txt.xz", whole)[0][1]) == 3000
    assert "damaged archive after line" in message(tmp_path / "a.txt.xz", whole[:-200])
