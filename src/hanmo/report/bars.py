"""A bar chart as an SVG element that stands inside an HTML page.

In: names and numbers. Out: the text of one `<svg>` element without anything from elsewhere: no
fonts, no links, no metadata. Ids are made the chart's own, for several may stand in one page; the
same numbers give the same text.

    bars_svg("pos", [("n", 0.31), ("v", 0.22)], unit="share of words", key="pos")
"""

import io
import re
from collections.abc import Sequence

from hanmo.report.plots import COLOURS

_WIDE, _HIGH = 9.0, 2.6  # inches
_LEAST_BARS = 8  # fewer bars are drawn as wide as if there were so many
_LONG = 4  # names of more characters are written aslant


def bars_svg(
    title: str, bars: Sequence[tuple[str, float]], *, unit: str, key: str, mark_none: bool = False
) -> str:
    """Draw bars.

    Args:
        title: above the chart; ASCII, for the fonts of the machine may lack the rest.
        bars: name and number of each.
        unit: what the numbers are.
        key: of letters and digits; what its ids begin with.
        mark_none: write a 0 where a bar has no height.
    """
    # Figure, not pyplot: no global state, no display, nothing to close.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "svg.id": None}):
        figure = Figure(figsize=(_WIDE, _HIGH), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        places = range(len(bars))
        axes.bar(places, [value for _, value in bars], color=COLOURS[0], width=0.8)
        names = [name for name, _ in bars]
        aslant = max(map(len, names), default=0) > _LONG
        # "$" would begin a formula.
        axes.set_xticks(places, [name.replace("$", r"\$") for name in names])
        axes.tick_params(axis="x", labelrotation=35 if aslant else 0, labelsize=8)
        axes.set_xlim(-0.6, max(len(bars), _LEAST_BARS) - 0.4)
        for place, (_, value) in enumerate(bars):
            if mark_none and not value:
                axes.annotate("0", (place, 0), ha="center", va="bottom", color=COLOURS[1])
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _element(stream.getvalue(), key)


def _element(document: str, key: str) -> str:
    """Take the `<svg>` element out of an SVG document, with ids of its own."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="', f' id="{key}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{key}-", svg)
    # The page's style decides how wide it is.
    return re.sub(
        r'^<svg ([^>]*?)(width|height)="[^"]*"([^>]*?)(width|height)="[^"]*"', r"<svg \1\3", svg
    ).strip()
