"""`make torture`: real processes killed with -9 at thirty random moments, for every objective.

Each life lasts a random time, so kills fall into imports, planning, steps and saves. After each the
newest valid checkpoint is no older than the one before, and the last life ends with the bytes of a
run that nobody disturbed. The seed of the moments is printed; HANMO_TORTURE sets it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hanmo.core import registry
from hanmo.core.artifact import MANIFEST
from hanmo.objectives._objective import PACKAGE
from hanmo.train import state
from training_cases import assert_same_run, command_line, options_of, run_pretrain, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.torture, pytest.mark.timeout(3600)]
KILLS, STEPS = 30, 1500


def words(settings: dict[str, Any], objective: str) -> list[str]:
    given = dict(settings)
    options = given.pop("options")
    line = [sys.executable, "-m", "hanmo", *command_line(given)]
    for name, value in options.items():
        line += [f"--{objective}.{name}", str(value)]
    return line


@pytest.mark.parametrize("objective", registry.names(PACKAGE))
def test_thirty_kills_change_nothing(objective: str, shards: Path, tmp_path: Path) -> None:
    settings = settings_of(
        shards,
        tmp_path / "run",
        objective=objective,
        options=options_of(objective, shards.parent),
        steps=STEPS,
        save_every=20,
        keep=2,
        workers=1,
        resume=True,
    )
    seed = int(os.environ.get("HANMO_TORTURE", time.time_ns() % 10**6))
    sys.stderr.write(f"\ntorture of {objective}: HANMO_TORTURE={seed}\n")
    moments = random.Random(seed)
    out, newest, kills, young = tmp_path / "run", 0, 0, 0.0
    while kills < KILLS and not (out / MANIFEST).exists():
        begun = time.monotonic()
        life = subprocess.Popen(words(settings, objective), stderr=subprocess.PIPE, text=True)
        if not young:  # how long a life takes to its first checkpoint, on this machine and load
            while life.poll() is None and not any(out.glob("step-*[0-9]")):
                time.sleep(0.01)
            young = time.monotonic() - begun
        deadline = begun + young * moments.uniform(0.2, 1.5)
        while time.monotonic() < deadline and life.poll() is None:
            time.sleep(0.01)
        life.send_signal(signal.SIGKILL)
        _, errors = life.communicate()
        assert life.returncode in (-signal.SIGKILL, 0), errors
        kills += life.returncode != 0
        found = state.latest(out) if out.exists() else None
        step = state.step_of(found) if found else 0
        assert step >= newest, "a finished checkpoint was lost"
        newest = step
    done = subprocess.run(words(settings, objective), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run_pretrain(
        shards,
        tmp_path / "whole",
        **{key: value for key, value in settings.items() if key not in ("shards", "out", "resume")},
    )
    assert_same_run(tmp_path / "whole", out, STEPS)
    sys.stderr.write(f"torture of {objective}: {kills} kills, newest {newest} of {STEPS}\n")
    assert newest, "some lives went on from a checkpoint"
    assert not [p.name for p in out.iterdir() if p.name.endswith((".partial", ".replaced"))]
