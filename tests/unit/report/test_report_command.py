"""`hanmo report`: which runs count, what it writes, and which files it leaves alone."""

import json
from pathlib import Path

import pytest
from report_cases import BASE, SMALL, write_run

from hanmo.commands import report
from hanmo.core.errors import UserError
from hanmo.report.runs import collect, read_run


def test_only_finished_untouched_runs_count(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed-1", 1)
    write_run(tmp_path / "a" / "seed-2", 2)
    write_run(tmp_path / "a" / "seed-3", 3).rename(tmp_path / "a" / "seed-3.partial")
    (tmp_path / "a" / "seed-4.failed.json").write_text('{"error": "why"}')
    plan = {"runs": [f"a/seed-{seed}" for seed in range(1, 6)]}
    (tmp_path / "evaluation.json").write_text(json.dumps(plan))
    got = collect([tmp_path])
    assert [run.seed for run in got.runs] == [1, 2]
    assert list(got.failed.values()) == ["why"]
    assert [Path(folder).name for folder in (*got.unfinished, *got.missing)] == ["seed-3", "seed-5"]
    # A folder given twice, or one inside another, counts once.
    assert len(collect([tmp_path, tmp_path / "a"]).runs) == 2
    metrics = tmp_path / "a" / "seed-1" / "metrics.json"
    metrics.write_text(metrics.read_text().replace("0.1", "0.9"))
    got = collect([tmp_path])
    assert [run.seed for run in got.runs] == [2]
    assert "metrics.json: differs from the run's manifest" in next(iter(got.failed.values()))


def test_the_tabled_metrics_of_a_run(tmp_path: Path) -> None:
    splits = {"dev": {"scores": {"em": 0.5, "f1": 0.6, "average": 0.55}}}
    names = ["em", "f1", "average"]
    old = read_run(write_run(tmp_path / "a", 1))
    assert (old.metrics, old.scores) == (("accuracy",), {"dev": {"accuracy": 0.1}})
    one = read_run(write_run(tmp_path / "b", 1, metrics=names, splits=splits))
    assert one.metrics == ("em",)
    two = read_run(write_run(tmp_path / "c", 1, metrics=names, tabled=2, splits=splits))
    assert two.metrics == ("em", "f1")
    assert two.scores == {"dev": {"em": 0.5, "f1": 0.6}}
    assert (two.parameters, two.labels) == (BASE, ("0", "1"))
    write_run(tmp_path / "d", 1, metrics=["em", "mine"], tabled=2, splits=splits)
    with pytest.raises(UserError, match=r"metrics\.json: not the metrics of a run: lacks 'mine'"):
        read_run(tmp_path / "d")
    write_run(tmp_path / "e", 1, metrics=names, tabled="2", splits=splits)
    with pytest.raises(UserError, match=r"metrics\.json: not the metrics of a run"):
        read_run(tmp_path / "e")


def test_the_command_writes_every_format(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"seed-{seed}", seed)
    result = report.run(report.Config([tmp_path], published=False))
    text = (tmp_path / "table.md").read_text()
    assert "| ours | base | 20.0 (15.0) ± 7.1 | 2 | 2 | here |" in text
    names = [tmp_path / name for name in ("table.md", "table.csv", "table.tex", "spread.png")]
    assert result["files"] == [str(path) for path in names]
    assert result["text"] == f"{text}\nWritten: {', '.join(map(str, names))}\n"
    assert (tmp_path / "table.csv").read_text().startswith("task,metric,model,")
    assert (tmp_path / "table.tex").read_text().startswith("% Scores")
    assert (tmp_path / "spread.png").stat().st_size > 5000
    plain = json.loads(json.dumps(result))
    assert plain["rows"][0]["cells"]["dev"]["mean"] == 15.0
    assert (plain["significance"], plain["warnings"]) == ([], [])
    before = {path: path.read_bytes() for path in names}
    report.run(report.Config([tmp_path], published=False))
    assert {path: path.read_bytes() for path in names} == before
    report.run(report.Config([tmp_path], out=tmp_path / "new" / "t.md"))
    made = {path.name for path in (tmp_path / "new").iterdir()}
    assert made == {"t.md", "t.csv", "t.tex", "t-spread.png"}


def test_sizes_and_warnings_and_comparisons_reach_the_answer(tmp_path: Path) -> None:
    for name, predicted in (("a", "1"), ("b", "0")):
        answers = {"dev": [("1", predicted)] * 60 + [("0", "0")] * 40}
        model = {"name": name, "parameters": SMALL}
        write_run(tmp_path / name, 1, answers=answers, model=model, warnings=["an old file"])
    result = report.run(report.Config([tmp_path]))
    [one] = json.loads(json.dumps(result))["significance"]
    assert (one["first"], one["second"], one["split"]) == ("a", "b", "dev")
    assert one["difference"] == pytest.approx(60)
    assert "- a over b: +60.0 points (95 % interval" in result["text"]
    assert result["warnings"] == ["an old file"]
    assert "- an old file (toy)" in result["text"]
    models = {row["model"] for row in result["rows"]}
    assert "RBT3" in models
    assert "LERT-base" not in models
    every = report.run(report.Config([tmp_path], sizes="all"))
    assert {"LERT-base", "LERT-large"} <= {row["model"] for row in every["rows"]}
    assert "left out" not in every["text"]


def test_nothing_to_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run below"):
        report.run(report.Config([tmp_path]))
    with pytest.raises(UserError, match="no such folder"):
        report.run(report.Config([tmp_path / "absent"]))


def test_the_command_replaces_only_its_own_files(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", 1)
    for _ in range(2):
        report.run(report.Config([tmp_path / "runs"]))
    mine = tmp_path / "notes.md"
    for name in ("notes.md", "notes.csv", "notes.tex", "notes-spread.png"):
        path = tmp_path / name
        path.write_text("mine")
        with pytest.raises(UserError, match=rf"{name}: exists and was not made by hanmo report"):
            report.run(report.Config([tmp_path / "runs"], out=mine))
        assert path.read_text() == "mine"
        report.run(report.Config([tmp_path / "runs"], out=mine, overwrite=True))
        assert path.read_bytes() != b"mine"
        for made in tmp_path.glob("notes*"):
            made.unlink()
    with pytest.raises(UserError, match="is a folder"):
        report.run(report.Config([tmp_path / "runs"], out=tmp_path / "runs"))
    for suffix in ("csv", "tex", "png"):
        with pytest.raises(UserError, match="names the Markdown file"):
            report.run(report.Config([tmp_path / "runs"], out=tmp_path / f"t.{suffix}"))


def test_tables_of_an_older_version_are_replaced(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 1)
    old = tmp_path / "table.csv"
    old.write_text("task,metric,model,source,split,max,mean,deviation,seeds\n")
    report.run(report.Config([tmp_path]))
    assert "best_seed" in old.read_text()
