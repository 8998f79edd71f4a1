"""Pruned shapes: what a folder holds is padded, what the encoder computes with is not."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.config import SIZES, EncoderConfig, hugging_face_config, read_config
from hanmo.model.encoder import Encoder
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.pruned import pad, strip
from pruning_cases import SHAPE, masked_lm_of, mlm_batch, write_masked_lm
from training_cases import TINY_ALBERT, TINY_DISTILBERT, tokenizer

UNEVEN = dataclasses.replace(SHAPE, heads=(4, 1, 2), intermediates=(7, 32, 1))


def test_the_encoder_has_the_parameters_that_the_shape_counts() -> None:
    for shape in (UNEVEN, dataclasses.replace(TINY_ALBERT, heads=(1,), intermediates=(5,))):
        encoder = Encoder(shape)
        assert sum(p.numel() for p in encoder.parameters()) == shape.parameters(pooler=False)
        assert shape.parameters() < shape.padded.parameters()


def test_padded_and_compact_give_the_same() -> None:
    compact = masked_lm_of(UNEVEN)
    padded = MaskedLm(UNEVEN.padded).eval()
    padded.load_state_dict(pad(compact.state_dict(), UNEVEN))
    batch = mlm_batch()
    real = batch.sequence_ids > 0
    with torch.no_grad():
        # The same sums but for zeros; fp32 adds them up in another order.
        one, two = (m.encoder(*batch.inputs, None, batch.layout)[real] for m in (compact, padded))
        assert (one - two).abs().max() <= 2e-6
        logits = [m.piece_logits(m.outputs(batch)) for m in (compact.double(), padded.double())]
    assert (logits[0] - logits[1]).abs().max() <= 1e-12


def test_stripping_undoes_padding(tmp_path: Path) -> None:
    state = masked_lm_of(UNEVEN).state_dict()
    wide = pad(state, UNEVEN)
    assert {n: t.shape for n, t in wide.items()} == {
        n: t.shape for n, t in MaskedLm(UNEVEN.padded).state_dict().items()
    }
    narrow = strip(wide, UNEVEN, tmp_path)
    assert all(torch.equal(narrow[name], state[name]) for name in state)
    assert strip(narrow, UNEVEN, tmp_path).keys() == state.keys()


@pytest.mark.parametrize(
    "shape",
    [
        UNEVEN,
        dataclasses.replace(TINY_ALBERT, heads=(1,)),
        dataclasses.replace(TINY_DISTILBERT, heads=(1, 2), intermediates=(3, 32)),
    ],
)
def test_a_folder_comes_back(shape: EncoderConfig, tmp_path: Path) -> None:
    model = masked_lm_of(shape)
    folder = write_masked_lm(tmp_path / "m", shape)
    assert read_config(folder / "config.json") == shape
    again = checkpoint.load_masked_lm(folder)
    state = again.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    encoder = checkpoint.load_encoder(folder)
    assert encoder.config == shape
    other = MaskedLm(shape)
    assert checkpoint.load_into(other, folder).fresh == ()
    checkpoint.restore_weights(other, folder)
    # Uniform tensors on the disk, as transformers wants them.
    stored = load_file(folder / "model.safetensors")
    wide = {n: t.shape for n, t in pad(model.state_dict(), shape).items()}
    assert sorted(t.shape for t in stored.values()) == sorted(wide.values())


def test_chosen_layers_bring_their_sizes(tmp_path: Path) -> None:
    folder = write_masked_lm(tmp_path / "m", UNEVEN)
    two = MaskedLm(UNEVEN.with_layers([2, 0]))
    assert (two.encoder.config.heads, two.encoder.config.intermediates) == ((2, 4), (1, 7))
    assert checkpoint.load_into(two, folder, layers=[2, 0]).fresh == ()


def test_what_is_whole_is_not_written_down() -> None:
    assert "hanmo" not in hugging_face_config(SHAPE, "BertModel")
    made = hugging_face_config(UNEVEN, "BertModel", hanmo={"step": 3})
    assert made["hanmo"] == {
        "step": 3,
        "pruned": {"heads": [4, 1, 2], "intermediate": [7, 32, 1]},
    }
    assert not {"heads", "intermediates"} & made.keys()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"heads": [4, 1]}, r"heads: got \[4, 1\]; expected a number from 1 to 4"),
        ({"heads": [4, 0, 1]}, r"heads: got \[4, 0, 1\]"),
        ({"intermediate": [33, 1, 1]}, r"intermediates: got .* from 1 to 32 \(intermediate_size\)"),
        ({"heads": "4"}, "hanmo.pruned: .*expected 'heads': a list of whole numbers"),
        ([], r"heads: got \[\]"),
    ],
)
def test_sizes_that_cannot_be(sizes: object, message: str, tmp_path: Path) -> None:
    raw = hugging_face_config(SHAPE, "BertModel", hanmo={"pruned": sizes})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(UserError, match=message):
        read_config(path)


def test_padding_that_another_program_filled_is_refused(tmp_path: Path) -> None:
    folder = write_masked_lm(tmp_path / "m", UNEVEN)
    state = load_file(folder / "model.safetensors")
    state["bert.encoder.layer.1.attention.self.query.weight"][20, 3] = 1.0
    save_file(state, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"layer\.1\.attention\.self\.query\.weight is not zero"):
        checkpoint.load_encoder(folder)


def test_shapes_without_pruning_have_one_size() -> None:
    base = SIZES["base"]
    assert (base.heads_of(3), base.intermediate_of(3), base.head_size) == (12, 3072, 64)
    assert base.padded == base


def test_saving_needs_no_more_than_the_shape(tmp_path: Path) -> None:
    checkpoint.save_model(tmp_path / "m", masked_lm_of(UNEVEN), tokenizer=tokenizer())
    assert checkpoint.read_extra(tmp_path / "m")["pruned"]["heads"] == [4, 1, 2]
