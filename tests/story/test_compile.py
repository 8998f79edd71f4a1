"""`--compile`: the numbers of the plain run within rounding, and itself again bit for bit."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from hanmo.core.errors import UserError
from training_cases import assert_same_run, log_lines, run_pretrain

pytestmark = [
    # torch's own, from inside its compiler.
    pytest.mark.filterwarnings("ignore:The .grad attribute"),
    pytest.mark.timeout(600),
]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on CPUs")
@pytest.mark.parametrize("changed", [{}, {"recompute": True, "accumulate": 2}])
def test_a_compiled_run_gives_the_same_numbers(
    changed: dict[str, Any], shards: Path, tmp_path: Path
) -> None:
    settings = {"objective": "lert", "dropout": 0.0, "log_every": 1, "save_every": 2, "steps": 4}
    run_pretrain(shards, tmp_path / "plain", **settings)
    run_pretrain(shards, tmp_path / "run", compile=True, **changed, **settings)
    plain, lines = log_lines(tmp_path / "plain"), log_lines(tmp_path / "run")
    for line, expected in zip(lines, plain, strict=True):
        assert line == pytest.approx(expected, rel=1e-4)
    again = {**settings, **changed, "compile": True}
    run_pretrain(shards, tmp_path / "again", stop_at=3, **again)
    with pytest.raises(UserError, match="compile"):
        run_pretrain(shards, tmp_path / "again", resume=True, **again | {"compile": False})
    run_pretrain(shards, tmp_path / "again", resume=True, **again)
    assert_same_run(tmp_path / "run", tmp_path / "again", steps=4)


def test_without_a_compiler_it_says_so(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="--compile: needs a C\\+\\+ compiler"):
        run_pretrain(shards, tmp_path / "run", compile=True)
    assert not (tmp_path / "run").exists()
