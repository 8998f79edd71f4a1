"""`hanmo finetune --method distill`: runs, teachers that do not fit, heads that are kept."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hanmo.commands import evaluate, finetune
from hanmo.commands._evaluated_models import parse_model
from hanmo.core import config as configuration
from hanmo.core.errors import UserError
from hanmo.report.runs import collect
from hanmo.report.table import tables
from task_cases import metrics_of, run_finetune, write_model, write_task
from training_cases import TINY, VOCAB, make_teacher

# At 1e-2 some processors' last digits decide whether the teacher learns.
LONG: dict[str, Any] = {"epochs": 6, "learning_rate": 3e-3, "dropout": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that learnt the toy task, and a student that did not."""
    folder = tmp_path_factory.mktemp("distill")
    write_task(folder / "toy", n_train=400, n_dev=40)
    write_model(folder / "big", seed=4)
    write_model(folder / "small", seed=4)
    task = folder / "toy" / "task.toml"
    run_finetune(folder / "big", task, folder / "teacher", save_model=True, **LONG)
    return folder


def distil(root: Path, out: Path, **changed: Any) -> dict[str, Any]:
    options = {"teacher": [root / "teacher" / "model"], "temperature": 2.0}
    options |= changed.pop("options", {})
    task = changed.pop("task", root / "toy" / "task.toml")
    model = changed.pop("model", root / "small")
    return run_finetune(model, task, out, method="distill", options=options, **changed)


def test_a_student_learns_without_labels(root: Path, tmp_path: Path) -> None:
    # An encoder that can tell the texts apart, and a new head that only the teacher speaks to.
    model = root / "teacher" / "model"
    made = distil(root, tmp_path / "run", model=model, save_model=True, **LONG)
    taught = json.loads((root / "teacher" / "metrics.json").read_text())
    assert taught["splits"]["dev"]["scores"]["accuracy"] > 0.9, "the teacher knows"
    assert made["dev accuracy"] > 0.8
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["model"]["teachers"] == [str(root / "teacher" / "model")]
    assert metrics["changed"]["method"] == "distill"
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert set(log[0]["parts"]) == {"soft"}
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert "classifier.weight" in saved
    assert not (tmp_path / "run" / "model" / "heads.safetensors").exists()


def test_the_command_and_the_configuration_repeat_a_run(root: Path, tmp_path: Path) -> None:
    options = {"matches": ["2,2,hidden,hidden_mse,0.5,linear"], "hard_weight": 0.5}
    distil(root, tmp_path / "run", options=options)
    command = json.loads((tmp_path / "run" / "metrics.json").read_text())["command"]
    assert " --method distill " in command
    assert f" --distill.teacher {root / 'teacher' / 'model'} " in command
    assert "--distill.matches 2,2,hidden,hidden_mse,0.5,linear" in command
    words = command.split()[2:]
    for given in (words, ["--config", str(tmp_path / "run" / "config.toml")]):
        config = configuration.parse("finetune", finetune, [*given, "--out", str(tmp_path / "two")])
        assert config.method == "distill"
        assert config.options["hard_weight"] == 0.5
        finetune.run(finetune.Config(**{**_fields(config), "overwrite": True}))
        one, two = (metrics_of(tmp_path / name)["splits"] for name in ("run", "two"))
        assert one == two


def _fields(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in finetune.Config.__dataclass_fields__}


def test_stored_and_live_teachers_give_the_same_run(root: Path, tmp_path: Path) -> None:
    distil(root, tmp_path / "stored")
    # A match of weight 0 makes the teacher run on every batch.
    distil(root, tmp_path / "live", options={"matches": ["0,0,hidden,cos,0"]})
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("stored", "live")
    ]
    for one, two in zip(*logs, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4, abs=1e-5)


def test_a_kept_head_answers_at_once(root: Path, tmp_path: Path) -> None:
    model = root / "teacher" / "model"
    rate = {"learning_rate": 1e-9, "epochs": 1, "task": root / "toy" / "task.toml"}
    kept = run_finetune(model, out=tmp_path / "kept", keep_head=True, **rate)
    new = run_finetune(model, out=tmp_path / "new", **rate)
    taught = json.loads((root / "teacher" / "metrics.json").read_text())
    assert kept["dev accuracy"] == taught["splits"]["dev"]["scores"]["accuracy"]
    assert new["dev accuracy"] < kept["dev accuracy"]
    with pytest.raises(UserError, match=r"lacks a head \(it is a BertForMaskedLM"):
        run_finetune(root / "small", out=tmp_path / "none", keep_head=True, **rate)


