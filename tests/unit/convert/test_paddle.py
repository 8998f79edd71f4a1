"""PaddleNLP's folders: what its versions call the same things, and what they save."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from convert_cases import LAYERS, converted, randomise, same_folder, save, shapes
from hanmo.convert.contents import Contents, Stored
from hanmo.convert.folders import read_folder, write_folder
from hanmo.convert.paddle_names import CLASSES, HEADS
from hanmo.core.errors import UserError
from hanmo.model.encoder import Encoder
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.partner import add_partner

SHAPES = shapes()
State = dict[str, Any]
WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def start(tmp_path: Path) -> Path:
    model = MaskedLm(SHAPES["rbt3"])
    add_partner(model)
    return save(model, tmp_path / "start")


def paddle(start: Path) -> Path:
    folder = start.with_name("paddle")
    converted(start, folder, "paddle")
    return folder


def state_of(folder: Path) -> State:
    state: State = pickle.loads((folder / "model_state.pdparams").read_bytes())
    return state


def put(folder: Path, state: State, protocol: int = 4) -> None:
    (folder / "model_state.pdparams").write_bytes(pickle.dumps(state, protocol))


def changed(folder: Path, name: str = "config.json", **entries: Any) -> None:
    raw = json.loads((folder / name).read_text())
    raw |= entries
    kept = {key: value for key, value in raw.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept))


def same_weights(one: Path, two: Path) -> None:
    first, second = read_folder(one).tensors, read_folder(two).tensors
    assert first.keys() == second.keys()
    assert all(first[name].same(second[name]) for name in first)


def test_a_tied_matrix_has_the_names_of_all_versions_and_is_there_once(start: Path) -> None:
    folder = paddle(start)
    state = state_of(folder)
    for name in ("cls.predictions.decoder_weight", "cls.predictions.decoder.weight"):
        assert state[name] is state[WORDS]
    assert state["cls.predictions.decoder.bias"] is state["cls.predictions.decoder_bias"]
    sizes = {id(array): array.nbytes for array in state.values()}
    slack = 400 * len(state)
    assert (folder / "model_state.pdparams").stat().st_size < sum(sizes.values()) + slack


def as_of_2_5(state: State) -> State:
    return {name: array for name, array in state.items() if "decoder." not in name}


def as_of_2_6(state: State) -> State:
    return {name: array for name, array in state.items() if "decoder_weight" not in name}


def with_names(state: State) -> State:
    pairs = {name: (f"{name}_0.w_0", array) for name, array in state.items()}
    return {**pairs, "StructuredToParameterName@@": {name: f"{name}_0.w_0" for name in state}}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("version", [as_of_2_5, as_of_2_6, with_names])
def test_files_of_several_versions(
    version: Callable[[State], State], protocol: int, start: Path
) -> None:
    folder = paddle(start)
    put(folder, version(state_of(folder)), protocol)
    converted(folder, start.with_name("back"), "hanmo")
    same_folder(start, start.with_name("back"))


def test_an_encoder_alone_lacks_the_prefix(start: Path) -> None:
    folder = paddle(start)
    bare = {
        name.removeprefix("bert."): array
        for name, array in state_of(folder).items()
        if name.startswith("bert.")
    }
    put(folder, bare)
    changed(folder, architectures=["BertModel"], hanmo=..., paddlenlp_version="2.6.1")
    report = converted(folder, start.with_name("back"), "hf")
    assert report["class"] == "BertModel"
    found, wanted = read_folder(start.with_name("back")).tensors, read_folder(start).tensors
    assert found.keys() == {name for name in wanted if name.startswith("bert.")}
    assert all(found[name].same(wanted[name]) for name in found)


def test_safetensors_of_paddlenlp(start: Path) -> None:
    folder = paddle(start)
    state = as_of_2_6(state_of(folder))
    (folder / "model_state.pdparams").unlink()
    save_file(
        {n: np.array(a) for n, a in state.items()}, folder / "model.safetensors", {"format": "np"}
    )
    for number, given in enumerate((folder, folder / "model.safetensors")):
        back = start.with_name(f"back{number}")
        assert converted(given, back, "hanmo")["source"] == "PaddleNLP folder"
        same_folder(start, back)


def test_16_bits_in_safetensors_are_bfloat16(start: Path) -> None:
    folder = paddle(start)
    state = {n: np.zeros(a.shape, np.uint16) for n, a in as_of_2_6(state_of(folder)).items()}
    (folder / "model_state.pdparams").unlink()
    save_file(state, folder / "model.safetensors", {"format": "np"})
    converted(folder, start.with_name("back"), "hf")
    found = read_folder(start.with_name("back")).tensors
    assert {tensor.dtype.name for tensor in found.values()} == {"bfloat16"}


def test_the_configuration_of_old_versions(start: Path) -> None:
    folder = paddle(start)
    (folder / "config.json").unlink()
    old = json.loads((folder / "model_config.json").read_text())
    assert old["init_class"] == "BertForPretraining"
    report = converted(folder, start.with_name("back"), "hf")
    assert report["class"] == "BertForPreTraining"
    same_weights(start, start.with_name("back"))


@pytest.mark.parametrize("copy", ["decoder_weight", "decoder.weight", "decoder.bias"])
def test_an_output_matrix_of_its_own_is_refused(copy: str, start: Path) -> None:
    folder = paddle(start)
    state = state_of(folder)
    state[f"cls.predictions.{copy}"] = state[f"cls.predictions.{copy}"] + 1
    put(folder, state)
    with pytest.raises(UserError, match=rf"cls\.predictions\.{copy} is a parameter of its own"):
        converted(folder, start.with_name("back"), "hf")


def test_what_no_rule_knows_is_listed(start: Path) -> None:
    folder = paddle(start)
    put(folder, {**state_of(folder), "lm_head.weight": np.zeros(2), "mts.bias": np.zeros(2)})
    with pytest.raises(UserError, match=r"2 parameters that belong .*: lm_head\.weight, mts\.bias"):
        converted(folder, start.with_name("back"), "hf")


def with_head(family: str, kind: str, folder: Path) -> Path:
    """Write a folder of an encoder with a task's head, as transformers has it."""
    config = SHAPES["electra-small" if family == "electra" else "rbt3"]
    encoder = Encoder(config)
    randomise(encoder)
    state = {f"bert.{name}": tensor.numpy() for name, tensor in encoder.state_dict().items()}
    rng = np.random.default_rng(0)
    width, outputs = config.hidden_size, 2 if kind == "ForQuestionAnswering" else 3
    head = "qa_outputs" if kind == "ForQuestionAnswering" else "classifier"
    state |= {f"{head}.weight": rng.normal(size=(outputs, width)).astype(np.float32)}
    state |= {f"{head}.bias": rng.normal(size=outputs).astype(np.float32)}
    if kind == "ForSequenceClassification":
        state["bert.pooler.dense.weight"] = rng.normal(size=(width, width)).astype(np.float32)
        state["bert.pooler.dense.bias"] = rng.normal(size=width).astype(np.float32)
    tensors = {name: Stored.of(array) for name, array in state.items()}
    vocabulary = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
    write_folder(Contents(config, tensors, vocabulary=vocabulary), folder)
    return folder


