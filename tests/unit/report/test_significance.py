"""The paired bootstrap: what it says of equal and of different models, and when it says nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import BASE, write_run

from hanmo.core.errors import UserError
from hanmo.report import significance
from hanmo.report.runs import collect
from hanmo.report.significance import Answers, Comparison, compare, counts, resample, row_statistics
from hanmo.report.table import tables
from hanmo.tasks.metrics import METRICS, Metric

Pairs = list[tuple[Any, Any]]


def right(n_right: int, n: int, *, shift: int = 0) -> Pairs:
    """Answers of which n_right are right, from place `shift` on."""
    return [("1", "1" if (i - shift) % n < n_right else "0") for i in range(n)]


def write_model(top: Path, name: str, answers: dict[int, Pairs], **changed: Any) -> None:
    for seed, pairs in answers.items():
        model = {"name": name, "parameters": BASE}
        write_run(top / name / f"seed-{seed}", seed, answers={"dev": pairs}, model=model, **changed)


def compared(top: Path) -> tuple[Comparison, ...]:
    [table] = tables(collect([top]).runs, published=False)
    return compare(table)


def test_equal_predictions_differ_in_nothing(tmp_path: Path) -> None:
    answers = {seed: right(60 + seed, 100, shift=seed) for seed in (1, 2, 3)}
    write_model(tmp_path, "a", answers)
    write_model(tmp_path, "b", answers)
    [one] = compared(tmp_path)
    assert (one.difference, one.low, one.high, one.p) == (0, 0, 0, 1)
    assert (one.seeds, one.examples, one.problem) == ((1, 2, 3), 100, "")


def test_a_clear_difference_is_clear(tmp_path: Path) -> None:
    write_model(tmp_path, "a", {seed: right(150, 300) for seed in (1, 2)})
    write_model(tmp_path, "b", {seed: right(200, 300) for seed in (1, 2)})
    [one] = compared(tmp_path)
    assert (one.first, one.second) == ("b", "a")  # the better one first
    assert one.difference == pytest.approx(100 * 50 / 300)
    assert one.p == significance.LEAST_P
    assert 0 < one.low < one.difference < one.high
    # 50 of 300 examples differ, all in one direction: a binomial share of 1/6.
    deviation = 100 * np.sqrt(1 / 6 * 5 / 6 / 300)
    assert one.low == pytest.approx(one.difference - 1.96 * deviation, abs=0.4)
    assert one.high == pytest.approx(one.difference + 1.96 * deviation, abs=0.4)


def test_a_difference_within_chance_is_not_clear(tmp_path: Path) -> None:
    write_model(tmp_path, "a", {1: right(50, 100)})
    write_model(tmp_path, "b", {1: right(51, 100, shift=30)})
    [one] = compared(tmp_path)
    assert one.p > 0.5
    assert one.low < 0 < one.high
    assert compared(tmp_path) == (one,)  # the same draw every time


def test_only_common_seeds_count_and_all_pairs_are_made(tmp_path: Path) -> None:
    write_model(tmp_path, "a", {1: right(50, 100), 2: right(60, 100), 3: right(100, 100)})
    write_model(tmp_path, "b", {1: right(40, 100), 2: right(40, 100)}, gold="label")
    write_model(tmp_path, "c", {4: right(40, 100)})
    ab, ac, bc = compared(tmp_path)
    assert ab.seeds == (1, 2)
    assert ab.difference == pytest.approx(15)
    for one in (ac, bc):
        assert one.problem == "no seed of which both have dev scores"


def test_other_examples_are_not_compared(tmp_path: Path) -> None:
    write_model(tmp_path, "a", {1: right(50, 100)})
    write_model(tmp_path, "b", {1: right(50, 90)})
    swapped = [("0", "0"), *right(50, 99)]
    write_model(tmp_path, "c", {1: swapped})
    write_model(tmp_path, "d", {1: right(40, 100)})
    by_pair = {(one.first, one.second): one for one in compared(tmp_path)}
    assert len(by_pair) == 6
    assert [pair for pair, one in by_pair.items() if not one.problem] == [("a", "d")]
    [problem] = {one.problem for pair, one in by_pair.items() if {*pair} == {"a", "b"}}
    assert "not the same ones in the same order (90 and 100)" in problem


NUMBERS = Metric(
    "number",
    lambda expected, predicted, labels: np.array([[float(one)] for one in expected]),
    lambda sums: sums[..., 0],
)


def test_runs_without_usable_predictions_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, "a", {1: right(50, 100)})
    write_run(tmp_path / "b", 1, model={"name": "b", "parameters": BASE})
    [one] = compared(tmp_path)
    assert one.problem == f"no {tmp_path / 'b' / 'predictions-dev.jsonl'}"
    metrics = {"splits": {"dev": {"scores": {"accuracy": 0.9}}}}
    write_model(tmp_path / "c", "a", {1: right(50, 100)})
    write_model(tmp_path / "c", "b", {1: right(50, 100)}, **metrics)
    [one] = compared(tmp_path / "c")
    assert one.problem.endswith("score 50.00, and its metrics.json says 90.00")
    assert one.p == 1
    write_model(tmp_path / "d", "a", {1: right(50, 100)})
    metrics = {"metric": "mine", "splits": {"dev": {"scores": {"mine": 0.5}}}}
    for name in ("a", "b"):
        write_model(tmp_path / "e", name, {1: right(50, 100)}, **metrics)
    [one] = compared(tmp_path / "e")
    assert one.problem == "this version has no metric 'mine'"
    metrics = {"metric": "pearson", "splits": {"dev": {"scores": {"pearson": 0.5}}}}
    for name in ("a", "b"):
        write_model(tmp_path / "f", name, {1: [("x", "y")]}, **metrics)
    monkeypatch.setattr(significance, "METRICS", {"pearson": NUMBERS})
    [one] = compared(tmp_path / "f")
    assert "pearson of its predictions: could not convert string to float" in one.problem


def test_changed_and_damaged_predictions_are_errors(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(tmp_path, name, {1: right(50, 100)})
    path = tmp_path / "a" / "seed-1" / "predictions-dev.jsonl"
    path.write_text(path.read_text().replace('"0"', '"1"'))
    [none] = compared(tmp_path)
    assert "predictions-dev.jsonl differs from the run's manifest" in none.problem
    for name in ("a", "b"):
        write_model(tmp_path / "other", name, {1: right(50, 100)}, gold="answer")
    with pytest.raises(UserError, match=r"jsonl:1: expected an object with 'id', 'gold' and"):
        compared(tmp_path / "other")


def test_one_model_is_compared_with_nobody(tmp_path: Path) -> None:
    write_model(tmp_path, "a", {1: right(50, 100)})
    assert compared(tmp_path) == ()


def test_of_a_sweep_the_chosen_row_is_compared(tmp_path: Path) -> None:
    write_model(tmp_path, "a", {1: right(50, 100)})
    write_model(tmp_path, "b", {1: right(60, 100)})
    changed = {"settings": {"learning_rate": 1e-4}, "changed": {"learning_rate": 1e-4}}
    write_model(tmp_path / "sweep", "a", {1: right(70, 100)}, **changed)
    [one] = compared(tmp_path)
    assert (one.first, one.second) == ("a [learning_rate 0.0001]", "b")
    assert one.difference == pytest.approx(10)


def test_every_tabled_metric_is_tested(tmp_path: Path) -> None:
    pairs = {"a": right(50, 100), "b": right(60, 100)}
    for name, answers in pairs.items():
        expected, predicted = zip(*answers, strict=True)
        scores = {}
        for metric in ("accuracy", "macro_f1"):
            sums = METRICS[metric].statistics(expected, predicted, ["0", "1"]).sum(axis=0)
            scores[metric] = float(METRICS[metric].value(sums))
        changed = {"metrics": list(scores), "tabled": 2, "splits": {"dev": {"scores": scores}}}
        write_model(tmp_path, name, {1: answers}, **changed)
    assert [(one.metric, one.problem) for one in compared(tmp_path)] == [
        ("accuracy", ""),
        ("macro_f1", ""),
    ]


RATIO = Metric(
    "label",
    lambda expected, predicted, labels: np.array(
        [[a == b == "1", a == "1", b == "1"] for a, b in zip(expected, predicted, strict=True)],
        dtype=np.float64,
    ),
    lambda sums: 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1),
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("01")), min_size=1, max_size=30),
    st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("metric", [METRICS["accuracy"], RATIO], ids=["accuracy", "ratio"])
def test_weights_score_as_the_resampled_examples_do(
    metric: Metric, pairs: Pairs, seed: int
) -> None:
    expected, predicted = zip(*pairs, strict=True)
    statistics = row_statistics(metric, Answers(expected, predicted, ""), ("0", "1"))
    drawn = np.random.default_rng(seed).integers(len(pairs), size=(5, len(pairs)), dtype=np.int32)
    weighted = metric.value(counts(drawn) @ statistics)
    for places, score in zip(drawn, weighted, strict=True):
        again = [expected[i] for i in places], [predicted[i] for i in places]
        direct = metric.value(metric.statistics(*again, ("0", "1")).sum(axis=0))
        assert score == pytest.approx(float(direct))


def test_blocks_cover_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = row_statistics(RATIO, Answers("0110", "0101", ""), ("0", "1"))
    whole = resample(RATIO, [statistics, statistics])
    monkeypatch.setattr(significance, "_BLOCK", 12_000)
    parts = resample(RATIO, [statistics, statistics])
    assert whole.shape == parts.shape == (2, significance.RESAMPLES)
    assert (whole[0] == whole[1]).all()
    assert parts.mean() == pytest.approx(whole.mean(), abs=0.02)


def test_gold_texts_are_tuples_for_the_metric() -> None:
    seen: list[Any] = []

    def statistics(expected: Any, predicted: Any, labels: Any) -> Any:
        seen.extend(expected)
        return np.ones((len(expected), 1))

    metric = Metric("text", statistics, lambda sums: sums[..., 0])
    gold = json.loads('[["一", "二"], ["三"]]')
    row_statistics(metric, Answers(gold, ["一", "三"], ""), ())
    assert seen == [("一", "二"), ("三",)]
