"""The encoder, the MLM head and model folders against transformers."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.config import EncoderConfig, hugging_face_config
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from training_cases import CHARACTERS, TINY, tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
CONFIG = dataclasses.replace(TINY, num_hidden_layers=3, hidden_size=32, num_attention_heads=4)
LENGTHS = [20, 13, 1, 7]


def hub_config(config: EncoderConfig) -> Any:
    raw = hugging_face_config(config, "BertForMaskedLM")
    return transformers.BertConfig(**{k: v for k, v in raw.items() if k != "torch_dtype"})


def randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Random values everywhere, biases and norms too, so that nothing cancels out."""
    initialise(module, 0.2, torch.Generator().manual_seed(seed))
    random = torch.Generator().manual_seed(seed + 1)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Rows of several lengths with padding, and two segments."""
    rng = np.random.default_rng(seed)
    n, longest = len(LENGTHS), max(LENGTHS)
    ids = np.zeros((n, longest), dtype=np.int64)
    types = np.zeros_like(ids)
    mask = np.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = rng.integers(1, TINY.vocab_size, length)
        types[row, length // 2 : length] = 1
        mask[row, :length] = 1
    arrays = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def batch_of(given: dict[str, Tensor]) -> Batch:
    mask = given["attention_mask"]
    positions = torch.arange(mask.shape[1]).expand_as(mask)
    real = mask.flatten().nonzero().squeeze(1)
    arrays = {"positions": real, "position_ids": positions, "sequence_ids": mask}
    arrays |= {name: given[name] for name in ("input_ids", "token_type_ids")}
    return Batch.from_arrays({name: array.numpy() for name, array in arrays.items()})


def encode(encoder: Encoder, batch: Batch) -> Tensor:
    with torch.no_grad():
        return encoder(*batch.inputs)


def logits_of(model: MaskedLm, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.piece_logits(model.outputs(batch))


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
def test_hidden_states_are_those_of_bert(hidden_act: str) -> None:
    config = dataclasses.replace(CONFIG, hidden_act=hidden_act)
    encoder = Encoder(config).eval()
    randomise(encoder)
    theirs = transformers.BertModel(hub_config(config), add_pooling_layer=False).eval()
    theirs.load_state_dict(encoder.state_dict(), strict=True)
    given = inputs()
    with torch.no_grad():
        expected = theirs(**given).last_hidden_state
    real = given["attention_mask"].bool()
    difference = (encode(encoder, batch_of(given)) - expected)[real].abs().max()
    assert difference <= 1e-5
    other = dataclasses.replace(config, hidden_act="gelu" if hidden_act != "gelu" else "gelu_new")
    wrong = Encoder(other).eval()
    wrong.load_state_dict(encoder.state_dict())
    assert (encode(wrong, batch_of(given)) - expected)[real].abs().max() > 1e-5


def test_pooled_output_is_that_of_bert() -> None:
    from hanmo.model.heads import Pooler

    theirs = transformers.BertModel(hub_config(CONFIG)).eval()
    randomise(theirs)
    state = theirs.state_dict()
    encoder, pooler = Encoder(CONFIG).eval(), Pooler(CONFIG)
    encoder.load_state_dict({k: v for k, v in state.items() if not k.startswith("pooler")})
    pooler.load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("pooler")})
    given = inputs()
    with torch.no_grad():
        expected = theirs(**given).pooler_output
        got = pooler(encode(encoder, batch_of(given))[:, 0])
    assert (got - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("layers", [{}, {name: tuple(tags) for name, tags in TAGSETS.items()}])
def test_a_saved_folder_opens_in_transformers(layers: dict, tmp_path: Path) -> None:
    model = MaskedLm(CONFIG, layers=layers).eval()
    randomise(model)
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer(), extra={"step": 7})
    theirs, info = transformers.BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    given = inputs()
    with torch.no_grad():
        expected = theirs.eval()(**given).logits
    real = given["attention_mask"].bool()
    assert (logits_of(model, batch_of(given)) - expected[real]).abs().max() <= 1e-5
    text = "".join(CHARACTERS[:9]) + "[MASK]" + "".join(CHARACTERS[50:55])
    theirs_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs_tokenizer).__name__.startswith("BertTokenizer")
    ours = tokenizer()
    ids = [ours.cls_id, *ours.encode(text, specials=True).ids.tolist(), ours.sep_id]
    assert theirs_tokenizer(text)["input_ids"] == ids
    extra = checkpoint.read_extra(tmp_path)
    assert extra["step"] == 7
    assert extra.get("layers", {}) == {name: list(tags) for name, tags in layers.items()}
    again = checkpoint.load_masked_lm(tmp_path)
    expected_state, got = model.state_dict(), again.state_dict()
    assert expected_state.keys() == got.keys()
    assert all(torch.equal(expected_state[name], got[name]) for name in got)


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
def test_folders_of_transformers_load(kind: str, tmp_path: Path) -> None:
    theirs = getattr(transformers, kind)(hub_config(CONFIG)).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    given = inputs()
    real = given["attention_mask"].bool()
    encoder = checkpoint.load_encoder(tmp_path).eval()
    with torch.no_grad():
        expected = getattr(theirs, "bert", theirs)(**given).last_hidden_state
    assert (encode(encoder, batch_of(given)) - expected)[real].abs().max() <= 1e-5
    if kind == "BertModel":
        with pytest.raises(UserError, match="no masked-LM head"):
            checkpoint.load_masked_lm(tmp_path)
        return
    model = checkpoint.load_masked_lm(tmp_path).eval()
    with torch.no_grad():
        outputs = theirs(**given)
    logits = outputs.logits if kind == "BertForMaskedLM" else outputs.prediction_logits
    assert (logits_of(model, batch_of(given)) - logits[real]).abs().max() <= 1e-5


def test_old_folders_load(tmp_path: Path) -> None:
    """pytorch_model.bin, `gamma` and `beta`, a position buffer: conversions of 2019."""
    theirs = transformers.BertForMaskedLM(hub_config(CONFIG)).eval()
    randomise(theirs)
    state = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): value
        for key, value in theirs.state_dict().items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(64)[None]
    theirs.config.save_pretrained(tmp_path)
    torch.save(state, tmp_path / "pytorch_model.bin")
    model = checkpoint.load_masked_lm(tmp_path).eval()
    given = inputs()
    with torch.no_grad():
        expected = theirs(**given).logits[given["attention_mask"].bool()]
    assert (logits_of(model, batch_of(given)) - expected).abs().max() <= 1e-5


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    hub_config(CONFIG).save_pretrained(tmp_path)
    torch.save({"bert.x": print}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin: .*holds more than tensors"):
        checkpoint.load_encoder(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "absent", "shape", "missing"])
def test_damaged_folders_are_refused(damage: str, tmp_path: Path) -> None:
    model = MaskedLm(CONFIG)
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    weights = tmp_path / checkpoint.WEIGHTS
    messages = {
        "cut": r"model\.safetensors: damaged weights",
        "absent": r"neither model\.safetensors nor pytorch_model\.bin",
        "shape": r"wrong shape: .*word_embeddings\.weight \(157, 32\), expected \(157, 16\)",
        "missing": r"missing encoder\.layer\.3\.attention",
    }
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif damage == "absent":
        weights.unlink()
    else:
        changed = {"hidden_size": 16} if damage == "shape" else {"num_hidden_layers": 4}
        other = MaskedLm(dataclasses.replace(CONFIG, **changed))
        checkpoint.save_model(tmp_path / "other", other, tokenizer=tokenizer())
        (tmp_path / "other" / "config.json").replace(tmp_path / "config.json")
    with pytest.raises(UserError, match=messages[damage]):
        checkpoint.load_encoder(tmp_path)


def test_packed_rows_equal_separate_rows() -> None:
    encoder = Encoder(CONFIG).eval()
    randomise(encoder)
    given = inputs()
    apart = encode(encoder, batch_of(given))
    ids, types, positions, sequences = (torch.zeros(2, 24, dtype=torch.long) for _ in range(4))
    places = {0: (0, 0), 1: (1, 0), 2: (0, 20), 3: (1, 13)}  # sequence → row, first column
    for sequence, (row, column) in places.items():
        length = LENGTHS[sequence]
        here = (row, slice(column, column + length))
        ids[here] = given["input_ids"][sequence, :length]
        types[here] = given["token_type_ids"][sequence, :length]
        positions[here] = torch.arange(length)
        sequences[here] = 1 + (column > 0)
    with torch.no_grad():
        packed = encoder(ids, types, positions, sequences)
    for sequence, (row, column) in places.items():
        length = LENGTHS[sequence]
        difference = packed[row, column : column + length] - apart[sequence, :length]
        assert difference.abs().max() <= 1e-6
    assert packed.isfinite().all()


def test_nothing_leaks_into_a_neighbour() -> None:
    encoder = Encoder(CONFIG).eval()
    randomise(encoder)
    given = inputs()
    ids = given["input_ids"][:2, :12].reshape(1, 24).repeat(2, 1)
    ids[1, 12:] = (ids[1, 12:] + 17) % TINY.vocab_size
    zeros = torch.zeros_like(ids)
    positions = torch.arange(12).repeat(2).expand(2, 24)
    sequences = torch.tensor([1, 2]).repeat_interleave(12).expand(2, 24)
    with torch.no_grad():
        one, two = encoder(ids, zeros, positions, sequences)
    assert torch.equal(one[:12], two[:12])
    assert (one[12:] - two[12:]).abs().max() > 0.1


@pytest.mark.parametrize("n_asked", [1, 5, 40])
def test_asked_positions_are_those_of_the_whole(n_asked: int) -> None:
    """Any positions in any order, some twice: same states, same gradients of every weight."""
    encoder = Encoder(dataclasses.replace(CONFIG, hidden_dropout_prob=0.0)).eval()
    randomise(encoder)
    batch = batch_of(inputs())
    rng = np.random.default_rng(n_asked)
    asked = batch.positions[torch.from_numpy(rng.integers(0, len(batch.positions), n_asked))]
    scales = torch.randn(n_asked, CONFIG.hidden_size, generator=torch.Generator().manual_seed(1))
    states, gradients = [], []
    for positions in (None, asked):
        encoder.zero_grad()
        hidden = encoder(*batch.inputs, positions)
        hidden = hidden.flatten(0, 1)[asked] if positions is None else hidden
        (hidden * scales).sum().backward()
        states.append(hidden.detach())
        gradients.append({name: p.grad.clone() for name, p in encoder.named_parameters()})
    assert (states[0] - states[1]).abs().max() <= 1e-6
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=2e-5, rtol=1e-5)
