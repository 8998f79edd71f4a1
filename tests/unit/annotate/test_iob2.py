"""The reader of Universal NER files."""

from pathlib import Path

import pytest

from hanmo.annotate.iob2 import read_iob2
from hanmo.core.errors import UserError


def make(folder: Path, *rows: str) -> Path:
    path = folder / "sample.iob2"
    path.write_text("\n".join([*rows, "", ""]), encoding="utf-8")
    return path


def test_reads_words_labels_and_comments(tmp_path: Path) -> None:
    rows = ("# newdoc id = d", "# sent_id = s", "# text = 张 三去", "1\t张\tB-PER\t-\t-")
    path = make(tmp_path, *rows, "2\t三\tI-PER\t-\t-", "3\t去\tO\t-\t-")
    [sentence] = read_iob2(path)
    assert sentence.forms == ("张", "三", "去")
    assert sentence.tags == ("B-PER", "I-PER", "O")
    assert (sentence.text, sentence.sent_id, sentence.document) == ("张 三去", "s", "d")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1\t张\tB-PER"], ":1: 3 tab-separated columns — expected 5"),
        (["1\t张\tI-PER\t-\t-"], ":1: label 'I-PER' after 'O'"),
        (["1\t张\tPER\t-\t-"], ":1: label 'PER' is not an IOB2 label"),
        (["2\t张\tO\t-\t-"], ":1: row '2' '张' — expected word number 1"),
        (["# text = 李", "1\t张\tO\t-\t-"], ":1: word 1 is '张'"),
    ],
)
def test_damage_is_reported(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(read_iob2(make(tmp_path, *rows)))


def test_reads_the_real_files(data_dir: Path) -> None:
    folder = data_dir / "ner" / "uner_gsdsimp"
    sentences = list(read_iob2(folder / "zh_gsdsimp-ud-train.iob2.xz"))
    assert len(sentences) == 3997  # published size
    assert sum(len(sentence.forms) for sentence in sentences) == 98_616
