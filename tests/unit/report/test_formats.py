"""The report as Markdown, CSV, LaTeX and JSON."""

import csv
import io
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from report_cases import SMALL, make_run

from hanmo.report.latex import escaped, latex
from hanmo.report.markdown import comparison_text, markdown
from hanmo.report.records import BEGINNING, csv_text, plain_rows
from hanmo.report.runs import Collected, Run
from hanmo.report.significance import Comparison
from hanmo.report.table import Table, tables

NOTHING = Collected((), {}, (), ())


def shown(made: list[Table], collected: Collected = NOTHING) -> str:
    return markdown(made, [()] * len(made), collected)


def reading(seed: int, em: float, f1: float, **changed: Any) -> Run:
    scores = {"dev": {"em": em, "f1": f1}}
    values = {"metrics": ("em", "f1"), "published": "CMRC2018", "task": "cmrc2018"}
    return make_run(seed, **(values | {"scores": scores} | changed))


def test_published_rows_stand_beside_ours() -> None:
    [table] = tables([make_run(published="ChnSentiCorp", task="chnsenticorp")])
    text = shown([table])
    assert "| model | size | dev | test | seeds | best seed (dev) | source |" in text
    assert "| ours | base | 50.0 (50.0) | – | 1 | 1 | here |" in text
    # Published cells, from the READMEs.
    assert "| RoBERTa-wwm-ext | base | 95.0 (94.6) | 95.6 (94.8) | – | – | BERT-wwm |" in text
    assert "| LERT-base | base | 94.9 (94.7) | – | – | – | LERT |" in text
    assert "RBT3" not in text
    assert f"size (base); {table.left_out} rows of other sizes left out" in text
    [table] = tables([make_run(published="ChnSentiCorp", parameters=SMALL)])
    text = shown([table])
    assert "| RBT3 | small | 92.8 | 92.8 | – | – | LERT (test), Chinese-ELECTRA (dev) |" in text
    assert "| MiniRBT-H256 | small | – (93.0) | – | – | – | MiniRBT |" in text


def test_two_metrics_share_a_cell() -> None:
    # EM: mean 64.4, deviation sqrt((0.2² + 0.9² + 1.1²) / 2) = 1.01; F1: 84.0, sqrt(0.19 / 2).
    runs = [reading(1, 0.635, 0.837), reading(2, 0.655, 0.843), reading(3, 0.642, 0.840)]
    [table] = tables(runs)
    text = shown([table])
    assert "## cmrc2018: EM / F1" in text
    assert "| ours | base | 65.5 (64.4) ± 1.0 / 84.3 (84.0) ± 0.3 | – | – | 3 | 2 | here |" in text
    assert "| BERT | base | 65.5 (64.4) / 84.5 (84.0) |" in text
    unpublished = {"metrics": ("em", "average"), "scores": {"dev": {"em": 0.6, "average": 0.7}}}
    [table] = tables([reading(1, 0.6, 0.8, **unpublished)])
    assert "| BERT | base | 65.5 (64.4) / – |" in shown([table])


def test_a_sweep_is_explained() -> None:
    runs = [
        make_run(1, dev=dev, settings={"learning_rate": rate}, changed={"learning_rate": rate})
        for rate, dev in ((1e-5, 0.5), (3e-5, 0.7))
    ]
    text = shown(tables(runs))
    assert "| ours [learning_rate 3e-05] ← best on dev | base | 70.0 (70.0) |" in text
    assert text.count("| ours [learning_rate 1e-05] |") == 1
    assert "choosing on dev makes the dev scores of that row optimistic" in text
    assert "optimistic" not in shown(tables(runs[:1]))


def test_warnings_are_shown_once() -> None:
    runs = [make_run(seed, warnings=("old files", "no\ntest")) for seed in (1, 2)]
    runs.append(make_run(1, task="other", warnings=("old files",)))
    text = shown(tables(runs), Collected(tuple(runs), {}, (), ()))
    assert text.count("old files") == 1
    assert "- old files (toy, other)\n- no test (toy)\n" in text
    assert "Warnings" not in shown(tables(runs[:1]))


def test_what_is_missing_is_counted() -> None:
    text = shown(tables([make_run()]), Collected((), {"a/seed-1": "why"}, ("b",), ("c", "d")))
    assert "1 failed, 1 unfinished, 2 missing" in text
    assert "- a/seed-1: why" in text


