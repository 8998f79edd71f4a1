"""What the tests of loading share: small folders that transformers writes, and comparing models."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from hanmo.text.vocab import write_vocab

# Two entries hold U+2028, as two of BERT's do (facts/11 no. 18).
VOCAB = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"中国人民大学",
    "\u2028",
    "##\u2028",
    "hello",
]
TEXT = "中国大人 Hello"
IDS = torch.tensor([[2, 5, 6, 9, 7, len(VOCAB) - 1, 3]])
SHAPE = {"vocab_size": len(VOCAB), "hidden_size": 16, "num_hidden_layers": 2}
SHAPE |= {"num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
NARROW = {**SHAPE, "embedding_size": 8}
DISTIL = {"vocab_size": len(VOCAB), "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
CLASSES = {
    "BertForMaskedLM": SHAPE,
    "BertForPreTraining": SHAPE,
    "BertModel": SHAPE,
    "BertForSequenceClassification": {**SHAPE, "num_labels": 3},
    "BertForTokenClassification": {**SHAPE, "num_labels": 5},
    "BertForQuestionAnswering": SHAPE,
    "ElectraForPreTraining": NARROW,
    "ElectraForMaskedLM": NARROW,
    "ElectraForSequenceClassification": {**NARROW, "num_labels": 3},
    "ElectraForTokenClassification": {**NARROW, "num_labels": 3},
    "ElectraModel": NARROW,
    "AlbertForMaskedLM": NARROW,
    "AlbertForPreTraining": NARROW,
    "AlbertModel": NARROW,
    "DistilBertForMaskedLM": DISTIL,
    "DistilBertModel": DISTIL,
}


def randomise(module: torch.nn.Module) -> None:
    """Give every parameter a value that no initialisation gives, biases too."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + 0.01)


def written(folder: Path, name: str, **numbers: Any) -> Any:
    """Let transformers write a folder with random weights; returns the model."""
    import transformers

    made = getattr(transformers, name)
    model = made(made.config_class(**{**CLASSES[name], **numbers}))
    randomise(model)
    model.save_pretrained(folder)
    write_vocab(folder / "vocab.txt", VOCAB)
    return model.eval()


def changed(folder: Path, **keys: Any) -> None:
    """Change keys of a folder's config.json; None takes one out."""
    path = folder / "config.json"
    raw = {**json.loads(path.read_text()), **keys}
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}))


def without(folder: Path, *beginnings: str) -> None:
    """Take weights out of a folder."""
    path = folder / "model.safetensors"
    state = {k: v.clone() for k, v in load_file(path).items() if not k.startswith(beginnings)}
    save_file(state, path, metadata={"format": "pt"})


def close(one: torch.Tensor, two: torch.Tensor) -> bool:
    return bool((one - two).abs().max() <= 1e-5)


@torch.no_grad()
def same(one: Any, two: Any) -> bool:
    """Whether two models give the same outputs for the text."""
    pairs = zip(one(input_ids=IDS).to_tuple(), two(input_ids=IDS).to_tuple(), strict=True)
    return all(close(a, b) for a, b in pairs)
