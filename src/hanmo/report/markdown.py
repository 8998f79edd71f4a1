"""The report as Markdown: how to read it, a table a task with its comparisons, what is missing.

    markdown(made, comparisons, collected)

| model | size | dev | test | seeds | best seed (dev) | source |
|---|---|---|---|---|---|---|
| lert | base | 94.7 (94.3) ± 0.3 | – | 3 | 2 | here |
"""

from collections.abc import Iterable, Mapping, Sequence

from hanmo.report.runs import Collected, Run
from hanmo.report.significance import LEAST_P, RESAMPLES, Comparison
from hanmo.report.sizes import EXPLANATION
from hanmo.report.table import Row, Table, metric_name

TITLE = "# Scores"  # first line of the Markdown
CHOSEN = "← best on dev"
_NONE = "–"


def markdown(
    made: Sequence[Table], comparisons: Sequence[Sequence[Comparison]], collected: Collected
) -> str:
    """Write the report.

    Args:
        made: the tables.
        comparisons: of our models, for each table.
        collected: the runs, for warnings and for what is missing.
    """
    lines = [TITLE, "", *_explanation(made), ""]
    told = warnings(collected.runs)
    if told:
        lines += ["Warnings:", ""]
        lines += [f"- {text} ({', '.join(tasks)})" for text, tasks in told.items()]
        lines.append("")
    for table, compared in zip(made, comparisons, strict=True):
        lines += [f"## {_escaped(table.title)}", "", *_rows(table), ""]
        lines += _notes(table)
        lines += _comparisons(table, compared)
    lines += _absent(collected)
    return "\n".join(lines).rstrip() + "\n"


def warnings(runs: Iterable[Run]) -> dict[str, list[str]]:
    """Return warning → the tasks that give it, each once."""
    told: dict[str, list[str]] = {}
    for run in runs:
        for text in run.warnings:
            tasks = told.setdefault(" ".join(text.split()), [])
            if run.task not in tasks:
                tasks.append(run.task)
    return told


def _explanation(made: Sequence[Table]) -> list[str]:
    sentences = [
        "Percent: max (mean) ± deviation over seeds; the deviation is the sample standard deviation"
        " over seeds, which a single seed does not have.",
        "The best seed is the one with the max of the first metric on the split in brackets.",
        f"Size: {EXPLANATION}; encoder and head are counted.",
    ]
    if any(table.published for table in made):
        sentences.append(
            "A published figure that several sources print is shown once, at the first of them. "
            "One number alone is all that a source prints; “– (90.0)” is one printed as a mean."
        )
    if any(row.chosen for table in made for row in table.rows):
        sentences.append(
            f"“{CHOSEN}” marks, of a model with several settings, the row with the best mean on "
            "dev: choosing on dev makes the dev scores of that row optimistic."
        )
    return sentences


def _rows(table: Table) -> list[str]:
    best = f"best seed ({table.main})" if table.main else "best seed"
    heading = ["model", "size", *table.splits, "seeds", best, "source"]
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    for row in table.rows:
        name = f"{row.model} {CHOSEN}" if row.chosen else row.model
        cells = [cell_text(row, split, table.metrics) for split in table.splits]
        words = [_escaped(name), row.size, *cells, *seed_words(row, table), _escaped(row.source)]
        lines.append("| " + " | ".join(words) + " |")
    return lines


def cell_text(row: Row, split: str, metrics: Sequence[str]) -> str:
    """Return a split's scores, as `65.5 (64.4) ± 0.5 / 84.5 (84.0) ± 0.3`."""
    cells = row.cells.get(split, {})
    if not cells:
        return _NONE
    return " / ".join(str(cells.get(metric, _NONE)) for metric in metrics)


def seed_words(row: Row, table: Table) -> tuple[str, str]:
    """Return the number of seeds, and those that gave the max of the main split."""
    if not row.runs:
        return _NONE, _NONE
    cell = row.cells.get(table.main, {}).get(table.metrics[0])
    best = ", ".join(map(str, cell.best_seeds)) if cell else _NONE
    return str(len(row.runs)), best


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _notes(table: Table) -> list[str]:
    if not table.left_out:
        return []
    sizes = " and ".join(table.sizes)
    rows = "1 row" if table.left_out == 1 else f"{table.left_out} rows"
    return [
        f"Published rows are those of our models' size ({sizes}); {rows} of other sizes left out "
        "(`--sizes all` adds them).",
        "",
    ]


def _comparisons(table: Table, compared: Sequence[Comparison]) -> list[str]:
    if not compared:
        return []
    lines = [f"Our models against each other on {table.main}:", ""]
    lines += [f"- {comparison_text(one, len(table.metrics) > 1)}" for one in compared]
    tested = [one for one in compared if not one.problem]
    if tested:
        caveat = (
            f"{RESAMPLES:,} resamples of the examples, the same for both models and every seed. "
            "The interval and p cover the sampling of examples, not that of training runs beyond "
            "these seeds."
        )
        if len(tested) > 1:
            caveat += f" The {len(tested)} values of p are not corrected for their number."
        if any(row.chosen for row in table.rows):
            caveat += f" Of a model with several settings the row “{CHOSEN}” is compared."
        lines += ["", caveat]
    return [*lines, ""]


def comparison_text(one: Comparison, named: bool) -> str:
    """Return a comparison in words.

    Args:
        one: the comparison.
        named: say which metric it is of.
    """
    metric = f", {metric_name(one.metric)}" if named else ""
    if one.problem:
        return f"{_escaped(one.first)} and {_escaped(one.second)}{metric}: no test: {one.problem}"
    p = f"p ≤ {LEAST_P}" if one.p <= LEAST_P else f"p = {one.p:.2g}"
    seeds = "1 seed" if len(one.seeds) == 1 else f"{len(one.seeds)} seeds"
    return (
        f"{_escaped(one.first)} over {_escaped(one.second)}{metric}: {one.difference:+.1f} points "
        f"(95 % interval {_points(one.low)} to {_points(one.high)}, {p}; {seeds}, "
        f"{one.examples:,} examples, paired bootstrap)"
    )


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"  # adding 0.0 makes -0.0 a 0.0


def _absent(collected: Collected) -> list[str]:
    counts: Mapping[str, int] = {
        "failed": len(collected.failed),
        "unfinished": len(collected.unfinished),
        "missing": len(collected.missing),
    }
    if not any(counts.values()):
        return []
    lines = ["Runs not in the tables: " + ", ".join(f"{n} {what}" for what, n in counts.items())]
    lines += ["", *(f"- {folder}: {why}" for folder, why in collected.failed.items())]
    return lines
