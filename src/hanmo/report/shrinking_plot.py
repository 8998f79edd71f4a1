"""A picture of a teacher and its students: what is kept of the scores against the speed-up.

In: a `Shrinking`. Out: a PNG with a panel a batch size: a disc a model, its area by the parameters
of its layers, small dots for single tasks. Up and to the right is better.

    shrinking_png(compare(models, runs))
"""

import io
from collections.abc import Mapping
from typing import Any

from hanmo.report.plots import COLOURS
from hanmo.report.shrinking import Measured, Shrinking

# Written into the file, so that a later call knows its own picture.
MARK = "hanmo sizes"
_LARGEST = 320  # points²: area of the largest disc
_LEAST = 25
_NAME = 24  # longest name beside a disc, in characters


def shrinking_png(made: Shrinking) -> bytes | None:
    """Draw the models that have an average share; None where fewer than two have one."""
    shown = [model for model in made.models if made.average_kept(model.name) is not None]
    if len(shown) < 2:
        return None
    # Figure, not pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    batches = tuple(made.teacher.rounds)
    figure = Figure(figsize=(5.4 * len(batches), 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    colours = {model.name: COLOURS[i % len(COLOURS)] for i, model in enumerate(made.models)}
    for axis, batch in zip(panels, batches, strict=True):
        for model in shown:
            _draw(axis, made, model, batch, colours)
        axis.axhline(100, color="#8a8a8a", alpha=0.6, linewidth=0.8, linestyle=":")
        axis.set_title(f"batch {batch}", loc="left", fontsize=11)
        axis.set_xlabel(f"speed-up over {_name(made.teacher.name)}", parse_math=False)
        axis.grid(alpha=0.25)
        axis.margins(0.16)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of the teacher's score kept, %")
    figure.supxlabel(
        "disc: average over tasks, its area by the parameters of the layers; dot: a task",
        fontsize=8,
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": MARK})
    return stream.getvalue()


def _draw(
    axis: Any, made: Shrinking, model: Measured, batch: int, colours: Mapping[str, str]
) -> None:
    average = made.average_kept(model.name)
    assert average is not None
    colour, x = colours[model.name], made.speed_up(model, batch)
    largest = max(one.without_embeddings for one in made.models)
    area = max(_LEAST, _LARGEST * model.without_embeddings / largest)
    scores = [task.scores.get(model.name) for task in made.tasks]
    single = [100 * one.kept for one in scores if one is not None and one.kept is not None]
    axis.scatter([x] * len(single), single, s=9, color=colour, alpha=0.7, linewidths=0)
    axis.scatter([x], [100 * average.share], s=area, color=colour, alpha=0.45)
    axis.annotate(
        _name(model.name),
        (x, 100 * average.share),
        xytext=(7, 7),
        textcoords="offset points",
        fontsize=8,
        parse_math=False,
    )


def _name(text: str) -> str:
    """Return a name that the font has the letters of."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= _NAME else plain[: _NAME - 1] + "…"
