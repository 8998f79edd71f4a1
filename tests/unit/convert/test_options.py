"""What is kept, told and refused on the way: files named, tokenizers, steps, types, places."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from convert_cases import LAYERS, LFS, converted, models, same_folder, save, shapes, small
from hanmo.core.errors import UserError
from hanmo.model.config import SIZES


def test_weights_in_several_files(start: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.BertForMaskedLM.from_pretrained(start)
    parts = tmp_path / "parts"
    model.save_pretrained(parts, max_shard_size="20KB")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    shutil.copy(start / "vocab.txt", parts)
    converted(parts, tmp_path / "out", "hf")
    one, two = (load_file(f / "model.safetensors") for f in (start, tmp_path / "out"))
    assert one.keys() == two.keys()
    assert all(bool((one[name] == two[name]).all()) for name in one)
    next(parts.glob("model-00002*")).unlink()
    with pytest.raises(UserError, match="missing, though"):
        converted(parts, tmp_path / "again", "hf")
    (parts / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UserError, match="not an index of weights"):
        converted(parts, tmp_path / "again", "hf")


def test_the_file_that_was_named_is_read(start: Path, tmp_path: Path) -> None:
    state = {name: tensor + 1 for name, tensor in load_file(start / "model.safetensors").items()}
    torch.save(state, start / "pytorch_model.bin")
    shutil.copy(start / "model.safetensors", start / "mine.safetensors")
    converted(start / "pytorch_model.bin", tmp_path / "out", "hf")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(bool((found[name] == tensor).all()) for name, tensor in state.items())
    converted(start / "mine.safetensors", tmp_path / "mine", "hf")
    found = load_file(tmp_path / "mine" / "model.safetensors")
    assert all(bool((found[name] + 1 == tensor).all()) for name, tensor in state.items())


def test_a_tokenizer_that_keeps_case_stays_one(start: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = start / "tokenizer_config.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"do_lower_case": False, "strip_accents": False}))
    report = converted(start, tmp_path / "tf1", "tf1")
    assert any("do_lower_case False" in note for note in report["notes"])
    converted(tmp_path / "tf1", tmp_path / "paddle", "paddle")
    assert json.loads((tmp_path / "paddle" / path.name).read_text())["do_lower_case"] is False
    converted(tmp_path / "paddle", tmp_path / "out", "hf")
    raw = json.loads((tmp_path / "out" / path.name).read_text())
    assert (raw["do_lower_case"], raw["strip_accents"]) == (False, False)
    text = "Aé一"
    for found in (
        transformers.AutoTokenizer.from_pretrained(tmp_path / "out"),
        transformers.AutoTokenizer.from_pretrained(start),
    ):
        normal = found.backend_tokenizer.normalizer
        if found.name_or_path.endswith("out"):
            assert normal.normalize_str(text).startswith("Aé")


@pytest.mark.parametrize("form", ["hf", "tf1", "paddle"])
def test_vocabularies_that_are_none(form: str, start: Path, tmp_path: Path) -> None:
    pieces = (start / "vocab.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    bad = {
        "empty": (b"", "no"),
        "gbk": ("[PAD]\n字\n".encode("gbk"), "not UTF-8"),
        "pointer": (LFS.encode(), "a Git LFS pointer"),
        "long": (
            "".join([*pieces, "x\n", "y\n"]).encode(),
            "158 pieces|has [0-9]+ pieces, the model",
        ),
    }
    for name, (raw, message) in bad.items():
        path = tmp_path / f"{name}.txt"
        path.write_bytes(raw)
        with pytest.raises(UserError, match=message) as caught:
            converted(start, tmp_path / "out", form, vocab=path)
        assert name == "long" or str(path) in str(caught.value)
        assert not list(tmp_path.glob("out*"))
    path.write_text("".join(pieces[:-1]), encoding="utf-8")
    report = converted(start, tmp_path / "out", form, vocab=path)
    assert any("fewer than the model's" in note for note in report["notes"])


def test_the_step_is_kept_without_moments(start: Path, tmp_path: Path) -> None:
    raw = json.loads((start / "config.json").read_text())
    raw["hanmo"]["step"] = 1_500_000
    (start / "config.json").write_text(json.dumps(raw))
    assert converted(start, tmp_path / "tf1", "tf1")["step"] == 1_500_000
    config = json.loads((tmp_path / "tf1" / "lert_config.json").read_text())
    del config["hanmo"]
    (tmp_path / "tf1" / "manifest.json").unlink()
    (tmp_path / "tf1" / "lert_config.json").write_text(json.dumps(config))
    assert converted(tmp_path / "tf1", tmp_path / "hf", "hf")["step"] == 1_500_000
    assert converted(tmp_path / "hf", tmp_path / "again", "tf1")["step"] == 1_500_000


@pytest.mark.parametrize(
    "own", [{"layers": ["pos"]}, {"layers": {"pos": 28}}, {"layers": {}, "step": "many"}]
)
def test_entries_of_another_shape(own: Any, start: Path, tmp_path: Path) -> None:
    raw = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(raw | {"hanmo": own}))
    with pytest.raises(UserError, match=r'config\.json: "hanmo" holds .*; expected "layers"'):
        converted(start, tmp_path / "out", "tf1")


def test_heads_that_another_program_has_dropped(start: Path, tmp_path: Path) -> None:
    (start / "heads.safetensors").rename(tmp_path / "aside")
    report = converted(start, tmp_path / "out", "hanmo")
    assert "its configuration lists label heads (dep, ner, pos); none is there" in report["notes"]
    assert "layers" not in json.loads((tmp_path / "out" / "config.json").read_text())["hanmo"]


def test_all_label_heads_must_be_there(start: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = load_file(start / "heads.safetensors")
    del state["tags.pos.weight"]
    (start / "heads.safetensors").unlink()
    save_file(state, start / "heads.safetensors")
    with pytest.raises(UserError, match=r"tags\.pos\.weight: missing, expected \[28, 16\]"):
        converted(start, tmp_path / "out", "tf1")


def test_links(start: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "dangling").symlink_to(tmp_path / "disk2")
    for name, there in (("link", "disk"), ("dangling", "disk2")):
        converted(start, tmp_path / name, "hf")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / there / "model.safetensors").is_file()


def test_places_that_cannot_be(start: Path, tmp_path: Path) -> None:
    for out in (start, start / "inside"):
        with pytest.raises(UserError, match="lies in the source"):
            converted(start, out, "hf")
    with pytest.raises(UserError, match="no such file or folder; expected"):
        converted(tmp_path / "nothing" / "here", tmp_path / "out", "hf")
    with pytest.raises(UserError, match=r"config\.json: no checkpoint; expected a folder"):
        converted(start / "config.json", tmp_path / "out", "hf")
    for flag, options in (("--ignore", {"ignore": ("x",)}), ("--layout", {"layout": "bert"})):
        with pytest.raises(UserError, match=f"{flag}: belongs to TensorFlow 1 checkpoints"):
            converted(start, tmp_path / "out", "hf", **options)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="choose another OUT"):
        converted(start, tmp_path / "mine", "hf")


def test_a_generator_alone_is_a_generator_there(tmp_path: Path) -> None:
    from hanmo.convert.tf1.bundle import Bundle, find_prefix

    [(_, model), *_] = models(small(SIZES["electra-small"]))
    start = save(model, tmp_path / "start")
    converted(start / "generator", tmp_path / "tf1", "tf1")
    names = Bundle(find_prefix(tmp_path / "tf1")).names
    assert "generator_predictions/output_bias" in names
    assert "electra/embeddings/word_embeddings" in names
    assert not [name for name in names if name.startswith(("electra/encoder", "hanmo/"))]
    assert (tmp_path / "tf1" / "generator_config.json").is_file()
    assert not (tmp_path / "tf1" / "discriminator_config.json").exists()
    converted(tmp_path / "tf1", tmp_path / "back", "hanmo")
    same_folder(start / "generator", tmp_path / "back")


def test_a_configuration_given_leaves_the_generator_s(tmp_path: Path) -> None:
    [(_, model), *_] = models(small(SIZES["electra-small"]))
    start = save(model, tmp_path / "start")
    converted(start, tmp_path / "tf1", "tf1")
    given = start / "config.json"
    converted(tmp_path / "tf1", tmp_path / "out", "hf", model_config=given)
    same_folder(start, tmp_path / "out")


def test_what_is_no_discriminator_gets_no_generator(tmp_path: Path) -> None:
    [(_, model), *_, (_, classifier)] = models(small(SIZES["electra-small"]))
    generator = save(model, tmp_path / "start") / "generator"
    other = save(classifier, tmp_path / "classifier")
    for source in (generator, other):
        with pytest.raises(UserError, match="the source has no replaced-token head"):
            converted(source, tmp_path / "out", "hf", generator=generator)


def test_types_are_told_and_cast(start: Path, tmp_path: Path) -> None:
    report = converted(start, tmp_path / "half", "hf", dtype="float16")
    state = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["torch_dtype"] == "float16"
    report = converted(tmp_path / "half", tmp_path / "tf1", "tf1")
    assert any("upstream's graphs are float32: --dtype float32" in n for n in report["notes"])
    report = converted(tmp_path / "half", tmp_path / "whole", "tf1", dtype="float32")
    assert not any("graphs" in note for note in report["notes"])
    with pytest.raises(UserError, match="--dtype: got 'int8'"):
        converted(start, tmp_path / "out", "hf", dtype="int8")


def test_values_that_are_no_numbers_are_told(start: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = load_file(start / "model.safetensors")
    state["cls.predictions.bias"] = state["cls.predictions.bias"].clone()
    state["cls.predictions.bias"][3] = float("nan")
    (start / "model.safetensors").unlink()
    save_file(state, start / "model.safetensors")
    report = converted(start, tmp_path / "out", "tf1")
    assert "values that are no numbers or infinite: cls.predictions.bias" in report["notes"]


def test_heads_that_the_program_computes_otherwise(tmp_path: Path) -> None:
    """DistilBERT's classifier has ReLU behind its pooler, BERT's program tanh."""
    from hanmo.convert.tf1.bundle import Bundle, find_prefix

    [*_, (_, model)] = models(shapes()["distilbert"])
    start = save(model, tmp_path / "start")
    report = converted(start, tmp_path / "tf1", "tf1")
    names = Bundle(find_prefix(tmp_path / "tf1")).names
    assert "hanmo/bert.pooler.dense.weight" in names
    assert "bert/pooler/dense/kernel" not in names
    assert any("pooler, classifier of a task: under hanmo/" in note for note in report["notes"])


def test_a_refused_conversion_leaves_nothing(start: Path, tmp_path: Path) -> None:
    raw = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(raw | {"num_hidden_layers": 2}))
    with pytest.raises(UserError, match="num_hidden_layers 2, by its weights 3"):
        converted(start, tmp_path / "out", "tf1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["start"]


def test_an_archive_that_unpacks_too_far(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("config.json", "{}")
        with out.open("model.bin", "w") as member:
            for _ in range(300):
                member.write(bytes(1 << 20))
    with pytest.raises(UserError, match="weights do not pack so well"):
        converted(tmp_path / "bomb.zip", tmp_path / "out", "hf")


def test_the_report_for_people(start: Path, tmp_path: Path) -> None:
    from hanmo.commands import convert

    for form, end in (
        ("hf", "BertTokenizer and BertForMaskedLM"),
        ("tf1", "LERT's checkpoint: ymcui/LERT, src/modeling.py and src/run_pretraining.py"),
        ("paddle", "PaddleNLP's BertForMaskedLM"),
    ):
        text = convert.run(convert.Config(str(start), tmp_path / form, to=form))["text"]
        assert text.rstrip().endswith(end)
        assert "looks trained (its output bias has moved" in text
    again = convert.run(convert.Config(str(start), tmp_path / "hf", to="hf"))["text"]
    assert "already there" in again


def test_a_config_that_says_untied_is_corrected(start: Path, tmp_path: Path) -> None:
    """The output matrix was the embeddings, so it is not written; the file must not ask for it."""
    from safetensors.torch import save_file

    transformers = pytest.importorskip("transformers")
    raw = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(raw | {"tie_word_embeddings": False}))
    state = load_file(start / "model.safetensors")
    words = state["bert.embeddings.word_embeddings.weight"]
    state["cls.predictions.decoder.weight"] = words.clone()
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"].clone()
    (start / "model.safetensors").unlink()
    save_file(state, start / "model.safetensors", metadata={"format": "pt"})
    converted(start, tmp_path / "out", "hf")
    _, loaded = transformers.BertForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not loaded["missing_keys"]


def test_prediction_refuses_an_output_matrix_of_its_own(start: Path) -> None:
    from safetensors.torch import save_file

    from hanmo.model.checkpoint import load_masked_lm

    state = load_file(start / "model.safetensors")
    words = state["bert.embeddings.word_embeddings.weight"]
    (start / "manifest.json").unlink(missing_ok=True)
    path = start / "model.safetensors"
    path.unlink()
    save_file({**state, "cls.predictions.decoder.weight": words.clone()}, path)
    load_masked_lm(start)
    save_file({**state, "cls.predictions.decoder.weight": words + 1}, path)
    with pytest.raises(UserError, match=r"decoder\.weight is a tensor of its own"):
        load_masked_lm(start)


def test_the_source_is_never_in_the_way(start: Path, tmp_path: Path) -> None:
    for source, out in (
        (start / "model.safetensors", start),
        (start, tmp_path),
        (start / "model.safetensors", tmp_path),
    ):
        with pytest.raises(UserError, match="lies in"):
            converted(source, out, "tf1", overwrite=True)
    assert (start / "model.safetensors").is_file()


def test_a_lert_without_all_its_heads(start: Path, tmp_path: Path) -> None:
    """lert_config.json tells a LERT whose heads are gone: its gelu is the erf form."""
    converted(start, tmp_path / "tf1", "tf1")
    path = tmp_path / "tf1" / "lert_config.json"
    raw = json.loads(path.read_text())
    own = raw.pop("hanmo")
    (tmp_path / "tf1" / "manifest.json").unlink()
    path.write_text(json.dumps(raw))
    pattern = ("cls/predictions/output_*_layer*",)
    report = converted(tmp_path / "tf1", tmp_path / "out", "hf", ignore=pattern)
    assert report["source"] == "TensorFlow 1 checkpoint (LERT)"
    assert report["hidden_act"] == "gelu"
    path.write_text(json.dumps(raw | {"hanmo": own}))  # fine-tuned by upstream's program
    report = converted(tmp_path / "tf1", tmp_path / "tuned", "hf", ignore=pattern)
    assert any("lists label heads" in note for note in report["notes"])
    assert report["labels"] == {}


@pytest.mark.parametrize("layers", [("ner",), ("ner", "dep"), ("pos",)])
def test_some_of_lert_s_heads(layers: tuple[str, ...], tmp_path: Path) -> None:
    from hanmo.model.masked_lm import MaskedLm

    some = {name: LAYERS[name] for name in layers}
    start = save(MaskedLm(shapes()["rbt3"], layers=some), tmp_path / "start")
    converted(start, tmp_path / "tf1", "tf1")
    assert (tmp_path / "tf1" / "lert_config.json").is_file()
    converted(tmp_path / "tf1", tmp_path / "back", "hanmo")
    same_folder(start, tmp_path / "back")


@pytest.mark.parametrize("act", ["gelu_new", "gelu_pytorch_tanh", "gelu"])
def test_upstream_s_programs_know_one_gelu(act: str, tmp_path: Path) -> None:
    import dataclasses

    from hanmo.model.masked_lm import MaskedLm

    for layers, name in ((LAYERS, "lert"), ({}, "bert")):
        config = dataclasses.replace(shapes()["rbt3"], hidden_act=act)
        start = save(MaskedLm(config, layers=layers), tmp_path / f"{name}-{act}")
        report = converted(start, tmp_path / f"{name}-tf1", "tf1")
        raw = json.loads((tmp_path / f"{name}-tf1" / f"{name}_config.json").read_text())
        assert raw["hidden_act"] == "gelu"
        same = (act == "gelu") == (name == "lert")
        assert same != any("another form of GELU" in note for note in report["notes"])


def test_a_newer_step_wins(start: Path, tmp_path: Path) -> None:
    from hanmo.convert.tf1.bundle import Bundle
    from hanmo.convert.tf1.writer import TensorSource, write_bundle

    raw = json.loads((start / "config.json").read_text())
    raw["hanmo"]["step"] = 2
    (start / "config.json").write_text(json.dumps(raw))
    converted(start, tmp_path / "tf1", "tf1")
    (tmp_path / "tf1" / "manifest.json").unlink()
    bundle = Bundle(tmp_path / "tf1" / "lert_model.ckpt")
    arrays = {name: bundle.read(name).copy() for name in bundle.names}
    arrays["global_step"] = arrays["global_step"] * 0 + 9000
    write_bundle(
        tmp_path / "tf1" / "lert_model.ckpt",
        [TensorSource(n, a.dtype, a.shape, lambda a=a: a) for n, a in arrays.items()],
    )
    converted(tmp_path / "tf1", tmp_path / "out", "hanmo")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["hanmo"]["step"] == 9000


def test_what_lies_beside_a_named_file_counts(start: Path, tmp_path: Path) -> None:
    converted(start, tmp_path / "tf1", "tf1")
    prefix = tmp_path / "tf1" / "lert_model.ckpt"
    converted(prefix, tmp_path / "out", "hf")
    path = tmp_path / "tf1" / "lert_config.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"initializer_range": 0.03}))
    with pytest.raises(UserError, match=r"the input beside/lert_config\.json holds something else"):
        converted(prefix, tmp_path / "out", "hf")


def test_moments_and_activation_of_both_halves(tmp_path: Path) -> None:
    import dataclasses

    import numpy as np

    from hanmo.convert.contents import Stored
    from hanmo.convert.folders import read_folder, write_folder

    [(_, model), *_] = models(small(SIZES["electra-small"]))
    start = read_folder(save(model, tmp_path / "start"))
    slots = {
        f"{name}/m": Stored.of(np.full(tensor.shape, 0.5, np.float32))
        for name, tensor in start.tensors.items()
    }
    write_folder(dataclasses.replace(start, slots=slots), tmp_path / "full", optimizer=True)
    converted(tmp_path / "full", tmp_path / "g", "hf", half="generator", keep_optimizer=True)
    assert "cls.predictions.bias/m" in read_folder(tmp_path / "g").slots
    converted(tmp_path / "full", tmp_path / "act", "hf", activation="relu")
    for folder in (tmp_path / "act", tmp_path / "act" / "generator"):
        assert json.loads((folder / "config.json").read_text())["hidden_act"] == "relu"
    name = next(key for key in slots if key.endswith("query.weight/m"))
    slots[name] = Stored.of(np.zeros((3, 5), np.float32))
    write_folder(dataclasses.replace(start, slots=slots), tmp_path / "bad", optimizer=True)
    with pytest.raises(UserError, match=r"query\.weight/m: \[3, 5\], expected"):
        converted(tmp_path / "bad", tmp_path / "no", "tf1", keep_optimizer=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "16"}, "hidden_size '16'; expected a whole number from 1"),
        ({"num_attention_heads": 0}, "num_attention_heads 0; expected a whole number from 1"),
        ({"type_vocab_size": None}, "type_vocab_size None"),
        ({"hidden_act": None}, "hidden_act None; expected a text"),
        ({"model_type": []}, "model_type"),
        ({"num_hidden_layers": 3.0}, "num_hidden_layers 3.0"),
        ({"hidden_dropout_prob": "a"}, "hidden_dropout_prob 'a'; expected a number"),
        ({"vocab_size": -1}, "vocab_size -1"),
        ({"position_embedding_type": "relative_key"}, "absolute positions"),
        ({"num_attention_heads": 5}, r"config\.json: num_attention_heads: got 5"),
        ({"hanmo": {"step": 10**30}}, '"hanmo" holds'),
    ],
)
def test_configurations_that_are_none(
    changes: dict[str, Any], message: str, start: Path, tmp_path: Path
) -> None:
    raw = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(raw | changes))
    with pytest.raises(UserError, match=message):
        converted(start, tmp_path / "out", "tf1")


def test_odd_files(start: Path, tmp_path: Path) -> None:
    raw = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(raw | {"architectures": 5}))
    converted(start, tmp_path / "odd", "tf1")
    (start / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not JSON"):
        converted(start, tmp_path / "out", "tf1")
    (start / "config.json").write_text(json.dumps(raw))
    (start / "model.safetensors").unlink()
    for state in ({1: torch.zeros(2)}, torch.zeros(2), {"a": torch.zeros(2, 2).to_sparse()}):
        torch.save(state, start / "pytorch_model.bin")
        with pytest.raises(UserError, match=r"state dict|no plain tensor"):
            converted(start, tmp_path / "out", "tf1")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("config.json", json.dumps(raw) * 50)
    broken = bytearray((tmp_path / "a.zip").read_bytes())
    broken[60:90] = bytes(30)
    (tmp_path / "a.zip").write_bytes(broken)
    with pytest.raises(UserError, match="not a zip archive that can be read"):
        converted(tmp_path / "a.zip", tmp_path / "out", "tf1")
