"""From files as downloaded to a table, a task of every kind: evaluate, kill, go on, report."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hanmo.cli import main
from hanmo.core.files import json_lines
from hanmo.report.runs import read_run
from hanmo.tasks.reading_metrics import official_report
from official_cases import ROWS, write_data
from task_cases import write_model

TASKS = ("cmrc2018", "cjrc", "msra-ner", "cluener", "stsb", "csl", "cluewsc", "ocnli")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kinds")
    write_data(made / "data")
    write_model(made / "model")
    return made


def words(folder: Path) -> list[str]:
    line = ["evaluate", "--models", f"a={folder / 'model'}", f"b=random:{folder / 'model'}"]
    line += ["--tasks", *TASKS, "--data", str(folder / "data"), "--seeds", "2", "--epochs", "2"]
    line += ["--max-length", "32", "--threads", "1", "--precision", "fp32", "--cache", "false"]
    return [*line, "--out", str(folder / "runs")]


def finished(runs: Path) -> list[Path]:
    """The manifests of finished runs: that of one being finished lies in a partial folder."""
    return [p for p in runs.rglob("manifest.json") if not p.parent.name.endswith(".partial")]


@pytest.fixture(scope="module")
def runs(folder: Path) -> Path:
    """A study that was killed in the middle, and finished by the same command."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hanmo", *words(folder)], stderr=subprocess.DEVNULL, env=os.environ
    )
    made = folder / "runs"
    deadline = time.monotonic() + 200
    while len(finished(made)) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in finished(made)}
    assert 5 <= len(before) < 4 * len(TASKS), "killed in the middle"
    assert main(words(folder)) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    return made


def test_every_task_has_its_scores(runs: Path) -> None:
    found = [read_run(path.parent) for path in runs.rglob("metrics.json")]
    assert len(found) == 4 * len(TASKS)
    for run in found:
        assert set(run.scores) == {"dev", "test"}
        for scores in run.scores.values():
            assert set(run.metrics) <= set(scores)
            assert all(-1 <= value <= 1 for value in scores.values())


def test_answers_are_as_official_scorers_read_them(runs: Path, folder: Path) -> None:
    run = runs / "a" / "cmrc2018" / "seed-1"
    answers = json.loads((run / "predictions-dev.json").read_text(encoding="utf-8"))
    lines = [line for _, line in json_lines(run / "predictions-dev.jsonl")]
    assert answers == {line["id"]: line["predicted"] for line in lines}
    golds = {line["id"]: line["gold"] for line in lines}
    report = official_report(golds, answers)
    scores = json.loads((run / "metrics.json").read_text())["splits"]["dev"]["scores"]
    assert (report["TOTAL"], report["SKIP"]) == (ROWS, 0)
    for official, ours in (("EM", "em"), ("F1", "f1"), ("AVERAGE", "average")):
        assert report[official] == f"{100 * scores[ours]:.3f}"
    raw = json.loads((folder / "data/cmrc2018/cmrc2018_dev.json").read_text("utf-8-sig"))
    contexts = {p["qas"][0]["id"]: p["context"] for p in raw["data"][0]["paragraphs"]}
    assert all(text in contexts[name] for name, text in answers.items())


def test_the_record_says_what_was_mended_and_left_out(runs: Path) -> None:
    cmrc = json.loads((runs / "a/cmrc2018/seed-1/metrics.json").read_text())
    assert cmrc["splits"]["dev"]["noted"] == {"answer_found_by_text": 1}
    assert cmrc["splits"]["dev"]["windows"] > cmrc["splits"]["dev"]["examples"]
    assert (cmrc["metrics"], cmrc["tabled"]) == (["em", "f1", "average"], 2)
    ocnli = json.loads((runs / "a/ocnli/seed-1/metrics.json").read_text())
    assert ocnli["splits"]["train"]["skipped"] == {"dropped_label": 2}
    assert ocnli["splits"]["dev"]["also_in_train"] == 0


def test_the_report_has_a_table_for_each(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs)]) == 0
    shown = capsys.readouterr().out
    for task in TASKS:
        assert f"## {task}: " in shown
    assert "paired bootstrap" in shown
    for name in ("table.md", "table.csv", "table.tex", "spread.png"):
        assert (runs / name).stat().st_size > 500
