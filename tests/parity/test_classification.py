"""A fine-tuned folder opened by transformers: same labels, same pieces, same logits."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.core.files import json_lines
from hanmo.model.checkpoint import random_encoder, save_model
from hanmo.model.encoder import initialise
from hanmo.tasks import batches
from hanmo.tasks.kind import load_kind
from hanmo.tasks.task import Example, Settings, Task
from task_cases import rows, run_finetune, write_model, write_task
from training_cases import CHARACTERS, TINY, tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
KIND = load_kind("classification")


TASK = Task(
    name="toy",
    kind="classification",
    splits={},
    columns={},
    labels=("bad", "good"),
    settings=Settings(max_length=24),
)


def hub_logits(folder: Path, *texts: Any) -> np.ndarray:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    hub = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = hub(*texts, truncation="longest_first", max_length=24, padding=True)
    with torch.inference_mode():
        logits = model(**{k: torch.tensor(v) for k, v in inputs.items()}).logits
    return logits.numpy()


def test_a_run_predicts_as_its_folder_does_in_transformers(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", n_train=20)
    (task.parent / "dev.tsv").write_bytes((task.parent / "train.tsv").read_bytes())
    run = tmp_path / "run"
    model = write_model(tmp_path / "model")
    run_finetune(model, task, run, save_model=True, epochs=25, dropout=0.0)
    lines = [line for _, line in json_lines(run / "predictions-dev.jsonl")]
    texts = [text for _, text in rows(20, seed=1)]
    names = transformers.AutoConfig.from_pretrained(run / "model").id2label
    logits = torch.from_numpy(hub_logits(run / "model", texts))
    got = [[line["scores"][names[i]] for i in (0, 1)] for line in lines]
    np.testing.assert_allclose(got, logits.softmax(-1).numpy(), atol=2e-6)
    assert [line["predicted"] for line in lines] == [names[int(i)] for i in logits.argmax(-1)]
    assert len({line["predicted"] for line in lines}) == 2, "learnt, so that order shows"


@pytest.mark.parametrize("pair", [False, True])
def test_logits_are_equal(tmp_path: Path, pair: bool) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(CHARACTERS, int(n))) for n in (1, 5, 30, 12)]
    others = ["".join(rng.choice(CHARACTERS, int(n))) for n in (9, 25, 13, 1)]
    model, _ = KIND.build(random_encoder(TINY, seed=0), TASK, weights={}, seed=0)
    # Large weights, so that a difference in names, masks or segments cannot hide.
    initialise(model, 0.4, torch.Generator().manual_seed(1))
    save_model(tmp_path, model, tokenizer=tokenizer(), id2label={0: "bad", 1: "good"})
    examples = [
        Example("", {"text_a": a, "text_b": b} if pair else {"text_a": a}, None)
        for a, b in zip(texts, others, strict=True)
    ]
    features = [KIND.encode(example, TASK, tokenizer()) for example in examples]
    got = batches.predict(
        model, features, max_length=24, pad_id=0, device="cpu", autocast=contextlib.nullcontext
    )["label"]
    expected = hub_logits(tmp_path, texts, *([others] if pair else []))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.ptp(got, axis=0).min() > 0.05, "texts are told apart, or the comparison says nothing"
