"""Phases: read from text, found by step, each with its own schedule."""

import pytest

from hanmo.core.errors import UserError
from hanmo.train.optim import warmup_linear
from hanmo.train.phases import Phases, parse, single


def test_phases_follow_each_other() -> None:
    phases = parse(["100x128x64", "50 × 512 x 16@5e-5"], learning_rate=1e-4)
    one, two = phases
    assert (one.begin, one.end, one.max_length, one.batch_size) == (0, 100, 128, 64)
    assert (two.begin, two.end, two.max_length, two.batch_size) == (100, 150, 512, 16)
    assert (one.learning_rate, two.learning_rate) == (1e-4, 5e-5)
    assert (one.warmup, two.warmup) == (10, 5)
    assert phases.steps == 150
    assert phases.max_length == 512
    assert [phases.at(step).number for step in (0, 99, 100, 149)] == [0, 0, 1, 1]


def test_each_phase_warms_up_and_decays() -> None:
    phases = parse(["100x128x64", "50x512x16@5e-5"], learning_rate=1e-4)
    rates = [phases.learning_rate(step, warmup_linear) for step in range(150)]
    assert rates[0] == rates[100] == 0
    assert rates[10] == pytest.approx(0.9e-4)
    assert rates[105] == pytest.approx(0.9 * 5e-5)
    assert rates[99] == pytest.approx(1e-6)
    alone = single(100, 128, 64, 1e-4, None)
    assert [alone.learning_rate(step, warmup_linear) for step in range(100)] == rates[:100]
    assert isinstance(alone, Phases)


@pytest.mark.parametrize("text", ["", "100x128", "0x128x8", "100x128x8@", "axbxc", "9x9x9@-1"])
def test_another_form_is_named(text: str) -> None:
    with pytest.raises(UserError, match=r"phases: got .* STEPSxLENGTHxBATCH"):
        parse([text], learning_rate=1e-4)