def test_comparisons_in_words() -> None:
    one = Comparison("toy", "accuracy", "dev", "A", "B|", (1, 2, 3), 1200, 1.2, 0.3, 2.1, 0.008)
    assert comparison_text(one, named=False) == (
        "A over B\\|: +1.2 points (95 % interval 0.3 to 2.1, p = 0.008; 3 seeds, 1,200 examples, "
        "paired bootstrap)"
    )
    least = Comparison("toy", "em", "dev", "A", "B", (1,), 9, 1.2, -0.04, 2.1, 1e-4)
    assert comparison_text(least, named=True) == (
        "A over B, EM: +1.2 points (95 % interval 0.0 to 2.1, p ≤ 0.0001; 1 seed, 9 examples, "
        "paired bootstrap)"
    )
    none = Comparison("toy", "em", "dev", "A", "B", (), problem="why")
    assert comparison_text(none, named=False) == "A and B: no test: why"
    made = tables([make_run(model="A"), make_run(model="B")])
    text = markdown(made, [[one]], NOTHING)
    assert "Our models against each other on dev:" in text
    assert "not that of training runs beyond these seeds" in text
    assert "not corrected" not in text
    assert "2 values of p are not corrected" in markdown(made, [[one, one]], NOTHING)
    assert "resamples" not in markdown(made, [[none]], NOTHING)


def test_csv_has_a_line_for_each_number() -> None:
    [table] = tables([reading(1, 0.25, 0.5, published=""), reading(2, 0.75, 0.5, published="")])
    text = csv_text([table])
    assert text.startswith(BEGINNING)
    em, f1 = csv.DictReader(io.StringIO(text))
    assert (em["model"], em["split"], em["metric"], em["seeds"]) == ("ours", "dev", "em", "2")
    assert (float(em["max"]), float(em["mean"])) == (75, 50)
    assert float(em["deviation"]) == pytest.approx(statistics.stdev([25, 75]), abs=1e-4)
    assert (em["best_seed"], em["size"], em["chosen"]) == ("2", "base", "no")
    assert (f1["metric"], f1["best_seed"], f1["deviation"]) == ("f1", "1 2", "0.0000")
    [table] = tables([reading(1, 0.25, 0.5)])
    lines = list(csv.DictReader(io.StringIO(csv_text([table]))))
    [bert] = [x for x in lines if (x["model"], x["split"], x["metric"]) == ("BERT", "test", "em")]
    assert (bert["max"], bert["mean"], bert["deviation"]) == ("70.0000", "68.7000", "")
    assert (bert["source"], bert["seeds"], bert["best_seed"]) == ("LERT", "0", "")


def test_json_rows_have_the_main_metric_in_cells() -> None:
    made = tables([reading(1, 0.25, 0.5), reading(2, 0.75, 0.5)])
    row = json.loads(json.dumps(plain_rows(made)))[0]
    assert (row["task"], row["metric"], row["source"]) == ("cmrc2018", "em", "here")
    assert row["cells"] == row["metrics"]["em"]
    assert row["metrics"]["f1"]["dev"]["mean"] == 50
    assert (row["seeds"], row["size"], row["chosen"]) == ([1, 2], "base", False)


def test_latex_is_escaped() -> None:
    assert escaped(r"50% & a_b #1 $x {y} ~ ^ \z") == (
        r"50\% \& a\_b \#1 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )
    assert escaped("a|b <c>\n– ±") == r"a\textbar{}b \textless{}c\textgreater{} -- $\pm$"


def test_latex_has_a_tabular_a_task() -> None:
    runs = [make_run(1, model="a_b", dev=0.9), make_run(2, model="a_b", dev=0.8)]
    runs += [make_run(1, model="c&d", dev=0.7, published="")]
    runs += [make_run(1, model="alone", task="50%", published="ChnSentiCorp")]
    text = latex(tables(runs))
    assert text.startswith("% Scores, made by hanmo report\n")
    for word, count in ((r"\begin{tabular}", 2), (r"\end{tabular}", 2), (r"\toprule", 2)):
        assert text.count(word) == count
    assert r"a\_b & base & 90.0 (\textbf{85.0}) $\pm$ 7.1 & 2 & here \\" in text
    assert r"c\&d & base & 70.0 (70.0) & 1 & here \\" in text
    # One model has nobody to be better than; others' figures are never bold.
    assert r"alone & base & 50.0 (50.0) & -- & 1 & here \\" in text
    assert text.count(r"\textbf") == 1
    for tabular in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end", text, re.DOTALL):
        for line in tabular[1].splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(tabular[0]) - 1


def test_means_that_print_alike_are_all_bold() -> None:
    text = latex(tables([make_run(model="a", dev=0.9001), make_run(model="b", dev=0.9004)]))
    assert text.count(r"(\textbf{90.0})") == 2


def test_a_run_of_no_scores_has_a_row(tmp_path: Path) -> None:
    made = tables([make_run(scores={})])
    assert "| ours | base | 1 | – | here |" in shown(made)
    assert r"ours & base & 1 & here \\" in latex(made)
    assert csv_text(made).count("\n") == 1
