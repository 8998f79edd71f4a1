"""The picture of the spread: a strip a model, a dot a seed, and what it does not draw."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report_cases import SMALL, make_run

from hanmo.report import spread
from hanmo.report.spread import MARK, spread_png
from hanmo.report.table import tables


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def spy(self: Figure, *args: object, **options: Any) -> None:
        saved.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return saved


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.get_axes() if axes.axison]


def names(panel: Axes) -> list[str]:
    return [label.get_text() for label in panel.get_yticklabels()]


def test_a_dot_a_seed_and_a_bar_at_the_mean(figures: list[Figure]) -> None:
    runs = [make_run(seed, dev=dev) for seed, dev in ((1, 0.8), (2, 0.9), (3, 0.85))]
    runs.append(make_run(1, model="peer", dev=0.7))
    png = spread_png(tables(runs))
    assert png is not None
    assert png.startswith(b"\x89PNG\r\n")
    assert f"Software\0{MARK}".encode() in png[:4096]
    [panel] = panels(figures[0])
    assert names(panel) == ["ours", "peer"]
    assert panel.get_title(loc="left") == "toy: accuracy on dev"
    range_, dots, bar = panel.get_lines()[:3]
    assert sorted(dots.get_xdata()) == pytest.approx([80, 85, 90])
    assert list(bar.get_xdata()) == pytest.approx([85, 85])
    assert list(range_.get_xdata()) == pytest.approx([80, 90])
    assert {text.get_text() for text in panel.texts} == {"90.0 (85.0) ± 5.0", "70.0 (70.0)"}
    low, high = panel.get_xlim()
    assert low < 70
    assert high > 90
    assert spread_png(tables(runs)) == png
    # Something is drawn: not all of it is paper.
    pixels = np.asarray(figures[0].canvas.buffer_rgba())  # type: ignore[attr-defined]
    assert 0.005 < (pixels[..., :3] < 250).any(axis=-1).mean() < 0.5


def test_near_published_rows_are_ticks_and_far_ones_arrows(figures: list[Figure]) -> None:
    near = tables(
        [make_run(seed, dev=0.94 + seed / 500, published="ChnSentiCorp") for seed in (1, 2)]
    )
    far = tables([make_run(dev=0.6, published="ChnSentiCorp", parameters=SMALL)])
    for made in (near, far):
        spread_png(made)
    one, other = (panels(figure)[0] for figure in figures)
    assert "LERT-base" in names(one)
    assert len(names(one)) == 1 + spread._PUBLISHED
    assert "RBT3" in names(other)
    assert [line.get_marker() for line in other.get_lines()].count(">") == len(names(other)) - 1
    assert ">" not in [line.get_marker() for line in one.get_lines()]
    assert other.get_xlim()[1] < 65
    mean, best = 94.7, 94.9  # LERT-base
    place = names(one).index("LERT-base")
    ticks = [
        x
        for line in one.get_lines()
        if line.get_marker() == "|"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        if y == place
    ]
    assert sorted(ticks) == pytest.approx([mean, best])


@pytest.mark.parametrize(("n_tasks", "n_models"), [(1, 1), (2, 3), (3, 8), (6, 8)])
def test_many_tasks_and_models_have_a_strip_each(
    figures: list[Figure], n_tasks: int, n_models: int
) -> None:
    runs = [
        make_run(seed, model=f"model-{model}", task=f"task-{task}", dev=0.5 + seed / 100)
        for task in range(n_tasks)
        for model in range(n_models)
        for seed in (1, 2, 3)
    ]
    spread_png(tables(runs))
    [figure] = figures
    assert len(panels(figure)) == n_tasks
    assert all(len(names(panel)) == n_models for panel in panels(figure))
    # Strips are at least as high as their letters.
    for panel in panels(figure):
        height = panel.get_window_extent().height / n_models
        assert height > 8 / 72 * figure.dpi
    colours = [panel.get_lines()[0].get_color() for panel in panels(figure)]
    assert len(set(colours)) == 1  # a model looks the same everywhere


def test_any_name_can_be_drawn(figures: list[Figure]) -> None:
    models = ("好评", "a$b$c", "x" * 60, "50%_")
    spread_png(tables([make_run(model=model, task="情感$") for model in models]))
    [panel] = panels(figures[0])
    shown = names(panel)
    assert r"\u597d\u8bc4" in shown
    assert "a$b$c" in shown
    assert max(map(len, shown)) == 34
    assert all(name.replace("…", "").isascii() for name in shown)


def test_no_scores_no_picture(figures: list[Figure]) -> None:
    assert spread_png(tables([make_run(scores={})])) is None
    assert figures == []
