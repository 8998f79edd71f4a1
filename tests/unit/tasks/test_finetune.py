"""One fine-tuning run: learns, repeats itself, says what it did, survives a kill."""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hanmo.cli import main
from hanmo.commands import _finetuning
from hanmo.commands.finetune import Config
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import load_encoder, read_weights
from hanmo.tasks.kind import load_kind
from hanmo.tasks.prepared import prepare
from hanmo.tasks.splits import locate
from hanmo.tasks.suite import TASKS
from hanmo.tasks.task_file import read_task
from task_cases import TASK, metrics_of, rows, run_finetune, write_model, write_task, write_tsv


@pytest.fixture(scope="module")
def done(model: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "seed-1"
    run_finetune(model, task, out, save_model=True)
    return out


def test_twenty_examples_are_learnt_by_heart(tmp_path: Path, model: Path) -> None:
    task = write_task(tmp_path / "task", n_train=20, n_dev=2)
    same = (task.parent / "train.tsv").read_bytes()
    (task.parent / "dev.tsv").write_bytes(same)
    result = run_finetune(model, task, tmp_path / "out", epochs=25, dropout=0.0)
    assert result["dev accuracy"] == 1.0
    epochs = metrics_of(tmp_path / "out")["epochs"]
    assert epochs[-1]["loss"] < 0.1 < epochs[0]["loss"]


def test_a_run_is_finished_verified_and_says_what_it_did(done: Path, model: Path) -> None:
    verify(done)
    manifest = read_manifest(done, "run")
    assert set(manifest.files) >= {
        "metrics.json",
        "log.jsonl",
        "config.toml",
        "predictions-dev.jsonl",
        "model/model.safetensors",
    }
    assert set(manifest.inputs) == {
        "train",
        "dev",
        *(f"model/{name}" for name in ("config.json", "vocab.txt", "model.safetensors")),
    }
    metrics = json.loads((done / "metrics.json").read_text())
    assert metrics["labels"] == ["bad", "good"]
    assert metrics["model"]["pooler"] == "random"
    assert metrics["changed"] == {}
    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2]
    assert metrics["epochs"][-1]["dev"] == metrics["splits"]["dev"]["scores"]
    assert metrics["splits"]["train"]["examples"] == 24
    assert metrics["seconds"]["total"] >= metrics["seconds"]["train"] > 0
    steps = [line for line in (done / "log.jsonl").read_text().splitlines() if '"step"' in line]
    assert len(steps) == 6


