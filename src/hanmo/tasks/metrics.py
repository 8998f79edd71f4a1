"""Scores of predictions. One definition gives the score and what a bootstrap over examples needs.

A metric turns every example into a row of numbers that may be added, and a sum of rows into the
score. So the score of any resample is the value of a weighted sum of the rows:

    rows = METRICS["macro_f1"].statistics(expected, predicted, labels)     # [N, K]
    times = rng.multinomial(n, [1 / n] * n, size=1000)                     # [1000, N]
    scores = METRICS["macro_f1"].value(times @ rows)                       # [1000]

Scores are in [0, 1], correlations in [-1, 1]. Where a share would be 0 of 0 it is 0, never NaN.
The definitions are scikit-learn's for labels, SciPy's for correlations, seqeval's for tags and the
official scripts' for texts (`reading_metrics.py`); tests compare with each of them.

    score(("accuracy", "macro_f1"), ["0", "1"], ["0", "0"], labels=("0", "1"))

Shapes: N examples, K numbers an example, L labels, T types of entities.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError, nearest
from hanmo.tasks import reading_metrics
from hanmo.tasks.entities import Entity, entities_of, scheme_of, strict_entities_of

Array = NDArray[np.float64]
Extraction = Callable[[Sequence[str]], list[Entity]]

# A resample whose variance is below this share of its mean square counts as constant: that is what
# rounding leaves of the variance when all its values are the same.
_CONSTANT = 1e-10


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """How answers are scored.

    Attributes:
        answers: what is compared, one for every example: "label" (a str), "number" (a float),
            "text" (expected: a sequence of texts, any of which is right; predicted: one text), or
            "tags" (a sequence of tags as in `entities.py`).
        statistics: (expected, predicted, labels of the task) → float64 [N, K], a row an example.
        value: sums of rows [..., K] → score [...].
    """

    answers: str
    statistics: Callable[[Sequence[Any], Sequence[Any], Sequence[str]], Array]
    value: Callable[[Array], Array]


def score(
    names: Sequence[str],
    expected: Sequence[Any],
    predicted: Sequence[Any],
    *,
    labels: Sequence[str],
) -> dict[str, float]:
    """Return metric → score.

    Args:
        names: keys of `METRICS` that compare the same kind of answers.
        expected: what is right for every example; see `Metric.answers`.
        predicted: the answer for every example, in the same order.
        labels: all labels of the task, in the order of their ids; only metrics of labels use them.

    Raises:
        UserError: unknown metric, or metrics of different kinds of answers.
        ValueError: nothing to score, lists of different lengths, or answers that are none of the
            metric's kind: a number that is not finite, an unknown tag, no gold text.
    """
    if not len(expected) or len(expected) != len(predicted):
        raise ValueError(f"{len(expected)} expected and {len(predicted)} predicted answers")
    for name in names:
        check_metric(name)
        check_metric(name, METRICS[names[0]].answers)
    return {
        name: float(
            METRICS[name].value(METRICS[name].statistics(expected, predicted, labels).sum(axis=0))
        )
        for name in names
    }


def check_metric(name: str, answers: str = "") -> None:
    """Check that there is such a metric.

    Args:
        name: what should be a key of `METRICS`.
        answers: the kind of answers that it should compare; empty: any.

    Raises:
        UserError: no such metric, or one for another kind of answers; names the nearest.
    """
    fitting = [one for one, metric in METRICS.items() if answers in {"", metric.answers}]
    if name not in METRICS:
        raise UserError(f"metric: no {name!r}{nearest(name, fitting)}")
    if name not in fitting:
        raise UserError(
            f"metric: {name!r} compares answers of kind {METRICS[name].answers!r}; "
            f"expected one for {answers!r}{nearest(name, fitting)}"
        )


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; 0 of 0 is 0."""
    return np.divide(
        numerator, denominator, out=np.zeros(np.shape(denominator)), where=denominator > 0
    )


def _mean(sums: Array) -> Array:
    """Value of rows (score, 1): their mean."""
    return _ratio(sums[..., 0], sums[..., 1])


