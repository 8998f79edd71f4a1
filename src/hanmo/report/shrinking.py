"""A teacher and its students: size, speed and what is kept of the teacher's scores.

In: what was measured of every model, the teacher first, and runs of fine-tuning. Out: a value that
`shrinking_text.py` writes and `shrinking_plot.py` draws. Models and runs meet by name. A score is
the one of the task's main split and first metric; what is kept is a mean over the teacher's mean.

    compare([teacher, student], collect([folder]).runs).average_kept("student").share
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from hanmo.report.runs import Run
from hanmo.report.table import Cell, Row, Table, metric_name, tables

# A model's measurements farther apart than this share of their median are told.
_STEADY = 0.15


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one model.

    Attributes:
        name: in tables and runs.
        parameters: of the encoder, without pooler and heads.
        without_embeddings: those of its layers.
        weights_bytes: size of the file of weights, with the heads it holds.
        rounds: batch size → examples a second, for each measurement.
    """

    name: str
    parameters: int
    without_embeddings: int
    weights_bytes: int
    rounds: Mapping[int, Sequence[float]]

    @property
    def megabytes(self) -> float:
        """Size of the file of weights in MB of 10⁶ bytes."""
        return self.weights_bytes / 1e6

    def per_second(self, batch: int) -> float:
        """Return the median of the examples a second at a batch size."""
        return statistics.median(self.rounds[batch])

    def spread(self, batch: int) -> float:
        """Return how far the middle half of the measurements reaches, as a share of the median."""
        values = self.rounds[batch]
        if len(values) < 2:
            return 0.0
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return (high - low) / self.per_second(batch)


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """A model's score on a task.

    Attributes:
        cell: max and mean over seeds, in percent.
        kept: share of the teacher's mean; None where the teacher has none, or none above 0.
        seeds: of the runs.
        label: the model with the settings that are not the task's.
    """

    cell: Cell
    kept: float | None
    seeds: tuple[int, ...]
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class TaskScores:
    """Scores on a task, by the models' names; a model without runs is not there."""

    task: str
    metric: str
    split: str
    scores: Mapping[str, Score]

    @property
    def title(self) -> str:
        """`tnews, accuracy on dev`."""
        return f"{self.task}, {metric_name(self.metric)} on {self.split}"


@dataclasses.dataclass(frozen=True, slots=True)
class Average:
    """The mean of the shares kept, and over how many tasks it is."""

    share: float
    n_tasks: int


@dataclasses.dataclass(frozen=True, slots=True)
class Shrinking:
    """See the module's docstring.

    Attributes:
        models: the teacher first.
        tasks: sorted by name.
        notes: what a reader must know: what is missing, what differs.
    """

    models: tuple[Measured, ...]
    tasks: tuple[TaskScores, ...]
    notes: tuple[str, ...]

    @property
    def teacher(self) -> Measured:
        """The first model."""
        return self.models[0]

    def speed_up(self, model: Measured, batch: int) -> float:
        """Return how many times the teacher's speed a model has at a batch size."""
        return model.per_second(batch) / self.teacher.per_second(batch)

    def average_kept(self, name: str) -> Average | None:
        """Return the average over the tasks on which both have scores; None where none is."""
        shares = [
            score.kept
            for task in self.tasks
            if (score := task.scores.get(name)) is not None and score.kept is not None
        ]
        return Average(statistics.fmean(shares), len(shares)) if shares else None


def compare(models: Sequence[Measured], runs: Sequence[Run] | None = None) -> Shrinking:
    """Put measurements and scores together.

    Args:
        models: the teacher first; names differ.
        runs: as `collect` returns them; those of other models are named in a note. None: scores
            were not asked for.

    Raises:
        UserError: two runs of the same model, task, settings and seed.
    """
    notes = [
        f"{model.name}, batch {batch}: measurements differ by {model.spread(batch):.0%} of their "
        "median (middle half); something else may use the machine"
        for model in models
        for batch in model.rounds
        if model.spread(batch) > _STEADY
    ]
    if runs is None:
        return Shrinking(tuple(models), (), tuple(notes))
    names = [model.name for model in models]
    own = [run for run in runs if run.model in names]
    others = sorted({run.model for run in runs} - set(names))
    lost = [name for name in names if not any(run.model == name for run in own)]
    if lost:
        there = (
            f"; there are runs of {', '.join(others)}: NAME=PATH names a model" if others else ""
        )
        notes.append(f"no runs of {', '.join(lost)}{there}")
    elif others:
        notes.append(f"runs of other models, left out: {', '.join(others)}")
    tasks = []
    for table in tables(own, published=False):
        if not table.main:
            notes.append(f"{table.task}: its runs have no scores")
            continue
        found, told = _scores(table, names)
        tasks.append(found)
        notes += told + _gaps(found, names[0], [name for name in names[1:] if name not in lost])
    return Shrinking(tuple(models), tuple(tasks), tuple(notes))


def _scores(table: Table, names: Sequence[str]) -> tuple[TaskScores, list[str]]:
    """Take one row a model out of a table, and say where there are several."""
    metric, notes = table.metrics[0], []
    rows: dict[str, Row] = {}
    for name in names:
        mine = [
            row
            for row in table.own
            if row.runs[0].model == name and row.mean(table.main, metric) is not None
        ]
        chosen = [row for row in mine if row.chosen]
        if len(mine) == 1 or chosen:
            rows[name] = (chosen or mine)[0]
        if len(mine) > 1:
            notes.append(
                f"{table.task}: {name} has runs of {len(mine)} settings; "
                + (
                    f"the best on dev counts: {chosen[0].model}"
                    if chosen
                    else "none is the best on dev, where they have no scores: none counts"
                )
            )
    teacher = rows.get(names[0])
    mean = teacher.mean(table.main, metric) if teacher else None
    scores = {}
    for name, row in rows.items():
        cell = row.cells[table.main][metric]
        assert cell.mean is not None  # of our own rows
        kept = cell.mean / mean if mean is not None and mean > 0 else None
        seeds = tuple(run.seed for run in row.runs if table.main in run.scores)
        scores[name] = Score(cell, kept, seeds, row.model)
    return TaskScores(table.task, metric, table.main, scores), notes


def _gaps(task: TaskScores, teacher: str, students: Sequence[str]) -> list[str]:
    """Say which scores are missing, of models that have runs, and where seeds differ."""
    notes, scores = [], task.scores
    if teacher not in scores:
        notes.append(f"{task.task}: no score of the teacher {teacher}, so no shares")
    elif scores[teacher].kept is None:
        notes.append(f"{task.task}: the teacher's mean is not above 0, so no shares")
    lost = [name for name in students if name not in scores]
    if lost:
        notes.append(f"{task.task}: no score on {task.split} of {', '.join(lost)}")
    if len({score.seeds for score in scores.values()}) > 1:
        said = (f"{name} {' '.join(map(str, score.seeds))}" for name, score in scores.items())
        notes.append(f"{task.task}: seeds differ: {', '.join(said)}")
    return notes
