"""Colours only where somebody can see and wants them."""

import io
import sys

import pytest
from inspection_cases import SECOND, sentence, without_colours

from hanmo.inspection.lines import line_of
from hanmo.inspection.terminal import Printed, interlinear, painted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines() -> list[Printed]:
    return interlinear(line_of(sentence(SECOND)), columns=80)


def test_no_colours_elsewhere(lines: list[Printed]) -> None:
    assert painted(lines) == "".join("".join(t for t, _ in row) + "\n" for row in lines)


def test_colours_on_a_terminal_alone_change_nothing(
    lines: list[Printed], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = painted(lines)
    monkeypatch.setattr(sys, "stdout", Terminal())
    coloured = painted(lines)
    assert "\x1b[36m" in coloured
    assert without_colours(coloured) == plain


def test_no_color_is_heeded(lines: list[Printed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    # Bold and dim are no colours.
    assert not any(f"\x1b[{code}m" in painted(lines) for code in (31, 32, 33, 34, 35, 36))


def test_a_dumb_terminal_has_no_colours(
    lines: list[Printed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in painted(lines)
