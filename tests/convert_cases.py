"""What the tests of conversion share: small models of every family and size, compared by bits."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands import convert
from hanmo.model.checkpoint import save_model
from hanmo.model.config import SIZES, EncoderConfig
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.partner import add_partner
from hanmo.objectives import electra, pert
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from training_cases import VOCAB, tokenizer

# What a clone without git lfs has in the place of a file of 409 MB.
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 409000000\n"
LAYERS = {name: tuple(tags) for name, tags in TAGSETS.items()}


def small(config: EncoderConfig) -> EncoderConfig:
    """A published shape with everything narrower: depth, family and what differs from what stay."""
    narrow = 16
    heads = 2 if config.num_attention_heads > 1 else 1
    return dataclasses.replace(
        config,
        vocab_size=len(VOCAB),
        hidden_size=narrow,
        num_attention_heads=heads,
        intermediate_size=2 * narrow,
        max_position_embeddings=32,
        embedding_size=None if config.embedding_width == config.hidden_size else narrow // 2,
    )


def shapes() -> dict[str, EncoderConfig]:
    """Every size there is, built small, and the families that have no size of their own."""
    found = {name: small(config) for name, config in SIZES.items()}
    base = small(SIZES["rbt3"])
    found["distilbert"] = dataclasses.replace(base, model_type="distilbert", type_vocab_size=0)
    found["relu"] = dataclasses.replace(base, hidden_act="relu")
    found["tanh"] = dataclasses.replace(base, hidden_act="gelu_new")
    return found


def models(config: EncoderConfig) -> Iterator[tuple[str, Any]]:
    """Every kind of model that hanmo makes of a shape."""
    if config.model_type == "electra":
        wide = dataclasses.replace(config, hidden_size=64, num_attention_heads=2)
        wide = dataclasses.replace(wide, embedding_size=config.embedding_size)
        yield "electra", electra.Objective().build(wide, {})
        both = electra.Objective().build(wide, {})
        add_partner(both)
        yield "electra with a partner", both
    else:
        yield "mlm", MaskedLm(config)
        paired = MaskedLm(config)
        add_partner(paired)
        yield "mlm with a partner", paired
        yield "lert", MaskedLm(config, layers=LAYERS)
        yield "other labels", MaskedLm(config, layers={"tone": ("flat", "rising")})
        yield "pert", pert.Objective().build(config, {})
    yield "classifier", Pooled(Encoder(config), 3, cross_entropy)


def randomise(model: nn.Module) -> None:
    """Give every parameter values of its own, biases too."""
    initialise(model, 0.2, torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)


def save(model: Any, folder: Path) -> Path:
    """Write a model folder with values that a mix-up would show."""
    randomise(model)
    labels = {"id2label": {str(n): f"label {n}" for n in range(3)}} if _classifies(model) else {}
    save_model(folder, model, tokenizer=tokenizer(), **labels)
    return folder


def converted(source: Path | str, out: Path, to: str, **options: Any) -> dict[str, Any]:
    """Convert as the command line does; returns the report."""
    result = convert.run(convert.Config(str(source), out, to=to, **options))
    report: dict[str, Any] = result["json"]
    return report


def same_folder(one: Path, two: Path) -> None:
    """Compare two model folders: configuration, vocabulary, every tensor's bits."""
    assert json.loads((one / "config.json").read_text()) == json.loads(
        (two / "config.json").read_text()
    )
    assert (one / "vocab.txt").read_bytes() == (two / "vocab.txt").read_bytes()
    for name in ("model.safetensors", "heads.safetensors"):
        assert (one / name).is_file() == (two / name).is_file(), name
        if (one / name).is_file():
            same_tensors(load_file(one / name), load_file(two / name))
    assert (one / "generator").is_dir() == (two / "generator").is_dir()
    if (one / "generator").is_dir():
        same_folder(one / "generator", two / "generator")


def same_tensors(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray]) -> None:
    """Compare names, types, shapes and bits."""
    assert one.keys() == two.keys()
    for name, array in one.items():
        assert (array.dtype, array.shape) == (two[name].dtype, two[name].shape), name
        assert array.tobytes() == two[name].tobytes(), name


def _classifies(model: Any) -> bool:
    return isinstance(model, Pooled)
