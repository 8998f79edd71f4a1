"""Pruned folders opened by transformers: uniform shapes, and the same numbers as hanmo's."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.commands.predict import Config as Predict
from hanmo.commands.predict import run as predict
from hanmo.model import checkpoint
from hanmo.model.config import EncoderConfig
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from pruning_cases import SHAPE, randomise, run_prune, write_masked_lm
from task_cases import run_finetune, write_task
from training_cases import (
    CHARACTERS,
    TINY_ALBERT,
    TINY_DISTILBERT,
    TINY_ELECTRA,
    make_shards,
    tokenizer,
)

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
SHAPES = [
    SHAPE,
    dataclasses.replace(TINY_ELECTRA, num_attention_heads=4),
    dataclasses.replace(TINY_ALBERT, num_attention_heads=4, num_hidden_layers=3),
    dataclasses.replace(TINY_DISTILBERT, num_attention_heads=4),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("prune-shards"), n_documents=40)


def opened(name: str, folder: Path) -> Any:
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.model_type)
def test_a_masked_lm_is_the_same_in_transformers(
    shape: EncoderConfig, uneven: bool, shards: Path, tmp_path: Path
) -> None:
    write_masked_lm(tmp_path / "m", shape)
    run_prune(
        tmp_path / "m",
        tmp_path / "out",
        heads=2,
        ffn=10,
        uneven_heads=uneven,
        uneven_ffn=uneven,
        shards=shards,
        iterations=2,
        vocab_from=[shards],
        min_count=2,
    )
    model = opened("AutoModelForMaskedLM", tmp_path / "out")
    hub = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = torch.tensor([hub("".join(CHARACTERS[7:20])).input_ids])
    one = torch.ones_like(ids)
    ours = checkpoint.load_masked_lm(tmp_path / "out", dropout=0.0).eval()
    sizes = ours.encoder.config
    assert sizes.heads is not None
    assert sizes.vocab_size == hub.vocab_size
    with torch.inference_mode():
        expected = model(input_ids=ids).logits
        hidden = ours.encoder(ids, one * 0, one.cumsum(1) - 1, one)
        transformed = ours.cls.predictions.transform(hidden)
        got = ours.cls.logits(transformed, ours.encoder.embeddings.word_embeddings.weight)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_padding_stays_zero_when_transformers_trains(tmp_path: Path) -> None:
    shape = dataclasses.replace(SHAPE, heads=(1, 2, 4), intermediates=(3, 32, 8))
    model = Pooled(checkpoint.Encoder(shape), 2, cross_entropy)
    randomise(model)
    names = {"0": "bad", "1": "good"}
    checkpoint.save_model(tmp_path / "m", model, tokenizer=tokenizer(), id2label=names)
    hub = opened("AutoModelForSequenceClassification", tmp_path / "m")
    optimizer = torch.optim.AdamW(hub.parameters(), lr=1e-2, weight_decay=0.1)
    ids = torch.tensor([[3, 20, 30, 4], [3, 40, 50, 4]])
    for _ in range(3):
        hub(input_ids=ids, labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    hub.save_pretrained(tmp_path / "trained")
    for path in (tmp_path / "m").glob("vocab.txt"):
        (tmp_path / "trained" / path.name).write_bytes(path.read_bytes())
    again = checkpoint.load_encoder(tmp_path / "trained")
    assert again.config.heads == (1, 2, 4)
    assert again.config.intermediates == (3, 32, 8)


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[3]], ids=lambda shape: shape.model_type)
def test_a_classifier_is_the_same_in_transformers(
    shape: EncoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "cache"))
    task = write_task(tmp_path / "task", n_train=20)
    write_masked_lm(tmp_path / "lm", shape)
    run_finetune(tmp_path / "lm", task, tmp_path / "run", save_model=True, epochs=1)
    model = tmp_path / "run" / "model"
    run_prune(model, tmp_path / "out", task=str(task), heads=1, ffn=8, by="logits")
    hub = opened("AutoModelForSequenceClassification", tmp_path / "out")
    text = "".join(CHARACTERS[7:20])
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(text).input_ids
    with torch.inference_mode():
        expected = hub(input_ids=torch.tensor([ids])).logits.softmax(-1)[0]
    answer = predict(Predict(tmp_path / "out", "classify", text))
    assert answer is not None
    got = {one["label"]: one["probability"] for one in answer["answer"]["labels"]}
    names = hub.config.id2label
    assert [got[names[i]] for i in range(2)] == pytest.approx(expected.tolist(), abs=2e-6)
