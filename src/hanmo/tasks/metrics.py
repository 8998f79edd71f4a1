"""Scores of predicted labels, in [0, 1]; the definitions are scikit-learn's.

score(("accuracy", "macro_f1"), ["0", "1"], ["0", "0"], labels=("0", "1"))
"""

from collections.abc import Callable, Mapping, Sequence

from hanmo.core.errors import UserError, nearest

Metric = Callable[[Sequence[str], Sequence[str], Sequence[str]], float]


def accuracy(expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> float:
    """Share of predictions that are right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(expected, predicted))


def macro_f1(expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> float:
    """Mean of the labels' F1; a label that is neither expected nor predicted counts 0."""
    from sklearn.metrics import f1_score

    return float(
        f1_score(expected, predicted, labels=list(labels), average="macro", zero_division=0.0)
    )


METRICS: Mapping[str, Metric] = {"accuracy": accuracy, "macro_f1": macro_f1}


def score(
    names: Sequence[str],
    expected: Sequence[str],
    predicted: Sequence[str],
    *,
    labels: Sequence[str],
) -> dict[str, float]:
    """Return metric → score.

    Args:
        names: keys of `METRICS`.
        expected: the gold label of every example.
        predicted: the answer for every example, in the same order.
        labels: all labels of the task.

    Raises:
        UserError: unknown metric.
        ValueError: nothing to score, or lists of different lengths.
    """
    if not expected or len(expected) != len(predicted):
        raise ValueError(f"{len(expected)} expected and {len(predicted)} predicted labels")
    for name in names:
        check_metric(name)
    return {name: METRICS[name](expected, predicted, labels) for name in names}


def check_metric(name: str) -> None:
    """Raise a `UserError` unless there is a metric of that name."""
    if name not in METRICS:
        raise UserError(f"metric: no {name!r}{nearest(name, METRICS)}")
