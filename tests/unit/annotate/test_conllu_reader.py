"""The strict CoNLL-U reader: what it reads, and each way in which a file can be damaged."""

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate.conllu import (
    Tree,
    find_cycle,
    format_tree,
    join_forms,
    parse_tree,
    read_conllu,
)
from hanmo.core.errors import UserError


def row(number: object, form: str, head: object, rel: str = "dep", misc: str = "_") -> str:
    return f"{number}\t{form}\t_\tNOUN\tNN\t_\t{head}\t{rel}\t_\t{misc}"


GOOD = "\n".join([row(1, "我", 2, "nsubj"), row(2, "去", 0, "root"), "", ""])

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str) -> Path:
        path = tmp_path / "sample.conllu"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_reads_words_arcs_comments_and_documents(write: Write) -> None:
    text = "# newdoc id = d1\n# sent_id = s1\n# text = 我 去\n" + GOOD + "# newdoc\n" + GOOD + GOOD
    trees = list(read_conllu(write(text)))
    first = trees[0]
    assert (first.forms, first.heads, first.deprels) == (("我", "去"), (2, 0), ("nsubj", "root"))
    assert (first.text, first.sent_id, first.upos[0], first.xpos[0]) == (
        "我 去",
        "s1",
        "NOUN",
        "NN",
    )
    assert [tree.document for tree in trees] == ["d1", "", None]
    assert [tree.where.rpartition(":")[2] for tree in trees] == ["1", "7", "11"]


def test_reads_compressed_files_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "sample.conllu.xz"
    path.write_bytes(lzma.compress(GOOD.replace("\n", "\r\n").encode()))
    assert next(read_conllu(path)).text == "我去"


def test_empty_nodes_are_left_out(write: Write) -> None:
    rows = [row("0.1", "x", "_"), row(1, "我", 2), row("1.1", "y", "_"), row(2, "去", 0)]
    [tree] = read_conllu(write("\n".join([*rows, "", ""])))
    assert tree.forms == ("我", "去")


def test_a_range_spelled_by_its_words_is_ignored(write: Write) -> None:
    rows = [row("1-2", "ab", "_"), row(1, "a", 2), row(2, "b", 0), row(3, "c", 2)]
    [tree] = read_conllu(write("\n".join([*rows, "", ""])))
    assert (tree.forms, tree.heads) == (("a", "b", "c"), (2, 0, 2))
    assert tree.text == "ab c"  # no space inside the range


def test_other_ranges_become_one_word_with_the_labels_of_their_head(write: Write) -> None:
    rows = [
        row(1, "x", 3, "nsubj"),
        row("2-3", "du", "_"),
        row(2, "de", 3, "case"),
        row(3, "le", 4, "obl"),
        row(4, "y", 0, "root"),
    ]
    [tree] = read_conllu(write("\n".join(["# text = x du y", *rows, "", ""])))
    assert tree.forms == ("x", "du", "y")
    assert tree.heads == (2, 3, 0)
    assert tree.deprels == ("nsubj", "obl", "root")


def test_files_without_heads_have_none(write: Write) -> None:
    [tree] = read_conllu(write(row(1, "我", "_") + "\n\n"))
    assert tree.heads is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no sentence in the file"),
        ("\n\n", "no sentence in the file"),
        (GOOD[:-1], r":1: the last sentence does not end with a blank line"),
        ("1\t我\t_\n\n", r":1: 3 tab-separated columns — expected 10"),
        ("# text = 我\n\n" + GOOD, r":1: comments without a word row"),
        (GOOD + row(1, "我", "x") + "\n\n", r":4: head 'x' — expected an integer"),
        (row(1, "我", -1) + "\n\n", r":1: head '-1'"),
        (row(1, "我", "²") + "\n\n", r":1: head '²'"),
        (row(1, "我", 7) + "\n\n", r":1: head 7 is out of range — the sentence has 1"),
        (row(1, "我", 1) + "\n\n", r":1: 0 words with head 0"),
        (row(1, "我", 0) + "\n" + row(2, "去", 0) + "\n\n", r":1: 2 words with head 0"),
        (
            "\n".join([row(1, "我", 0), row(2, "去", 3), row(3, "了", 2), "", ""]),
            r":[23]: word [23] is in a cycle",
        ),
        (row(1, "我", 0) + "\n" + row(3, "去", 1) + "\n\n", r":2: word number '3' — expected 2"),
        (row(2, "我", 0) + "\n\n", r":1: word number '2' — expected 1"),
        (
            row("1-3", "我去", "_") + "\n" + row(1, "我", 0) + "\n\n",
            r":1: the sentence ends before",
        ),
        (row("2-1", "我去", "_") + "\n" + row(1, "我", 0) + "\n\n", r":1: range '2-1'"),
        (row(1, "", 0) + "\n\n", r":1: empty FORM"),
        ("# text = 你去\n" + GOOD, r":1: word 1 is '我' but the text goes on with '你去'"),
        ("# text = 我去了\n" + GOOD, r":1: text after the last word: '了'"),
    ],
)
def test_damage_is_reported_with_file_and_line(write: Write, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        list(read_conllu(write(text)))
    assert "sample.conllu" in str(caught.value)


def test_a_cut_archive_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "sample.conllu.xz"
    path.write_bytes(lzma.compress((GOOD * 500).encode())[:-20])
    with pytest.raises(UserError, match="damaged archive"):
        list(read_conllu(path))


def test_spelling_without_a_text_comment() -> None:
    assert join_forms(["用", "NBA", "2K", "。"]) == "用NBA 2K。"
    misc = ["SpaceAfter=No", "_", "Gloss=x|SpaceAfter=No", "_"]
    assert join_forms(["我", "a", "去", "。"], misc) == "我a 去。"


@given(st.lists(st.integers(0, 8), min_size=1, max_size=8))
def test_find_cycle_agrees_with_walking_up(heads: list[int]) -> None:
    heads = [min(head, len(heads)) for head in heads]

    def reaches_root(node: int) -> bool:
        for _ in heads:
            node = heads[node] - 1
            if node < 0:
                return True
        return False

    stray = find_cycle(heads)
    assert (stray is None) == all(reaches_root(i) for i in range(len(heads)))
    assert stray is None or not reaches_root(stray)


def test_a_tree_survives_writing_and_reading() -> None:
    tree = Tree(
        forms=("我", "去"),
        upos=("PRON", "VERB"),
        xpos=("r", "v"),
        heads=(2, 0),
        deprels=("SBV", "HED"),
        misc=("NER=O", "_"),
        text="我 去",
        sent_id="s1",
        where="somewhere.conllu:12",
    )
    assert parse_tree(format_tree(tree)) == tree


@pytest.mark.parametrize(
    ("name", "n_trees"),
    [
        ("ud_gsd_v1.3_trad/zh-ud-dev.conllu.xz", 500),
        ("ud_gsdsimp/zh_gsdsimp-ud-dev.conllu.xz", 500),
        ("ud_beginner/zh_beginner-ud-test.conllu.xz", 2295),
    ],
)
def test_reads_real_treebanks(data_dir: Path, name: str, n_trees: int) -> None:
    trees = list(read_conllu(data_dir / "treebank" / name))
    assert len(trees) == n_trees
    for tree in trees[::50]:
        assert parse_tree(format_tree(tree)) == tree
