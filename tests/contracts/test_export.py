"""Every head that hanmo has goes to ONNX and gives torch's scores: kinds of tasks and families."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import registry
from hanmo.export import onnx
from hanmo.model.checkpoint import random_encoder, save_model
from hanmo.model.config import EncoderConfig
from hanmo.model.masked_lm import MaskedLm
from hanmo.predict._engine import PIECES, Network, Torch, layer_head
from hanmo.predict._how import DEFAULT, How
from hanmo.predict._networks import network_of
from hanmo.predict._onnx import Onnx
from hanmo.tasks.kind import load_kind
from hanmo.tasks.task import Task
from pruning_cases import SHAPE, randomise
from training_cases import TINY, TINY_ALBERT, TINY_DISTILBERT, TINY_ELECTRA, tokenizer

LABELS = {"label": ("差", "中", "好"), "tags": ("O", "B-PER", "I-PER")}
# Options that give a kind other heads.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in registry.names("hanmo.tasks.kinds")),
    ("span", {"no_answer": True, "yes_no": True}),
    ("span_pair", {"style": "ends"}),
]
FAMILIES = {
    "bert": TINY,
    "electra": TINY_ELECTRA,
    "albert": TINY_ALBERT,
    "distilbert": TINY_DISTILBERT,
    "gelu_new": dataclasses.replace(TINY, hidden_act="gelu_new"),
    "pruned": dataclasses.replace(SHAPE, heads=(4, 1, 2), intermediates=(7, 32, 16)),
}
LENGTHS = (5, 9, 64, 17, 33, 5)


def task_folder(folder: Path, name: str, options: dict[str, Any], shape: EncoderConfig) -> None:
    kind = load_kind(name, options)
    labels = LABELS.get(kind.answers, ())
    task = Task(name="toy", kind=name, splits={}, columns={}, options=options, labels=labels)
    model, _ = kind.build(random_encoder(shape, seed=0), task, weights={}, seed=0)
    randomise(model)
    names = {str(i): label for i, label in enumerate(labels)}
    extra = {"kind": name, "options": options}
    save_model(folder, model, tokenizer=tokenizer(), extra=extra, id2label=names)


def check(network: Network, folder: Path, heads: tuple[str, ...]) -> None:
    """Scores of the file are torch's, whatever stands beside a sequence in its batch."""
    onnx.write(network, folder / "model.onnx")
    reference = Torch(network, DEFAULT, 0)
    rng = np.random.default_rng(1)
    sequences = [rng.integers(6, 150, n).astype(np.int32) for n in LENGTHS]
    for how in (DEFAULT, How(batch_tokens=1)):
        found = onnx.compare(reference, Onnx(folder / "model.onnx", how, 0), sequences, heads)
        assert set(found) == set(heads)
        for one in found.values():
            assert one.positions == 5 * len(LENGTHS)
            assert one.scale > 0
            assert one.greatest < 2e-4 * max(1, one.scale)
            assert one.same_best > 0.95  # equals may fall either way


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_every_kind_of_task(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    task_folder(tmp_path / "model", name, options, TINY)
    network, asked_by = network_of(tmp_path / "model")
    assert network.heads
    assert asked_by
    check(network, tmp_path, network.heads)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(tmp_path: Path, name: str) -> None:
    model = MaskedLm(FAMILIES[name], layers={layer: tuple(tags) for layer, tags in TAGSETS.items()})
    randomise(model)
    save_model(tmp_path / "model", model, tokenizer=tokenizer())
    network, asked_by = network_of(tmp_path / "model")
    assert network.heads == (PIECES, *sorted(TAGSETS))
    assert asked_by == ("fill-mask", "tags", "embed")
    layers = tuple(layer_head(n + 1) for n in range(network.depth))
    onnx.write(network, tmp_path / "model.onnx")
    engine = Onnx(tmp_path / "model.onnx", DEFAULT, 0)
    rng = np.random.default_rng(1)
    sequences = [rng.integers(6, 150, n).astype(np.int32) for n in LENGTHS]
    found = onnx.compare(Torch(network, DEFAULT, 0), engine, sequences, network.heads)
    found |= onnx.compare(Torch(network, DEFAULT, 0), engine, sequences, layers)
    assert len(found) == 1 + len(TAGSETS) + network.depth
    for one in found.values():
        assert one.greatest < 2e-4 * max(1, one.scale)


def test_an_untrained_head_is_left_out_and_an_encoder_alone_has_its_layers(tmp_path: Path) -> None:
    model = MaskedLm(TINY, layers={"pos": ("n", "v")})
    randomise(model)
    nn.init.zeros_(model.cls.predictions.bias)
    save_model(tmp_path / "model", model, tokenizer=tokenizer())
    network, asked_by = network_of(tmp_path / "model")
    assert (network.heads, asked_by) == (("pos",), ("tags", "embed"))
    from hanmo.predict._networks import Bare

    save_model(tmp_path / "bare", Bare(model.encoder), tokenizer=tokenizer())
    bare, asked_by = network_of(tmp_path / "bare")
    assert (bare.heads, asked_by) == ((), ("embed",))
    onnx.write(bare, tmp_path / "model.onnx")
    engine = Onnx(tmp_path / "model.onnx", DEFAULT, 0)
    ids = [np.arange(6, 20, dtype=np.int32)]
    torch_engine = Torch(bare, DEFAULT, 0)
    assert torch_engine.max_length == engine.max_length
    assert set(onnx.compare(engine, engine, ids, (layer_head(2),))) == {layer_head(2)}


def quantised(folder: Path, model: MaskedLm) -> tuple[Network, list[str]]:
    """Export a model in fp32 and int8; returns its network and the operations of the latter."""
    import onnx as library

    randomise(model)
    save_model(folder / "model", model, tokenizer=tokenizer())
    network, _ = network_of(folder / "model")
    onnx.write(network, folder / "model.onnx")
    onnx.quantize(folder / "model.onnx", folder / "model.int8.onnx")
    graph = library.load(folder / "model.int8.onnx").graph
    return network, [node.op_type for node in graph.node]


@pytest.mark.parametrize("name", FAMILIES)
def test_int8_takes_every_product_of_a_family(tmp_path: Path, name: str) -> None:
    """Those of ALBERT read the same weights in every layer; these are stored once."""
    family = FAMILIES[name]
    shape = dataclasses.replace(
        family,
        **{"heads": None, "intermediates": None},
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=4,
        embedding_size=64 if family.embedding_size else None,
        vocab_size=157,
    )
    model = MaskedLm(shape, layers={})
    _, operations = quantised(tmp_path, model)
    projection = 1 if shape.projects else 0
    assert operations.count("MatMulInteger") == 4 * shape.num_hidden_layers + 2 + projection
    sizes = [(tmp_path / one).stat().st_size for one in ("model.int8.onnx", "model.onnx")]
    assert sizes[0] < 0.6 * sizes[1]


def test_int8_keeps_embeddings_and_small_heads(tmp_path: Path) -> None:
    """Products are quantised; a table that is looked up and scores pieces is not torn."""
    shape = dataclasses.replace(
        TINY, hidden_size=64, intermediate_size=128, num_attention_heads=4, vocab_size=157
    )
    model = MaskedLm(shape, layers={"pos": tuple("abc")})
    torch.manual_seed(0)
    network, operations = quantised(tmp_path, model)
    # Four products a layer, the head's transform and the scores of pieces; three labels stay.
    assert operations.count("MatMulInteger") == 4 * shape.num_hidden_layers + 2
    rng = np.random.default_rng(1)
    sequences = [rng.integers(6, 150, n).astype(np.int32) for n in LENGTHS]
    engines = [Onnx(tmp_path / name, DEFAULT, 0) for name in ("model.onnx", "model.int8.onnx")]
    found = onnx.compare(*engines, sequences, network.heads)
    for one in found.values():
        assert 0 < one.greatest < 0.5 * one.scale
        assert one.same_best > 0.8
