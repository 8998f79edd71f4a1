"""LTP's two backends with real models of its own formats: random weights, trained perceptrons."""

import errno
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import annotator_cases
from hanmo.annotate import _ltp_model
from hanmo.annotate.annotators import ltp, ltp_legacy
from hanmo.commands.annotate import Config, run
from hanmo.core.artifact import building, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import open_text

SHORT = ["我们昨天去了北京大学。", "他 说：“走吧！”", "老师在上海工作。", "繁體中文也可以，走吧。"]
LONG = "我们昨天去了北京大学。" * 60  # 660 pieces


@pytest.fixture(scope="session")
def neural(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotator_cases.neural_model(tmp_path_factory.mktemp("ltp") / "model")


@pytest.fixture(scope="session")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotator_cases.legacy_model(tmp_path_factory.mktemp("ltp-legacy") / "model")


def reference(folder: Path, text: str) -> Any:
    """What LTP's own interface says of a text."""
    from ltp import LTP

    model: Any = LTP(str(folder))
    tokenizer = model.tokenizer
    shim = {"batch_encode_plus": staticmethod(tokenizer)}
    model.tokenizer = type("Tokenizer", (), shim)
    return model.pipeline(text, tasks=["cws", "pos", "ner", "dep"], raw_format=True)


def test_words_and_labels_are_ltps_own(neural: Path) -> None:
    text = SHORT[0]
    expected = reference(neural, text)
    [sentence] = ltp.Annotator(str(neural)).annotate([text])
    assert sentence.forms == expected.cws
    assert list(sentence.layers["pos"]) == expected.pos
    assert list(sentence.layers["ner"]) == expected.ner
    assert list(sentence.layers["dep"]) == expected.dep["label"]
    assert len(sentence.words) > 1  # else the comparison says little


def test_nothing_is_lost_of_a_text_beyond_the_encoder(neural: Path) -> None:
    sentences, counts = ltp.Annotator(str(neural)).annotate_counted([SHORT[0], LONG])
    assert counts["cut_sentences"] == 1
    sentence = sentences[1]
    sentence.validate()
    assert "".join(sentence.forms) == LONG
    # Cut after the end of a sentence: the first part is what it is alone (506 characters of 510).
    [first] = ltp.Annotator(str(neural)).annotate([LONG[:506]])
    n = len(first.words)
    assert sentence.words[:n] == first.words
    assert sentence.layers["pos"][:n] == first.layers["pos"]
    # The random model has many roots; those of the second part are joined to the first's.
    assert "HED" in first.layers["dep"]
    assert "HED" not in sentence.layers["dep"][n:]
    assert "COO" in sentence.layers["dep"][n:]


def test_blanks_and_unseen_characters_are_counted(neural: Path) -> None:
    [unseen, empty, blank], counts = ltp.Annotator(str(neural)).annotate_counted(
        ["\u200b \x01", "", " \u3000"]
    )
    assert unseen.forms == ["\u200b", "\x01"]
    assert unseen.layers == dict.fromkeys(("pos", "ner", "dep"), (None, None))
    assert not empty.words and not blank.words
    assert counts == {"unseen_words": 2}


def test_the_batch_changes_nothing(neural: Path) -> None:
    texts = [*SHORT, LONG, "", "\u200b", *(text[:5] for text in SHORT)]
    one = ltp.Annotator(str(neural), batch_size=1)
    many = ltp.Annotator(str(neural), batch_size=64)
    assert one.annotate(texts) == many.annotate(texts) == one.annotate(texts[::-1])[::-1]


def test_segmentation_by_four_tags_and_a_small_encoder(tmp_path: Path) -> None:
    folder = annotator_cases.neural_model(tmp_path / "model", room=40, cws=("B", "M", "E", "S"))
    sentences, counts = ltp.Annotator(str(folder)).annotate_counted([LONG, *SHORT])
    assert counts["cut_sentences"] == 1
    for text, sentence in zip([LONG, *SHORT], sentences, strict=True):
        sentence.validate()
        assert sentence.text == text


def test_fewer_layers_and_sending_to_a_worker(neural: Path, legacy: Path) -> None:
    for made, folder in ((ltp.Annotator, neural), (ltp_legacy.Annotator, legacy)):
        everything = made(str(folder)).annotate(SHORT)
        for layer in made(str(folder)).layers:
            some: Any = made(str(folder), layers=(layer,))
            few = pickle.loads(pickle.dumps(some)).annotate(SHORT)
            assert [s.layers for s in few] == [{layer: s.layers[layer]} for s in everything]
        [words] = made(str(folder), layers=()).annotate(SHORT[:1])
        assert (words.words, words.layers) == (everything[0].words, {})
        with pytest.raises(UserError, match="no layer 'srl'"):
            made(str(folder), layers=("srl",))


def test_perceptrons_give_what_they_were_trained_on(legacy: Path) -> None:
    line = annotator_cases.SAMPLE[2]
    forms, pos, ner = zip(*(word.split("/") for word in line.split()), strict=True)
    [sentence] = ltp_legacy.Annotator(str(legacy)).annotate(["".join(forms)])
    assert tuple(sentence.forms) == forms
    assert sentence.layers == {"pos": pos, "ner": ner}
    [parted] = ltp_legacy.Annotator(str(legacy)).annotate(["张三 在上海工作。"])
    assert parted.forms == ["张三", "在", "上海", "工作", "。"]


def copied(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place)
    return place


def change(folder: Path, edit: Callable[[Any], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    edit(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def fails(annotator: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        annotator.annotate(SHORT)


def test_weights_that_are_missing_or_damaged_are_refused(neural: Path, tmp_path: Path) -> None:
    import torch

    lacking = copied(neural, tmp_path / "lacking")
    weights = torch.load(lacking / "pytorch_model.bin")
    del weights["task_heads.dep.mlp_arc.0.weight"]
    torch.save(weights, lacking / "pytorch_model.bin")
    fails(ltp.Annotator(str(lacking)), "lacks 1 of the model's weights.*mlp_arc.0.weight")
    cut = copied(neural, tmp_path / "cut")
    (cut / "pytorch_model.bin").write_bytes(b"PK not a model")
    fails(ltp.Annotator(str(cut)), f"{cut}: cannot be opened as an LTP model")
    (cut / "pytorch_model.bin").unlink()
    fails(ltp.Annotator(str(cut)), "no pytorch_model.bin; the model folder is not whole")


@pytest.mark.parametrize("step", ["empty", "_from_pretrained", "pipeline"])
@pytest.mark.parametrize(
    "words", ["CUDA out of memory. Tried to allocate 2 MiB.", "CUDA error: out of memory\n…"]
)
def test_a_lack_of_memory_is_no_damage(
    neural: Path, step: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from ltp.nerual import LTP

    def lacking(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError(words)

    # The first tensor on a device, the model, the work.
    monkeypatch.setattr(torch if step == "empty" else LTP, step, lacking)
    _ltp_model.open_neural.cache_clear()
    message = rf"memory ran out \({words[:18]}.*--ltp.batch-size"
    fails(ltp.Annotator(str(neural), device="cpu"), message)
    _ltp_model.open_neural.cache_clear()


def test_what_the_system_lacks_is_not_the_folders_fault(
    neural: Path, legacy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltp.nerual import LTP

    said = [0]

    def lacking(*_: Any, **__: Any) -> Any:
        raise OSError(said[-1], "what the system says")

    monkeypatch.setattr(LTP, "_from_pretrained", lacking)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lacking)
    _ltp_model.open_neural.cache_clear()
    for number in (errno.ENOSPC, errno.EMFILE, errno.EACCES):
        said.append(number)
        for model in (str(neural), "LTP/small"):
            with pytest.raises(OSError, match="what the system says"):
                ltp.Annotator(model).annotate(SHORT)
    said.append(errno.ENOENT)
    fails(ltp.Annotator(str(neural)), "cannot be opened as an LTP model")
    said.append(errno.ENETUNREACH)
    fails(ltp.Annotator("LTP/small"), "nor to be had from Hugging Face")
    monkeypatch.setattr(ltp_legacy, "need", lambda *_: None)
    broken = copied(legacy, tmp_path / "broken")
    (broken / "pos_model.bin").unlink()
    with pytest.raises(FileNotFoundError):
        ltp_legacy.Annotator(str(broken)).annotate(SHORT)


def test_configurations_that_are_refused(neural: Path, tmp_path: Path) -> None:
    target = "_ltp_target_"
    strange = copied(neural, tmp_path / "strange")
    change(strange, lambda config: config["model"].update({target: "os.system"}))
    fails(ltp.Annotator(str(strange)), "names the class 'os.system'; only those of ltp_core")
    labels = copied(neural, tmp_path / "labels")
    change(labels, lambda config: config["vocabs"]["pos"].__setitem__(3, "NOUN"))
    fails(ltp.Annotator(str(labels)), "unknown pos label 'NOUN'")
    fewer = copied(neural, tmp_path / "fewer")
    change(fewer, lambda config: config["vocabs"].pop("dep"))
    fails(ltp.Annotator(str(fewer)), "without layer 'dep'; choose: --ltp.layers pos ner")
    other = copied(neural, tmp_path / "other")
    (other / "config.json").write_text('{"model_type": "bert"}')
    fails(ltp.Annotator(str(other)), "no key 'nerual'")
    (other / "config.json").write_text("{")
    fails(ltp.Annotator(str(other)), "not JSON")
    fails(ltp.Annotator(str(neural), device="tpu:nine"), "--ltp.device tpu:nine")


def test_the_two_sorts_of_model_are_told_apart(neural: Path, legacy: Path, tmp_path: Path) -> None:
    fails(ltp.Annotator(str(legacy)), "it goes with --annotator ltp-legacy")
    fails(ltp_legacy.Annotator(str(neural)), "it goes with --annotator ltp")
    damaged = copied(legacy, tmp_path / "damaged")
    (damaged / "pos_model.bin").write_bytes(b"nothing")
    fails(ltp_legacy.Annotator(str(damaged)), "pos_model.bin: not a model of ltp_extension")
    (damaged / "pos_model.bin").unlink()
    fails(ltp_legacy.Annotator(str(damaged)), "no pos_model.bin")
    change(damaged, lambda config: config["tasks"].pop("pos"))
    fails(ltp_legacy.Annotator(str(damaged)), "no model for 'pos', only for cws, ner")


@pytest.mark.parametrize("made", [ltp.Annotator, ltp_legacy.Annotator])
def test_no_model_says_what_to_give(made: Any, tmp_path: Path, monkeypatch: Any) -> None:
    fails(made(), r"give --ltp(-legacy)?\.model a folder, or an id")
    fails(made(str(tmp_path / "absent")), "no such folder; expected an LTP model folder")
    fails(made(str(tmp_path)), "no config.json")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    fails(made("LTP/nowhere@main"), "LTP/nowhere: neither a folder nor to be had")


def test_an_id_is_fetched_through_the_hub(legacy: Path, monkeypatch: Any) -> None:
    asked: list[Any] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, "*_model.bin" in allow_patterns))
        return str(legacy)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    expected = ltp_legacy.Annotator(str(legacy)).annotate(SHORT)
    assert ltp_legacy.Annotator("LTP/legacy@v1").annotate(SHORT) == expected
    assert set(asked) == {("LTP/legacy", "v1", True)}


def test_an_absent_library_names_its_extra(monkeypatch: Any, tmp_path: Path) -> None:
    import importlib

    def refuse(name: str) -> None:
        raise ImportError(name, name=name)

    (tmp_path / "config.json").write_text('{"nerual": true, "model": {}, "vocabs": {}}')
    (tmp_path / "pytorch_model.bin").touch()
    monkeypatch.setattr(importlib, "import_module", refuse)
    fails(ltp.Annotator(str(tmp_path)), r"ltp.nerual is not installed; pip install 'hanmo\[ltp\]'")
    (tmp_path / "config.json").write_text('{"nerual": false, "tasks": {}}')
    fails(ltp_legacy.Annotator(str(tmp_path)), r"pip install 'hanmo\[ltp\]'")


def test_the_command_counts_and_knows_the_model_by_what_it_holds(
    neural: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    with (
        building(corpus, kind="corpus", config={}) as build,
        open_text(build.dir / "part-00000.jsonl.zst", "w") as stream,
    ):
        record = {"id": "a", "text": "".join([*SHORT, LONG.replace("。", "，")]), "source": "t"}
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    config = Config([corpus], tmp_path / "out", annotator="ltp", max_chars=1000)
    counts = run(config_with(config, model=str(neural)))
    assert counts["cut_sentences"] == 1
    assert counts["labels_dep"] == counts["words"]
    manifest = read_manifest(config.out, "sentences")
    assert manifest.config["options"] == {"layers": ["pos", "ner", "dep"]}
    # Another place, another batch: the folder stands.
    moved = copied(neural, tmp_path / "moved")
    assert run(config_with(config, model=str(moved), batch_size=2, device="cpu")) == counts
    change(moved, lambda config: config.update({"more": 1}))
    with pytest.raises(UserError, match="the input annotator 0 holds something else"):
        run(config_with(config, model=str(moved)))


def config_with(config: Config, **options: Any) -> Config:
    import dataclasses

    return dataclasses.replace(config, options=options)
