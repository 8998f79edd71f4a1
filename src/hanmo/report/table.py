"""Tables of scores as the field prints them: max (mean) over seeds, beside published rows.

In: runs. Out: one table a task, as Markdown, CSV or plain values. Percent, one decimal. Runs of one
model and task that differ in a setting (learning rate, epochs …) are rows of their own; a setting
that is not the task's is named behind the model, because published rows do not compare with it.

    markdown(tables(collect([folder]).runs), collected)
"""

import csv
import dataclasses
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hanmo.core.errors import UserError
from hanmo.report.published import results
from hanmo.report.runs import Collected, Run

TITLE = "# Scores"  # first line of the Markdown
_HERE = "here"
_SPLITS = ("dev", "test")


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """Scores of one split in percent.

    Attributes:
        best: the highest.
        mean: None where a publication prints one number only.
        deviation: standard deviation over seeds; None for published rows and single runs.
    """

    best: float
    mean: float | None
    deviation: float | None = None

    def __str__(self) -> str:
        return f"{self.best:.1f}" if self.mean is None else f"{self.best:.1f} ({self.mean:.1f})"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A model's scores on a task; `seeds` is empty for published rows."""

    model: str
    source: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """All rows of a task: ours first."""

    task: str
    metric: str
    splits: tuple[str, ...]
    rows: tuple[Row, ...]


def tables(runs: Sequence[Run], *, published: bool = True) -> list[Table]:
    """Make a table for each task.

    Args:
        runs: as `collect` returns them.
        published: add the published rows of the task.

    Raises:
        UserError: two runs of the same model, task, settings and seed.
    """
    by_task: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        by_task.setdefault((run.task, run.metric, run.published), []).append(run)
    return [_table(key, group, published) for key, group in by_task.items()]


def _table(key: tuple[str, str, str], runs: Sequence[Run], published: bool) -> Table:
    task, metric, name = key
    rows = _own_rows(runs)
    if published and name:
        rows += [
            Row(
                one.model,
                one.source,
                (),
                {split: Cell(best, mean) for split, (best, mean) in one.scores.items()},
            )
            for one in results(name, metric=metric)
        ]
    there = {split for row in rows for split in row.cells}
    splits = (*_SPLITS, *sorted(there - {*_SPLITS}))
    return Table(task, metric, tuple(split for split in splits if split in there), tuple(rows))


def _own_rows(runs: Sequence[Run]) -> list[Row]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        settings = json.dumps(dict(run.settings), sort_keys=True)
        groups.setdefault((run.model, settings), []).append(run)
    rows = []
    for (model, _), group in sorted(groups.items()):
        _check_seeds(group)
        changed = ", ".join(f"{key} {value}" for key, value in sorted(group[0].changed.items()))
        label = f"{model} [{changed}]" if changed else model
        rows.append(Row(label, _HERE, tuple(sorted(run.seed for run in group)), _cells(group)))
    return rows


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


def _cells(group: Sequence[Run]) -> dict[str, Cell]:
    values: dict[str, list[float]] = {}
    for run in group:
        for split, scores in run.scores.items():
            values.setdefault(split, []).append(100 * scores[run.metric])
    return {
        split: Cell(
            max(numbers),
            statistics.fmean(numbers),
            statistics.stdev(numbers) if len(numbers) > 1 else None,
        )
        for split, numbers in values.items()
    }


def markdown(made: Sequence[Table], collected: Collected) -> str:
    """Write the tables as Markdown, with what is missing at the end."""
    lines = [TITLE, "", "Percent: max (mean) over seeds.", ""]
    for table in made:
        lines += [f"## {table.task}: {table.metric}", ""]
        heading = ["model", *table.splits, "seeds", "source"]
        lines += ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
        for row in table.rows:
            cells = [str(row.cells.get(split, "–")) for split in table.splits]
            seeds = str(len(row.seeds)) if row.seeds else "–"
            words = [_escaped(row.model), *cells, seeds, row.source]
            lines.append("| " + " | ".join(words) + " |")
        lines.append("")
    lines += _absent(collected)
    return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _absent(collected: Collected) -> list[str]:
    counts = {
        "failed": len(collected.failed),
        "unfinished": len(collected.unfinished),
        "missing": len(collected.missing),
    }
    if not any(counts.values()):
        return []
    lines = ["Runs not in the tables: " + ", ".join(f"{n} {what}" for what, n in counts.items())]
    lines += ["", *(f"- {folder}: {why}" for folder, why in collected.failed.items())]
    return lines


def csv_text(made: Sequence[Table]) -> str:
    """Write the tables as CSV: one line a model, task and split."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["task", "metric", "model", "source", "split", "max", "mean", "deviation", "seeds"]
    )
    for table in made:
        for row in table.rows:
            for split, cell in row.cells.items():
                numbers = (cell.best, cell.mean, cell.deviation)
                shown = ["" if number is None else f"{number:.4f}" for number in numbers]
                writer.writerow(
                    [table.task, table.metric, row.model, row.source, split, *shown, len(row.seeds)]
                )
    return stream.getvalue()


def plain_rows(made: Sequence[Table]) -> list[dict[str, Any]]:
    """Return the tables' rows as values that JSON can hold."""
    return [
        {"task": table.task, "metric": table.metric, **dataclasses.asdict(row)}
        for table in made
        for row in table.rows
    ]
