"""Checkpoints of the original programs: converted, they compute what those programs computed.

The random ones were saved by the original code with its own outputs beside them (`ref.npz`); the
index-only ones are real releases without their values. All lie outside the repository. LERT's label
heads and losses: test_lert_upstream.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convert_cases import converted
from hanmo.convert.shapes import check, held
from hanmo.convert.tf1_reading import read_tf1
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import load_encoder
from hanmo.model.trainable import Batch

pytestmark = pytest.mark.parity
# Folder → class that opens it, family, activation in the converted configuration.
RANDOM = {
    "tf1_bert_random": ("BertModel", "bert", "gelu_new"),
    "tf1_albert_random": ("AlbertModel", "albert", "gelu_new"),
    "tf1_lert_random": ("BertModel", "bert", "gelu"),
}
# Folder → parameters that its index lists; albert_zh's with the product and copies in their place.
RELEASES = {
    "chinese_L-12_H-768_A-12.index-only": 102_882_442,
    "albert_base_zh_google.index-only": 10_669_322,
    "albert_tiny_zh.index-only": 11_659_354,
}


@pytest.fixture
def tf1(data_dir: Path) -> Path:
    folder = data_dir / "tf1"
    if not folder.is_dir():
        pytest.skip(f"fixtures not found: {folder}")
    return folder


@pytest.mark.parametrize("name", RANDOM)
def test_outputs_are_the_original_program_s(name: str, tf1: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    title, family, act = RANDOM[name]
    report = converted(tf1 / name, tmp_path / "out", "hf")
    assert (report["family"], report["hidden_act"]) == (family, act)
    reference = dict(np.load(tf1 / name / "ref.npz"))
    model = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    assert type(model).__name__ == title
    arrays = {key: torch.from_numpy(reference[key]).long() for key in ("ids", "mask", "seg")}
    with torch.no_grad():
        states, pooled = model(
            arrays["ids"], attention_mask=arrays["mask"], token_type_ids=arrays["seg"]
        )[:2]
    real = reference["mask"].astype(bool)
    assert np.abs(states.numpy() - reference["seq"])[real].max() <= 1e-5
    assert np.abs(pooled.numpy() - reference["pool"]).max() <= 1e-5
    assert np.abs(_own_states(tmp_path / "out", reference) - reference["seq"])[real].max() <= 1e-5


def _own_states(folder: Path, reference: dict[str, Any]) -> np.ndarray:
    rows, length = reference["ids"].shape
    batch = Batch.from_arrays(
        {
            "input_ids": reference["ids"].astype(np.int64),
            "token_type_ids": reference["seg"].astype(np.int64),
            "position_ids": np.tile(np.arange(length), (rows, 1)),
            "sequence_ids": reference["mask"].astype(np.int64),
            "positions": np.arange(0, rows * length, length),
        }
    )
    with torch.no_grad():
        states: torch.Tensor = load_encoder(folder).eval()(*batch.inputs)
    return states.numpy()


def test_the_other_activation_is_not_upstream_s(tf1: Path, tmp_path: Path) -> None:
    """The tolerance above tells the two forms of GELU apart."""
    for name, act in (("tf1_bert_random", "gelu"), ("tf1_lert_random", "gelu_new")):
        converted(tf1 / name, tmp_path / name, "hf", activation=act)
        reference = dict(np.load(tf1 / name / "ref.npz"))
        states = _own_states(tmp_path / name, reference)
        real = reference["mask"].astype(bool)
        assert np.abs(states - reference["seq"])[real].max() > 1e-4


def test_a_real_training_checkpoint(tf1: Path, tmp_path: Path) -> None:
    source = tf1 / "keras-bert-test_checkpoint"
    report = converted(source, tmp_path / "out", "hf", keep_optimizer=True)
    assert report["parameters"] == {"encoder": 628, "pooler": 20, "mlm_head": 43, "pair_head": 10}
    assert (report["step"], report["tensors"]) == (20, 46)
    assert report["class"] == "BertForPreTraining"
    assert report["masked_lm_head"]["trained"]
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == (source / "vocab.txt").read_bytes()
    converted(tmp_path / "out", tmp_path / "tf1", "tf1", keep_optimizer=True)
    before, _ = read_tf1(source)
    after, _ = read_tf1(tmp_path / "tf1")
    assert before.slots.keys() == after.slots.keys()
    assert len(before.slots) == 92
    for one, two in ((before.tensors, after.tensors), (before.slots, after.slots)):
        for name, tensor in one.items():
            assert np.array_equal(tensor.read(), two[name].read()), name


@pytest.mark.parametrize("name", RELEASES)
def test_releases_map_name_for_name(name: str, tf1: Path) -> None:
    contents, _ = read_tf1(tf1 / name)
    check(contents, name)
    parts = held(contents)
    assert sum(parts.values()) == RELEASES[name]
    assert parts.keys() == {"encoder", "pooler", "mlm_head", "pair_head"}
    with pytest.raises(UserError, match="missing, though"):
        next(iter(contents.tensors.values())).read()


def test_albert_zh_is_a_bert_of_products_and_copies(tmp_path: Path) -> None:
    """brightmart's layout: the same as a BERT whose words are products and whose layers are one."""
    from hanmo.convert.tf1.writer import TensorSource, write_bundle

    rng = np.random.default_rng(0)
    width, narrow, wide, pieces = 8, 4, 16, 30
    shapes = {
        "bert/embeddings/word_embeddings": (pieces, narrow),
        "bert/embeddings/word_embeddings_2": (narrow, width),
        "bert/embeddings/position_embeddings": (16, width),
        "bert/embeddings/token_type_embeddings": (2, width),
        "bert/embeddings/LayerNorm/beta": (width,),
        "bert/embeddings/LayerNorm/gamma": (width,),
        **{
            f"bert/encoder/layer_shared/{part}/kernel": (width, width)
            for part in (
                *("attention/self/query", "attention/self/key", "attention/self/value"),
                "attention/output/dense",
            )
        },
        "bert/encoder/layer_shared/intermediate/dense/kernel": (width, wide),
        "bert/encoder/layer_shared/intermediate/dense/bias": (wide,),
        "bert/encoder/layer_shared/output/dense/kernel": (wide, width),
        **{
            f"bert/encoder/layer_shared/{name}": (width,)
            for name in (
                *("attention/self/query/bias", "attention/self/key/bias"),
                *("attention/self/value/bias", "attention/output/dense/bias"),
                *("attention/output/LayerNorm/beta", "attention/output/LayerNorm/gamma"),
                *("output/dense/bias", "output/LayerNorm/beta", "output/LayerNorm/gamma"),
            )
        },
    }
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    write_bundle(
        tmp_path / "albert_model.ckpt",
        [TensorSource(n, v.dtype, v.shape, lambda v=v: v) for n, v in sorted(values.items())],
    )
    (tmp_path / "albert_config_tiny.json").write_text(
        '{"hidden_size": 8, "embedding_size": 4, "num_hidden_layers": 3, "num_attention_heads": 2,'
        ' "intermediate_size": 16, "max_position_embeddings": 16, "vocab_size": 30,'
        ' "type_vocab_size": 2, "hidden_act": "gelu", "ln_type": "postln"}'
    )
    report = converted(tmp_path, tmp_path.with_name("converted-albert-zh"), "hf")
    assert (report["family"], report["hidden_act"]) == ("bert", "gelu_new")
    encoder = load_encoder(tmp_path.with_name("converted-albert-zh"))
    words = values["bert/embeddings/word_embeddings"] @ values["bert/embeddings/word_embeddings_2"]
    assert np.allclose(encoder.embeddings.word_embeddings.weight.detach().numpy(), words, atol=1e-6)
    for layer in encoder.encoder.layer:
        kernel = values["bert/encoder/layer_shared/output/dense/kernel"]
        assert np.array_equal(layer.output.dense.weight.detach().numpy(), kernel.T)
