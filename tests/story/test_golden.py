"""The first steps of every objective against recorded losses.

A change that should not alter results must leave these traces alone; one that should is recorded
with `HANMO_GOLDEN=write pytest tests/story/test_golden.py`. Other processors round differently,
hence the tolerance; dropout is off because its random numbers differ between builds of torch.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hanmo.core import registry
from hanmo.objectives._objective import PACKAGE
from training_cases import log_lines, options_of, run_pretrain

GOLDEN = Path(__file__).resolve().parents[1] / "fixtures" / "golden"
STEPS = 20
TOLERANCE = 1e-4


def trace(shards: Path, out: Path, objective: str) -> list[dict[str, Any]]:
    options = options_of(objective, shards.parent)
    run_pretrain(
        shards, out, objective=objective, options=options, steps=STEPS, log_every=1, dropout=0.0
    )
    return log_lines(out)


@pytest.mark.parametrize("objective", registry.names(PACKAGE))
def test_the_trace_is_the_recorded_one(objective: str, shards: Path, tmp_path: Path) -> None:
    path = GOLDEN / f"{objective}.json"
    got = trace(shards, tmp_path / "run", objective)
    if os.environ.get("HANMO_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(line, sort_keys=True) for line in got)
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    assert path.is_file(), f"no golden trace of {objective}; record it (see the module docstring)"
    expected = json.loads(path.read_text())
    assert len(got) == len(expected) == STEPS
    for line, golden in zip(got, expected, strict=True):
        assert line == pytest.approx(golden, rel=TOLERANCE)


def test_no_trace_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(registry.names(PACKAGE))
