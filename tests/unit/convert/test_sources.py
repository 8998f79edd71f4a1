"""What somebody may give: archives, folders, files; and what is wrong with them."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from convert_cases import LFS, converted, models, same_folder, save, shapes, small
from hanmo.convert import sources
from hanmo.core.errors import UserError
from hanmo.model.config import SIZES
from hanmo.model.masked_lm import MaskedLm


@pytest.fixture
def tf1(start: Path, tmp_path: Path) -> Path:
    converted(start, tmp_path / "tf1", "tf1")
    return tmp_path / "tf1"


def zipped(folder: Path, archive: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as out:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                out.write(file, f"{inside}{file.relative_to(folder)}")
    return archive


@pytest.mark.parametrize("inside", ["", "chinese_lert_small_L-12_H-256_A-4/"])
def test_an_archive_as_downloaded(inside: str, tf1: Path, start: Path, tmp_path: Path) -> None:
    archive = zipped(tf1, tmp_path / "model.zip", inside)
    report = converted(archive, tmp_path / "out", "hanmo")
    assert report["source"] == "TensorFlow 1 checkpoint (LERT), in a zip archive"
    same_folder(start, tmp_path / "out")
    assert not list(tmp_path.glob("out.partial*"))


def test_members_stay_below_the_folder(tf1: Path, tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("../../outside.txt", "x")
        out.writestr("/rooted.json", "{}")
        out.writestr(f"/{tmp_path}/twice.json", "{}")
        out.writestr("__MACOSX/._bert.index", "x")
        out.writestr("program.exe", "x")
    sources.unpack(archive, tmp_path / "below" / "there")
    found = {str(p.relative_to(tmp_path)) for p in (tmp_path / "below").rglob("*") if p.is_file()}
    inside = f"below/there{tmp_path}/twice.json"
    assert found == {"below/there/outside.txt", "below/there/rooted.json", inside}
    assert not (tmp_path / "twice.json").exists()
    assert not (tmp_path / "outside.txt").exists()


def test_archives_that_hold_no_model_or_two(tf1: Path, tmp_path: Path) -> None:
    (tmp_path / "not.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(UserError, match="not a zip archive that can be read"):
        converted(tmp_path / "not.zip", tmp_path / "out", "hf")
    both = tmp_path / "both"
    shutil.copytree(tf1, both / "one")
    shutil.copytree(tf1, both / "two")
    with pytest.raises(UserError, match="expected one model in it, found one, two"):
        converted(zipped(both, tmp_path / "both.zip"), tmp_path / "out", "hf")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("x")
    with pytest.raises(UserError, match="found no checkpoint"):
        converted(zipped(tmp_path / "empty", tmp_path / "empty.zip"), tmp_path / "out", "hf")


def test_a_prefix_and_single_files(tf1: Path, start: Path, tmp_path: Path) -> None:
    given = [
        tf1 / "lert_model.ckpt",
        tf1 / "lert_model.ckpt.index",
        tf1 / "lert_model.ckpt.data-00000-of-00001",
        start / "model.safetensors",
    ]
    for number, path in enumerate(given):
        converted(path, tmp_path / f"out{number}", "hanmo")
        same_folder(start, tmp_path / f"out{number}")


def test_a_folder_with_two_checkpoints_must_be_told(tf1: Path, start: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        shutil.copy(start / name, tf1 / name)
    with pytest.raises(UserError, match=r"holds model\.safetensors and lert_model\.ckpt\.index"):
        converted(tf1, tf1.with_name("out"), "hf")


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("x")
    with pytest.raises(UserError, match=r"no checkpoint in it; expected .*there is: notes\.md"):
        converted(tmp_path / "empty", tmp_path / "out", "hf")


def test_pytorch_s_archive_with_a_bert_config(start: Path, tmp_path: Path) -> None:
    """HFL's first PyTorch archives: pytorch_model.bin, bert_config.json, vocab.txt (facts/02)."""
    old = tmp_path / "chinese_roberta_wwm_ext_pytorch"
    old.mkdir()
    state = load_file(start / "model.safetensors")
    state = {  # names as the first conversions had them
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in state.items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(32)[None]
    words = state["bert.embeddings.word_embeddings.weight"]
    state["cls.predictions.decoder.weight"] = words.clone()
    torch.save(state, old / "pytorch_model.bin")
    raw = json.loads((start / "config.json").read_text())
    kept = {"hanmo", "architectures", "tokenizer_class", "model_type", "torch_dtype"}
    (old / "bert_config.json").write_text(json.dumps({k: raw[k] for k in raw if k not in kept}))
    shutil.copy(start / "vocab.txt", old)
    report = converted(old, tmp_path / "out", "hf")
    assert report["source"] == "Hugging Face folder"
    made = json.loads((tmp_path / "out" / "config.json").read_text())
    assert made["model_type"] == "bert"
    assert made["tokenizer_class"] == "BertTokenizer"
    assert made["architectures"] == ["BertForMaskedLM"]
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert "Roberta" not in type(tokenizer).__name__
    assert "Bert" in type(tokenizer).__name__
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(
        bool((found[n] == t).all()) for n, t in load_file(start / "model.safetensors").items()
    )


def test_an_output_matrix_of_its_own_is_refused(start: Path) -> None:
    from safetensors.torch import save_file

    state = load_file(start / "model.safetensors")
    state["cls.predictions.decoder.weight"] = (
        state["bert.embeddings.word_embeddings.weight"].clone() + 1
    )
    (start / "model.safetensors").unlink()
    save_file(state, start / "model.safetensors")
    with pytest.raises(
        UserError, match=r"cls\.predictions\.decoder\.weight is a tensor of its own"
    ):
        converted(start, start.with_name("out"), "tf1")


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("evil-was-here"),))


