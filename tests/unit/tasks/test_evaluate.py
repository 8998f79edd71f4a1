"""Many runs: what is missing is made, what failed is told, what is there is kept."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanmo.commands import _finetuning, evaluate, finetune, report
from hanmo.commands._evaluated_models import Model, parse_model
from hanmo.core.errors import UserError
from hanmo.train.loop import Record
from task_cases import metrics_of


def settings_of(model: Path, task: Path, out: Path, **changed: Any) -> evaluate.Config:
    settings: dict[str, Any] = {
        "models": [f"toy={model}", f"random:{model}"],
        "tasks": [str(task)],
        "seeds": 2,
        "epochs": 1,
        "threads": 1,
        "precision": "fp32",
        **changed,
    }
    return evaluate.Config(out=out, **settings)


@pytest.fixture(scope="module")
def done(model: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    result = evaluate.run(settings_of(model, task, out))
    assert (result["runs"], result["made"], result["failed"]) == (4, 4, 0)
    return out


def test_every_model_task_and_seed_has_its_folder(done: Path, model: Path) -> None:
    folders = sorted(
        path.parent.relative_to(done).as_posix() for path in done.rglob("metrics.json")
    )
    names = sorted(["toy", f"{model.name}-random"])
    assert folders == sorted(f"{name}/toy/seed-{seed}" for name in names for seed in (1, 2))
    assert json.loads((done / "evaluation.json").read_text())["runs"] == folders
    metrics = metrics_of(done / "toy" / "toy" / "seed-2")
    assert (metrics["model"]["name"], metrics["seed"]) == ("toy", 2)
    assert metrics_of(done / f"{model.name}-random/toy/seed-1")["model"]["init"] == "random"


def test_what_is_missing_is_made_and_the_rest_kept(
    done: Path, model: Path, task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    shutil.copytree(done, out)
    gone, kept = out / "toy/toy/seed-1", out / "toy/toy/seed-2/metrics.json"
    before, time = metrics_of(gone), kept.stat().st_mtime_ns
    gone.rename(gone.with_name("seed-1.partial"))  # as a kill leaves it
    (gone.with_name("seed-1.partial") / "manifest.json").unlink()
    collected = report.run(report.Config([out], out=tmp_path / "table.md"))
    assert (collected["runs"], collected["unfinished"], collected["missing"]) == (3, 1, 0)
    shutil.rmtree(gone.with_name("seed-1.partial"))
    assert report.run(report.Config([out], out=tmp_path / "table.md"))["missing"] == 1
    result = evaluate.run(settings_of(model, task, out))
    assert (result["runs"], result["made"]) == (4, 1)
    assert metrics_of(gone) == before
    assert kept.stat().st_mtime_ns == time


def test_a_failed_run_does_not_stop_the_others(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_run = finetune.run

    def run(config: finetune.Config) -> dict[str, Any]:
        if config.seed == 1:
            raise RuntimeError("out of memory\nmuch more text")
        return true_run(config)

    settings = settings_of(model, task, tmp_path, models=[f"toy={model}"])
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "run", run)
        result = evaluate.run(settings)
    assert (result["runs"], result["failed"], result["exit_code"]) == (1, 1, 1)
    assert result["failures"] == {"toy/toy/seed-1": "out of memory"}
    told = report.run(report.Config([tmp_path]))
    assert told["failed"] == 1
    assert "Runs not in the tables: 1 failed, 0 unfinished, 0 missing" in told["text"]
    assert "seed-1: out of memory" in told["text"]
    assert evaluate.run(settings)["failed"] == 0
    assert report.run(report.Config([tmp_path]))["failed"] == 0


def test_a_loss_that_is_not_finite_is_a_failed_run(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **options: Any) -> Iterator[Record]:
        raise FloatingPointError("loss is nan at step 1")
        yield

    monkeypatch.setattr(_finetuning, "train_steps", diverge)
    result = evaluate.run(settings_of(model, task, tmp_path, models=[f"toy={model}"], seeds=1))
    assert result["runs"] == 0
    assert result["failures"]["toy/toy/seed-1"] == (
        "loss is nan at step 1; try a lower --learning-rate, or --precision fp32"
    )


def test_a_sweep_tries_every_rate_and_tells_scores_as_they_come(
    model: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(model, task, tmp_path, models=[f"toy={model}"], seeds=2)
    swept = dataclasses.replace(settings, learning_rates=[1e-3, 5e-3])
    assert evaluate.run(swept)["made"] == 4
    rates = {
        path.parent.relative_to(tmp_path).as_posix(): metrics_of(path.parent)["settings"]
        for path in tmp_path.rglob("metrics.json")
    }
    assert {folder: made["learning_rate"] for folder, made in rates.items()} == {
        f"toy/toy/lr-{rate:g}/seed-{seed}": rate for rate in (1e-3, 5e-3) for seed in (1, 2)
    }
    told = [line for line in capsys.readouterr().err.splitlines() if "so far" in line]
    assert len(told) == 4
    scores = [
        100
        * metrics_of(tmp_path / f"toy/toy/lr-0.005/seed-{seed}")["splits"]["dev"]["scores"][
            "accuracy"
        ]
        for seed in (1, 2)
    ]
    assert told[-1] == (
        f"toy/toy/lr-0.005/seed-2: dev accuracy {scores[1]:.1f}, so far {max(scores):.1f} "
        f"({sum(scores) / 2:.1f}) of 2"
    )
    evaluate.run(swept)
    assert "4 of 4 runs are there already" in capsys.readouterr().err
    for changed in ({"learning_rate": 1e-3}, {"learning_rates": [1e-3, 1e-3]}):
        with pytest.raises(UserError, match="--learning-rate"):
            evaluate.run(dataclasses.replace(swept, **changed))


def test_a_damaged_run_is_made_again(
    done: Path, model: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    shutil.copytree(done, out)
    path = out / "toy/toy/seed-1/metrics.json"
    whole = metrics_of(path.parent)
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    assert report.run(report.Config([out], out=tmp_path / "table.md"))["failed"] == 1
    assert evaluate.run(settings_of(model, task, out))["made"] == 1
    assert "metrics.json was changed or damaged; made again" in capsys.readouterr().err
    assert metrics_of(path.parent) == whole
    assert evaluate.run(settings_of(model, task, out, overwrite=True))["made"] == 4


def test_options_may_be_for_one_kind_or_task(model: Path, task: Path, tmp_path: Path) -> None:
    given = ["toy.several=first", "classification.label_without=x"]
    evaluate.run(settings_of(model, task, tmp_path, models=[f"toy={model}"], seeds=1, set=given))
    options = metrics_of(tmp_path / "toy/toy/seed-1")["options"]
    assert options == {"several": "first", "label_without": "x"}


def test_models_are_named(model: Path) -> None:
    assert parse_model(str(model)) == Model(model.name, model, "pretrained")
    assert parse_model(f"a={model}") == Model("a", model, "pretrained")
    assert parse_model(f"b=random:{model}") == Model("b", model, "random")
    random = parse_model(f"random:{model}")
    assert random == Model(f"{model.name}-random", model, "random")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"models": ["absent"]}, "'absent': no config.json in absent"),
        ({"models": ["a/b={model}"]}, "name 'a/b'; expected letters"),
        ({"models": ["{model}", "{model}"]}, "given twice"),
        ({"tasks": ["chnsenticrop"]}, "did you mean 'chnsenticorp'"),
        ({"tasks": ["chnsenticorp"]}, "do not come with hanmo"),
        ({"seeds": 0}, "--seeds: got 0"),
        ({"learning_rates": [-1.0]}, "learning_rate: got -1.0"),
        ({"set": ["doc_stride=3"]}, "kind classification has no 'doc_stride'"),
        ({"set": ["spam.doc_stride=3"]}, "no task or kind 'spam'"),
    ],
)
def test_mistakes_stop_before_the_first_run(
    model: Path, task: Path, tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    if "models" in changed:
        changed = {"models": [text.format(model=model) for text in changed["models"]]}
    with pytest.raises(UserError, match=expected):
        evaluate.run(settings_of(model, task, tmp_path / "out", **changed))
    assert not (tmp_path / "out").exists()


def test_runs_side_by_side_score_the_same(
    done: Path, model: Path, task: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    models = [f"toy={model}", f"random:{model}", f"broken={broken}"]
    settings = settings_of(model, task, out, workers=2, models=models, seeds=1)
    result = evaluate.run(settings)
    assert (result["runs"], result["made"], result["failed"]) == (2, 2, 1)
    assert "damaged weights" in result["failures"]["broken/toy/seed-1"]
    for folder in ("toy/toy/seed-1", f"{model.name}-random/toy/seed-1"):
        assert metrics_of(out / folder)["splits"] == metrics_of(done / folder)["splits"]
    assert evaluate.run(dataclasses.replace(settings, models=models[:2]))["made"] == 0
    capfd.readouterr()
