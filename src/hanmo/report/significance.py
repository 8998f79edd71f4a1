"""Is one model better than another, or were the examples kind to it? Paired bootstrap.

After Efron and Tibshirani (An Introduction to the Bootstrap, 1993) and Koehn (Statistical
Significance Tests for Machine Translation Evaluation, EMNLP 2004): the examples of the main split
are drawn anew with replacement, and both models are scored on the same draw. Deviations from
Koehn: the score is a model's mean over the seeds that both have, with the same draw for every
seed, and p is two-sided. So the examples vary and the training runs do not.

In: a table, and the predictions of its runs. Out: a comparison for each pair of our models and each
metric. Shapes: N examples, B resamples, K columns that a metric's score is a function of the sums
of.

    compare(table)[0].p
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, sha256
from hanmo.core.seeds import generator
from hanmo.report.runs import PREDICTIONS, Run
from hanmo.report.table import Row, Table
from hanmo.tasks.metrics import METRICS, Metric

RESAMPLES = 10_000
LEAST_P = 1 / RESAMPLES  # so many resamples tell no smaller p
_LEVEL = (2.5, 97.5)  # percentiles: an interval of 95 %
_SEED = 0  # two reports on the same runs say the same
# Numbers of a block of counts, 8 bytes each: 16 MB stay near the processor's cache, and time hardly
# depends on it (measured from 0.5 to 8 million).
_BLOCK = 2_000_000
# Floating point: equal sums that were added up in another order are one value.
_DIGITS = 12
# Largest difference between the score in metrics.json and that of the predictions file.
_TOLERANCE = 1e-4

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What the examples say of two models.

    Attributes:
        task: the task's name.
        metric: what was scored.
        split: on which examples.
        first: the model (its row) with the higher mean.
        second: the other one.
        seeds: those that both have.
        examples: how many.
        difference: mean over seeds of first − second, in points (percent of the metric).
        low: lower end of the 95 % interval of `difference`, in points.
        high: its upper end.
        p: two-sided: twice the smaller share of resamples with a difference ≤ 0 or ≥ 0.
        problem: why there is no test; the numbers are then 0 and p is 1.
    """

    task: str
    metric: str
    split: str
    first: str
    second: str
    seeds: tuple[int, ...]
    examples: int = 0
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    p: float = 1.0
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """A run's predictions file.

    Attributes:
        expected: the gold answer of every example.
        predicted: the model's.
        key: equal for files with the same examples in the same order.
    """

    expected: Sequence[Any]
    predicted: Sequence[Any]
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Scored:
    """A run's score in [0, 1], and its scores on every resample [B]."""

    observed: float
    resampled: Floats
    examples: int
    key: str


def compare(table: Table) -> tuple[Comparison, ...]:
    """Compare our models, two by two, on the table's main split.

    Of a model with several settings the row that is marked as the best on dev stands for it.

    Raises:
        UserError: a line of a predictions file is no answer.
    """
    rows = _one_a_model(table.own)
    if len(rows) < 2 or not table.main:
        return ()
    runs = [run for row in rows for run in row.runs if table.main in run.scores]
    answers = {run.folder: _read(run, table.main) for run in runs}
    made = []
    for metric in table.metrics:
        scored = _score(metric, table.main, runs, answers)
        made += [_compared(table, metric, pair, scored) for pair in itertools.combinations(rows, 2)]
    return tuple(made)


def _one_a_model(rows: Sequence[Row]) -> list[Row]:
    by_model: dict[str, Row] = {}
    for row in rows:
        if row.chosen or row.runs[0].model not in by_model:
            by_model[row.runs[0].model] = row
    return list(by_model.values())


def _compared(
    table: Table, metric: str, pair: tuple[Row, Row], scored: Mapping[Path, _Scored | str]
) -> Comparison:
    first, second = sorted(pair, key=lambda row: -(row.mean(table.main, metric) or 0))
    ours, theirs = (
        {run.seed: scored[run.folder] for run in row.runs if run.folder in scored}
        for row in (first, second)
    )
    seeds = tuple(seed for seed in ours if seed in theirs)
    blank = Comparison(table.task, metric, table.main, first.model, second.model, seeds)
    problem = "" if seeds else f"no seed of which both have {table.main} scores"
    sides: tuple[list[_Scored], list[_Scored]] = ([], [])
    for side, scores in zip(sides, (ours, theirs), strict=True):
        for seed in seeds:
            one = scores[seed]
            if isinstance(one, str):
                problem = problem or one
            else:
                side.append(one)
    lengths = sorted({one.examples for side in sides for one in side})
    if not problem and len({one.key for side in sides for one in side}) > 1:
        problem = (
            f"the {table.main} examples of their runs are not the same ones in the same order "
            f"({' and '.join(f'{length:,}' for length in lengths)}); score both on one file"
        )
    if problem:
        return dataclasses.replace(blank, problem=problem)
    return _tested(blank, *sides)


