"""Published settings by task and model, against a table written from the sources by hand."""

import dataclasses
import json
from pathlib import Path

import pytest

from hanmo.model.config import SIZES, hugging_face_config
from hanmo.tasks.protocol import as_published, published
from hanmo.tasks.suite import TASKS
from hanmo.tasks.task import Settings
from hanmo.tasks.task_file import read_task
from task_cases import TASK, write_task

BERTS = ("base", "large")
SMALL = (
    *("tiny", "small", "rbt3", "rbt4", "rbt6", "rbtl3", "albert-tiny", "albert-small"),
    *("rbt4-h312", "minirbt-h256", "minirbt-h288"),
)
ELECTRAS = {
    "electra-small": (3e-4, 0.8),
    "electra-small-ex": (3e-4, 0.8),
    "electra-base": (1e-4, 0.8),
    "electra-large": (5e-5, 0.9),
}
# BERT-wwm's README and report, the CMRC 2018 baseline, CLUE's scripts (facts/02):
# rate, epochs, batch, length.
BERT = {
    "cmrc2018": (3e-5, 2, 32, 512),
    "drcd": (3e-5, 2, 32, 512),
    "cjrc": (4e-5, 2, 64, 512),
    "xnli": (3e-5, 2, 64, 128),
    "chnsenticorp": (2e-5, 3, 64, 256),
    "lcqmc": (2e-5, 3, 64, 128),
    "bq": (3e-5, 3, 64, 128),
    "thucnews": (2e-5, 3, 64, 512),
    "ocnli": (2e-5, 3, 32, 128),
    "tnews": (2e-5, 3, 32, 128),
    "afqmc": (2e-5, 3, 32, 128),
    "cmnli": (2e-5, 3, 32, 128),
}
# MiniRBT's README: small models 1e-4, on OCNLI 5e-5 (facts/07).
SMALL_RATE = dict.fromkeys(BERT, 1e-4) | {"ocnli": 5e-5}
# Chinese-ELECTRA: reading two epochs, STS ten, the rest three (facts/04).
ELECTRA_EPOCHS = dict.fromkeys(BERT, 3) | dict.fromkeys(("cmrc2018", "drcd", "cjrc"), 2)
ELECTRA_EPOCHS |= {"stsb": 10, "msra-ner": 3, "cluewsc": 3, "csl": 3}


def chosen(task: str, size: str) -> Settings:
    return published(TASKS[task], SIZES[size])


@pytest.mark.parametrize("task", BERT)
@pytest.mark.parametrize("size", BERTS)
def test_models_of_berts_size(task: str, size: str) -> None:
    made = chosen(task, size)
    assert (made.learning_rate, made.epochs, made.batch_size, made.max_length) == BERT[task]
    assert (made.warmup_rate, made.layer_decay, made.schedule, made.clip_norm) == (
        *(0.1, 1.0, "bert", 1.0),
    )
    assert made == TASKS[task].settings


@pytest.mark.parametrize("task", BERT)
@pytest.mark.parametrize("size", SMALL)
def test_small_models_learn_faster(task: str, size: str) -> None:
    made = chosen(task, size)
    assert made.learning_rate == SMALL_RATE[task]
    assert "MiniRBT" in made.source
    assert dataclasses.replace(
        made, learning_rate=BERT[task][0], source=TASKS[task].settings.source
    ) == chosen(task, "base"), "nothing but the rate differs"


@pytest.mark.parametrize("task", ELECTRA_EPOCHS)
@pytest.mark.parametrize("size", ELECTRAS)
def test_electras_have_a_protocol_of_their_own(task: str, size: str) -> None:
    made = chosen(task, size)
    assert (made.learning_rate, made.layer_decay) == ELECTRAS[size]
    assert made.epochs == ELECTRA_EPOCHS[task]
    assert (made.batch_size, made.warmup_rate, made.schedule) == (32, 0.1, "electra")
    # A sum over 32 sequences, clipped at 1, is a mean clipped at 1/32.
    assert made.clip_norm == 1 / made.batch_size
    assert made.max_length == TASKS[task].settings.max_length


@pytest.mark.parametrize(
    ("architecture", "electras"),
    [
        ("ElectraForPreTraining", True),
        ("ElectraModel", True),
        ("ElectraForSequenceClassification", True),
        (None, True),
        ("ElectraForMaskedLM", False),
    ],
)
def test_a_masked_lm_of_electras_layout_is_no_electra(
    architecture: str | None, electras: bool, tmp_path: Path
) -> None:
    raw = hugging_face_config(SIZES["lert-tiny"], "BertModel")
    raw |= {"architectures": architecture and [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    for task in (TASKS["chnsenticorp"], read_task(write_task(tmp_path / "mine"))):
        made = as_published(task, tmp_path).settings
        assert (made.schedule, made.layer_decay) == (("electra", 0.8) if electras else ("bert", 1))
    assert as_published(TASKS["ocnli"], tmp_path).settings.learning_rate == (
        3e-4 if electras else 5e-5
    )


def test_every_task_has_settings_for_every_size() -> None:
    for task in TASKS.values():
        for shape in SIZES.values():
            made = published(task, shape)
            assert made.source
            assert made.max_length == task.settings.max_length


def test_a_users_own_settings_and_the_samples_are_kept(tmp_path: Path) -> None:
    task, sample = read_task(write_task(tmp_path)), TASKS["sample-reviews"]
    assert task.stated == ("max_length", "batch_size", "learning_rate", "epochs")
    for shape in SIZES.values():
        assert published(sample, shape) is sample.settings
        made = published(task, shape)
        for name in task.stated:
            assert getattr(made, name) == getattr(task.settings, name)
        assert made.source.startswith(f"{tmp_path}/task.toml: max_length, batch_size")
    assert published(task, SIZES["electra-small"]).layer_decay == 0.8
    free = read_task(write_task(tmp_path, text=TASK.partition("[settings]")[0]))
    rates = {size: published(free, SIZES[size]).learning_rate for size in ("tiny", "base")}
    assert rates == {"tiny": 1e-4, "base": 2e-5}
    assert published(free, SIZES["electra-base"]).learning_rate == 1e-4
