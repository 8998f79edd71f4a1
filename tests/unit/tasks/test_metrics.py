"""Metrics against their definitions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.tasks.metrics import METRICS, score

LABELS = ("a", "b", "c")
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1)


@settings(deadline=None, max_examples=30)
@given(PAIRS)
def test_metrics_follow_their_definitions(pairs: list[tuple[str, str]]) -> None:
    expected, predicted = [e for e, _ in pairs], [p for _, p in pairs]
    got = score(tuple(METRICS), expected, predicted, labels=LABELS)
    f1 = []
    for label in LABELS:
        hits = pairs.count((label, label))
        marked = expected.count(label) + predicted.count(label)
        f1.append(2 * hits / marked if marked else 0.0)
    assert got["accuracy"] == pytest.approx(sum(e == p for e, p in pairs) / len(pairs))
    assert got["macro_f1"] == pytest.approx(sum(f1) / len(f1))


def test_nothing_to_score_and_unknown_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="0 expected and 0 predicted"):
        score(("accuracy",), [], [], labels=LABELS)
    with pytest.raises(UserError, match=r"no 'f1'"):
        score(("f1",), ["a"], ["a"], labels=LABELS)
