"""The table of a teacher and its students as Markdown, as CSV, and as values for JSON.

In: a `Shrinking` and the sentences that say how it was measured. The CSV has one line a model; its
columns of scores are named by task, metric and split.

| model | parameters | without embeddings | MB | batch 1: examples/s | speed-up |
|---|---|---|---|---|---|
| base | 101.7 M | 85.1 M | 409.1 | 8.1 | 1.00 |
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from hanmo.report.shrinking import Score, Shrinking

TITLE = "# Teacher and students"  # first line of the Markdown
BEGINNING = "model,parameters,parameters_without_embeddings,weights_bytes,"  # of the CSV
_NONE = "—"


def markdown(made: Shrinking, conditions: Sequence[str]) -> str:
    """Write the tables, how they were measured, and the notes.

    Args:
        made: what was measured.
        conditions: sentences about machine and settings.
    """
    lines = [TITLE, "", *_sizes(made), ""]
    if made.tasks:
        lines += [*_scores(made), ""]
        lines += [
            f"Scores: max (mean) ± deviation over seeds, in percent. Kept: the mean as a share of "
            f"that of the teacher, {_escaped(made.teacher.name)}.",
            "",
        ]
    lines += [" ".join(conditions)]
    if made.notes:
        lines += ["", "Notes:", "", *(f"- {_escaped(note)}" for note in made.notes)]
    return "\n".join(lines) + "\n"


def _sizes(made: Shrinking) -> list[str]:
    batches = tuple(made.teacher.rounds)
    head = ["model", "parameters", "without embeddings", "MB"]
    for batch in batches:
        head += [f"batch {batch}: examples/s", "speed-up"]
    rows = []
    for model in made.models:
        row = [model.name, _millions(model.parameters), _millions(model.without_embeddings)]
        row.append(f"{model.megabytes:,.1f}")
        for batch in batches:
            row += [_short(model.per_second(batch)), f"{made.speed_up(model, batch):.2f}"]
        rows.append(row)
    return _table(head, rows)


def _scores(made: Shrinking) -> list[str]:
    head = ["model"]
    for task in made.tasks:
        head += [task.title, "kept"]
    rows = []
    for model in made.models:
        row = [model.name]
        for task in made.tasks:
            row += _cells(task.scores.get(model.name))
        rows.append([*row, _average(made, model.name)])
    return _table([*head, "average kept"], rows)


def _cells(score: Score | None) -> tuple[str, str]:
    if score is None:
        return _NONE, _NONE
    return str(score.cell), _NONE if score.kept is None else f"{score.kept:.1%}"


def _average(made: Shrinking, name: str) -> str:
    average = made.average_kept(name)
    if average is None:
        return _NONE
    n = len(made.tasks)
    part = f" (of {average.n_tasks} of {n} tasks)" if average.n_tasks < n else ""
    return f"{average.share:.1%}{part}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(_escaped, head)) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows]


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _millions(n: int) -> str:
    """`10279424` → `10.3 M`; small ones keep two digits."""
    return f"{n / 1e6:,.1f} M" if n >= 1e6 else f"{n / 1e6:.2g} M"


def _short(number: float) -> str:
    return (
        f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 1 else f"{number:.2g}"
    )


def csv_text(made: Shrinking) -> str:
    """Write one line a model; scores and shares in percent, empty where there are none."""
    head = [*BEGINNING.rstrip(",").split(",")]
    batches = tuple(made.teacher.rounds)
    for batch in batches:
        head += [f"examples_per_second_batch_{batch}", f"speed_up_batch_{batch}"]
    for task in made.tasks:
        start = f"{task.task} {task.metric} {task.split}"
        head += [f"{start} {what}" for what in ("max", "mean", "deviation", "seeds", "kept")]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*head, "average_kept", "average_over_tasks"])
    for model in made.models:
        row: list[object] = [model.name, model.parameters, model.without_embeddings]
        row.append(model.weights_bytes)
        for batch in batches:
            row += [f"{model.per_second(batch):.4g}", f"{made.speed_up(model, batch):.4f}"]
        for task in made.tasks:
            score = task.scores.get(model.name)
            row += [""] * 5 if score is None else _numbers(score)
        average = made.average_kept(model.name)
        row += [_number(100 * average.share), average.n_tasks] if average else ["", 0]
        writer.writerow(row)
    return stream.getvalue()


def _numbers(score: Score) -> list[object]:
    cell = score.cell
    kept = None if score.kept is None else 100 * score.kept
    shown: list[object] = [_number(value) for value in (cell.best, cell.mean, cell.deviation)]
    return [*shown, len(score.seeds), _number(kept)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def plain(made: Shrinking) -> list[dict[str, Any]]:
    """Return what is known of each model, as values that JSON can hold."""
    return [
        {
            "model": model.name,
            "parameters": model.parameters,
            "parameters_without_embeddings": model.without_embeddings,
            "weights_bytes": model.weights_bytes,
            "speed": {
                str(batch): {
                    "examples_per_second": model.per_second(batch),
                    "speed_up": made.speed_up(model, batch),
                    "measurements": list(model.rounds[batch]),
                }
                for batch in model.rounds
            },
            "scores": {
                task.title: _plain_score(task.scores[model.name])
                | {"task": task.task, "metric": task.metric, "split": task.split}
                for task in made.tasks
                if model.name in task.scores
            },
            "average_kept": _plain_average(made, model.name),
        }
        for model in made.models
    ]


def _plain_score(score: Score) -> dict[str, Any]:
    cell = score.cell
    return {
        "max": cell.best,
        "mean": cell.mean,
        "deviation": cell.deviation,
        "seeds": list(score.seeds),
        "kept": score.kept,
        "settings": score.label,
    }


def _plain_average(made: Shrinking, name: str) -> Mapping[str, float] | None:
    average = made.average_kept(name)
    return None if average is None else {"share": average.share, "tasks": average.n_tasks}
