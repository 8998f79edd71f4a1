"""Model folders as values: layers, cuts, and everything that stays as it was."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.pruned import equal_layers
from hanmo.pruning.cut import cut, silence, whole
from hanmo.pruning.layers import chosen_layers, keep_layers
from hanmo.pruning.model_folder import check_written, read_folder, write_folder
from pruning_cases import SHAPE, masked_lm_of, masks, mlm_batch, write_masked_lm
from training_cases import TINY_ALBERT


def test_everything_but_the_layers_stays(tmp_path: Path, masked_lm: Path) -> None:
    (tmp_path / "m").mkdir()
    for path in masked_lm.iterdir():
        (tmp_path / "m" / path.name).write_bytes(path.read_bytes())
    config = tmp_path / "m" / "config.json"
    raw = json.loads(config.read_text()) | {"mine": [1, 2], "id2label": {"0": "a", "1": "b"}}
    config.write_text(json.dumps(raw))
    state = load_file(tmp_path / "m" / "model.safetensors")
    state["classifier.weight"] = torch.ones(2, 32)
    state["cls.predictions.decoder.weight"] = state[
        "bert.embeddings.word_embeddings.weight"
    ].clone()
    save_file(state, tmp_path / "m" / "model.safetensors")
    save_file({"tags.pos.weight": torch.ones(2, 3)}, tmp_path / "m" / "heads.safetensors")
    source = read_folder(tmp_path / "m")
    small = keep_layers(source, [2, 0, 2])
    assert equal_layers(small.weights, source.weights, [2, 0, 2]) == 3 * 16
    write_folder(small, tmp_path / "small", {"layers": [2, 0, 2]})
    check_written(small, tmp_path / "small")
    made = load_file(tmp_path / "small" / "model.safetensors")
    assert torch.equal(made["classifier.weight"], state["classifier.weight"])
    assert "cls.predictions.decoder.weight" not in made
    name = "bert.encoder.layer.{}.output.dense.weight"
    assert torch.equal(made[name.format(0)], state[name.format(2)])
    assert torch.equal(made[name.format(1)], state[name.format(0)])
    assert load_file(tmp_path / "small" / "heads.safetensors")["tags.pos.weight"].shape == (2, 3)
    after = json.loads((tmp_path / "small" / "config.json").read_text())
    history = {"made": "here", "pruning": [{"layers": [2, 0, 2]}]}
    assert after == {**raw, "num_hidden_layers": 3, "hanmo": history}


def test_layers_that_differ_are_found(masked_lm: Path) -> None:
    source = read_folder(masked_lm)
    small = keep_layers(source, [0, 2])
    with pytest.raises(UserError, match="layer 1 is no copy of layer 1"):
        equal_layers(small.weights, source.weights, [0, 1])


@pytest.mark.parametrize("text", ["", "3", "-1", "0;1", "a", "0,,1", "1.0"])
def test_layers_that_are_not_there(text: str, masked_lm: Path) -> None:
    with pytest.raises(UserError, match=r"--layers: got .*; expected numbers from 0 to 2"):
        chosen_layers(text, read_folder(masked_lm), "m")
    assert chosen_layers("2, 0,2", read_folder(masked_lm), "m") == [2, 0, 2]


def test_layers_that_share_their_weights(tmp_path: Path) -> None:
    model = read_folder(write_masked_lm(tmp_path / "albert", TINY_ALBERT))
    with pytest.raises(UserError, match="share their weights"):
        chosen_layers("0", model, "m")
    small = cut(model, masks([0, 1]), masks([1] * 5 + [0] * 27))
    assert small.config == dataclasses.replace(TINY_ALBERT, heads=(1,), intermediate_size=5)


def test_a_cut_model_computes_what_a_silenced_one_does(tmp_path: Path, masked_lm: Path) -> None:
    heads = masks([1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1])
    neurons = whole([32, 32, 32])
    for kept, gone in zip(neurons, ([0, 5, 31], [7], []), strict=True):
        kept[gone] = False
    silenced = masked_lm_of()
    silence(silenced.encoder, heads, neurons)
    source = read_folder(masked_lm)
    write_folder(cut(source, heads, neurons), tmp_path / "cut", {})
    made = checkpoint.load_masked_lm(tmp_path / "cut").eval()
    assert made.encoder.config == dataclasses.replace(
        SHAPE, heads=(2, 1, 4), intermediates=(29, 31, 32)
    )
    batch = mlm_batch()
    with torch.no_grad():
        one, two = (m.double().piece_logits(m.outputs(batch)) for m in (silenced, made))
    assert (one - two).abs().max() <= 1e-12
    # And once more, from a model that is pruned already.
    again = cut(read_folder(tmp_path / "cut"), whole([2, 1, 4]), whole([29, 31, 32]))
    assert again.config == made.encoder.config
    even = cut(source, whole([4, 4, 4]), tuple(np.arange(32) < 8 for _ in range(3)))
    assert even.config == dataclasses.replace(SHAPE, intermediate_size=8)


def test_damage_is_found(tmp_path: Path, masked_lm: Path) -> None:
    small = keep_layers(read_folder(masked_lm), [0])
    write_folder(small, tmp_path / "m", {})
    path = tmp_path / "m" / "model.safetensors"
    state = load_file(path)
    save_file({**state, "cls.predictions.bias": state["cls.predictions.bias"] + 1}, path)
    with pytest.raises(UserError, match="was not read back as it was written"):
        check_written(small, tmp_path / "m")
    save_file({n: t for n, t in state.items() if "layer.0.output" not in n}, path)
    with pytest.raises(UserError, match=r"weights do not fit config.json: .* not there"):
        read_folder(tmp_path / "m")
    untied = {**state, "cls.predictions.decoder.weight": torch.zeros(len(small.pieces), 32)}
    save_file(untied, path)
    with pytest.raises(UserError, match="is a tensor of its own"):
        read_folder(tmp_path / "m")


def test_masked_lm_of_the_cases_is_what_lies_there(masked_lm: Path) -> None:
    state = MaskedLm(SHAPE).state_dict()
    assert read_folder(masked_lm).n_parameters == sum(t.numel() for t in state.values())
