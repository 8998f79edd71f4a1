"""There and back: every family and size, with every kind of head, keeps every bit."""

import dataclasses
from pathlib import Path

import pytest

from convert_cases import (
    LAYERS,
    converted,
    models,
    randomise,
    same_folder,
    same_tensors,
    save,
    shapes,
    small,
)
from hanmo.convert.contents import Contents, Stored
from hanmo.convert.folders import read_folder, write_folder
from hanmo.convert.names import Rules, layouts
from hanmo.convert.paddle_names import RULES
from hanmo.convert.tf1_reading import read_tf1
from hanmo.convert.weights_file import read_weights, write_weights
from hanmo.core.errors import UserError
from hanmo.model.config import SIZES
from hanmo.model.masked_lm import MaskedLm

SHAPES = shapes()


@pytest.mark.parametrize("name", SHAPES)
def test_there_and_back(name: str, tmp_path: Path) -> None:
    config = SHAPES[name]
    forms = ["hf", "tf1"] + (["paddle"] if config.model_type in RULES else [])
    for kind, model in models(config):
        start = save(model, tmp_path / kind / "start")
        for form in forms:
            folder = tmp_path / kind / form
            converted(start, folder, form)
            converted(folder, folder.with_name(f"{form}-back"), "hanmo")
            same_folder(start, folder.with_name(f"{form}-back"))


def test_all_forms_in_a_chain(tmp_path: Path) -> None:
    start = save(MaskedLm(SHAPES["rbt3"], layers=LAYERS), tmp_path / "start")
    last = start
    for number, form in enumerate(["tf1", "paddle", "hf", "tf1", "hanmo"]):
        converted(last, tmp_path / f"{number}", form)
        last = tmp_path / f"{number}"
    same_folder(start, last)


@pytest.mark.parametrize("layout", sorted(layouts()))
def test_renames_are_reversible(layout: str) -> None:
    known = layouts()[layout]
    rules = Rules.of(known.rules, layers=2)
    ours = [rule.ours for rule in rules.flat]
    assert len(set(ours)) == len(ours)
    if known.adapt is None:
        theirs = [rule.theirs for rule in rules.flat]
        assert len(set(theirs)) == len(theirs)


@pytest.mark.parametrize("family", RULES)
def test_paddle_s_renames_are_reversible(family: str) -> None:
    rules = Rules.of(RULES[family], layers=2).flat
    assert len({rule.ours for rule in rules}) == len({rule.theirs for rule in rules}) == len(rules)


def test_half_precision_stays(tmp_path: Path) -> None:
    import ml_dtypes
    import numpy as np

    start = read_folder(save(MaskedLm(SHAPES["rbt3"]), tmp_path / "start"))
    for dtype in (np.float16, ml_dtypes.bfloat16):
        halved = {
            name: Stored.of(np.asarray(tensor.read(), dtype))
            for name, tensor in start.tensors.items()
        }
        name = np.dtype(dtype).name
        write_folder(dataclasses.replace(start, tensors=halved), tmp_path / name)
        for form in ("tf1", "paddle"):
            converted(tmp_path / name, tmp_path / f"{name}-{form}", form)
            converted(tmp_path / f"{name}-{form}", tmp_path / f"{name}-{form}-back", "hf")
            back = read_folder(tmp_path / f"{name}-{form}-back")
            for key, tensor in back.tensors.items():
                assert tensor.dtype == np.dtype(dtype)
                assert tensor.read().tobytes() == halved[key].read().tobytes()


def test_adam_s_moments_are_kept_on_request(tmp_path: Path) -> None:
    import numpy as np

    start = read_folder(save(MaskedLm(SHAPES["rbt3"]), tmp_path / "start"))
    rng = np.random.default_rng(0)
    slots = {
        f"{name}/{kind}": Stored.of(rng.normal(size=tensor.shape).astype(np.float32))
        for kind in ("m", "v")
        for name, tensor in start.tensors.items()
    }
    full = dataclasses.replace(start, slots=slots, step=Stored.of(np.array(1234)))
    write_folder(full, tmp_path / "full", optimizer=True)
    converted(tmp_path / "full", tmp_path / "tf1", "tf1", keep_optimizer=True)
    report = converted(tmp_path / "tf1", tmp_path / "back", "hf", keep_optimizer=True)
    assert report["step"] == 1234
    back = read_folder(tmp_path / "back")
    assert back.step is not None
    assert int(back.step.read()) == 1234
    same_tensors(
        {n: t.read() for n, t in back.slots.items()}, {n: t.read() for n, t in slots.items()}
    )
    left = converted(tmp_path / "tf1", tmp_path / "without", "hf")
    assert any("keep them with --keep-optimizer" in note for note in left["notes"])
    assert not (tmp_path / "without" / "optimizer.safetensors").exists()


