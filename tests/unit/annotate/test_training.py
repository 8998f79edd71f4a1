"""Training on a tiny treebank: deterministic, learns it, reports, refuses bad input."""

import json
from pathlib import Path

import pytest

from hanmo.annotate._crf_fitting import Fitter, Options
from hanmo.annotate._crf_model import TASKS, load_model, tagger_path
from hanmo.annotate._crf_silver import with_silver
from hanmo.annotate._crf_tagging import segment, tag_words
from hanmo.annotate.annotators.crf import Annotator
from hanmo.annotate.bieos import repair
from hanmo.annotate.crf_report import report, table
from hanmo.annotate.examples import join_words, read_annotated, read_examples
from hanmo.annotate.sentence import Sentence, locate_words
from hanmo.annotate.store import write_part
from hanmo.annotate.training import segmentation_tags, train
from hanmo.commands.train_annotator import Config, run
from hanmo.core.artifact import building, verify
from hanmo.core.errors import UserError

SUBJECTS = (
    ("张三", "NNP", "PER"),
    ("我们", "PRP", "O"),
    ("老师", "NN", "O"),
    ("李四", "NNP", "PER"),
)
VERBS = ("喜欢", "参观", "离开", "介绍")
OBJECTS = (("北京", "NNP", "LOC"), ("学校", "NN", "O"), ("上海", "NNP", "LOC"), ("公园", "NN", "O"))
SMALL = Options(iterations=20, folds=3)


def sentences() -> list[tuple[tuple[str, str, str], ...]]:
    """All combinations of subject, verb and object, each word (form, xpos, entity)."""
    return [
        (subject, (verb, "VV", "O"), thing, ("。", ".", "O"))
        for subject in SUBJECTS
        for verb in VERBS
        for thing in OBJECTS
    ]


def write_treebank(path: Path, step: int = 1) -> Path:
    relations = ((2, "nsubj"), (0, "root"), (2, "obj"), (2, "punct"))
    upos = {"NNP": "PROPN", "PRP": "PRON", "NN": "NOUN", "VV": "VERB", ".": "PUNCT"}
    blocks = []
    for words in sentences()[::step]:
        rows = [
            f"{i}\t{form}\t_\t{upos[xpos]}\t{xpos}\t_\t{head}\t{relation}\t_\t_"
            for i, ((form, xpos, _), (head, relation)) in enumerate(
                zip(words, relations, strict=True), 1
            )
        ]
        blocks.append("\n".join(rows) + "\n\n")
    path.write_text("".join(blocks), encoding="utf-8")
    return path


