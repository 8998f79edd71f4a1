"""Fine-tuned models of every kind: pruned by their task, they keep their heads and go on."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from hanmo.commands import finetune
from hanmo.commands.predict import Config as Predict
from hanmo.commands.predict import run as predict
from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from official_cases import write_data
from pruning_cases import SHAPE, run_prune, write_masked_lm
from task_cases import TASK, metrics_of, rows, run_finetune, write_model, write_task

TASKS = ("cmrc2018", "cjrc", "msra-ner", "cluener", "stsb", "csl", "cluewsc", "ocnli")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("prune-tasks")
    write_data(made / "data")
    write_masked_lm(made / "lm", SHAPE)
    return made


def tuned(folder: Path, model: Path, task: str, out: Path) -> Path:
    config = finetune.Config(
        model,
        task,
        out,
        data=folder / "data",
        max_length=32,
        epochs=1,
        batch_size=4,
        threads=1,
        precision="fp32",
        cache=False,
        save_model=True,
        splits=["dev"],
    )
    finetune.run(config)
    return out / "model"


@pytest.mark.parametrize("by", ["labels", "logits"])
@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_every_kind_goes_on(
    task: str, by: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "cache"))
    model = folder / f"{task}" / "model"
    if not model.exists():
        tuned(folder, folder / "lm", task, folder / task)
    result = run_prune(
        model,
        tmp_path / "out",
        layers="0,2" if by == "logits" else None,
        heads=2,
        ffn=12,
        uneven_heads=True,
        task=task,
        data=folder / "data",
        by=by,
        max_length=24 if by == "logits" else None,
    )
    words = shlex.split(result["next"])
    assert ("--max-length" in words) == (by == "logits")
    assert "--save-model" in words
    assert words[words.index("--data") + 1] == str(folder / "data")
    assert words[:5] == ["hanmo", "finetune", str(tmp_path / "out"), "--task", task]
    before, after = (checkpoint.read_weights(one) for one in (model, tmp_path / "out"))
    heads = [name for name in before if not name.startswith("bert.e")]
    assert heads
    assert all(torch.equal(before[name], after[name]) for name in heads)
    raws = [json.loads((one / "config.json").read_text()) for one in (model, tmp_path / "out")]
    for key in ("id2label", "label2id", "architectures"):
        assert raws[0].get(key) == raws[1].get(key)
    for key in ("task", "kind", "options", "seen", "max_length"):
        assert raws[0]["hanmo"][key] == raws[1]["hanmo"][key]
    tuned(folder, tmp_path / "out", task, tmp_path / "again")
    assert checkpoint.load_encoder(tmp_path / "again" / "model").config.intermediate_size == 12


@pytest.fixture(scope="module")
def learnt(folder: Path) -> tuple[Path, Path]:
    """A task file, and a model that has learnt its training split by heart."""
    task = write_task(folder / "toy", n_train=20, n_dev=2)
    (task.parent / "dev.tsv").write_bytes((task.parent / "train.tsv").read_bytes())
    write_model(folder / "tiny")
    run = folder / "toy-run"
    run_finetune(folder / "tiny", task, run, save_model=True, epochs=25, dropout=0.0)
    assert metrics_of(run)["splits"]["dev"]["scores"]["accuracy"] == 1
    return task, run / "model"


@pytest.mark.parametrize("by", ["labels", "logits"])
def test_what_was_learnt_survives_half_of_the_neurons(
    by: str, learnt: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "cache"))
    task, model = learnt
    run_prune(model, tmp_path / "out", task=str(task), ffn=16, by=by, iterations=4)
    right = 0
    for label, text in rows(20, seed=1):
        answer: Any = predict(Predict(tmp_path / "out", "classify", text))
        right += answer["answer"]["label"] == label
    assert right >= 18


def test_models_and_tasks_that_do_not_fit(
    learnt: tuple[Path, Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "cache"))
    task, model = learnt
    data = folder / "data"
    with pytest.raises(UserError, match=r"its labels are .*entailment.* are bad, good; expected"):
        run_prune(model, tmp_path / "out", heads=1, task="ocnli", data=data)
    with pytest.raises(UserError, match="of kind classification; --task cmrc2018 is of kind span"):
        run_prune(model, tmp_path / "out", heads=1, task="cmrc2018", data=data)
    other = write_task(tmp_path / "other", text=TASK.replace("5e-3", "4e-3"))
    lines = (other.parent / "train.tsv").read_text(encoding="utf-8").replace("bad", "poor")
    (other.parent / "train.tsv").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match=r"its labels are good, poor; those of .* are bad, good"):
        run_prune(model, tmp_path / "out", heads=1, task=str(other))
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in model.iterdir():
        (bare / path.name).write_bytes(path.read_bytes())
    state = checkpoint.load_file(bare / "model.safetensors")
    state = {name: tensor for name, tensor in state.items() if "classifier" not in name}
    (bare / "model.safetensors").write_bytes(checkpoint.save(state))
    with pytest.raises(UserError, match=r"lacks classifier\.bias, classifier\.weight"):
        run_prune(bare, tmp_path / "out", heads=1, task=str(task))
    assert not (tmp_path / "out").exists()