@pytest.mark.parametrize(
    "kind", ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
)
@pytest.mark.parametrize("family", ["bert", "electra"])
def test_heads_of_tasks(family: str, kind: str, tmp_path: Path) -> None:
    start = with_head(family, kind, tmp_path / "start")
    name = f"{family.title()}{kind}"
    assert converted(start, tmp_path / "paddle", "paddle")["class"] == name
    assert not (tmp_path / "paddle" / "heads.safetensors").exists()
    converted(tmp_path / "paddle", tmp_path / "back", "hf")
    same_folder(start, tmp_path / "back")
    # Old versions read one file, new ones the other; PaddleNLP knows nothing of what was before.
    old = json.loads((tmp_path / "paddle" / "model_config.json").read_text())
    assert old.get("num_classes") == (None if kind == "ForQuestionAnswering" else 3)
    for number, path in enumerate(("model_config.json", "config.json")):
        changed(tmp_path / "paddle", hanmo=..., paddlenlp_version="3.0.0b4")
        report = converted(
            tmp_path / "paddle",
            tmp_path / f"again{number}",
            "hf",
            model_config=tmp_path / "paddle" / path,
        )
        assert report["class"] == name
        same_weights(start, tmp_path / f"again{number}")


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("bert", "ForSequenceClassification"),
        ("electra", "ForSequenceClassification"),
        ("electra", "ForTokenClassification"),
    ],
)
def test_a_task_that_the_configuration_does_not_name(
    family: str, kind: str, tmp_path: Path
) -> None:
    start = with_head(family, kind, tmp_path / "start")
    converted(start, tmp_path / "paddle", "paddle")
    changed(tmp_path / "paddle", hanmo=..., architectures=...)
    report = converted(tmp_path / "paddle", tmp_path / "back", "hf")
    assert any("names no task; taken for a " in note for note in report["notes"])
    assert report["class"] == f"{family.title()}{kind}"
    same_weights(start, tmp_path / "back")