def test_a_pickle_with_code_is_not_run(start: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (start / "model.safetensors").unlink()
    with (start / "pytorch_model.bin").open("wb") as out:
        pickle.dump({"weight": Evil()}, out, protocol=2)
    with pytest.raises(UserError, match="which hanmo does not run"):
        converted(start, tmp_path / "out", "hf")
    (start / "pytorch_model.bin").rename(start / "model_state.pdparams")
    with pytest.raises(UserError, match="which hanmo does not run"):
        converted(start, tmp_path / "out", "hf")
    assert not (tmp_path / "evil-was-here").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_git_lfs_pointer(name: str, start: Path) -> None:
    (start / "model.safetensors").unlink()
    (start / name).write_text(LFS)
    with pytest.raises(UserError, match=r"a Git LFS pointer .*409,000,000 bytes.*git lfs pull"):
        converted(start, start.with_name("out"), "hf")


def test_damage_names_the_file(start: Path, tf1: Path) -> None:
    data = tf1 / "lert_model.ckpt.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    data.write_bytes(raw)
    with pytest.raises(UserError, match=r"lert_model\.ckpt\.data-00000-of-00001.*offset"):
        converted(tf1, start.with_name("out"), "hf")
    assert not start.with_name("out").exists()
    path = start / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged weights"):
        converted(start, start.with_name("out"), "hf")


def test_the_other_half_s_configuration(tmp_path: Path) -> None:
    """facts/09: shape mismatch 256 vs 64 is the wrong half's configuration."""
    wide = small(SIZES["electra-small"])
    [(_, model), *_] = models(wide)
    start = save(model, tmp_path / "start")
    config = (start / "config.json").read_text()
    (start / "generator" / "config.json").write_text(config)
    with pytest.raises(UserError, match="these are a generator's weights with its discriminator's"):
        converted(start / "generator", tmp_path / "out", "hf")
    with pytest.raises(UserError, match=r"hidden_size 64, by its weights 16"):
        converted(start / "generator", tmp_path / "out", "hf")


def test_everything_that_does_not_fit_is_listed(start: Path, tf1: Path, tmp_path: Path) -> None:
    raw = json.loads((tf1 / "lert_config.json").read_text())
    del raw["hanmo"]
    raw |= {"num_hidden_layers": 2, "max_position_embeddings": 64}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(raw))
    with pytest.raises(UserError) as caught:
        converted(tf1, tmp_path / "out", "hf", model_config=other)
    message = str(caught.value)
    assert "num_hidden_layers 2, by its weights 3" in message
    assert "max_position_embeddings 64, by its weights 32" in message
    assert (
        "bert/embeddings/position_embeddings = bert.embeddings.position_embeddings.weight: "
        "[32, 16], expected [64, 16]"
    ) in message
    assert message.count("bert.encoder.layer.2.") == 16
    assert "17 tensors" in message


