"""Sizes against the published parameter counts, and reading of `config.json`."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError
from hanmo.model.config import (
    SIZES,
    EncoderConfig,
    hugging_face_config,
    read_config,
    size_named,
)
from hanmo.model.encoder import Encoder
from hanmo.model.heads import Pooler
from hanmo.model.masked_lm import MaskedLm
from hanmo.objectives import electra
from training_cases import TINY

# READMEs of ymcui/LERT, ymcui/Chinese-BERT-wwm and iflytek/MiniRBT (rounded there), exact by
# computation; with the pooler, without task heads.
PUBLISHED = {
    "small": 15_083_776,
    "base": 102_267_648,
    "large": 325_522_432,
    "rbt3": 38_476_800,
    "rbt4": 45_564_672,
    "rbt6": 59_740_416,
    "rbtl3": 61_001_728,
    "rbt4-h312": 11_419_320,
    "minirbt-h256": 10_345_216,
    "minirbt-h288": 12_311_136,
}
# Without pooler: discriminators by the configuration files of ymcui/Chinese-ELECTRA (facts/04).
PUBLISHED_ENCODERS = {
    "electra-small": 12_280_576,
    "electra-small-ex": 24_495_104,
    "electra-base": 101_677_056,
    "electra-large": 324_472_832,
}
GENERATORS = {
    "electra-small": 3_378_496,
    "electra-small-ex": 6_756_928,
    "electra-base": 22_108_608,
    "electra-large": 41_380_096,
}
# Google's ALBERT-base for Chinese: all of its released checkpoint, of which the heads (facts/05).
ALBERT_BASE, ALBERT_MLM, ALBERT_ORDER = 10_669_322, 119_816, 1_538
# LERT's three label heads (facts of the released graph).
LABEL_HEADS = {"small": 14_135, "base": 42_295, "large": 56_375}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("size", SIZES)
def test_the_modules_have_the_published_number_of_parameters(size: str) -> None:
    config = SIZES[size]
    with torch.device("meta"):
        n_encoder, n_pooler = count(Encoder(config)), count(Pooler(config))
    assert n_encoder == config.parameters(pooler=False)
    assert n_encoder + n_pooler == config.parameters() == PUBLISHED.get(size, config.parameters())


def test_every_published_count_is_of_a_size() -> None:
    # Heads do not change the count.
    own = {"tiny", "lert-tiny", "electra-tiny", "minirbt-h288-8heads"}
    unknown = {f"albert-{size}" for size in ("tiny", "small", "large", "xlarge", "xxlarge")}
    published = {*PUBLISHED, *PUBLISHED_ENCODERS, "albert-base"}
    assert published == set(SIZES) - own - unknown


@pytest.mark.parametrize("size", PUBLISHED_ENCODERS)
def test_electra_has_the_published_number_of_parameters(size: str) -> None:
    assert SIZES[size].parameters(pooler=False) == PUBLISHED_ENCODERS[size]
    generator = electra.Objective().generator_of(SIZES[size])
    assert generator.parameters(pooler=False) == GENERATORS[size]


def test_albert_base_has_the_published_number_of_parameters() -> None:
    assert SIZES["albert-base"].parameters() == ALBERT_BASE - ALBERT_MLM - ALBERT_ORDER


@pytest.mark.parametrize("size", LABEL_HEADS)
def test_label_heads_add_55_rows(size: str) -> None:
    config = SIZES[size]
    layers = {name: tuple(tags) for name, tags in TAGSETS.items()}
    with torch.device("meta"):
        extra = count(MaskedLm(config, layers=layers)) - count(MaskedLm(config))
    assert extra == 55 * (config.hidden_size + 1) == LABEL_HEADS[size]


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, hidden_act="gelu_new", layer_norm_eps=1e-6)
    raw = hugging_face_config(config, "BertForMaskedLM", id2label={"0": "a"})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    assert read_config(path) == config
    assert size_named(str(path)) == config
    assert raw["model_type"] == "bert"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None, "num_hidden_layers": None}, "lacks hidden_size, num_hidden_layers"),
        ({"model_type": "gpt2"}, "model_type 'gpt2'; expected one of bert, electra, albert"),
        ({"embedding_size": 8}, "embedding_size: got 8, hidden_size 16; a BERT's are the same"),
        ({"model_type": "albert", "num_hidden_groups": 2}, r"\(2, 1\) groups of layers"),
        ({"num_attention_heads": 3}, "num_attention_heads: got 3; expected a divisor"),
        ({"hidden_act": "gelu_fast"}, "hidden_act: no 'gelu_fast'"),
        ({"type_vocab_size": 0}, "type_vocab_size: got 0; a Bert has 1 or more"),
        ({"model_type": "distilbert"}, "lacks dim, n_layers, n_heads, hidden_dim"),
    ],
)
def test_what_is_no_bert_is_refused(changes: dict, message: str, tmp_path: Path) -> None:
    raw = hugging_face_config(TINY, "BertForMaskedLM") | changes
    path = tmp_path / "config.json"
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}))
    with pytest.raises(UserError, match=message):
        read_config(path)


def test_distilbert_has_keys_of_its_own(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, model_type="distilbert", type_vocab_size=0)
    raw = hugging_face_config(config, "BertForMaskedLM")
    assert (raw["dim"], raw["n_layers"], raw["activation"]) == (
        config.hidden_size,
        config.num_hidden_layers,
        "gelu",
    )
    assert "hidden_size" not in raw
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    assert read_config(path) == config
    with pytest.raises(UserError, match="got 2; a DistilBert has 0"):
        dataclasses.replace(config, type_vocab_size=2)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_config(tmp_path / "config.json")


def test_an_unknown_size_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'smal'.*small"):
        size_named("smal")


def test_defaults_are_bert_base() -> None:
    assert EncoderConfig() == SIZES["base"]


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_dropout_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match=rf"attention_probs_dropout_prob: got {rate}; expected"):
        EncoderConfig(attention_probs_dropout_prob=rate)
