"""Metrics against scikit-learn, SciPy, seqeval and their definitions; rows against scores."""

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
import seqeval.metrics
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import IOB2, IOBES

from hanmo.core.errors import UserError
from hanmo.tasks import reading_metrics
from hanmo.tasks.metrics import METRICS, check_metric, score

LABELS = ("a", "b", "c")
TAGS = ("O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "LOC")))
BIO = tuple(tag for tag in TAGS if tag[0] not in "ES")
# A grid of few values: ties, constant inputs, and no spread lost in rounding.
NUMBERS = st.integers(-20, 20).map(lambda n: n / 4)
WORDS = st.text("北京上 ab，…", max_size=6)


def some(*pair: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, Any]]]:
    return st.lists(st.tuples(*pair), min_size=1, max_size=20)


def tagged(tags: Sequence[str]) -> st.SearchStrategy[list[tuple[list[str], list[str]]]]:
    sequence = st.lists(st.tuples(st.sampled_from(tags), st.sampled_from(tags)), max_size=8)
    one = sequence.map(lambda pairs: ([a for a, _ in pairs], [b for _, b in pairs]))
    return st.lists(one, min_size=1, max_size=6)


PAIRS = {
    "label": some(st.sampled_from(LABELS), st.sampled_from(LABELS)),
    "number": some(NUMBERS, NUMBERS),
    "text": some(st.lists(WORDS, min_size=1, max_size=3).map(tuple), WORDS),
    "tags": st.one_of(tagged(TAGS), tagged(BIO)),
}


def scored(names: Sequence[str], pairs: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    expected, predicted = [a for a, _ in pairs], [b for _, b in pairs]
    return score(names, expected, predicted, labels=LABELS)


def of(answers: str) -> tuple[str, ...]:
    return tuple(name for name, metric in METRICS.items() if metric.answers == answers)


def test_the_table() -> None:
    assert {answers: of(answers) for answers in PAIRS} == {
        "label": ("accuracy", "macro_f1", "binary_f1"),
        "number": ("pearson", "spearman"),
        "text": ("em", "f1", "average", "cjrc_em", "cjrc_f1"),
        "tags": (
            "entity_f1",
            "entity_precision",
            "entity_recall",
            "entity_f1_strict",
            "entity_macro_f1",
        ),
    }


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_rows_give_the_score_of_any_resample(name: str, data: st.DataObject) -> None:
    metric = METRICS[name]
    pairs = data.draw(PAIRS[metric.answers])
    expected, predicted = [a for a, _ in pairs], [b for _, b in pairs]
    rows = metric.statistics(expected, predicted, LABELS)
    assert rows.dtype == np.float64
    assert rows.shape[0] == len(pairs)
    whole = score([name], expected, predicted, labels=LABELS)[name]
    assert float(metric.value(rows.sum(axis=0))) == whole
    assert (-1 if metric.answers == "number" else 0) <= whole <= 1

    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    n = len(pairs)
    times = rng.multinomial(n, [1 / n] * n, size=(2, 3))  # [2, 3, N]
    values = metric.value(times @ rows)
    assert values.shape == (2, 3)
    assert np.isfinite(values).all()
    if name == "spearman":  # keeps the ranks of the whole sample
        return
    if name == "entity_f1_strict":  # keeps the scheme of the whole sample
        kept = {
            tag[:1] for _, tags in [*enumerate(expected), *enumerate(predicted)] for tag in tags
        }
        if kept & {"E", "S"}:
            return
    for at in itertools.product(range(2), range(3)):
        resample = [pair for pair, many in zip(pairs, times[at], strict=True) for _ in range(many)]
        assert values[at] == pytest.approx(scored([name], resample)[name], abs=1e-7)


@settings(deadline=None)
@given(PAIRS["label"])
def test_labels_are_scored_as_scikit_learn_does(pairs: list[tuple[str, str]]) -> None:
    expected, predicted = [a for a, _ in pairs], [b for _, b in pairs]
    f1 = sklearn.metrics.f1_score(
        expected, predicted, labels=LABELS, average=None, zero_division=0.0
    )
    theirs = {
        "accuracy": sklearn.metrics.accuracy_score(expected, predicted),
        "macro_f1": sklearn.metrics.f1_score(
            expected, predicted, labels=LABELS, average="macro", zero_division=0.0
        ),
        "binary_f1": f1[-1],
    }
    assert scored(of("label"), pairs) == pytest.approx(theirs, abs=1e-12)


def test_labels_by_hand() -> None:
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "?")]
    got = scored(of("label"), pairs)
    # a: 1 right of 2 + 1; b: 1 right of 2 + 2; c never occurs and counts 0.
    assert got == pytest.approx({"accuracy": 0.5, "macro_f1": (2 / 3 + 1 / 2) / 3, "binary_f1": 0})
    two = score(("binary_f1",), ["0", "1", "1"], ["1", "1", "0"], labels=("0", "1"))
    assert two == {"binary_f1": 0.5}
    with pytest.raises(ValueError, match="no labels"):
        score(("macro_f1",), ["a"], ["a"], labels=())


@settings(deadline=None)
@given(some(st.floats(-1e3, 1e3).map(lambda x: round(x, 6)), NUMBERS), st.sampled_from([1, 1e-9]))
def test_correlations_are_scipys(pairs: list[tuple[float, float]], scale: float) -> None:
    pairs = [(a, b * scale) for a, b in pairs]
    got = scored(of("number"), pairs)
    x, y = [a for a, _ in pairs], [b for _, b in pairs]
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert got == {"pearson": 0.0, "spearman": 0.0}
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
        theirs = scipy.stats.pearsonr(x, y).statistic
    assert got["pearson"] == pytest.approx(theirs, abs=1e-12)
    assert got["spearman"] == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


