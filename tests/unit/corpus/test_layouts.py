"""Cutting text into documents: every layout gives back what was written in it."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.core.files import read_lines
from hanmo.corpus.layouts import SAMPLE_LINES, Line, cut, detect

PARAGRAPHS = st.lists(
    st.lists(st.text("中文。 a，", min_size=1).filter(str.strip), min_size=1), min_size=1
)


def numbered(text: str) -> list[Line]:
    return list(enumerate(text.split("\n"), start=1))


@given(PARAGRAPHS, st.sampled_from(["\n\n", "\n \n\n", "\n\t\n"]))
def test_paragraphs_come_back(documents: list[list[str]], gap: str) -> None:
    written = gap.join("\n".join(paragraphs) for paragraphs in documents)
    assert list(cut(numbered(written), "paragraphs")) == ["\n".join(d) for d in documents]


@given(PARAGRAPHS, st.integers(0, 20))
def test_a_document_is_cut_only_where_it_is_too_long(
    documents: list[list[str]], longest: int
) -> None:
    written = numbered("\n\n".join("\n".join(paragraphs) for paragraphs in documents))
    wholes = list(cut(written, "paragraphs"))
    found = list(cut(written, "paragraphs", longest=longest))
    for one, whole in zip(found, wholes, strict=True):
        assert whole.startswith(one)
        bare = len(one.replace("\n", ""))
        assert one == whole or bare > longest, "what is cut is still seen to be too long"


@given(PARAGRAPHS)
def test_a_document_a_line_comes_back(documents: list[list[str]]) -> None:
    lines = [line for document in documents for line in document]
    assert list(cut(numbered("\n\n".join(lines) + "\n"), "lines")) == lines


def test_sentences_are_joined_with_a_blank_only_between_latin_ones() -> None:
    text = "他来了。\n她走了。\n\nIt rains.\nIt pours.\n下雨了。"
    assert list(cut(numbered(text), "sentences")) == [
        "他来了。她走了。",
        "It rains. It pours.下雨了。",
    ]


def test_one_sentence_a_line_is_seen() -> None:
    sentences = "他来了。\n她说：“走吧！”\n标题\n\n" * 150
    paragraphs = "他来了。她走了。\n她说：“走吧！”然后走了。\n\n" * 50
    assert detect(numbered(sentences), Path("a.txt"))[0] == "sentences"
    assert detect(numbered(paragraphs), Path("a.txt"))[0] == "paragraphs"
    # So few lines may as well be short paragraphs, and then the breaks would be lost.
    assert detect(numbered(sentences[: len(sentences) // 2]), Path("a.txt"))[0] == "paragraphs"


def test_statutes_are_paragraphs_however_they_are_cut(data_dir: Path) -> None:
    lines = [line for _, line in read_lines(data_dir / "raw" / "laws.txt.xz")]
    ends = [n for n, line in enumerate(lines) if not line.strip()]
    for few in (2, 5, 20):
        starts = [0, *(n + 1 for n in ends[::few])]
        for start, end in pairwise([*starts, len(lines)]):
            assert detect(enumerate(lines[start:end], 1), Path("laws.txt"))[0] == "paragraphs"


def test_one_document_without_blank_lines_is_paragraphs_unless_it_is_long() -> None:
    short = "他来了。\n" * (SAMPLE_LINES - 1)
    assert detect(numbered(short), Path("a.txt")) == ("paragraphs", True)
    assert detect(numbered(short[:200]), Path("a.txt")) == ("paragraphs", False)
    assert detect(numbered("\n" + short + "\n"), Path("a.txt"))[0] == "paragraphs"
    with pytest.raises(UserError, match=r"a\.txt: no blank line in the first 2,000 .*--layout"):
        detect(numbered(short + "他来了。\n"), Path("a.txt"))


REAL = {
    "history_modern_translation.txt.xz": "paragraphs",
    "judgments.txt.xz": "paragraphs",
    "laws.txt.xz": "paragraphs",
    "news_cctv.txt.xz": "paragraphs",
    "tech_lctt.txt.xz": "paragraphs",
    "wiki_zh.txt.xz": "paragraphs",
    "clue_corpus_small_sampled/CLUECorpusSmall_bert_sampled.txt.xz": "sentences",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_told_apart(data_dir: Path, name: str) -> None:
    from hanmo.core.files import read_lines

    path = data_dir / "raw" / name
    assert detect(read_lines(path), path)[0] == REAL[name]


def test_the_real_file_of_a_document_a_line_is_refused(data_dir: Path) -> None:
    from hanmo.core.files import read_lines

    path = data_dir / "raw/clue_corpus_small_sampled/CLUECorpusSmall_sampled.txt.xz"
    with pytest.raises(UserError, match="give --layout lines"):
        detect(read_lines(path), path)