def test_a_generator_with_embeddings_of_its_own(tmp_path: Path) -> None:
    import numpy as np

    [(_, model), *_] = models(small(SIZES["electra-small"]))
    start = read_folder(save(model, tmp_path / "start"))
    name = "generator.bert.embeddings.word_embeddings.weight"
    own = np.array(start.tensors[name].read())
    own[3, 2] += 1
    untied = dataclasses.replace(start, tensors={**start.tensors, name: Stored.of(own)})
    write_folder(untied, tmp_path / "untied")
    converted(tmp_path / "untied", tmp_path / "tf1", "tf1")
    variables = read_tf1(tmp_path / "tf1")[0].tensors
    assert np.array_equal(variables[name].read(), own)
    converted(tmp_path / "tf1", tmp_path / "back", "hanmo")
    same_folder(tmp_path / "untied", tmp_path / "back")


def test_one_half_of_an_electra(tmp_path: Path) -> None:
    [(_, model), *_] = models(small(SIZES["electra-small"]))
    start = save(model, tmp_path / "start")
    converted(start, tmp_path / "generator", "hf", half="generator")
    same_folder(tmp_path / "generator", start / "generator")
    converted(start, tmp_path / "discriminator", "tf1", half="discriminator")
    assert read_tf1(tmp_path / "discriminator")[0].generator is None
    with pytest.raises(UserError, match="holds one model, not an ELECTRA's two"):
        converted(tmp_path / "generator", tmp_path / "again", "hf", half="generator")


def test_what_is_written_is_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = MaskedLm(SHAPES["rbt3"])
    randomise(model)
    tensors = {name: Stored.of(tensor.numpy()) for name, tensor in model.state_dict().items()}
    write_weights(tmp_path / "a.safetensors", tensors, {"why": "a test"})
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    assert all(bool((found[n] == t).all()) for n, t in model.state_dict().items())
    again = read_weights(tmp_path / "a.safetensors")
    same_tensors({n: t.read() for n, t in again.items()}, {n: t.read() for n, t in tensors.items()})


def test_halves_of_contents() -> None:
    import numpy as np

    one = Stored.of(np.zeros(2))
    contents = Contents(
        SHAPES["electra-small"],
        {"a": one, "generator.a": one},
        generator=SHAPES["electra-base"],
    )
    assert list(contents.half("generator").tensors) == ["a"]
    assert contents.half("generator").config == SHAPES["electra-base"]
    assert contents.half("discriminator").generator is None


def test_halves_published_apart_are_joined(tmp_path: Path) -> None:
    [(_, model), *_] = models(small(SIZES["electra-small"]))
    start = save(model, tmp_path / "start")
    for half in ("discriminator", "generator"):
        converted(start, tmp_path / half, "hf", half=half)
    generator = tmp_path / "generator"
    converted(tmp_path / "discriminator", tmp_path / "tf1", "tf1", generator=generator)
    converted(tmp_path / "tf1", tmp_path / "back", "hanmo")
    same_folder(start, tmp_path / "back")
    for source, second, message in (
        (start, generator, "has a generator already"),
        (tmp_path / "discriminator", tmp_path / "discriminator", "a discriminator; expected the"),
        (save(MaskedLm(SHAPES["rbt3"]), tmp_path / "bert"), generator, "the source is a bert"),
    ):
        with pytest.raises(UserError, match=message):
            converted(source, tmp_path / "no", "tf1", generator=second)


def test_moments_of_a_pre_training_run(tmp_path: Path) -> None:
    """A checkpoint of `hanmo pretrain` goes to TensorFlow with Adam's moments and its step."""
    from hanmo.convert.tf1.bundle import Bundle, find_prefix
    from training_cases import make_shards, run_pretrain

    shards = make_shards(tmp_path / "shards")
    run_pretrain(shards, tmp_path / "run", steps=3, save_every=2, stop_at=2, objective="lert")
    checkpoint = tmp_path / "run" / "step-000000002"
    assert checkpoint.is_dir()
    report = converted(checkpoint, tmp_path / "tf1", "tf1", keep_optimizer=True)
    assert report["step"] == 2
    bundle = Bundle(find_prefix(tmp_path / "tf1"))
    assert int(bundle.read("global_step")) == 2
    moments = read_weights(checkpoint / "optimizer.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    theirs = bundle.read("bert/encoder/layer_0/output/dense/kernel/adam_v")
    assert (moments[f"bert.{name}/v"].read() == theirs.T).all()
    kernel = bundle.read("cls/predictions/output_ner_layer/kernel/adam_m")
    assert (moments["tags.ner.weight/m"].read() == kernel.T).all()
