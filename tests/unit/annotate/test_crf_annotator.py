"""The crf annotator with the shipped model: its size, digests, output, floors on real data."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate._crf_model import SHIPPED, TASKS, open_model, tagger_path
from hanmo.annotate.annotators.crf import Annotator
from hanmo.annotate.crf_report import report
from hanmo.annotate.examples import read_examples
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError

# Least scores in percent on UD_Chinese-GSDSimp test, none of which the model has seen.
FLOORS = {"words": 91.0, "pos": 83.0, "dep": 75.0, "ner": 62.0}


def test_shipped_model_is_small_and_whole() -> None:
    verify(SHIPPED)
    manifest = read_manifest(SHIPPED, "annotator")
    assert {f"{task}.crfsuite" for task in TASKS} <= set(manifest.files)
    assert sum(facts["bytes"] for facts in manifest.files.values()) <= 10_000_000
    assert "CC BY-SA 4.0" in (SHIPPED / "NOTICE").read_text(encoding="utf-8")


def test_annotation_of_an_easy_sentence() -> None:
    (sentence,) = Annotator().annotate(["2004年，他在北京工作。"])
    sentence.validate()
    assert sentence.forms == ["2004", "年", "，", "他", "在", "北京", "工作", "。"]
    assert sentence.layers["pos"][4] == "p"
    assert sentence.layers["ner"][5] == "S-Ns"
    assert sentence.layers["dep"].count("HED") == 1
    assert sentence.layers["dep"][2] == sentence.layers["dep"][7] == "WP"


@given(st.text(alphabet="我在北京 \t\u3000aZ09.，。的𠀀\u200b张国", max_size=40))
def test_any_text_gives_a_valid_sentence(text: str) -> None:
    (sentence,) = Annotator().annotate([text])
    assert sentence.text == text
    sentence.validate()
    assert not any(c.isspace() for form in sentence.forms for c in form)
    assert sentence.layers["dep"].count("HED") == bool(sentence.words)


def test_letters_and_digits_stay_together_and_white_space_parts() -> None:
    (sentence,) = Annotator().annotate(["我买了iPhone15 Pro和Windows 11"])
    assert {"iPhone15", "Pro", "Windows", "11"} <= set(sentence.forms)


def test_fewer_layers_give_the_same_labels() -> None:
    texts = ["北京大学的张教授在上海工作。", ""]
    everything = Annotator().annotate(texts)
    for layer in ("pos", "ner", "dep"):
        for one, other in zip(Annotator(layers=(layer,)).annotate(texts), everything, strict=True):
            assert dict(one.layers) == {layer: other.layers[layer]}
    assert not Annotator(layers=()).annotate(texts)[0].layers


def test_annotator_can_be_sent_to_a_worker() -> None:
    annotator = Annotator()
    annotator.annotate(["先用一次。"])
    copy = pickle.loads(pickle.dumps(annotator))
    assert copy == annotator
    assert copy.annotate(["我们去北京。"]) == annotator.annotate(["我们去北京。"])


def test_unknown_layer_is_refused() -> None:
    with pytest.raises(UserError, match="no layer 'srl'"):
        Annotator(layers=("srl",))


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "features", "tags", "magic"])
def test_bad_model_folder_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    if damage == "empty":
        folder.mkdir()
    elif damage != "absent":
        shutil.copytree(SHIPPED, folder)
    if damage == "cut":
        path = tagger_path(folder, "pos")
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "magic":
        tagger_path(folder, "dep").write_bytes(b"not a model" * 10)
        seal(folder)
    elif damage in ("features", "tags"):
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        card["features"] += damage == "features"
        card["tags"]["dep"] = card["tags"]["dep"][:: -1 if damage == "tags" else 1]
        (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
        seal(folder)
    with pytest.raises(UserError, match=str(folder)):
        Annotator(model=folder).annotate(["我"])


def seal(folder: Path) -> None:
    """Write the digests of a changed folder into its manifest."""
    import hashlib

    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name, facts in manifest["files"].items():
        raw = (folder / name).read_bytes()
        facts |= {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_model_is_opened_once() -> None:
    assert open_model(SHIPPED) is open_model(SHIPPED)


def test_the_batch_does_not_change_the_labels() -> None:
    texts = ["他在北京工作。", "好", "", " 我们 去上海 ", "2004年，张三来到这里，" * 5]
    together = Annotator().annotate(texts)
    assert together == [Annotator().annotate([text])[0] for text in texts]
    assert together[::-1] == Annotator().annotate(texts[::-1])


def test_floors_on_the_test_part_of_the_treebank(data_dir: Path) -> None:
    gold = read_examples(
        [data_dir / "treebank" / "ud_gsdsimp" / "zh_gsdsimp-ud-test.conllu.xz"],
        [data_dir / "ner" / "uner_gsdsimp" / "zh_gsdsimp-ud-test.iob2.xz"],
    )
    scores = report(gold, SHIPPED)
    assert scores["sentences"] == 500
    assert scores["words"]["f1"] >= FLOORS["words"]
    assert scores["pos"]["gold_words"] >= FLOORS["pos"]
    assert scores["dep"]["gold_words"] >= FLOORS["dep"]
    assert scores["ner"]["gold_words"]["f1"] >= FLOORS["ner"]
    # The report that was made in training is this one.
    assert json.loads((SHIPPED / "report.json").read_text(encoding="utf-8")) == scores


@given(st.text(alphabet="😀👍🏽❤\u200d🇨🇳~^*★→！。、_＋", min_size=1, max_size=12))
def test_signs_that_the_model_never_saw_are_no_names(signs: str) -> None:
    (sentence,) = Annotator().annotate([f"我喜欢北京{signs}"])
    for number, form in enumerate(sentence.forms):
        if set(form) <= set(signs):
            assert sentence.layers["pos"][number] == "wp", form
            assert sentence.layers["ner"][number] == "O", form
            assert sentence.layers["dep"][number] == "WP", form


def test_a_sentence_of_signs_has_its_root() -> None:
    (sentence,) = Annotator().annotate(["😀👍"])
    assert set(sentence.layers["pos"]) == {"wp"}
    assert set(sentence.layers["ner"]) == {"O"}
    assert sorted(set(sentence.layers["dep"])) in (["HED"], ["HED", "WP"])
