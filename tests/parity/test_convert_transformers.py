"""Folders of transformers through TensorFlow's form and back: its classes compute the same bits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from convert_cases import converted
from hanmo.core.errors import UserError
from training_cases import VOCAB

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

SHAPE: dict[str, Any] = {
    "vocab_size": len(VOCAB),
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
NARROW = {**SHAPE, "embedding_size": 16}
DISTIL: dict[str, Any] = {
    "vocab_size": len(VOCAB),
    "dim": 32,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 48,
    "max_position_embeddings": 40,
}
# Class → configuration class and its numbers.
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "BertModel": ("BertConfig", SHAPE),
    "BertForMaskedLM": ("BertConfig", SHAPE),
    "BertForPreTraining": ("BertConfig", SHAPE | {"hidden_act": "gelu_new"}),
    "BertForSequenceClassification": ("BertConfig", SHAPE | {"num_labels": 3}),
    "BertForTokenClassification": ("BertConfig", SHAPE | {"num_labels": 5}),
    "BertForQuestionAnswering": ("BertConfig", SHAPE),
    "ElectraForPreTraining": ("ElectraConfig", NARROW),
    "ElectraForMaskedLM": ("ElectraConfig", NARROW),
    "ElectraModel": ("ElectraConfig", NARROW | {"embedding_size": 32}),
    "AlbertForMaskedLM": ("AlbertConfig", NARROW | {"hidden_act": "relu"}),
    "AlbertForPreTraining": ("AlbertConfig", NARROW | {"hidden_act": "gelu_new"}),
    "DistilBertForMaskedLM": ("DistilBertConfig", DISTIL),
    "DistilBertModel": ("DistilBertConfig", DISTIL),
}


def made(name: str, folder: Path) -> Any:
    """A model of transformers with values that a mix-up would show, saved by transformers."""
    config_class, numbers = CLASSES[name]
    torch.manual_seed(0)
    model = getattr(transformers, name)(getattr(transformers, config_class)(**numbers)).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in VOCAB), encoding="utf-8")
    return model


@torch.no_grad()
def outputs(model: Any) -> list[torch.Tensor]:
    ids = torch.arange(6, 6 + 24).view(2, 12)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    given = model(input_ids=ids, attention_mask=mask)
    return [value for value in given.to_tuple() if torch.is_tensor(value)]


@pytest.mark.parametrize("form", ["hf", "tf1"])
@pytest.mark.parametrize("name", CLASSES)
def test_the_same_bits(name: str, form: str, tmp_path: Path) -> None:
    model = made(name, tmp_path / "start")
    report = converted(tmp_path / "start", tmp_path / "there", form)
    assert report["class"] == name
    converted(tmp_path / "there", tmp_path / "back", "hf")
    opened, loaded = getattr(transformers, name).from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not (loaded["missing_keys"] or loaded["unexpected_keys"] or loaded["mismatched_keys"])
    for one, two in zip(outputs(model), outputs(opened.eval()), strict=True):
        assert torch.equal(one, two)
    auto = transformers.AutoModel.from_pretrained(tmp_path / "back")
    assert type(auto).__name__.startswith(name.partition("For")[0].removesuffix("Model"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    assert "Bert" in type(tokenizer).__name__
    assert tokenizer.tokenize("一丁七") == ["一", "丁", "七"]


def test_two_electras_of_one_checkpoint(tmp_path: Path) -> None:
    """Discriminator and generator with shared embeddings, joined, written, and opened again."""
    discriminator = made("ElectraForPreTraining", tmp_path / "start")
    generator = made("ElectraForMaskedLM", tmp_path / "start" / "generator")
    for part in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
        getattr(generator.electra.embeddings, part).load_state_dict(
            getattr(discriminator.electra.embeddings, part).state_dict()
        )
    generator.save_pretrained(tmp_path / "start" / "generator")
    converted(tmp_path / "start", tmp_path / "tf1", "tf1")
    from hanmo.convert.tf1.bundle import Bundle, find_prefix

    names = Bundle(find_prefix(tmp_path / "tf1")).names
    assert not [name for name in names if name.startswith("generator/embeddings/")]
    assert "discriminator_predictions/dense_1/kernel" in names
    converted(tmp_path / "tf1", tmp_path / "back", "hf")
    for name, model, folder in (
        ("ElectraForPreTraining", discriminator, tmp_path / "back"),
        ("ElectraForMaskedLM", generator, tmp_path / "back" / "generator"),
    ):
        opened = getattr(transformers, name).from_pretrained(folder).eval()
        for one, two in zip(outputs(model), outputs(opened), strict=True):
            assert torch.equal(one, two)


def test_a_bert_that_is_called_roberta(tmp_path: Path) -> None:
    """facts/09 no. 6: the name of the folder decides nothing."""
    made("BertForMaskedLM", tmp_path / "chinese-roberta-wwm-ext")
    converted(tmp_path / "chinese-roberta-wwm-ext", tmp_path / "roberta-again", "hf")
    for auto in (transformers.AutoModel, transformers.AutoTokenizer):
        found = auto.from_pretrained(tmp_path / "roberta-again")
        assert "Roberta" not in type(found).__name__


def test_fill_mask_refuses_a_head_that_transformers_made_up(tmp_path: Path) -> None:
    """HFL's PyTorch releases without a head, saved again by BertForMaskedLM: a fresh head."""
    from hanmo.predict.fill_mask import Predict

    made("BertModel", tmp_path / "encoder")
    model = transformers.BertForMaskedLM.from_pretrained(tmp_path / "encoder")
    model.save_pretrained(tmp_path / "start")
    (tmp_path / "start" / "vocab.txt").write_bytes((tmp_path / "encoder/vocab.txt").read_bytes())
    report = converted(tmp_path / "start", tmp_path / "out", "hanmo")
    assert report["masked_lm_head"]["trained"] is False
    with pytest.raises(UserError, match=r"never trained \(its output bias is zero everywhere; .*"):
        Predict().load(tmp_path / "out")
