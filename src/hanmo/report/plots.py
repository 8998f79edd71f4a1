"""A picture of a pre-training run: losses of every task, and the weights of the label losses.

In: a run's `log.jsonl`, one record a line with "step", "loss", "loss/mlm", "loss/pos" …,
"weight/pos" …; other records (evaluations, notes) are passed over. Out: a PNG of two panels. The
weights are LERT's linguistically-informed schedule (facts/01 "Loss and LIP"), so that one sees
which task joins when.

    plot_losses(Path("work/pretrain/lert/log.jsonl"), Path("losses.png"))
"""

import io
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, write_atomic

_LOSS, _WEIGHT = "loss/", "weight/"
# The palette of Okabe and Ito, told apart by colour-blind readers too; line styles for print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", "--", "-.", ":")
_POINTS = 60  # smoothing keeps about this many independent points

Curve = tuple[list[float], list[float]]


def plot_losses(log_path: Path, png_path: Path) -> None:
    """Draw a run's losses, and its loss weights where it has any, over its steps.

    A run that was stopped and resumed may have logged a step twice: the later record counts.

    Raises:
        UserError: no such log, or no record with a step and a loss in it.
    """
    records = _records(log_path)
    losses = _curves(records, _LOSS) or _curves(records, "loss")
    weights = _curves(records, _WEIGHT)
    # Figure, not pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.4 if weights else 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if weights else 1, sharex=True, squeeze=False)[:, 0]
    names = dict.fromkeys([*losses, *weights])  # a task looks the same in both panels
    looks = dict(zip(names, itertools.cycle(zip(COLOURS, itertools.cycle(_STYLES))), strict=False))
    _draw(panels[0], losses, looks, title="Loss per task", unit="loss", smooth=True)
    if weights:
        _draw(panels[1], weights, looks, title="Weight of each label loss", unit="weight")
    panels[-1].set_xlabel("step")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_atomic(png_path, stream.getvalue())


def _records(log_path: Path) -> list[Mapping[str, Any]]:
    by_step = {record["step"]: record for record in _steps(log_path)}
    if not by_step:
        raise UserError(
            f"{log_path}: no record with 'step' and 'loss'; expected the log.jsonl of a run that "
            "has done at least one step"
        )
    return [by_step[step] for step in sorted(by_step)]


def _steps(log_path: Path) -> Iterator[Mapping[str, Any]]:
    for _, record in json_lines(log_path):
        if isinstance(record, dict) and "step" in record and "loss" in record:
            yield record


def _curves(records: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, Curve]:
    """Collect name → (steps, values) of the numbers whose key starts with `prefix`."""
    curves: dict[str, Curve] = defaultdict(lambda: ([], []))
    for record in records:
        for key, value in record.items():
            if not isinstance(value, int | float):
                continue
            if key == prefix or (prefix.endswith("/") and key.startswith(prefix)):
                steps, values = curves[key.removeprefix(prefix) or "total"]
                steps.append(record["step"])
                values.append(value)
    return dict(curves)


def _draw(
    axes: Any,
    curves: Mapping[str, Curve],
    looks: Mapping[str, tuple[str, str]],
    *,
    title: str,
    unit: str,
    smooth: bool = False,
) -> None:
    for name, (steps, values) in curves.items():
        colour, style = looks[name]
        if smooth and len(values) > 2 * _POINTS:
            axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
            values = _smoothed(values)  # noqa: PLW2901
        axes.plot(steps, values, style, color=colour, linewidth=1.8, label=name)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=min(4, len(curves)))


def _smoothed(values: Sequence[float]) -> list[float]:
    """Centred moving mean over a width of 1/60 of the run; windows are cut at both ends."""
    width = max(1, len(values) // _POINTS)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    start = np.maximum(places - width // 2, 0)
    stop = np.minimum(places + width // 2 + 1, len(values))
    means: list[float] = ((sums[stop] - sums[start]) / (stop - start)).tolist()
    return means