def _tested(blank: Comparison, first: Sequence[_Scored], second: Sequence[_Scored]) -> Comparison:
    """Fill in the numbers of runs that are paired by seed."""
    pairs = list(zip(first, second, strict=True))
    observed = np.mean([one.observed - other.observed for one, other in pairs])
    differences = np.mean([one.resampled - other.resampled for one, other in pairs], axis=0)  # [B]
    differences = np.round(differences, _DIGITS)
    low, high = 100 * np.percentile(differences, _LEVEL)
    shares = ((differences <= 0).mean(), (differences >= 0).mean())
    p = min(1.0, max(LEAST_P, 2 * float(min(shares))))
    return dataclasses.replace(
        blank,
        examples=first[0].examples,
        difference=100 * float(observed),
        low=float(low),
        high=float(high),
        p=p,
    )


def _score(
    name: str, split: str, runs: Sequence[Run], answers: Mapping[Path, Answers | str]
) -> dict[Path, _Scored | str]:
    """Return run folder → its scores, or why there are none."""
    if name not in METRICS:
        return {run.folder: f"this version has no metric {name!r}" for run in runs}
    metric = METRICS[name]
    scored: dict[Path, _Scored | str] = {}
    groups: dict[str, list[tuple[Run, float, Floats]]] = {}
    for run in runs:
        one = answers[run.folder]
        if isinstance(one, str):
            scored[run.folder] = one
            continue
        try:
            statistics = row_statistics(metric, one, run.labels)
        except ValueError as error:  # answers of another kind than the metric's
            scored[run.folder] = f"{run.folder}: {name} of its predictions: {error}"
            continue
        score = float(metric.value(statistics.sum(axis=0)))
        if abs(score - run.scores[split][name]) > _TOLERANCE:
            scored[run.folder] = (
                f"the predictions of {run.folder} score {100 * score:.2f}, and its metrics.json "
                f"says {100 * run.scores[split][name]:.2f}"
            )
            continue
        groups.setdefault(one.key, []).append((run, score, statistics))
    for key, group in groups.items():
        resampled = resample(metric, [statistics for _, _, statistics in group])
        for (run, score, statistics), scores in zip(group, resampled, strict=True):
            scored[run.folder] = _Scored(score, scores, len(statistics), key)
    return scored


def row_statistics(metric: Metric, answers: Answers, labels: Sequence[str]) -> Floats:
    """Return a metric's statistics of every example [N, K]."""
    expected = answers.expected
    if metric.answers == "text":
        expected = [tuple(one) if isinstance(one, list) else one for one in expected]
    return np.asarray(metric.statistics(expected, answers.predicted, labels), dtype=np.float64)


def resample(metric: Metric, tables: Sequence[Floats]) -> Floats:
    """Score runs on resamples of their common examples.

    Args:
        metric: what turns sums of statistics into scores.
        tables: each run's statistics [N, K], of the same examples in the same order.

    Returns:
        [R, B]: each run's score on every resample, in [0, 1].
    """
    examples = len(tables[0])
    ends = np.cumsum([table.shape[1] for table in tables])[:-1]
    columns = np.hstack(tables)  # [N, R * K]: one product for all runs
    rng = generator(_SEED, "paired bootstrap", examples)
    size = max(1, _BLOCK // examples)
    blocks = []
    for start in range(0, RESAMPLES, size):
        n_resamples = min(size, RESAMPLES - start)
        drawn = rng.integers(examples, size=(n_resamples, examples), dtype=np.int32)
        sums = counts(drawn) @ columns  # [b, R * K]
        blocks.append([metric.value(one) for one in np.split(sums, ends, axis=1)])
    return np.concatenate(blocks, axis=1)


def counts(drawn: NDArray[np.int32]) -> Floats:
    """Return how often each example was drawn [b, N], from the drawn places [b, N]."""
    made = np.empty(drawn.shape)
    # Row by row: one call over all rows needs 64-bit places, and takes twice as long.
    for row, places in zip(made, drawn, strict=True):
        row[:] = np.bincount(places, minlength=len(places))
    return made


def _read(run: Run, split: str) -> Answers | str:
    """Read a run's predictions of a split, or say why there are none."""
    path = run.folder / PREDICTIONS.format(split)
    if split not in run.predictions or not path.is_file():
        return f"no {path}"
    if sha256(path) != run.predictions[split]:
        return f"{path} differs from the run's manifest: run it again"
    ids, expected, predicted = [], [], []
    for number, line in json_lines(path):
        try:
            # Runs of version 0.1.0 say "label".
            expected.append(line["gold"] if "gold" in line else line["label"])
            predicted.append(line["predicted"])
            ids.append(line["id"])
        except (KeyError, TypeError):
            raise UserError(
                f"{path}:{number}: expected an object with 'id', 'gold' and 'predicted'"
            ) from None
    if not ids:
        return f"{path} is empty"
    text = json.dumps([ids, expected], ensure_ascii=False)
    return Answers(expected, predicted, hashlib.sha256(text.encode()).hexdigest())