def test_each_run_of_an_evaluation_has_its_teacher(root: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        target = tmp_path / "teachers" / "toy" / f"seed-{seed}"
        target.mkdir(parents=True)
        (target / "model").symlink_to(root / "teacher" / "model")
    made = evaluate.run(
        evaluate.Config(
            models=[f"student={root / 'small'}"],
            tasks=[str(root / "toy" / "task.toml")],
            out=tmp_path / "runs",
            seeds=2,
            threads=1,
            precision="fp32",
            epochs=1,
            method="distill",
            options={"teacher": [tmp_path / "teachers/{task}/seed-{seed}/model"]},
        )
    )
    assert made["failed"] == 0
    for seed in (1, 2):
        metrics = json.loads((tmp_path / f"runs/student/toy/seed-{seed}/metrics.json").read_text())
        [teacher] = metrics["model"]["teachers"]
        assert teacher.endswith(f"teachers/toy/seed-{seed}/model")


def test_an_evaluation_checks_its_teachers_first(root: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "models": [f"student={root / 'small'}"],
        "tasks": [str(root / "toy" / "task.toml")],
        "out": tmp_path / "runs",
        "seeds": 2,
    }
    for options, said in (
        (
            {"teacher": [tmp_path / "{task}/{seed}"]},
            r"no model in .*/toy/1 \(\{task\} and \{seed\}",
        ),
        ({"teacher": [root / "small"], "temperature": -1.0}, "temperature: got -1.0"),
        ({"teacher": [root / "small"]}, r"small: lacks a head \(it is a \w+\); expected a teacher"),
        ({"teacher": [root / "teacher"]}, r"teacher is a run; its model is .*teacher/model"),
        ({"teacher": [root / "teacher/model"], "matches": ["9,1,hidden,cos,1"]}, "no layer 9"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate.run(evaluate.Config(**given, method="distill", options=options))
    with pytest.raises(UserError, match=r"methods: no 'distil'.*'distill'"):
        evaluate.run(evaluate.Config(**given, method="distil"))
    random = [f"r=random:{root / 'small'}"]
    with pytest.raises(UserError, match="--keep-head: random weights have no head"):
        evaluate.run(evaluate.Config(**{**given, "models": random}, keep_head=True))
    with pytest.raises(UserError, match=r"small: lacks a head .* expected the model fine-tuned"):
        evaluate.run(evaluate.Config(**given, keep_head=True))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("lost", ["vocab.txt", "model.safetensors", "half of model.safetensors"])
def test_the_teacher_of_a_later_seed_is_looked_at_first(
    root: Path, tmp_path: Path, lost: str
) -> None:
    for seed in (1, 2):
        shutil.copytree(root / "teacher" / "model", tmp_path / f"seed-{seed}")
    if lost == "half of model.safetensors":
        path = tmp_path / "seed-2" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:2000])
    else:
        for name in (lost, "tokenizer.json"):
            (tmp_path / "seed-2" / name).unlink()
    with pytest.raises(UserError, match=r"^student on toy: .*seed-2"):
        evaluate.run(
            evaluate.Config(
                models=[f"student={root / 'small'}"],
                tasks=[str(root / "toy" / "task.toml")],
                out=tmp_path / "runs",
                seeds=2,
                method="distill",
                options={"teacher": [tmp_path / "seed-{seed}"]},
            )
        )
    assert not (tmp_path / "runs").exists()


def test_a_run_is_no_model(root: Path, tmp_path: Path) -> None:
    said = r"; it is a run, its model is .*teacher/model"
    with pytest.raises(UserError, match=said):
        parse_model(f"t={root / 'teacher'}")
    with pytest.raises(UserError, match=r"; this is a run, whose model is .*teacher/model"):
        run_finetune(root / "teacher", out=tmp_path / "run", task=root / "toy" / "task.toml")


def test_a_method_is_taken_back(root: Path, tmp_path: Path) -> None:
    distil(root, tmp_path / "run", epochs=1)
    words = [
        "--config",
        str(tmp_path / "run"),
        "--method",
        "none",
        "--out",
        str(tmp_path / "plain"),
    ]
    config = configuration.parse("finetune", finetune, words)
    assert config.method is None
    assert config.options == {}
    with pytest.raises(UserError, match=r"options\.distill\.temperature was 2\.0, now 9\.0"):
        distil(root, tmp_path / "run", epochs=1, options={"temperature": 9.0})


def test_other_distillations_are_other_rows(root: Path, tmp_path: Path) -> None:
    for temperature in (2.0, 20.0):
        out = tmp_path / "runs" / "small" / "toy" / f"t{temperature:g}"
        options = {"temperature": temperature, "matches": ["2,2,hidden,cos,0.1"]}
        distil(root, out, epochs=1, options=options)
    made = collect([tmp_path / "runs"])
    rows = [row for table in tables(made.runs, published=False) for row in table.rows]
    assert len(rows) == 2
    metrics = json.loads((tmp_path / "runs/small/toy/t20/metrics.json").read_text())
    assert metrics["changed"]["distill.temperature"] == 20.0
    assert metrics["changed"]["distill.matches"] == "2,2,hidden,cos,0.1"
    assert metrics["changed"]["distill.teacher"] == str(root / "teacher" / "model")


def test_a_method_by_its_module_repeats_too(root: Path, tmp_path: Path) -> None:
    options = {"teacher": [root / "teacher" / "model"], "temperature": 3.0}
    run_finetune(
        root / "small",
        root / "toy" / "task.toml",
        tmp_path / "run",
        epochs=1,
        method="hanmo.tasks.methods.distill",
        options=options,
    )
    command = json.loads((tmp_path / "run" / "metrics.json").read_text())["command"]
    config = configuration.parse("finetune", finetune, command.split()[2:])
    assert config.options["temperature"] == 3.0


def test_a_finished_run_may_find_its_teacher_elsewhere(root: Path, tmp_path: Path) -> None:
    distil(root, tmp_path / "run", epochs=1)
    (tmp_path / "link").symlink_to(root / "teacher" / "model")
    stamp = (tmp_path / "run" / "metrics.json").stat().st_mtime_ns
    distil(root, tmp_path / "run", epochs=1, options={"teacher": [tmp_path / "link"]})
    assert (tmp_path / "run" / "metrics.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match=r"distill\.teacher: no model in"):
        distil(root, tmp_path / "run", epochs=1, options={"teacher": [tmp_path / "gone"]})


def test_random_weights_keep_no_head(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--keep-head: random weights have no head"):
        run_finetune(
            root / "teacher" / "model",
            root / "toy" / "task.toml",
            tmp_path / "run",
            keep_head=True,
            init="random",
        )


def test_runs_without_a_method_are_what_they_were(root: Path, tmp_path: Path) -> None:
    run_finetune(root / "small", root / "toy" / "task.toml", tmp_path / "run", epochs=1)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert not {"method", "options", "keep_head"} & manifest["config"].keys()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"teacher": []}, "none given; expected folders of hanmo finetune --save-model"),
        ({"matches": ["3,2,hidden,cos,1"]}, "teacher has no layer 3"),
        ({"temperature": -1.0}, "temperature: got -1.0"),
        ({"soft_weight": 0.0, "hard_weight": 1.0}, "nothing to learn from a teacher"),
    ],
)
def test_bad_options_stop_before_training(
    root: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        distil(root, tmp_path / "run", options=options)
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_teachers_that_do_not_fit(root: Path, tmp_path: Path) -> None:
    # Another task's labels.
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in (root / "teacher" / "model").iterdir():
        (renamed / path.name).write_bytes(path.read_bytes())
    config = json.loads((renamed / "config.json").read_text())
    config["id2label"] = {"0": "good", "1": "bad"}
    (renamed / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"its labels are good, bad; the task's are bad, good"):
        distil(root, tmp_path / "run", options={"teacher": [renamed]})
    # A head of a kind of its own.
    config["id2label"] = {"0": "bad", "1": "good"}
    config["hanmo"]["kind"] = "tagging"
    (renamed / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="a task of kind tagging"):
        distil(root, tmp_path / "run", options={"teacher": [renamed]})
    # Another vocabulary, and none of the task's head.
    words = [*VOCAB[:-1], "字"]
    make_teacher(tmp_path / "words", vocab=words)
    with pytest.raises(UserError, match=r"another vocabulary .*piece 156 is '字'"):
        distil(root, tmp_path / "run", options={"teacher": [tmp_path / "words"]})
    make_teacher(tmp_path / "headless")
    with pytest.raises(UserError, match=r"lacks a head .*expected a teacher fine-tuned on toy"):
        distil(root, tmp_path / "run", options={"teacher": [tmp_path / "headless"]})
    # A head of three labels.
    state = load_file(renamed / "model.safetensors")
    state["classifier.weight"] = torch.zeros(3, TINY.hidden_size)
    state["classifier.bias"] = torch.zeros(3)
    save_file(state, renamed / "model.safetensors", metadata={"format": "pt"})
    del config["id2label"], config["hanmo"]["kind"]
    (renamed / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"classifier.*expected a teacher fine-tuned on toy"):
        distil(root, tmp_path / "run", options={"teacher": [renamed]})
    assert not (tmp_path / "run").exists()
