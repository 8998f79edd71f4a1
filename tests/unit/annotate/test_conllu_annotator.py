"""The annotator of annotated files: LTP labels, UD labels, missing labels, documents."""

from pathlib import Path

import pytest

from hanmo.annotate.annotators.conllu import Annotator
from hanmo.annotate.sentence import Sentence
from hanmo.core.errors import UserError

LTP = """# newdoc id = d1
# text = 张三 去
1\t张三\t_\t_\tnh\t_\t2\tSBV\t_\tNER=S-Nh
2\t去\t_\t_\tv\t_\t0\tHED\t_\tNER=O|x=y

1\t好\t_\ta\t_\t_\t_\t_\t_\t_

# newdoc
1\t甥\t_\t_\tg\t_\t2\tIS\t_\t_
2\t。\t_\t_\twp\t_\t0\tHED\t_\t_

"""
UD = """1\t他\t_\tPRON\tPRP\t_\t3\tnsubj\t_\tNER=S-Nh
2\t是\t_\tAUX\tVC\t_\t3\tcop\t_\t_
3\t学生\t_\tNOUN\tNN\t_\t0\troot\t_\t_

"""


def read(folder: Path, text: str, annotator: Annotator) -> list[tuple[str, list[Sentence]]]:
    path = folder / "sample.conllu"
    path.write_text(text, encoding="utf-8")
    documents = annotator.read_documents(path)
    return [(name, annotator.annotate(texts)) for name, texts in documents]


def test_ltp_labels_documents_and_missing_layers(tmp_path: Path) -> None:
    (first, sentences), (second, [last]) = read(tmp_path, LTP, Annotator())
    assert (first, second) == ("d1", "sample-2")
    assert sentences == [
        Sentence(
            "张三 去",
            ((0, 2), (3, 4)),
            {"pos": ("nh", "v"), "ner": ("S-Nh", "O"), "dep": ("SBV", "HED")},
        ),
        Sentence("好", ((0, 1),), {"pos": ("a",)}),  # UPOS stands in; no heads, no entities
    ]
    assert last.layers == {"pos": ("n", "wp"), "dep": ("COO", "HED")}  # g and IS are replaced


def test_ud_labels_are_converted(tmp_path: Path) -> None:
    [(name, [sentence])] = read(tmp_path, UD, Annotator(tagset="ud"))
    assert name == "sample"
    assert sentence.layers == {
        "pos": ("r", "v", "n"),
        "ner": ("S-Nh", None, None),
        "dep": ("SBV", "HED", "VOB"),
    }


def test_the_wrong_tagset_is_named_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sample.conllu:1: unknown pos label .*tagset 'ltp'"):
        read(tmp_path, UD, Annotator())
    broken = LTP.replace("\t0\tHED\t_\t_", "\t9\tHED\t_\t_")
    with pytest.raises(UserError, match=r"sample.conllu:10: head 9 is out of range"):
        read(tmp_path, broken, Annotator())


def test_a_real_treebank(data_dir: Path) -> None:
    annotator = Annotator(tagset="ud")
    path = data_dir / "treebank" / "ud_gsdsimp" / "zh_gsdsimp-ud-dev.conllu.xz"
    [(_, texts)] = annotator.read_documents(path)
    sentences = annotator.annotate(texts)
    assert len(sentences) == 500
    assert all(set(sentence.layers) == {"pos", "dep"} for sentence in sentences)