def test_correlations_by_hand() -> None:
    assert scored(of("number"), [(1, 10), (2, 20), (3, 30)]) == pytest.approx(
        {"pearson": 1, "spearman": 1}
    )
    assert scored(("spearman",), [(1, 1e9), (2, 5), (3, -7)])["spearman"] == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4.
    tied = scored(("spearman",), [(1, 1), (5, 3), (5, 2), (9, 4)])["spearman"]
    assert tied == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    for constant in ([(0.1, 1), (0.1, 2), (0.1, 4)], [(1, 0.1), (2, 0.1), (4, 0.1)], [(3, 4)]):
        assert scored(of("number"), constant) == {"pearson": 0.0, "spearman": 0.0}
    huge = scored(("pearson",), [(-1e308, 1), (0, 2), (1e308, 3)])
    assert huge["pearson"] == pytest.approx(1)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"example 1: got .*; expected a finite number"):
            scored(("spearman",), [(1, 1), (1, wrong)])


def test_resamples_of_one_example_have_no_correlation() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(1e6, 1, 500), rng.normal(0, 1e-6, 500)
    for name in of("number"):
        rows = METRICS[name].statistics(x, y, ())
        alone = METRICS[name].value(500 * rows)  # [500]: one example 500 times
        assert (alone == 0).all()


@settings(deadline=None)
@given(PAIRS["text"])
def test_texts_are_means_of_their_questions(pairs: list[tuple[tuple[str, ...], str]]) -> None:
    got = scored(of("text"), pairs)
    for name, one in {
        "em": reading_metrics.cmrc_em,
        "f1": reading_metrics.cmrc_f1,
        "cjrc_em": reading_metrics.cjrc_em,
        "cjrc_f1": reading_metrics.cjrc_f1,
    }.items():
        assert got[name] == pytest.approx(np.mean([one(golds, text) for golds, text in pairs]))
    assert got["average"] == pytest.approx((got["em"] + got["f1"]) / 2)
    report = reading_metrics.official_report(
        {str(at): golds for at, (golds, _) in enumerate(pairs)},
        {str(at): text for at, (_, text) in enumerate(pairs)},
    )
    for name in ("em", "f1", "average"):
        assert float(report[name.upper()]) == pytest.approx(100 * got[name], abs=0.000501)


@settings(deadline=None)
@given(tagged(TAGS))
def test_entities_are_scored_as_seqeval_does(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold, answers = [a for a, _ in pairs], [b for _, b in pairs]
    theirs = {
        "entity_f1": seqeval.metrics.f1_score(gold, answers, zero_division=0),
        "entity_precision": seqeval.metrics.precision_score(gold, answers, zero_division=0),
        "entity_recall": seqeval.metrics.recall_score(gold, answers, zero_division=0),
    }
    if any(tag != "O" for tags in gold + answers for tag in tags):  # else a mean of nothing
        theirs["entity_macro_f1"] = seqeval.metrics.f1_score(
            gold, answers, average="macro", zero_division=0
        )
    assert scored(tuple(theirs), pairs) == pytest.approx(theirs, abs=1e-12)


@settings(deadline=None)
@given(st.one_of(tagged(TAGS), tagged(BIO)))
def test_strict_entities_are_scored_as_seqeval_does(
    pairs: list[tuple[list[str], list[str]]],
) -> None:
    gold, answers = [a for a, _ in pairs], [b for _, b in pairs]
    ends = any(tag[0] in "ES" for tags in gold + answers for tag in tags)
    theirs = seqeval.metrics.f1_score(
        gold, answers, mode="strict", scheme=IOBES if ends else IOB2, zero_division=0
    )
    assert scored(("entity_f1_strict",), pairs)["entity_f1_strict"] == pytest.approx(theirs)


def test_entities_by_hand() -> None:
    pairs = [
        (["B-PER", "I-PER", "O", "B-LOC"], ["B-PER", "I-PER", "O", "I-LOC"]),
        (["B-LOC", "O"], ["O", "B-ORG"]),
    ]
    assert scored(of("tags"), pairs) == pytest.approx(
        {
            "entity_f1": 2 / 3,
            "entity_precision": 2 / 3,
            "entity_recall": 2 / 3,
            "entity_f1_strict": 2 * 1 / (3 + 2),  # I-LOC alone is no entity
            "entity_macro_f1": (1 + 2 / 3 + 0) / 3,  # PER, LOC, ORG
        }
    )
    assert set(scored(of("tags"), [(["O"], ["O"])]).values()) == {0.0}
    with pytest.raises(ValueError, match="example 1: 2 expected and 1 predicted tags"):
        scored(("entity_f1",), [(["O"], ["O"]), (["O", "O"], ["O"])])


def test_nothing_to_score_and_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="0 expected and 0 predicted"):
        score(("accuracy",), [], [], labels=LABELS)
    with pytest.raises(ValueError, match="1 expected and 2 predicted"):
        score(("accuracy",), ["a"], ["a", "b"], labels=LABELS)


def test_unknown_and_unfitting_metrics_are_refused() -> None:
    with pytest.raises(UserError, match=r"no 'acuracy'; did you mean 'accuracy'"):
        score(("acuracy",), ["a"], ["a"], labels=LABELS)
    with pytest.raises(UserError, match=r"'f1' compares answers of kind 'text'.*'label'"):
        score(("accuracy", "f1"), ["a"], ["a"], labels=LABELS)
    check_metric("f1")
    check_metric("f1", "text")
    with pytest.raises(UserError, match=r"expected one for 'label'.*accuracy, binary_f1, macro_f1"):
        check_metric("f1", "label")
    with pytest.raises(UserError, match=r"no 'person'; did you mean 'pearson'.*pearson, spearman"):
        check_metric("person", "number")