def test_variables_that_no_rule_knows(tmp_path: Path, tf1: Path) -> None:
    from hanmo.convert.tf1.bundle import Bundle
    from hanmo.convert.tf1.writer import TensorSource, write_bundle

    bundle = Bundle(tf1 / "lert_model.ckpt")
    arrays = {name: bundle.read(name) for name in bundle.names}
    arrays["adapter/kernel"] = np.zeros((2, 3), np.float32)
    arrays["beta1_power"] = np.array(0.9, np.float32)
    write_bundle(
        tf1 / "lert_model.ckpt",
        [TensorSource(n, a.dtype, a.shape, lambda a=a: a) for n, a in sorted(arrays.items())],
    )
    (tf1 / "manifest.json").unlink()
    with pytest.raises(
        UserError, match=r"1 variables that belong to no part.*\n  adapter/kernel \[2, 3\]"
    ):
        converted(tf1, tmp_path / "out", "hf")
    report = converted(tf1, tmp_path / "out", "hf", ignore=("adapter/*",))
    assert "left out: adapter/kernel, beta1_power" in report["notes"]


def test_a_configuration_is_guessed_only_where_shapes_tell(tmp_path: Path) -> None:
    import dataclasses

    shape = dataclasses.replace(
        shapes()["rbt3"],
        hidden_size=64,
        num_attention_heads=1,
        intermediate_size=128,
        hidden_act="gelu_new",
    )
    for name, config, told in (("wide", shape, True), ("narrow", shapes()["rbt3"], False)):
        start = save(MaskedLm(config), tmp_path / name)
        converted(start, tmp_path / f"{name}-tf1", "tf1")
        (tmp_path / f"{name}-tf1" / "bert_config.json").unlink()
        if told:
            report = converted(tmp_path / f"{name}-tf1", tmp_path / f"{name}-out", "hf")
            assert any("taken from the shapes (3 layers of 64)" in note for note in report["notes"])
            found = json.loads((tmp_path / f"{name}-out" / "config.json").read_text())
            assert (found["num_attention_heads"], found["hidden_act"]) == (1, "gelu_new")
        else:
            with pytest.raises(UserError, match=r"put its bert_config\.json there"):
                converted(tmp_path / f"{name}-tf1", tmp_path / f"{name}-out", "hf")


def test_a_head_as_initialised_is_called_random(tmp_path: Path) -> None:
    from hanmo.model.checkpoint import save_model
    from training_cases import tokenizer

    torch.manual_seed(0)
    save_model(tmp_path / "fresh", MaskedLm(shapes()["rbt3"]), tokenizer=tokenizer())
    model = MaskedLm(shapes()["rbt3"])
    model.cls.predictions.transform.dense.bias.data.zero_()
    save_model(tmp_path / "new", model, tokenizer=tokenizer())
    report = converted(tmp_path / "new", tmp_path / "out", "tf1")
    head = report["masked_lm_head"]
    assert not head["trained"]
    assert head["reasons"] == [
        "its output bias is zero everywhere",
        "normalisation as initialised",
        "dense bias zero everywhere",
    ]


def test_settings_that_cannot_be(start: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"to": "onnx"}, "--to: no 'onnx'"),
        ({"to": "hf", "half": "both"}, "--half: got 'both'"),
        ({"to": "hf", "activation": "swish"}, "--activation: no 'swish'"),
    ):
        with pytest.raises(UserError, match=message):
            converted(start, tmp_path / "out", **options)
    albert = save(MaskedLm(shapes()["albert-tiny"]), tmp_path / "albert")
    with pytest.raises(UserError, match="--to paddle: a model of the family albert"):
        converted(albert, tmp_path / "out", "paddle")
    converted(start, tmp_path / "tf1", "tf1")
    with pytest.raises(UserError, match="--layout: no 'brt'; did you mean 'bert'"):
        converted(tmp_path / "tf1", tmp_path / "out", "hf", layout="brt")


def test_a_vocabulary_of_one_s_own(start: Path, tmp_path: Path) -> None:
    vocabulary = (start / "vocab.txt").rename(tmp_path / "mine.txt")
    converted(start, tmp_path / "from-json", "hf")  # tokenizer.json has it, too
    assert (tmp_path / "from-json" / "vocab.txt").read_bytes() == vocabulary.read_bytes()
    (start / "tokenizer.json").unlink()
    report = converted(start, tmp_path / "without", "hf")
    assert any("no vocab.txt beside it" in note for note in report["notes"])
    converted(start, tmp_path / "out", "hf", vocab=vocabulary)
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == vocabulary.read_bytes()
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        converted(start, tmp_path / "again", "hf", vocab=tmp_path / "absent.txt")
