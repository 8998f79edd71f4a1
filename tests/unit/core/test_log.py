"""Progress on a terminal and off it, and the run log."""

import io
import json
import sys
import time
from pathlib import Path

import pytest

from hanmo.core import log
from hanmo.core.errors import UserError
from hanmo.core.log import Progress, RunLog, duration, run_log, say


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def test_a_short_job_off_a_terminal_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("encode", 3) as bar:
        bar.advance(3)
    assert capfd.readouterr() == ("", "")


def test_a_long_job_off_a_terminal_writes_a_line_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("encode", 120, "parts") as bar:
        for _ in range(3):
            clock.now += 10
            bar.advance(20, words="1.2 M")
    assert capsys.readouterr().err.splitlines() == [
        "encode: 40/120 parts (33%)  ETA 0:40  words 1.2 M",
        "encode: 60/120 parts (50%)  ETA 0:30  words 1.2 M",
    ]


def test_work_of_an_earlier_run_is_left_out_of_the_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("encode", 100, "parts") as bar:
        bar.skip(80)
        clock.now += 20
        bar.advance(10)
    [line] = set(capsys.readouterr().err.splitlines())
    assert line == "encode: 90/100 parts (90%)  ETA 0:20"


def test_without_a_total_there_is_no_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("read", unit="lines") as bar:
        clock.now += 75
        bar.advance(1500)
    assert set(capsys.readouterr().err.splitlines()) == {"read: 1,500 lines  1:15"}


def test_a_job_that_fails_says_nothing_of_its_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZeroDivisionError), Progress("encode", 3):
        clock.now += 5
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


def test_on_a_terminal_one_line_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress("encode", 3, "parts") as bar:
        bar.advance(2, words="1.2 M")
    shown = terminal.getvalue()
    for part in ("encode", "2/3", "parts", "67%", "ETA", "words 1.2 M"):
        assert part in shown


def test_durations() -> None:
    assert [duration(s) for s in (0, 59.6, 75, 4000)] == ["0:00", "1:00", "1:15", "1:06:40"]


def test_say_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("完成")
    assert capsys.readouterr() == ("", "完成\n")


def test_the_run_log_is_json_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    with run_log(path) as written:
        written.write(step=1, loss=2.5, note="好")
        assert path.read_text() == '{"step": 1, "loss": 2.5, "note": "好"}\n'
    with run_log(path) as written:
        written.write(step=2, loss=float(2))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_the_run_log_is_closed_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_log(tmp_path / "log.jsonl") as written:
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="closed"):
        written.write(step=1)


def test_numbers_go_to_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Board:
        def __init__(self) -> None:
            self.scalars: list[tuple[str, float, int]] = []
            self.closed = False

        def add_scalar(self, key: str, value: float, step: int) -> None:
            self.scalars.append((key, value, step))

        def close(self) -> None:
            self.closed = True

    board = Board()
    monkeypatch.setattr(log, "_summary_writer", lambda folder: board)
    with run_log(tmp_path / "log.jsonl", tmp_path / "events") as written:
        written.write(step=7, loss=0.5, note="text")
    assert board.scalars == [("loss", 0.5, 7)]
    assert board.closed


def test_a_missing_tensorboard_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        UserError, match=r"--tensorboard needs .* pip install 'hanmo\[tensorboard\]'"
    ):
        RunLog(tmp_path / "log.jsonl", tmp_path / "events")


def test_tensorboard_itself_is_not_needed_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with run_log(tmp_path / "log.jsonl") as written:
        written.write(step=1)
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8") == '{"step": 1}\n'
