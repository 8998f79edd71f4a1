"""A teacher and its students as values, as Markdown, CSV and JSON, and as a picture."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import make_run

from hanmo.report.runs import Run
from hanmo.report.shrinking import Measured, compare
from hanmo.report.shrinking_plot import MARK, shrinking_png
from hanmo.report.shrinking_text import BEGINNING, TITLE, csv_text, markdown, plain

POSITIVE = st.floats(0.01, 1e5)
SPEEDS = st.lists(POSITIVE, min_size=1, max_size=7)


def model(name: str, speed: float = 10.0, **changed: object) -> Measured:
    rounds = {1: [speed], 32: [2 * speed]}
    values = {"parameters": 5_000_000, "without_embeddings": 2_000_000, "weights_bytes": 20_500_000}
    return Measured(name, **(values | {"rounds": rounds} | changed))  # type: ignore[arg-type]


def runs_of(name: str, *devs: float, task: str = "toy") -> list[Run]:
    return [
        make_run(seed, model=name, dev=dev, task=task) for seed, dev in enumerate(devs, start=1)
    ]


TWO = [model("big"), model("tiny", 40.0)]


@given(
    st.lists(SPEEDS, min_size=1, max_size=4),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
)
def test_the_teacher_is_its_own_measure(speeds: list[list[float]], scores: list[float]) -> None:
    models = [model(f"m{i}", rounds={1: some, 32: some}) for i, some in enumerate(speeds)]
    made = compare(models, runs_of("m0", *scores))
    assert {made.speed_up(made.teacher, batch) for batch in (1, 32)} == {1.0}
    average = made.average_kept("m0")
    assert average is not None
    assert (average.share, average.n_tasks) == (1.0, 1)
    for one in models:
        assert min(one.rounds[1]) <= one.per_second(1) <= max(one.rounds[1])
        assert made.speed_up(one, 1) * made.teacher.per_second(1) == pytest.approx(
            one.per_second(1)
        )


@given(st.floats(0.05, 1), st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0.1, 1))
def test_what_is_kept_does_not_depend_on_the_scale(
    teacher: float, student: list[float], factor: float
) -> None:
    def kept(scale: float) -> float:
        runs = runs_of("big", teacher * scale) + runs_of("tiny", *(s * scale for s in student))
        average = compare(TWO, runs).average_kept("tiny")
        assert average is not None
        return average.share

    assert kept(1) == pytest.approx(sum(student) / len(student) / teacher)
    assert kept(factor) == pytest.approx(kept(1))


def test_the_average_is_over_tasks_not_runs() -> None:
    runs = runs_of("big", 0.8, 0.8, task="a") + runs_of("big", 0.5, task="b")
    runs += runs_of("tiny", 0.7, 0.5, task="a") + runs_of("tiny", 0.5, task="b")
    average = compare(TWO, runs).average_kept("tiny")
    assert average is not None
    assert (average.share, average.n_tasks) == (pytest.approx((0.75 + 1) / 2), 2)


def test_what_is_missing_is_told() -> None:
    runs = runs_of("big", 0.8, 0.6, task="a") + runs_of("tiny", 0.6, task="a")
    runs += runs_of("tiny", 0.5, task="b") + runs_of("big", 0.5, task="c") + runs_of("else", 0.1)
    made = compare([*TWO, model("none")], runs)
    told = "\n".join(made.notes)
    assert "no runs of none; there are runs of else: NAME=PATH names a model" in told
    assert "a: seeds differ: big 1 2, tiny 1" in told
    assert "b: no score of the teacher big, so no shares" in told
    assert "c: no score on dev of tiny\n" in f"{told}\n"
    assert made.tasks[1].scores["tiny"].kept is None
    assert made.average_kept("none") is None
    text = markdown(made, ["How."])
    assert (
        "| tiny | 60.0 (60.0) | 85.7% | 50.0 (50.0) | — | — | — | 85.7% (of 1 of 3 tasks) |" in text
    )
    assert "| none | — | — | — | — | — | — | — |" in text
    assert compare(TWO, runs_of("big", 0.5) + runs_of("tiny", 0.5) + runs_of("x", 0.1)).notes == (
        "runs of other models, left out: x",
    )


def test_scores_that_cannot_be_shared_out() -> None:
    below = [make_run(model=name, scores={"dev": {"accuracy": -0.1}}) for name in ("big", "tiny")]
    made = compare(TWO, below)
    assert made.notes == ("toy: the teacher's mean is not above 0, so no shares",)
    assert made.average_kept("tiny") is None
    none = [make_run(model="big", scores={})]
    assert "toy: its runs have no scores" in compare(TWO, none).notes


def test_of_several_settings_the_best_on_dev_counts() -> None:
    runs = runs_of("big", 0.5)
    for rate, dev in ((1e-5, 0.4), (1e-4, 0.45)):
        settings = {"epochs": 3, "learning_rate": rate}
        runs.append(make_run(model="tiny", dev=dev, settings=settings))
    made = compare(TWO, runs)
    assert made.tasks[0].scores["tiny"].kept == pytest.approx(0.9)
    assert made.notes == (
        "toy: tiny has runs of 2 settings; the best on dev counts: tiny [learning_rate 0.0001]",
    )
    on_test = [
        make_run(model="tiny", scores={"test": {"accuracy": 0.4}}, settings={"learning_rate": rate})
        for rate in (1e-5, 1e-4)
    ]
    made = compare(TWO, [*on_test, make_run(model="big", scores={"test": {"accuracy": 0.5}})])
    assert "tiny" not in made.tasks[0].scores
    assert "none counts" in made.notes[0]


def test_unsteady_measurements_are_told() -> None:
    shaky = model("tiny", rounds={1: [10, 20, 30, 40], 32: [10, 10, 10, 10]})
    [note] = compare([model("big"), shaky]).notes
    assert note.startswith("tiny, batch 1: measurements differ by 60% of their median")


def test_the_tables() -> None:
    made = compare(TWO, runs_of("big", 0.8, 0.6) + runs_of("tiny", 0.56, 0.7))
    text = markdown(made, ["On a", "machine."])
    assert text.startswith(f"{TITLE}\n")
    assert "| big | 5.0 M | 2.0 M | 20.5 | 10.0 | 1.00 | 20.0 | 1.00 |" in text
    assert "| tiny | 5.0 M | 2.0 M | 20.5 | 40.0 | 4.00 | 80.0 | 4.00 |" in text
    assert "| tiny | 70.0 (63.0) ± 9.9 | 90.0% | 90.0% |" in text
    assert "On a machine.\n" in text
    assert "Notes" not in text
    assert "kept" not in markdown(compare(TWO), [])
    table = csv_text(made)
    assert table.startswith(BEGINNING)
    [big, tiny] = csv.DictReader(io.StringIO(table))
    assert (big["speed_up_batch_32"], big["average_kept"]) == ("1.0000", "100.0000")
    assert tiny["toy accuracy dev max"] == "70.0000"
    assert tiny["toy accuracy dev kept"] == "90.0000"
    [_, tiny] = json.loads(json.dumps(plain(made)))
    assert tiny["speed"]["32"]["speed_up"] == 4
    assert tiny["scores"]["toy, accuracy on dev"]["kept"] == pytest.approx(0.9)
    assert tiny["average_kept"] == {"share": pytest.approx(0.9), "tasks": 1}


def test_names_cannot_break_the_table() -> None:
    made = compare([model("a|b")], runs_of("a|b", 0.5))
    rows = [line for line in markdown(made, []).splitlines() if line.startswith("| a")]
    assert [row.count("|") - row.count("\\|") for row in rows] == [9, 5]


def test_the_picture_needs_shares() -> None:
    made = compare(TWO, runs_of("big", 0.8) + runs_of("tiny", 0.7))
    drawn = shrinking_png(made)
    assert drawn is not None
    assert drawn.startswith(b"\x89PNG")
    assert MARK.encode() in drawn[:4096]
    assert shrinking_png(compare(TWO, runs_of("tiny", 0.7))) is None
    assert shrinking_png(compare(TWO)) is None
