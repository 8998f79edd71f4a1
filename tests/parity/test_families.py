"""Folders of ELECTRA, ALBERT and DistilBERT against transformers: every weight has its place."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hanmo.model import checkpoint
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import initialise
from hanmo.model.families import FAMILIES
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.partner import add_partner
from hanmo.model.trainable import Batch
from hanmo.objectives import electra
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from training_cases import TINY, TINY_ALBERT, TINY_DISTILBERT, TINY_ELECTRA, random_batch, tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
ALBERT = dataclasses.replace(TINY_ALBERT, num_hidden_layers=3, hidden_act="gelu_new")
SAME_WIDTH = dataclasses.replace(TINY_ELECTRA, embedding_size=32)


def randomise(module: torch.nn.Module) -> None:
    initialise(module, 0.2, torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)


def opened(name: str, folder: Path) -> Any:
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


def batch() -> Batch:
    return random_batch(electra.Objective(rate=0.4), pack=False)


@torch.no_grad()
def theirs(model: Any, given: Batch) -> Any:
    segments = (
        {} if "distilbert" in model.config.model_type else {"token_type_ids": given.token_type_ids}
    )
    return model(
        input_ids=given.input_ids, attention_mask=(given.sequence_ids > 0).long(), **segments
    )


def close(one: Tensor, two: Tensor) -> bool:
    return bool((one - two).abs().max() <= 1e-5)


@pytest.mark.parametrize("config", [TINY_ELECTRA, SAME_WIDTH], ids=["factorised", "same width"])
def test_electra_is_two_folders(config: EncoderConfig, tmp_path: Path) -> None:
    model: Any = electra.Objective().build(config, {})
    randomise(model)
    model.eval()
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    given = batch()
    discriminator = opened("ElectraForPreTraining", tmp_path)
    expected = theirs(discriminator, given).logits.flatten()[given.positions]
    with torch.no_grad():
        assert close(model.replaced_logits(given), expected)
        pieces = model.generator.piece_logits(model.outputs(given))
    generator = opened("ElectraForMaskedLM", tmp_path / "generator")
    expected = theirs(generator, given).logits.flatten(0, 1)[given.positions]
    assert close(pieces, expected)
    assert generator.config.hidden_size == config.hidden_size // 4
    assert checkpoint.load_masked_lm(tmp_path / "generator").encoder.config.model_type == "electra"


def test_the_loss_of_electra_is_the_formula(tmp_path: Path) -> None:
    model: Any = electra.Objective().build(TINY_ELECTRA, {})
    randomise(model)
    model.eval()
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    given = batch()
    with torch.no_grad():
        losses = model(given)
    generator = opened("ElectraForMaskedLM", tmp_path / "generator")
    logits = theirs(generator, given).logits.flatten(0, 1)[given.positions]
    expected = given.targets["pieces"]
    generated = torch.nn.functional.cross_entropy(logits, expected)
    assert losses.parts["generator"].item() == pytest.approx(generated.item(), rel=1e-4)
    # The drawn piece is the first whose cumulated probability passes the number of its place.
    sums = logits.double().softmax(-1).cumsum(-1)
    drawn = (sums < given.targets["sample"].double()[:, None]).sum(-1)
    original = given.input_ids.flatten().clone()
    original[given.positions] = expected
    fake = original.clone()
    fake[given.positions] = drawn
    discriminator = opened("ElectraForPreTraining", tmp_path)
    seen = dataclasses.replace(given, input_ids=fake.view_as(given.input_ids))
    real = given.sequence_ids.flatten() > 0
    scores = theirs(discriminator, seen).logits.flatten()[real]
    replaced = (fake != original)[real].float()
    assert 0 < replaced.mean() < 1
    found = torch.nn.functional.binary_cross_entropy_with_logits(scores, replaced)
    assert losses.parts["discriminator"].item() == pytest.approx(found.item(), rel=1e-4)
    assert losses.total.item() == pytest.approx(generated.item() + 50 * found.item(), rel=1e-4)


@pytest.mark.parametrize("with_partner", [True, False])
def test_albert(with_partner: bool, tmp_path: Path) -> None:
    model = MaskedLm(ALBERT)
    if with_partner:
        add_partner(model)
    randomise(model)
    model.eval()
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    given = batch()
    if with_partner:
        begins = (given.position_ids.flatten() == 0) & (given.sequence_ids.flatten() > 0)
        given = dataclasses.replace(given, firsts=begins.nonzero().squeeze(1))
    with torch.no_grad():
        outputs = model.outputs(given)
    name = "AlbertForPreTraining" if with_partner else "AlbertForMaskedLM"
    result = theirs(opened(name, tmp_path), given)
    logits = result.prediction_logits if with_partner else result.logits
    assert close(model.piece_logits(outputs), logits.flatten(0, 1)[given.positions])
    if with_partner:
        assert close(outputs.logits["partners"], result.sop_logits)


@pytest.mark.parametrize(
    "config",
    [TINY_DISTILBERT, dataclasses.replace(TINY_DISTILBERT, hidden_act="relu")],
    ids=["gelu", "relu"],
)
def test_distilbert(config: EncoderConfig, tmp_path: Path) -> None:
    model = MaskedLm(config)
    randomise(model)
    model.eval()
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    given = batch()
    with torch.no_grad():
        outputs = model.outputs(given)
    logits = theirs(opened("DistilBertForMaskedLM", tmp_path), given).logits
    assert close(model.piece_logits(outputs), logits.flatten(0, 1)[given.positions])
    again = checkpoint.load_masked_lm(tmp_path)
    assert again.encoder.config == config
    assert {n: t.tolist() for n, t in again.state_dict().items()} == {
        n: t.tolist() for n, t in model.state_dict().items()
    }


@pytest.mark.parametrize("act", ["relu", "gelu_new", "gelu"])
def test_activations_are_transformers(act: str, tmp_path: Path) -> None:
    model = MaskedLm(dataclasses.replace(TINY, hidden_act=act))
    randomise(model)
    model.eval()
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    given = batch()
    with torch.no_grad():
        outputs = model.outputs(given)
    logits = theirs(opened("BertForMaskedLM", tmp_path), given).logits
    assert close(model.piece_logits(outputs), logits.flatten(0, 1)[given.positions])


def test_albert_s_layers_share_their_weights() -> None:
    one = MaskedLm(dataclasses.replace(ALBERT, num_hidden_layers=1))
    many = MaskedLm(ALBERT)
    assert one.state_dict().keys() == many.state_dict().keys()
    randomise(many)
    one.load_state_dict(many.state_dict())
    given = batch()
    with torch.no_grad():
        shallow, deep = (model.eval().outputs(given).at_positions for model in (one, many))
    assert not close(shallow, deep)


@pytest.mark.parametrize(
    "config", [ALBERT, TINY_ELECTRA, TINY_DISTILBERT], ids=lambda config: config.model_type
)
def test_classifiers_open_too(config: EncoderConfig, tmp_path: Path) -> None:
    from hanmo.model.encoder import Encoder

    model = Pooled(Encoder(config), 3, cross_entropy)
    randomise(model)
    model.eval()
    labels = {str(i): str(i) for i in range(3)}
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer(), id2label=labels)
    given = batch()
    begins = (given.position_ids.flatten() == 0) & (given.sequence_ids.flatten() > 0)
    with torch.no_grad():
        asked = dataclasses.replace(given, positions=begins.nonzero().squeeze(1))
        got = model.outputs(asked).logits["label"]
    title = FAMILIES[config.model_type].title
    assert close(got, theirs(opened(f"{title}ForSequenceClassification", tmp_path), given).logits)
    again = Pooled(checkpoint.load_encoder(tmp_path), 3, cross_entropy)
    assert not checkpoint.load_into(again, tmp_path).fresh


@pytest.mark.parametrize("family", FAMILIES)
def test_names_go_both_ways(family: str) -> None:
    known = FAMILIES[family]
    config = dataclasses.replace(
        TINY_ELECTRA,
        model_type=family,
        embedding_size=16 if known.factorised else None,
        type_vocab_size=2 if known.segments else 0,
    )
    model = MaskedLm(config)
    add_partner(model)
    names = list(model.state_dict())
    there = [FAMILIES[family].on_disk(name) for name in names]
    assert len(set(there)) == len(names)
    assert [FAMILIES[family].ours(name) for name in there] == names
