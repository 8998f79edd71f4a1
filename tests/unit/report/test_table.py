"""Tables from runs: max and mean over seeds, published rows, and what is missing."""

import csv
import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.commands import report
from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.report.published import results, tasks
from hanmo.report.runs import Collected, Run, collect
from hanmo.report.table import csv_text, markdown, tables


def make_run(seed: int = 1, *, model: str = "ours", dev: float = 0.5, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "folder": Path(f"{model}/{seed}"),
        "model": model,
        "task": "toy",
        "metric": "accuracy",
        "published": "",
        "seed": seed,
        "settings": {"epochs": 3, "learning_rate": 1e-5},
        "changed": {},
        "scores": {"dev": {"accuracy": dev, "macro_f1": 0.0}},
    }
    return Run(**(values | changed))


def write_run(folder: Path, seed: int, **changed: Any) -> Path:
    metrics = {
        "model": {"name": "ours"},
        "task": "toy",
        "metric": "accuracy",
        "published": "ChnSentiCorp",
        "seed": seed,
        "settings": {},
        "changed": {},
        "splits": {"train": {}, "dev": {"scores": {"accuracy": seed / 10}}},
    }
    with building(folder, kind="run", config={}) as build:
        (build.dir / "metrics.json").write_text(json.dumps(metrics | changed))
    return folder


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_cells_are_max_and_mean_in_percent(scores: list[float]) -> None:
    [table] = tables([make_run(seed, dev=score) for seed, score in enumerate(scores)])
    [row] = table.rows
    cell = row.cells["dev"]
    assert cell.best == pytest.approx(100 * max(scores))
    assert cell.mean == pytest.approx(100 * sum(scores) / len(scores))
    assert row.seeds == tuple(range(len(scores)))
    if len(scores) > 1:
        assert cell.deviation == pytest.approx(100 * statistics.stdev(scores))
    else:
        assert cell.deviation is None
    assert str(cell) == f"{100 * max(scores):.1f} ({cell.mean:.1f})"


def test_published_rows_stand_beside_ours() -> None:
    [table] = tables([make_run(published="ChnSentiCorp", task="chnsenticorp")])
    text = markdown([table], Collected((), {}, (), ()))
    assert "| model | dev | test | seeds | source |" in text
    assert "| ours | 50.0 (50.0) | – | 1 | here |" in text
    # Two published cells, from the READMEs (facts/02 and the table of results).
    assert "| RoBERTa-wwm-ext | 95.0 (94.6) | 95.6 (94.8) | – | BERT-wwm |" in text
    assert "| LERT-base | 94.9 (94.7) | – | – | LERT |" in text
    assert "| RBT3 | – | 92.8 | – | LERT |" in text
    [alone] = tables([make_run(published="ChnSentiCorp")], published=False)
    assert [row.model for row in alone.rows] == ["ours"]


def test_runs_with_other_settings_are_rows_of_their_own() -> None:
    longer = {"settings": {"epochs": 5, "learning_rate": 1e-5}, "changed": {"epochs": 5}}
    runs = [make_run(1), make_run(2), make_run(1, **longer)]
    [table] = tables(runs)
    assert [(row.model, row.seeds) for row in table.rows] == [
        ("ours", (1, 2)),
        ("ours [epochs 5]", (1,)),
    ]


def test_a_seed_counts_once() -> None:
    with pytest.raises(UserError, match="the same model, task, settings and seed 1"):
        tables([make_run(1), make_run(1, folder=Path("elsewhere"))])


def test_csv_has_a_line_for_each_cell() -> None:
    made = tables([make_run(1, dev=0.25), make_run(2, dev=0.75)])
    [line] = csv.DictReader(io.StringIO(csv_text(made)))
    assert (line["model"], line["split"], line["seeds"]) == ("ours", "dev", "2")
    assert (float(line["max"]), float(line["mean"])) == (75, 50)
    assert float(line["deviation"]) == pytest.approx(statistics.stdev([25, 75]), abs=1e-4)


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
    with pytest.raises(UserError, match=r"metrics\.json: differs from the run's manifest"):
        collect([tmp_path])


def test_the_command_writes_markdown_and_csv(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"seed-{seed}", seed)
    result = report.run(report.Config([tmp_path], published=False))
    text = (tmp_path / "table.md").read_text()
    assert text == result["text"]
    assert "| ours | 20.0 (15.0) | 2 | here |" in text
    assert (tmp_path / "table.csv").read_text().startswith("task,metric,model,")
    assert json.loads(json.dumps(result))["rows"][0]["cells"]["dev"]["mean"] == 15.0
    report.run(report.Config([tmp_path], out=tmp_path / "new" / "t.md"))
    assert (tmp_path / "new" / "t.csv").is_file()


def test_nothing_to_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run below"):
        report.run(report.Config([tmp_path]))
    with pytest.raises(UserError, match="no such folder"):
        report.run(report.Config([tmp_path / "absent"]))


def test_published_results() -> None:
    # Columns of the table in LERT's README.
    assert {"ChnSentiCorp", "XNLI", "OCNLI", "TNEWS", "LCQMC", "BQ", "CMRC2018"} <= tasks()
    base = [one for one in results("XNLI", metric="accuracy") if one.source == "BERT-wwm"]
    assert len(base) == 6
    assert results("ChnSentiCorp", metric="f1") == []
    assert results("no such task", metric="accuracy") == []
    for name in tasks():
        for metric in ("accuracy", "f1", "em"):
            for one in results(name, metric=metric):
                for best, mean in one.scores.values():
                    assert 0 < best <= 100
                    assert mean is None or mean <= best


def test_the_command_replaces_only_its_own_tables(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", 1)
    for _ in range(2):
        report.run(report.Config([tmp_path / "runs"]))
    mine = tmp_path / "notes.md"
    for name in ("notes.md", "notes.csv"):
        path = tmp_path / name
        path.write_text("mine")
        with pytest.raises(UserError, match=rf"{name}: exists and is no table"):
            report.run(report.Config([tmp_path / "runs"], out=mine))
        assert path.read_text() == "mine"
        report.run(report.Config([tmp_path / "runs"], out=mine, overwrite=True))
        mine.unlink()
    with pytest.raises(UserError, match="is a folder"):
        report.run(report.Config([tmp_path / "runs"], out=tmp_path / "runs"))
    with pytest.raises(UserError, match="names the Markdown file"):
        report.run(report.Config([tmp_path / "runs"], out=tmp_path / "t.csv"))