def test_predictions_are_what_is_scored(done: Path) -> None:
    lines = [json.loads(line) for line in (done / "predictions-dev.jsonl").read_text().splitlines()]
    scores = metrics_of(done)["splits"]["dev"]["scores"]
    right = [line["gold"] == line["predicted"] for line in lines]
    assert scores["accuracy"] == sum(right) / len(right)
    assert [line["id"] for line in lines] == [str(number) for number in range(2, 10)]
    for line in lines:
        assert sum(line["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert line["predicted"] == max(line["scores"], key=line["scores"].get)


def test_the_same_seed_gives_the_same_run(
    done: Path, model: Path, task: Path, tmp_path: Path
) -> None:
    run_finetune(model, task, tmp_path / "again", save_model=True)
    run_finetune(model, task, tmp_path / "other", save_model=True, seed=2)
    assert metrics_of(tmp_path / "again") == metrics_of(done)
    assert metrics_of(tmp_path / "other")["epochs"] != metrics_of(done)["epochs"]
    weights = [load_file(out / "model" / "model.safetensors") for out in (done, tmp_path / "again")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    same = (tmp_path / "again" / "predictions-dev.jsonl").read_bytes()
    assert same == (done / "predictions-dev.jsonl").read_bytes()


def test_the_recorded_command_and_config_repeat_the_run(done: Path, tmp_path: Path) -> None:
    words = shlex.split(json.loads((done / "metrics.json").read_text())["command"])
    words[words.index("--out") + 1] = str(tmp_path / "one")
    assert main(words[1:]) == 0
    config = str(done / "config.toml")
    assert main(["finetune", "--config", config, "--out", str(tmp_path / "two")]) == 0
    for out in (tmp_path / "one", tmp_path / "two"):
        assert metrics_of(out)["epochs"] == metrics_of(done)["epochs"]
        assert (out / "predictions-dev.jsonl").read_bytes() == (
            done / "predictions-dev.jsonl"
        ).read_bytes()


def test_a_finished_run_is_left_alone(done: Path, model: Path, task: Path) -> None:
    before = (done / "metrics.json").stat().st_mtime_ns
    result = run_finetune(model, task, done, save_model=True)
    assert (done / "metrics.json").stat().st_mtime_ns == before
    assert result["dev accuracy"] == metrics_of(done)["splits"]["dev"]["scores"]["accuracy"]
    with pytest.raises(UserError, match=r"other settings \(learning_rate was 0.005, now 0.01"):
        run_finetune(model, task, done, save_model=True, learning_rate=0.01)


def test_random_weights_are_a_baseline_of_the_same_shape(
    model: Path, task: Path, tmp_path: Path, done: Path
) -> None:
    run_finetune(model, task, tmp_path / "a", init="random", save_model=True, epochs=1)
    metrics = metrics_of(tmp_path / "a")
    assert metrics["model"]["name"] == f"{model.name}-random"
    assert metrics["model"]["parameters"] == metrics_of(done)["model"]["parameters"]
    name = "bert.encoder.layer.0.output.dense.weight"
    trained = load_file(tmp_path / "a" / "model" / "model.safetensors")[name]
    assert (trained - load_file(model / "model.safetensors")[name]).abs().max() > 0.05


def test_a_split_without_labels_gets_predictions_only(model: Path, tmp_path: Path) -> None:
    text = TASK.replace('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
    task = write_task(tmp_path / "task", text=text)
    (task.parent / "test.tsv").write_text("text\n" + "\n".join(text for _, text in rows(5)) + "\n")
    result = run_finetune(model, task, tmp_path / "out", epochs=1)
    assert "dev accuracy" in result
    assert "test accuracy" not in result
    lines = (tmp_path / "out" / "predictions-test.jsonl").read_text().splitlines()
    assert [json.loads(line)["gold"] for line in lines] == [None] * 5


def test_best_is_the_best_epoch_on_dev(model: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", n_dev=30)
    run_finetune(model, task, tmp_path / "out", select="best", epochs=4, learning_rate=0.02)
    metrics = metrics_of(tmp_path / "out")
    by_epoch = [epoch["dev"]["accuracy"] for epoch in metrics["epochs"]]
    assert metrics["selected_epoch"] == 1 + int(np.argmax(by_epoch))
    assert metrics["splits"]["dev"]["scores"]["accuracy"] == max(by_epoch)


def test_limit_train_draws_a_subset_by_the_seed(model: Path, task: Path, tmp_path: Path) -> None:
    run_finetune(model, task, tmp_path / "out", limit_train=10, epochs=1)
    metrics = metrics_of(tmp_path / "out")
    assert metrics["splits"]["train"]["examples"] == 10
    assert metrics["changed"] == {"limit_train": 10, "epochs": 1}


def test_rows_left_out_are_in_the_record(model: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    write_tsv(task.parent / "dev.tsv", [("good", " "), *rows(4), ("bad", "一" * 40)])
    run_finetune(model, task, tmp_path / "out", epochs=1)
    dev = metrics_of(tmp_path / "out")["splits"]["dev"]
    assert (dev["examples"], dev["skipped"], dev["truncated"]) == (5, {"empty_text": 1}, 1)


def test_texts_that_train_has_too_are_counted(model: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    train = (task.parent / "train.tsv").read_text(encoding="utf-8").splitlines()
    twice = [line.partition("\t")[2] for line in train[1:4]]
    write_tsv(task.parent / "dev.tsv", [*(("bad", text) for text in twice), *rows(4, seed=7)])
    run_finetune(model, task, tmp_path / "out", epochs=1)
    assert metrics_of(tmp_path / "out")["splits"]["dev"]["also_in_train"] == 3


def test_another_definition_of_the_task_is_another_run(model: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    run_finetune(model, task, tmp_path / "out", epochs=1)
    text = task.read_text(encoding="utf-8")
    for changed in (
        'labels = ["good", "bad"]\n' + text,
        'metrics = ["macro_f1"]\n' + text,
        'drop_labels = ["x"]\n' + text,
        text.replace('label = "label"', 'label = "text"'),
        text + '[options]\nseveral = "first"\n',
    ):
        task.write_text(changed, encoding="utf-8")
        with pytest.raises(UserError, match="other settings"):
            run_finetune(model, task, tmp_path / "out", epochs=1)
    task.write_text('licence = "none"\n' + text, encoding="utf-8")
    run_finetune(model, task, tmp_path / "out", epochs=1)


def test_a_changed_kind_is_another_run(model: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    task.write_text('kind = "own.py"\n' + task.read_text(encoding="utf-8"), encoding="utf-8")
    own = task.with_name("own.py")
    own.write_text("from hanmo.tasks.kinds.classification import Kind\n")
    run_finetune(model, task, tmp_path / "out", epochs=1)
    own.write_text("from hanmo.tasks.kinds.classification import Kind  # changed\n")
    with pytest.raises(UserError, match="other settings"):
        run_finetune(model, task, tmp_path / "out", epochs=1)
    for content, expected in (("x = 1\n", "no attribute 'Kind'"), ("import nowhere\n", "nowhere")):
        broken = task.with_name(f"own{len(content)}.py")
        broken.write_text(content)
        task.write_text(task.read_text("utf-8").replace("own.py", broken.name), "utf-8")
        with pytest.raises(UserError, match=rf"does not give a class Kind: .*{expected}"):
            run_finetune(model, task, tmp_path / "new")
        task.write_text(task.read_text("utf-8").replace(broken.name, "own.py"), "utf-8")


def test_a_fine_tuned_model_gets_another_head(
    model: Path, task: Path, tmp_path: Path, done: Path
) -> None:
    run_finetune(done / "model", task, tmp_path / "b", epochs=1, save_model=True)
    config = Config(done / "model", str(task), tmp_path / "x", precision="fp32", threads=1)
    again = prepare(read_task(task), locate(read_task(task), None), done / "model", cached=False)
    first = prepare(read_task(task), locate(read_task(task), None), model, cached=False)
    heads = [
        _finetuning._build(dataclasses.replace(config, model=folder), made)[0].state_dict()[
            "classifier.weight"
        ]
        for folder, made in ((model, first), (done / "model", again))
    ]
    assert not torch.equal(*heads)
    seen = json.loads((tmp_path / "b" / "model" / "config.json").read_text())["hanmo"]["seen"]
    assert seen == [{"task": "toy", "corpus": ""}] * 2


def test_a_split_without_its_file_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = write_task(tmp_path / "task", text=TASK.replace('"dev.tsv"', '"dve.tsv"'))
    run_finetune(model, task, tmp_path / "out", epochs=1)
    assert "toy: no file for dev (dve.tsv)" in capsys.readouterr().err


def test_a_model_that_has_seen_the_corpus_is_warned_of(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        write_task(tmp_path / name, text=f'name = "{name}"\ncorpus = "news"\n{TASK}')
        for name in ("one", "two")
    )
    for task in (first, second):
        task.write_text(task.read_text(encoding="utf-8").replace('name = "toy"\n', ""), "utf-8")
    run_finetune(model, first, tmp_path / "a", epochs=1, save_model=True)
    assert metrics_of(tmp_path / "a")["warnings"] == []
    run_finetune(tmp_path / "a" / "model", second, tmp_path / "b", epochs=1)
    [warning] = metrics_of(tmp_path / "b")["warnings"]
    assert "was fine-tuned on one (one and two are one corpus)" in warning
    assert f"warning: {warning}" in capsys.readouterr().err
    run_finetune(tmp_path / "a" / "model", second, tmp_path / "d", epochs=1, init="random")
    assert metrics_of(tmp_path / "d")["warnings"] == []
    run_finetune(tmp_path / "a" / "model", first, tmp_path / "c", epochs=1)
    assert "(the same task)" in metrics_of(tmp_path / "c")["warnings"][0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["stride=3"], "kind classification has no 'stride'"),
        (["several"], "--set: got 'several'; expected NAME=VALUE"),
        (["several=7"], "options.several: got 7; expected one of"),
    ],
)
def test_options_of_the_kind(
    model: Path, task: Path, tmp_path: Path, given: list[str], expected: str
) -> None:
    with pytest.raises(UserError, match=re.escape(expected)):
        run_finetune(model, task, tmp_path / "out", set=given)
    assert not (tmp_path / "out").exists()


def test_the_pooler_comes_from_the_checkpoint_when_it_is_there(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    pooler = {
        "bert.pooler.dense.weight": torch.randn(16, 16),
        "bert.pooler.dense.bias": torch.randn(16),
    }
    kind, task = load_kind("classification"), TASKS["sample-reviews"]
    made, notes = kind.build(load_encoder(folder), task, weights=weights | pooler, seed=0)
    assert notes == {"pooler": "from the checkpoint"}
    state = made.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in pooler.items())
    _, notes = kind.build(load_encoder(folder), task, weights=weights, seed=0)
    assert notes == {"pooler": "random"}
    # A bare BertModel has its names without "bert.".
    bare = {name.removeprefix("bert."): tensor for name, tensor in (weights | pooler).items()}
    bare = {name: tensor for name, tensor in bare.items() if not name.startswith("cls.")}
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    assert pooler.keys() <= read_weights(folder).keys()
    toy = write_task(tmp_path / "task")
    run_finetune(folder, toy, tmp_path / "out", epochs=1)
    assert metrics_of(tmp_path / "out")["model"]["pooler"] == "from the checkpoint"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"max_length": 65}, "max_length: got 65; the model .* takes up to 64"),
        ({"epochs": 0}, "epochs: got 0; expected 1 or more"),
        ({"dropout": 1.0}, "--dropout: got 1.0"),
        ({"seed": -1}, "--seed: got -1"),
        ({"splits": ["test"]}, "no file for 'test'; there: train, dev"),
        ({"init": "rnd"}, "--init: got 'rnd'; expected pretrained or random"),
        ({"select": "best", "splits": []}, "no labelled dev split"),
        ({"limit_train": 0}, "--limit-train: got 0"),
        ({"learning_rate": 0.9, "dropout": 0.0, "epochs": 1, "precision": "fp8"}, "precision"),
    ],
)
def test_bad_settings_leave_nothing_behind(
    model: Path, task: Path, tmp_path: Path, changed: dict[str, object], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        run_finetune(model, task, tmp_path / "out", **changed)
    if "precision" not in changed:
        assert list(tmp_path.iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_killed_run_starts_again(model: Path, task: Path, tmp_path: Path, done: Path) -> None:
    out = tmp_path / "out"
    words = ["finetune", str(model), "--task", str(task), "--out", str(out), "--threads", "1"]
    words += ["--precision", "fp32", "--epochs", "2000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hanmo", *words], stderr=subprocess.DEVNULL, env=os.environ
    )
    log = tmp_path / "out.partial" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert log.exists(), "killed in the middle"
    assert not out.exists()
    # Other settings than the killed run's are no hindrance: there is nothing to continue.
    run_finetune(model, task, out, save_model=True)
    assert metrics_of(out)["epochs"] == metrics_of(done)["epochs"]
    assert len((out / "log.jsonl").read_text().splitlines()) == 6 + 2
