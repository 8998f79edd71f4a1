"""Readers and taggers opened by transformers: the same logits from the same pieces."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.model.checkpoint import random_encoder, save_model
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import initialise
from hanmo.tasks import batches
from hanmo.tasks.kind import load_kind
from hanmo.tasks.task import Example, Settings, Task
from official_cases import write_data
from task_cases import run_finetune, write_model
from training_cases import CHARACTERS, TINY, tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")


def task_of(kind: str, labels: tuple[str, ...] = ()) -> Task:
    settings = Settings(max_length=24)
    return Task(name="toy", kind=kind, splits={}, columns={}, labels=labels, settings=settings)


def both(folder: Path, auto: Any, task: Task, example: Example, config: EncoderConfig) -> Any:
    """Our logits and positions of the example's only sequence, and transformers' logits."""
    kind = load_kind(task.kind)
    model, _ = kind.build(random_encoder(config, seed=0), task, weights={}, seed=0)
    # Large weights, so that a difference in names, masks or segments cannot hide.
    initialise(model, 0.4, torch.Generator().manual_seed(1))
    # As a run saves it: the heads' outputs have names, or transformers counts none.
    names = task.labels or tuple(f"LABEL_{i}" for i in range(model.n_outputs))
    save_model(folder, model, tokenizer=tokenizer(), id2label=dict(enumerate(names)))
    features = kind.encode(example, task, tokenizer())
    [sequence] = features.sequences
    ours = batches.predict(
        model, [features], max_length=24, pad_id=0, device="cpu", autocast=contextlib.nullcontext
    )["label"]
    theirs = auto.from_pretrained(folder).eval()
    inputs = {
        name: torch.from_numpy(v.astype(np.int64))[None] for name, v in sequence.inputs.items()
    }
    with torch.inference_mode():
        return ours, sequence.positions, theirs(**inputs)


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_a_reader(tmp_path: Path, family: str) -> None:
    fields = {"context": "".join(CHARACTERS[3:15]), "question": "".join(CHARACTERS[:3])}
    auto = transformers.AutoModelForQuestionAnswering
    config = _shape(family)
    ours, places, theirs = both(tmp_path, auto, task_of("span"), Example("1", fields, None), config)
    assert places.tolist() == [0, *range(5, 17)]
    expected = torch.stack([theirs.start_logits[0], theirs.end_logits[0]], -1)[places].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert np.ptp(ours) > 0.1


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_a_tagger(tmp_path: Path, family: str) -> None:
    fields = {"text": tuple(CHARACTERS[:9])}
    auto = transformers.AutoModelForTokenClassification
    task = task_of("tagging", ("O", "B-A", "I-A"))
    ours, places, theirs = both(tmp_path, auto, task, Example("1", fields, None), _shape(family))
    assert places.tolist() == [*range(1, 10)]
    np.testing.assert_allclose(ours, theirs.logits[0][places].numpy(), atol=1e-5)
    assert np.ptp(ours) > 0.1


def _shape(family: str) -> EncoderConfig:
    import dataclasses

    return dataclasses.replace(TINY, model_type=family)


def test_saved_runs_open(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    write_model(tmp_path / "model")
    autos = {
        "cmrc2018": transformers.AutoModelForQuestionAnswering,
        "cjrc": transformers.AutoModelForQuestionAnswering,
        "stsb": transformers.AutoModelForSequenceClassification,
        "cluener": transformers.AutoModelForTokenClassification,
        "csl": transformers.AutoModelForSequenceClassification,
    }
    for name, auto in autos.items():
        out = tmp_path / name
        settings = {"data": data, "epochs": 1, "max_length": 32, "save_model": True}
        run_finetune(tmp_path / "model", Path(name), out, **settings)
        opened = auto.from_pretrained(out / "model")
        assert opened.config.num_labels == {"stsb": 1, "cluener": 21}.get(name, 2)
