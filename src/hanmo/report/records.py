"""The tables in long form, for programs: CSV with a line a number, and rows that JSON can hold.

task,metric,model,source,split,max,mean,deviation,best_seed,seeds,size,chosen
cmrc2018,em,lert,here,dev,65.5000,64.4000,0.5000,2,3,base,no
"""

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any

from hanmo.report.table import Cell, Row, Table

# Version 0.1.0 had these columns and the number of seeds: such a file is ours as well.
_OLD_COLUMNS = ("task", "metric", "model", "source", "split", "max", "mean", "deviation")
_COLUMNS = (*_OLD_COLUMNS, "best_seed", "seeds", "size", "chosen")
BEGINNING = ",".join(_OLD_COLUMNS) + ","  # of every such file


def csv_text(made: Sequence[Table]) -> str:
    """Write the tables as CSV: one line a task, metric, model and split; scores in percent."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for table in made:
        for row, metric, split, cell in _cells(table):
            numbers = (cell.best, cell.mean, cell.deviation)
            shown = ["" if number is None else f"{number:.4f}" for number in numbers]
            best = " ".join(map(str, cell.best_seeds))
            # A split that some of the runs lack has fewer seeds than the row.
            seeds = sum(split in run.scores for run in row.runs)
            chosen = "yes" if row.chosen else "no"
            key = (table.task, metric, row.model, cell.source, split)
            writer.writerow([*key, *shown, best, seeds, row.size, chosen])
    return stream.getvalue()


def _cells(table: Table) -> Iterator[tuple[Row, str, str, Cell]]:
    for row in table.rows:
        for split in table.splits:
            for metric in table.metrics:
                cell = row.cells.get(split, {}).get(metric)
                if cell is not None:
                    yield row, metric, split, cell


def plain_rows(made: Sequence[Table]) -> list[dict[str, Any]]:
    """Return the tables' rows as values that JSON can hold.

    "cells" has the main metric's (split → scores), "metrics" every one's (metric → split → scores).
    """
    rows = []
    for table in made:
        for row in table.rows:
            metrics: dict[str, dict[str, Any]] = {metric: {} for metric in table.metrics}
            for split, cells in row.cells.items():
                for metric, cell in cells.items():
                    metrics[metric][split] = dataclasses.asdict(cell)
            rows.append(
                {
                    "task": table.task,
                    "metric": table.metrics[0],
                    "model": row.model,
                    "source": row.source,
                    "size": row.size,
                    "seeds": row.seeds,
                    "chosen": row.chosen,
                    "cells": metrics[table.metrics[0]],
                    "metrics": metrics,
                }
            )
    return rows
