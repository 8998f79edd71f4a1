import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from hanmo.core.errors import UserError
from hanmo.report.plots import plot_losses


def write_log(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def drawn(monkeypatch: pytest.MonkeyPatch, log: Path, png: Path) -> Figure:
    """Draw, and return the figure that was saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def spy(self: Figure, *args: object, **options: object) -> None:
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    plot_losses(log, png)
    return figures[0]


def test_losses_and_weights_have_a_panel_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        {"step": s, "loss": 9 - s, "loss/mlm": 5 - s, "loss/pos": 4.0, "weight/pos": s / 4}
        for s in range(1, 5)
    ]
    # Evaluations and notes are no training steps; a resumed run logs a step again.
    extra = [{"epoch": 1, "loss": 3.0}, {"step": 2, "note": "saved"}, records[1] | {"loss/mlm": 7}]
    log = write_log(tmp_path / "log.jsonl", [*records, *extra])
    figure = drawn(monkeypatch, log, tmp_path / "losses.png")
    losses, weights = figure.axes
    lines = {line.get_label(): line for line in losses.get_lines()}
    assert set(lines) == {"mlm", "pos"}
    assert list(lines["mlm"].get_xdata()) == [1, 2, 3, 4]
    assert list(lines["mlm"].get_ydata()) == [4, 7, 2, 1]
    [line] = weights.get_lines()
    assert list(line.get_ydata()) == [0.25, 0.5, 0.75, 1.0]
    assert line.get_color() == lines["pos"].get_color() != lines["mlm"].get_color()
    assert weights.get_xlabel() == "step"
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_run_without_label_losses_has_one_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_log(tmp_path / "log.jsonl", [{"step": s, "loss": 1 / s} for s in (1, 2, 3)])
    [panel] = drawn(monkeypatch, log, tmp_path / "losses.png").axes
    assert [line.get_label() for line in panel.get_lines()] == ["total"]


def test_a_long_noisy_run_gets_a_smooth_line_with_the_same_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{"step": s, "loss": 1, "loss/mlm": 2.0 + (-1) ** s} for s in range(1, 1201)]
    log = write_log(tmp_path / "log.jsonl", records)
    [panel] = drawn(monkeypatch, log, tmp_path / "losses.png").axes
    raw, smooth = (list(line.get_ydata()) for line in panel.get_lines())
    assert len(raw) == len(smooth) == 1200
    assert max(raw) - min(raw) == 2
    assert max(abs(value - 2) for value in smooth) < 0.1


@pytest.mark.parametrize("content", ["", '{"epoch": 1}\n[1]\n'])
def test_a_log_without_steps_is_refused(tmp_path: Path, content: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="no record with 'step' and 'loss'"):
        plot_losses(log, tmp_path / "losses.png")
    with pytest.raises(UserError, match="no such file"):
        plot_losses(tmp_path / "absent.jsonl", tmp_path / "losses.png")
