"""A picture of how far seeds lie apart: one panel a task, one strip a model, one dot a seed.

In: tables. Out: a PNG. A bar is a model's mean over seeds; below ours stand the published rows of
the table with ticks at their mean and max. Scores are in percent, of the table's main split and
first metric; the cell of the table is printed at the end of its strip. The axis follows our scores:
a published score far away would press the dots together, and is an arrow at the edge instead.

    spread_png(tables(collect([folder]).runs))
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from hanmo.report.plots import COLOURS
from hanmo.report.table import Cell, Row, Table, metric_name

# Written into the file, so that a later report knows its own picture.
MARK = "hanmo report"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_GREY = "#8a8a8a"
_PUBLISHED = 10  # at most so many published rows a panel
_NAME = 34  # longest name beside a strip, in characters
_STRIP, _FRAME = 0.27, 0.95  # inches: height of a strip, and of a panel's title and axis
_WIDE, _NARROW = 9.0, 7.6  # inches: width of the only column, and of each of two
_REACH = 2.5  # the axis reaches so many times the range of our scores beyond it, if needed
_LEAST_RANGE = 1.0  # points: so that a single seed has an axis

Strip = tuple[Row, Cell]


def spread_png(made: Sequence[Table]) -> bytes | None:
    """Draw the scores of every task's main split; None when no run has a score."""
    panels = [(table, _strips(table)) for table in made if table.main]  # each with ours
    if not panels:
        return None
    # Figure, not pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = _columns([len(strips) for _, strips in panels])
    heights = [[len(panels[i][1]) * _STRIP + _FRAME for i in column] for column in columns]
    tallest = max(map(sum, heights))
    width = _WIDE if len(columns) == 1 else _NARROW * len(columns)
    figure = Figure(figsize=(width, tallest + 0.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    looks = _looks(made)
    for part, column, sizes in zip(parts, columns, heights, strict=True):
        # What a shorter column lacks is an empty panel, so that all strips are equally high.
        ratios = [*sizes, max(tallest - sum(sizes), 0.01)]
        axes = part.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
        axes[-1].set_axis_off()
        for axis, i in zip(axes, column, strict=False):
            _draw(axis, *panels[i], looks)
    _legend(figure, published=any(table.published for table, _ in panels))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": MARK})
    return stream.getvalue()


def _columns(counts: Sequence[int]) -> list[list[int]]:
    """Return the panels of each column, in order: one column up to two panels, else two."""
    places = list(range(len(counts)))
    if len(counts) < 3:
        return [places]
    sizes = [count * _STRIP + _FRAME for count in counts]
    cut = min(places[1:], key=lambda place: max(sum(sizes[:place]), sum(sizes[place:])))
    return [places[:cut], places[cut:]]


def _strips(table: Table) -> list[Strip]:
    """Return our rows in the order of the table, then the best published ones."""
    metric = table.metrics[0]
    own = [(row, row.cells[table.main][metric]) for row in table.own if table.main in row.cells]
    others = [
        (row, cell)
        for row in table.published
        if (cell := row.cells.get(table.main, {}).get(metric)) is not None
    ]
    others.sort(key=lambda strip: -_marks(strip[1])[-1])
    return [*own, *others[:_PUBLISHED]]


def _marks(cell: Cell) -> list[float]:
    """Return what is known of a published cell: mean and max, or one of them."""
    return [number for number in (cell.mean, cell.best) if number is not None]


def _looks(made: Sequence[Table]) -> dict[str, tuple[str, str]]:
    """Return row → colour and marker: a model looks the same in every panel."""
    names = dict.fromkeys(row.model for table in made for row in table.own)
    return {
        name: (COLOURS[i % len(COLOURS)], _MARKERS[i % len(_MARKERS)])
        for i, name in enumerate(names)
    }


def _draw(
    axis: Any, table: Table, strips: Sequence[Strip], looks: Mapping[str, tuple[str, str]]
) -> None:
    low, high = _limits(table, strips)
    for place, (row, cell) in enumerate(strips):
        if row.runs:
            _draw_own(axis, place, _scores(table, row), cell, looks[row.model])
        else:
            _draw_published(axis, place, cell, (low, high))
        axis.text(
            1.02,
            place,
            str(cell),
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color="black" if row.runs else _GREY,
        )
    axis.set_xlim(low, high)
    axis.set_ylim(len(strips) - 0.4, -0.6)
    axis.set_yticks(range(len(strips)), [_name(row.model) for row, _ in strips], fontsize=8)
    for label, (row, _) in zip(axis.get_yticklabels(), strips, strict=True):
        label.set_parse_math(False)  # "$" in a name is a letter
        label.set_color("black" if row.runs else _GREY)
    ours = sum(bool(row.runs) for row, _ in strips)
    if ours < len(strips):
        axis.axhline(ours - 0.5, color=_GREY, alpha=0.5, linewidth=0.6, linestyle=":")
    known = sum(table.metrics[0] in row.cells.get(table.main, ()) for row in table.published)
    if known > _PUBLISHED:
        note = f"the best {_PUBLISHED} of {known} published rows"
        axis.set_xlabel(note, loc="right", fontsize=7, color=_GREY)
    title = f"{_name(table.task)}: {metric_name(table.metrics[0])} on {table.main}"
    axis.set_title(title, loc="left", fontsize=10, parse_math=False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", alpha=0.25)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _draw_own(
    axis: Any, place: int, scores: Sequence[float], cell: Cell, look: tuple[str, str]
) -> None:
    colour, marker = look
    axis.plot([min(scores), max(scores)], [place, place], color=colour, alpha=0.35, linewidth=2.2)
    axis.plot(
        scores,
        [place] * len(scores),
        marker,
        color=colour,
        alpha=0.75,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
    )
    axis.plot([cell.mean] * 2, [place - 0.34, place + 0.34], color=colour, linewidth=2.4)


def _draw_published(axis: Any, place: int, cell: Cell, limits: tuple[float, float]) -> None:
    low, high = limits
    marks = _marks(cell)
    inside = [mark for mark in marks if low <= mark <= high]
    if inside:
        axis.plot([inside[0], inside[-1]], [place, place], color=_GREY, alpha=0.5, linewidth=1)
        for mark in inside:
            size, width = (10, 1.6) if mark == cell.mean else (5, 1.0)
            axis.plot([mark], [place], "|", color=_GREY, markersize=size, markeredgewidth=width)
        return
    edge, marker = (low, "<") if marks[0] < low else (high, ">")
    axis.plot([edge], [place], marker, color=_GREY, markersize=5, clip_on=False)


def _scores(table: Table, row: Row) -> list[float]:
    """Return the seeds' scores in percent."""
    metric = table.metrics[0]
    runs = [run.scores[table.main] for run in row.runs if table.main in run.scores]
    return [100 * scores[metric] for scores in runs]


def _limits(table: Table, strips: Sequence[Strip]) -> tuple[float, float]:
    """Return the ends of the axis: our scores, and the published ones that are near."""
    ours = [score for row, _ in strips if row.runs for score in _scores(table, row)]
    reach = _REACH * max(max(ours) - min(ours), _LEAST_RANGE)
    near = [
        mark
        for row, cell in strips
        if not row.runs
        for mark in _marks(cell)
        if min(ours) - reach <= mark <= max(ours) + reach
    ]
    low, high = min(ours + near), max(ours + near)
    margin = 0.06 * max(high - low, _LEAST_RANGE)
    return low - margin, high + margin


def _name(text: str) -> str:
    """Return a name that the font has the letters of, and that fits beside a strip.

    Of a model with several settings the end is kept too: rows may differ in it alone.
    """
    plain = text.encode("ascii", "backslashreplace").decode()
    if len(plain) <= _NAME:
        return plain
    half = (_NAME - 1) // 2
    return plain[:half] + "…" + plain[half + 1 - _NAME :]


def _legend(figure: Any, *, published: bool) -> None:
    from matplotlib.lines import Line2D

    dark = "#333333"
    entries = [
        Line2D([], [], marker="o", linestyle="", color=dark, markersize=5.5, label="a seed"),
        Line2D(
            [],
            [],
            marker="|",
            linestyle="",
            color=dark,
            markersize=11,
            markeredgewidth=2.4,
            label="mean over seeds",
        ),
    ]
    if published:
        entries.append(
            Line2D(
                [],
                [],
                marker="|",
                color=_GREY,
                markersize=9,
                linewidth=1,
                label="published mean (tall) and max (short)",
            )
        )
        entries.append(
            Line2D(
                [],
                [],
                marker=">",
                linestyle="",
                color=_GREY,
                markersize=5,
                label="published, beyond the axis",
            )
        )
    figure.legend(handles=entries, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