def _with_count(scores: Sequence[float]) -> Array:
    """Make rows (score, 1) of scores."""
    return np.stack([np.asarray(scores, dtype=np.float64), np.ones(len(scores))], axis=1)  # [N, 2]


# Labels.


def _hits(expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Array:
    return _with_count([float(a == b) for a, b in zip(expected, predicted, strict=True)])


def _label_counts(
    expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> Array:
    """Count for every label whether it is right, then how often it is expected or predicted.

    An answer outside `labels` is counted for none of them.

    Returns:
        [N, 2 * L]: L columns of 0 and 1, then L columns of 0, 1 and 2.

    Raises:
        ValueError: no labels.
    """
    if not labels:
        raise ValueError("no labels to take F1 of")
    columns = {label: column for column, label in enumerate(labels)}
    rows = np.zeros((len(expected), 2, len(labels)))
    for row, gold, answer in zip(rows, expected, predicted, strict=True):
        for label in (gold, answer):
            if label in columns:
                row[1, columns[label]] += 1
        if gold == answer and gold in columns:
            row[0, columns[gold]] = 1
    return rows.reshape(len(expected), -1)


def _last_label_counts(
    expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> Array:
    return _label_counts(expected, predicted, labels[-1:])


def _mean_f1(sums: Array) -> Array:
    """Mean over the labels; one that is neither expected nor predicted counts 0."""
    hits, marks = np.split(sums, 2, axis=-1)
    return _ratio(2 * hits, marks).mean(axis=-1)


# Numbers.


def _moments(expected: Sequence[float], predicted: Sequence[float], labels: Sequence[str]) -> Array:
    return _products(_finite(expected), _finite(predicted))


def _rank_moments(
    expected: Sequence[float], predicted: Sequence[float], labels: Sequence[str]
) -> Array:
    """Moments of ranks; equal numbers share the mean of their ranks.

    Ranks are taken once, over all examples. A bootstrap keeps them, so its value is the
    correlation of the resampled ranks, not quite that of the ranks within the resample: ranks are
    no sum over examples.
    """
    return _products(_ranks(expected), _ranks(predicted))


def _products(expected: Array, predicted: Array) -> Array:
    """Return what sums to the correlation.

    Both sides are standardised over all examples first, which leaves the correlation of every
    resample as it is and keeps its sums of squares from drowning in rounding.

    Returns:
        [N, 6]: 1, x, y, x², y², xy.
    """
    x, y = _standardised(expected), _standardised(predicted)
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _correlation(sums: Array) -> Array:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = n * xx - x * x, n * yy - y * y
    varies = (spread_x > _CONSTANT * n * xx) & (spread_y > _CONSTANT * n * yy)
    root = np.sqrt(np.where(varies, spread_x, 0.0)) * np.sqrt(np.where(varies, spread_y, 0.0))
    return np.clip(_ratio(n * xy - x * y, root), -1.0, 1.0)


def _standardised(numbers: Array) -> Array:
    """Return the numbers with mean 0 and mean square 1, or zeros if they are all the same."""
    # Compared before anything is rounded: the mean of [0.1, 0.1, 0.1] is not 0.1.
    if (numbers == numbers[0]).all():
        return np.zeros_like(numbers)
    # Or the squares of large numbers overflow; a power of two leaves all digits as they are.
    _, exponent = np.frexp(np.abs(numbers).max())
    numbers = np.ldexp(numbers, -exponent)
    numbers = numbers - numbers.mean()
    return numbers / np.sqrt((numbers * numbers).mean())


def _ranks(values: Sequence[float]) -> Array:
    _, places, counts = np.unique(_finite(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # rank of the last one among equal numbers, from 1
    return (last - (counts - 1) / 2)[places]


def _finite(values: Sequence[float]) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        at = int(np.argmin(np.isfinite(numbers)))
        raise ValueError(f"example {at}: got {numbers[at]}; expected a finite number")
    return numbers


# Texts.


def _text_scores(
    one: Callable[[Sequence[str], str], float],
    expected: Sequence[Sequence[str]],
    predicted: Sequence[str],
    labels: Sequence[str],
) -> Array:
    return _with_count([one(golds, text) for golds, text in zip(expected, predicted, strict=True)])


def _em_and_f1(golds: Sequence[str], text: str) -> float:
    return (reading_metrics.cmrc_em(golds, text) + reading_metrics.cmrc_f1(golds, text)) / 2


def _text_metric(one: Callable[[Sequence[str], str], float]) -> Metric:
    return Metric("text", partial(_text_scores, one), _mean)


# Tags.


def _entities(
    expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], extraction: Extraction
) -> list[tuple[set[Entity], set[Entity]]]:
    """Return the (expected, predicted) entities of every example."""
    for at, (gold, answer) in enumerate(zip(expected, predicted, strict=True)):
        if len(gold) != len(answer):
            raise ValueError(f"example {at}: {len(gold)} expected and {len(answer)} predicted tags")
    return [
        (set(extraction(gold)), set(extraction(answer)))
        for gold, answer in zip(expected, predicted, strict=True)
    ]


def _count(pairs: Sequence[tuple[set[Entity], set[Entity]]]) -> Array:
    """Count entities in [N, 3]: right, expected, predicted."""
    return np.array([[len(a & b), len(a), len(b)] for a, b in pairs], dtype=np.float64)


def _entity_counts(
    expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Sequence[str]
) -> Array:
    return _count(_entities(expected, predicted, entities_of))


def _strict_entity_counts(
    expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Sequence[str]
) -> Array:
    """Count what follows the scheme; one E or S on either side makes that "bieos" for all."""
    scheme = scheme_of([*expected, *predicted])
    return _count(_entities(expected, predicted, partial(strict_entities_of, scheme=scheme)))


def _typed_entity_counts(
    expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Sequence[str]
) -> Array:
    """Count for every type that occurs.

    Returns:
        [N, 3 * T]: right, expected and predicted ones of the first type in the alphabet, and so on.
    """
    pairs = _entities(expected, predicted, entities_of)
    types = sorted({kind for a, b in pairs for kind, _, _ in a | b})
    rows = [_count([(_of(kind, a), _of(kind, b)) for a, b in pairs]) for kind in types]
    return np.concatenate(rows, axis=1) if rows else np.zeros((len(pairs), 0))


def _of(kind: str, entities: set[Entity]) -> set[Entity]:
    return {one for one in entities if one[0] == kind}


def _entity_f1(sums: Array) -> Array:
    return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def _entity_macro_f1(sums: Array) -> Array:
    """Mean over the types that occur, which are fewer in some resamples."""
    counts = sums.reshape(*sums.shape[:-1], sums.shape[-1] // 3, 3)  # [..., T, 3]
    occurs = (counts.sum(axis=-1) > 0).sum(axis=-1)
    return _ratio(_entity_f1(counts).sum(axis=-1), occurs)


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("label", _hits, _mean),
    "macro_f1": Metric("label", _label_counts, _mean_f1),
    # F1 of the last label: "1" of ("0", "1"), as ATEC ranks it.
    "binary_f1": Metric("label", _last_label_counts, _mean_f1),
    "pearson": Metric("number", _moments, _correlation),
    "spearman": Metric("number", _rank_moments, _correlation),
    # CMRC 2018's and DRCD's own names, which their tables use.
    "em": _text_metric(reading_metrics.cmrc_em),
    "f1": _text_metric(reading_metrics.cmrc_f1),
    "average": _text_metric(_em_and_f1),
    "cjrc_em": _text_metric(reading_metrics.cjrc_em),
    "cjrc_f1": _text_metric(reading_metrics.cjrc_f1),
    "entity_f1": Metric("tags", _entity_counts, _entity_f1),
    "entity_precision": Metric(
        "tags", _entity_counts, lambda sums: _ratio(sums[..., 0], sums[..., 2])
    ),
    "entity_recall": Metric(
        "tags", _entity_counts, lambda sums: _ratio(sums[..., 0], sums[..., 1])
    ),
    "entity_f1_strict": Metric("tags", _strict_entity_counts, _entity_f1),
    # CLUENER's official table is a mean over types.
    "entity_macro_f1": Metric("tags", _typed_entity_counts, _entity_macro_f1),
}