def write_entities(path: Path) -> Path:
    blocks = []
    for words in sentences():
        rows = [
            f"{i}\t{form}\t{'O' if kind == 'O' else f'B-{kind}'}\t-\t-"
            for i, (form, _, kind) in enumerate(words, 1)
        ]
        blocks.append("\n".join(rows) + "\n\n")
    path.write_text("".join(blocks), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A treebank of every third sentence, entities of all."""
    return (
        write_treebank(tmp_path / "tree.conllu", 3),
        write_entities(tmp_path / "entities.iob2"),
    )


def test_examples_join_both_files_by_words(files: tuple[Path, Path]) -> None:
    examples = read_examples([files[0]], [files[1]])
    assert len(examples) == 64
    assert sum("pos" in e.layers and "dep" in e.layers for e in examples) == 22
    assert all("ner" in e.layers for e in examples)
    first = examples[0]
    assert first.forms == ["张三", "喜欢", "北京", "。"]
    assert first.layers["pos"] == ("nh", "v", "ns", "wp")
    assert first.layers["dep"] == ("SBV", "HED", "VOB", "WP")
    assert first.layers["ner"] == ("S-Nh", "O", "S-Ns", "O")


def test_a_treebank_alone_gives_sentences_without_entities(files: tuple[Path, Path]) -> None:
    examples = read_examples([files[0]], [])
    assert len(examples) == 22
    assert all(set(e.layers) == {"pos", "dep"} for e in examples)


def test_annotated_sentences_are_examples_without_their_missing_layers(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, other = read_examples([files[0]], [files[1]])[:2]
    hole = Sentence(other.text, other.words, {"ner": other.layers["ner"], "pos": (None,) * 4})
    with building(tmp_path / "sentences", kind="sentences", config={}) as build:
        rows = [("d", whole), ("d", hole), ("d", Sentence(" ", (), {"pos": ()}))]
        write_part(build.dir / "part-00000.parquet", rows)
    read = read_annotated([tmp_path / "sentences"])
    assert read == [whole, Sentence(other.text, other.words, {"ner": other.layers["ner"]})]


def test_training_is_deterministic_and_learns(files: tuple[Path, Path], tmp_path: Path) -> None:
    examples = read_examples([files[0]], [files[1]])
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        counts = train(examples, folder, SMALL)
    assert counts["words"] == 256
    assert counts["words_pos"] == counts["words_dep"] == 88
    for task in TASKS:
        assert (
            tagger_path(folders[0], task).read_bytes() == tagger_path(folders[1], task).read_bytes()
        )
    # Two thirds of the sentences had no tree; their words had, so the tags follow.
    everything = read_examples([write_treebank(tmp_path / "all.conllu")], [files[1]])
    result = report(everything, folders[0])
    assert result["words"]["f1"] == 100
    assert result["ner"]["raw"]["f1"] > 95
    assert result["pos"]["gold_words"] > 90
    assert result["dep"]["gold_words"] > 95
    assert len(table(result)) == 8


def test_every_sentence_gets_one_root_and_legal_entities(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    train(read_examples([files[0]], [files[1]]), tmp_path, SMALL)
    model = load_model(tmp_path)
    texts = ["，，，", "北京北京上海", "喜欢离开介绍喜欢", "a 1 的", "张三李四王五"]
    for sentence in tag_words(model, texts, segment(model, texts), ("pos", "ner", "dep")):
        sentence.validate()
        assert repair(sentence.layers["ner"]) == sentence.layers["ner"]
        assert sentence.layers["dep"].count("HED") == 1


def test_silver_tags_use_the_gold_entities(files: tuple[Path, Path], tmp_path: Path) -> None:
    examples = read_examples([files[0]], [files[1]])
    silver = with_silver(examples, Fitter(SMALL, tmp_path))
    untagged = [s for s, e in zip(silver, examples, strict=True) if "pos" not in e.layers]
    assert len(untagged) == 42
    for sentence in untagged:
        expected = {"S-Nh": "nh", "S-Ns": "ns"}
        for tag, label in zip(sentence.layers["pos"], sentence.layers["ner"], strict=True):
            assert expected.get(str(label), tag) == tag


def test_join_words_joins_a_date_and_keeps_the_layers() -> None:
    text = "2004年去北京市"
    words = locate_words(text, ["2004", "年", "去", "北京", "市"])
    layers = {
        "pos": ("nt", "nt", "v", "ns", "k"),
        "dep": ("ATT", "ADV", "HED", "ATT", "VOB"),
        "ner": ("O", "O", "O", "B-Ns", "E-Ns"),
    }
    joined = join_words(Sentence(text, words, layers))
    joined.validate()
    assert joined.forms == ["2004年", "去", "北京市"]
    assert joined.layers["dep"] == ("ADV", "HED", "VOB")
    assert joined.layers["ner"] == ("O", "O", "S-Ns")


def test_segmentation_tags_of_units() -> None:
    assert segmentation_tags([(0, 1), (1, 2), (3, 7), (7, 8)], [(0, 2), (3, 7), (7, 8)]) == [
        "B", "E", "S", "S",
    ]  # fmt: skip
    # A word that ends inside a run of letters cannot be kept apart: the run ends a word.
    assert segmentation_tags([(0, 6)], [(0, 3), (3, 6)]) == ["S"]


def test_command_makes_a_folder_that_the_annotator_opens(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    config = Config(
        out=tmp_path / "model",
        treebank=[files[0]],
        ner=[files[1]],
        dev=[files[0]],
        dev_ner=[files[1]],
        iterations=20,
        folds=3,
    )
    counts = run(config)
    assert counts["words_f1"] == 100
    assert counts["sentences"] == 64
    verify(config.out)
    result = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
    assert result["words"]["f1"] == counts["words_f1"]
    assert str(tmp_path) not in (config.out / "manifest.json").read_text(encoding="utf-8")
    (sentence,) = Annotator(model=config.out).annotate(["李四参观学校。"])
    assert sentence.forms == ["李四", "参观", "学校", "。"]
    assert sentence.layers["dep"] == ("SBV", "HED", "VOB", "WP")
    assert run(config) == counts  # finished: not trained again


def test_merged_training_gives_merged_words(files: tuple[Path, Path], tmp_path: Path) -> None:
    examples = read_examples([files[0]], [files[1]])
    train(examples, tmp_path, Options(iterations=20, folds=3, merge=True, silver=False))
    model = load_model(tmp_path)
    assert segment(model, ["张三喜欢北京。"]) == [[(0, 2), (2, 4), (4, 6), (6, 7)]]


def test_too_little_data_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0 sentences with layer 'ner'.*--ner"):
        run(Config(out=tmp_path / "model", treebank=[files[0]], folds=3))
    with pytest.raises(UserError, match=r"0 sentences with layer 'pos'.*--treebank"):
        run(Config(out=tmp_path / "other", ner=[files[1]], folds=3))


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError, match="folds: got 1"):
        Options(folds=1)
