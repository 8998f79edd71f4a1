"""From files as downloaded to a table, a task of every kind: evaluate, kill, go on, report."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanmo.cli import main
from hanmo.core.files import json_lines
from hanmo.report.runs import read_run
from hanmo.tasks.reading_metrics import official_report
from task_cases import write_model
from training_cases import CHARACTERS

SPLITS = ("train", "dev", "test")
TASKS = ("cmrc2018", "cjrc", "msra-ner", "cluener", "stsb", "csl", "cluewsc", "ocnli")
ROWS = 8


def text(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(CHARACTERS, k=n))


def json_rows(make: Callable[[random.Random, int], dict[str, Any]], seed: int) -> str:
    rng = random.Random(seed)
    return "".join(json.dumps(make(rng, n), ensure_ascii=False) + "\n" for n in range(ROWS))


def question(rng: random.Random, name: str, number: int, *, judicial: bool) -> dict[str, Any]:
    context = text(rng, 60)
    start = rng.randrange(50)
    answer = {"text": context[start : start + 4], "answer_start": start}
    if number == 1:  # as in CMRC 2018's dev: only its text says where it is
        answer["answer_start"] = -1
    one: dict[str, Any] = {"id": f"{name}-{number}", "question": text(rng, 5), "answers": [answer]}
    if judicial:
        kinds = ({}, {"text": "YES", "answer_start": -1}, {"text": "", "answer_start": -1})
        one["answers"] = [{**answer, **kinds[number % 3]}] * (1 if name == "train" else 3)
        one["is_impossible"] = "true" if number % 3 == 2 else "false"
    return {"context": context, "qas": [one]}


def squad(name: str, seed: int, *, judicial: bool = False) -> str:
    rng = random.Random(seed)
    passages = [question(rng, name, n, judicial=judicial) for n in range(ROWS)]
    return "\ufeff" + json.dumps({"version": "v1.0", "data": [{"paragraphs": passages}]})


def conll(seed: int) -> str:
    rng = random.Random(seed)
    lines = []
    for _ in range(ROWS):
        characters = text(rng, 30)
        tags = ["O"] * 4 + ["B-PER", "I-PER"] + ["O"] * 22 + ["B-LOC", "I-LOC"]
        lines += [f"{c}\t{tag}" for c, tag in zip(characters, tags, strict=True)] + [""]
    return "\n".join(lines) + "\n"


def cluener_row(rng: random.Random, number: int) -> dict[str, Any]:
    made = text(rng, 20)
    return {"text": made, "label": {"name": {made[2:5]: [[2, 4]]}}}


def csl_row(rng: random.Random, number: int) -> dict[str, Any]:
    words = [text(rng, 2), text(rng, 3)]
    return {"id": number, "abst": text(rng, 40), "keyword": words, "label": str(number % 2)}


def wsc_row(rng: random.Random, number: int) -> dict[str, Any]:
    made = text(rng, 30)
    target = {"span1_text": made[3:5], "span1_index": 3, "span2_text": made[20], "span2_index": 20}
    return {"target": target, "idx": number, "label": ("true", "false")[number % 2], "text": made}


def ocnli_row(rng: random.Random, number: int) -> dict[str, Any]:
    labels = ("neutral", "entailment", "contradiction", "-")
    return {"sentence1": text(rng, 9), "sentence2": text(rng, 7), "label": labels[number % 4]}


def stsb(seed: int) -> str:
    rng = random.Random(seed)
    return "".join(f"x-{n}||{text(rng, 8)}||{text(rng, 8)}||{n % 6}\n" for n in range(ROWS))


def write_data(folder: Path) -> Path:
    """Files under their official names, in folders named after the tasks."""
    names: dict[str, Callable[[str, int], tuple[str, str]]] = {
        "cmrc2018": lambda split, seed: (f"cmrc2018_{split}.json", squad(split, seed)),
        "cjrc": lambda split, seed: (
            "big_train_data.json" if split == "train" else f"{split}_ground_truth.json",
            squad(split, seed, judicial=True),
        ),
        "msra": lambda split, seed: (f"msra_{split}_bio.txt", conll(seed)),
        "cluener": lambda split, seed: (f"{split}.json", json_rows(cluener_row, seed)),
        "stsb": lambda split, seed: (f"cnsd-sts-{split}.txt", stsb(seed)),
        "csl": lambda split, seed: (f"{split}.json", json_rows(csl_row, seed)),
        "cluewsc": lambda split, seed: (f"{split}.json", json_rows(wsc_row, seed)),
        "ocnli": lambda split, seed: (f"{split}.json", json_rows(ocnli_row, seed)),
    }
    for name, make in names.items():
        (folder / name).mkdir(parents=True)
        for seed, split in enumerate(SPLITS):
            file, content = make(split, seed)
            (folder / name / file).write_text(content, encoding="utf-8")
    return folder


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


@pytest.fixture(scope="module")
def runs(folder: Path) -> Path:
    """A study that was killed in the middle, and finished by the same command."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hanmo", *words(folder)], stderr=subprocess.DEVNULL, env=os.environ
    )
    made = folder / "runs"
    deadline = time.monotonic() + 200
    while len(list(made.rglob("metrics.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*/manifest.json")}
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