def test_the_tanh_form_is_gelu_there(tmp_path: Path) -> None:
    start = save(MaskedLm(SHAPES["tanh"]), tmp_path / "start")
    report = converted(start, tmp_path / "paddle", "paddle")
    assert any("no activation gelu_new" in note for note in report["notes"])
    new = json.loads((tmp_path / "paddle" / "config.json").read_text())
    old = json.loads((tmp_path / "paddle" / "model_config.json").read_text())
    assert new["hidden_act"] == old["init_args"][0]["hidden_act"] == "gelu"
    assert converted(tmp_path / "paddle", tmp_path / "back", "hanmo")["hidden_act"] == "gelu_new"
    same_folder(start, tmp_path / "back")


def test_a_model_that_paddlenlp_saved_since(tmp_path: Path) -> None:
    """It keeps hanmo's entry; heads, labels and activation are those of its own file."""
    start = save(MaskedLm(SHAPES["tanh"], layers=LAYERS), tmp_path / "start")
    converted(start, tmp_path / "paddle", "paddle")
    state = as_of_2_6(state_of(tmp_path / "paddle"))
    width = SHAPES["tanh"].hidden_size
    head = {"classifier.weight": np.ones((width, 4)), "classifier.bias": np.ones(4)}
    encoder = {name: array for name, array in state.items() if name.startswith("bert.")}
    put(tmp_path / "paddle", {**encoder, **{n: a.astype(np.float32) for n, a in head.items()}})
    labels = {str(number): f"kind {number}" for number in range(4)}
    changed(
        tmp_path / "paddle",
        architectures=["BertForTokenClassification"],
        id2label=labels,
        paddlenlp_version=None,
    )
    (tmp_path / "paddle" / "heads.safetensors").unlink()
    report = converted(tmp_path / "paddle", tmp_path / "back", "hf")
    assert (report["class"], report["labels"]) == ("BertForTokenClassification", {})
    found = json.loads((tmp_path / "back" / "config.json").read_text())
    assert (found["id2label"], found["num_labels"], found["hidden_act"]) == (labels, 4, "gelu")


def test_another_pooler_is_told(start: Path) -> None:
    folder = paddle(start)
    changed(folder, pool_act="linear")
    report = converted(folder, start.with_name("back"), "hf")
    assert any("pooler's activation is linear" in note for note in report["notes"])


def test_classes_of_other_names(start: Path) -> None:
    """HFL's first files name RoBERTa's classes; the parts of the model tell PaddleNLP's."""
    changed(start, architectures=["RobertaForMaskedLM"])
    assert converted(start, start.with_name("paddle"), "paddle")["class"] == "BertForPretraining"
    assert HEADS.keys() <= CLASSES.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "holds list, expected an object"),
        ('{"model_type": "ernie"}', "model_type 'ernie'; expected one of"),
        (None, r"no such file; expected a model folder with config\.json"),
    ],
)
def test_bad_configurations(text: str | None, message: str, start: Path) -> None:
    folder = paddle(start)
    (folder / "model_config.json").unlink()
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        converted(folder, start.with_name("back"), "hf")


def test_another_family_is_refused(start: Path) -> None:
    folder = paddle(start)
    changed(folder, model_type="albert", hanmo=...)
    with pytest.raises(UserError, match="a albert; expected bert or electra"):
        converted(folder, start.with_name("back"), "hf")


def test_parameters_in_several_files(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "model_state.pdparams.index.json").write_text("{}")
    with pytest.raises(UserError, match=r"several files \(model_state\.pdparams\.index\.json\)"):
        converted(tmp_path / "parts", tmp_path / "out", "hf")


def test_a_file_of_another_name(start: Path) -> None:
    folder = paddle(start)
    file = (folder / "model_state.pdparams").rename(folder / "best.pdparams")
    converted(file, start.with_name("back"), "hanmo")
    same_folder(start, start.with_name("back"))
