"""Tables of scores as the field prints them: max (mean) over seeds, beside published rows.

In: runs. Out: one table a task, as values; `markdown.py`, `latex.py` and `records.py` write it.
Runs of one model and task that differ in a setting (learning rate, epochs …) are rows of their own;
a setting that is not the task's is named behind the model, because published rows do not compare
with it.

    tables(collect([folder]).runs)[0].rows[0].cells["dev"]["accuracy"].mean
"""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hanmo.core.errors import UserError
from hanmo.report import published as publications
from hanmo.report.runs import Run
from hanmo.report.sizes import SIZES, size_of

HERE = "here"  # the source of our own rows
_DEV = "dev"
_SPLITS = (_DEV, "test")
# How the field writes its metrics; any other name stands as it is, with spaces.
_SHOWN = {
    "em": "EM",
    "f1": "F1",
    "cjrc_em": "EM",
    "cjrc_f1": "F1",
    "macro_f1": "macro F1",
    "binary_f1": "F1 of the last label",
    "entity_f1": "entity F1",
    "entity_f1_strict": "strict entity F1",
    "entity_macro_f1": "entity macro F1",
    "average": "AVERAGE",
    "pearson": "Pearson",
    "spearman": "Spearman",
}


def metric_name(metric: str) -> str:
    """Return a metric's name as tables print it: `entity_f1` → `entity F1`."""
    return _SHOWN.get(metric, metric.replace("_", " "))


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """Scores of one split and metric in percent.

    Attributes:
        best: the highest; None where a publication prints a mean only.
        mean: None where a publication prints one number only.
        deviation: sample standard deviation over seeds; None for published rows and single runs.
        best_seeds: which seeds gave the highest; empty for published rows.
        source: who printed it.
    """

    best: float | None
    mean: float | None
    deviation: float | None = None
    best_seeds: tuple[int, ...] = ()
    source: str = HERE

    def __str__(self) -> str:
        best = "–" if self.best is None else f"{self.best:.1f}"
        mean = "" if self.mean is None else f" ({self.mean:.1f})"
        deviation = "" if self.deviation is None else f" ± {self.deviation:.1f}"
        return best + mean + deviation


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A model's scores on a task.

    Attributes:
        model: its name, with the settings that are not the task's.
        source: `HERE`, or who published it.
        size: its class (`sizes.py`).
        cells: split → metric → scores.
        runs: ours, by seed; empty for published rows.
        chosen: ours, one of several rows of this model, and the best of them on dev.
    """

    model: str
    source: str
    size: str
    cells: Mapping[str, Mapping[str, Cell]]
    runs: tuple[Run, ...] = ()
    chosen: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """Our seeds, in order."""
        return tuple(run.seed for run in self.runs)

    def mean(self, split: str, metric: str) -> float | None:
        """Return the mean of a cell in percent, or None where there is none."""
        cell = self.cells.get(split, {}).get(metric)
        return None if cell is None else cell.mean


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """All rows of a task: ours first.

    Attributes:
        task: its name.
        metrics: those of every cell, the main one first.
        splits: the columns.
        main: the split that seeds, settings and models are compared on: dev, or else the first
            that we have scores of; empty when we have none.
        rows: ours, then published ones, the smaller classes first.
        left_out: published rows of the task that are of other sizes than ours.
    """

    task: str
    metrics: tuple[str, ...]
    splits: tuple[str, ...]
    main: str
    rows: tuple[Row, ...]
    left_out: int = 0

    @property
    def own(self) -> tuple[Row, ...]:
        """Our rows."""
        return tuple(row for row in self.rows if row.runs)

    @property
    def published(self) -> tuple[Row, ...]:
        """Rows of others."""
        return tuple(row for row in self.rows if not row.runs)

    @property
    def sizes(self) -> tuple[str, ...]:
        """Classes of our models, the smallest first."""
        there = {row.size for row in self.own}
        return tuple(size for size in SIZES if size in there)

    @property
    def title(self) -> str:
        """`cmrc2018: EM / F1`."""
        return f"{self.task}: {' / '.join(map(metric_name, self.metrics))}"


def tables(runs: Sequence[Run], *, published: bool = True, all_sizes: bool = False) -> list[Table]:
    """Make a table for each task.

    Args:
        runs: as `collect` returns them.
        published: add the published rows of the task.
        all_sizes: also those of models that are of another size class than every one of ours.

    Raises:
        UserError: two runs of the same model, task, settings and seed.
    """
    by_task: dict[tuple[str, tuple[str, ...], str], list[Run]] = {}
    for run in runs:
        by_task.setdefault((run.task, run.metrics, run.published), []).append(run)
    made = []
    for (task, metrics, name), group in by_task.items():
        own = _own_rows(group, metrics)
        others = _published_rows(name, metrics) if published and name else []
        sizes = {row.size for row in own}
        kept = [row for row in others if all_sizes or row.size in sizes]
        kept.sort(key=lambda row: SIZES.index(row.size))
        here = _ordered({split for row in own for split in row.cells})
        splits = _ordered({split for row in [*own, *kept] for split in row.cells})
        main = next(iter(here), "")
        left_out = len(others) - len(kept)
        made.append(Table(task, metrics, splits, main, (*own, *kept), left_out))
    return made


def _ordered(there: set[str]) -> tuple[str, ...]:
    return tuple(one for one in (*_SPLITS, *sorted(there - {*_SPLITS})) if one in there)


def _published_rows(name: str, metrics: Sequence[str]) -> list[Row]:
    return [
        Row(
            one.model,
            one.source,
            one.size,
            {
                split: {
                    metric: Cell(figure.best, figure.mean, source=figure.source)
                    for metric, figure in figures.items()
                }
                for split, figures in one.figures.items()
            },
        )
        for one in publications.rows(name, metrics)
    ]


def _own_rows(runs: Sequence[Run], metrics: Sequence[str]) -> list[Row]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        settings = json.dumps(dict(run.settings), sort_keys=True)
        groups.setdefault((run.model, settings), []).append(run)
    by_model: dict[str, list[Row]] = {}
    # Learning rates in order of size, which their text does not give (1e-05, 0.0001).
    order = sorted(
        groups, key=lambda key: (key[0], groups[key][0].settings.get("learning_rate", 0), key[1])
    )
    varied = _varied(groups)
    for key in order:
        group = sorted(groups[key], key=lambda run: run.seed)
        _check_seeds(group)
        said = {name: group[0].settings.get(name) for name in varied.get(key[0], ())}
        said |= group[0].changed
        changed = ", ".join(
            f"{name} {_plain(said[name])}" for name in sorted(said) if said[name] is not None
        )
        label = f"{key[0]} [{changed}]" if changed else key[0]
        size = size_of(group[0].parameters)
        row = Row(label, HERE, size, _cells(group, metrics), tuple(group))
        by_model.setdefault(key[0], []).append(row)
    return [row for rows in by_model.values() for row in _with_choice(rows, metrics[0])]


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _varied(groups: Mapping[tuple[str, str], Sequence[Run]]) -> dict[str, set[str]]:
    """Return model → settings in which its rows differ: a sweep names them even at the default."""
    values: dict[str, dict[str, set[str]]] = {}
    for (model, _), group in groups.items():
        for name, value in group[0].settings.items():
            values.setdefault(model, {}).setdefault(name, set()).add(json.dumps(value))
    return {
        model: {name for name, found in own.items() if len(found) > 1}
        for model, own in values.items()
    }


def _with_choice(rows: Sequence[Row], metric: str) -> list[Row]:
    """Mark the row with the best mean on dev; of equal ones the first."""
    means = [row.mean(_DEV, metric) for row in rows]
    known = [mean for mean in means if mean is not None]
    if len(rows) == 1 or not known:
        return list(rows)
    best = means.index(max(known))
    return [dataclasses.replace(row, chosen=i == best) for i, row in enumerate(rows)]


def _check_seeds(group: Sequence[Run]) -> None:
    seen: dict[int, Run] = {}
    for run in group:
        if run.seed in seen:
            raise UserError(
                f"{run.folder} and {seen[run.seed].folder}: the same model, task, settings and "
                f"seed {run.seed}; a seed counts once: report on one of the folders, or give the "
                "models different names (--name)"
            )
        seen[run.seed] = run


def _cells(group: Sequence[Run], metrics: Sequence[str]) -> dict[str, dict[str, Cell]]:
    cells: dict[str, dict[str, Cell]] = {}
    for split in dict.fromkeys(split for run in group for split in run.scores):
        for metric in metrics:
            scores = {
                run.seed: 100 * run.scores[split][metric] for run in group if split in run.scores
            }
            cells.setdefault(split, {})[metric] = _cell(scores)
    return cells


def _cell(scores: Mapping[int, float]) -> Cell:
    """Return the cell of the scores of seeds, in percent."""
    values = list(scores.values())
    best = max(values)
    return Cell(
        best,
        statistics.fmean(values),
        statistics.stdev(values) if len(values) > 1 else None,
        tuple(seed for seed, value in scores.items() if value == best),
    )
