"""Joining a treebank with its entity file."""

from pathlib import Path

import pytest

from hanmo.annotate.treebank import zip_treebank
from hanmo.core.errors import UserError


def conllu(folder: Path, *sentences: str) -> Path:
    path = folder / "trees.conllu"
    rows = [
        "\n".join(
            f"{i}\t{form}\t_\tNOUN\tNN\t_\t{i - 1}\tdep\t_\t_"
            for i, form in enumerate(sentence.split(), 1)
        )
        for sentence in sentences
    ]
    path.write_text("".join(row + "\n\n" for row in rows), encoding="utf-8")
    return path


def iob2(folder: Path, *sentences: str) -> Path:
    path = folder / "names.iob2"
    rows = [
        "\n".join(f"{i}\t{form}\tB-LOC\t-\t-" for i, form in enumerate(sentence.split(), 1))
        for sentence in sentences
    ]
    path.write_text("".join(row + "\n\n" for row in rows), encoding="utf-8")
    return path


def test_words_come_from_the_entity_file(tmp_path: Path) -> None:
    zipped = zip_treebank(
        conllu(tmp_path, "臺灣 東", "裏 外"), iob2(tmp_path, "台湾 东", "里外 面")
    )
    [(tree, entities)] = zipped.sentences
    assert (tree.forms, tree.text, tree.heads) == (("台湾", "东"), "台湾东", (0, 1))
    assert entities == ("S-Ns", "S-Ns")
    assert zipped.n_dropped == 1


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 2 sentences and .* 1 — expected the same"):
        zip_treebank(conllu(tmp_path, "一", "二"), iob2(tmp_path, "一"))
    with pytest.raises(UserError, match="share no sentence"):
        zip_treebank(conllu(tmp_path, "一二"), iob2(tmp_path, "一 二"))
