"""Corpus stages whose processes are killed with -9 at random moments end in the same bytes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hanmo.core.artifact import verify
from process_cases import SLOW, hanmo

N_PARTS = 12


def done(*words: object) -> None:
    subprocess.run(hanmo(*words), check=True, capture_output=True, timeout=240)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(5)
    with (folder / "raw.jsonl").open("w", encoding="utf-8") as out:
        for _ in range(N_PARTS * 20):
            text = "".join(rng.choice("我们今天去北京大学看书，然后回家吃饭。") for _ in range(400))
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    (folder / "slow.py").write_text(SLOW)
    done("prepare", folder / "raw.jsonl", "--out", folder / "made", "--part-chars", 8000)
    return folder


def processes(leader: int, mark: bytes) -> list[int]:
    """Ids of the living processes of a session, or of all whose command line begins so."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
        except (OSError, ValueError, IndexError):
            continue
        if line.startswith(mark) if mark else session == leader and int(entry.name) != leader:
            found.append(int(entry.name))
    return found


def state_of(command: list[str]) -> Path:
    return Path(command[command.index("--out") + 1] + ".partial") / ".state" / "tasks"


def n_done(command: list[str]) -> int:
    """How many parts an unfinished run has finished."""
    return len(list(state_of(command).glob("completions/[0-9]*")))


def broken_run(
    command: list[str], rng: random.Random, *, mark: bytes, whole: bool
) -> tuple[int, bool]:
    """Start a command, kill a process of it (or all of it) at a random moment.

    Returns:
        Its exit code, and whether there was something to kill.
    """
    environment = {**os.environ, "SECONDS_A_BATCH": "0.5"}
    child = subprocess.Popen(
        command,
        start_new_session=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = n_done(command)
    deadline = time.monotonic() + 120
    while child.poll() is None and n_done(command) <= before:
        assert time.monotonic() < deadline, "no part was made"
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 0.5))
    victims = [child.pid] if whole else processes(child.pid, mark)
    killed = False
    with contextlib.suppress(ProcessLookupError, IndexError):  # it had ended
        os.kill(rng.choice(victims), signal.SIGKILL)
        killed = True
    return child.wait(timeout=240), killed


def killed_and_whole(corpus: Path, tmp_path: Path, mark: bytes, *extra: str) -> None:
    rng = random.Random(11)
    words = ("annotate", corpus / "made", "--annotator", corpus / "slow.py")
    done(*words, "--out", tmp_path / "whole")
    broken = hanmo(*words, "--out", tmp_path / "broken", "--workers", "2", *extra)
    progress = [0]
    for _ in range(2):  # the whole command, which the next run continues
        assert broken_run(broken, rng, mark=mark, whole=True) == (-signal.SIGKILL, True)
        progress.append(n_done(broken))
    assert progress == sorted(set(progress)), "each run went on from the one before"
    assert progress[-1] < N_PARTS
    # A worker that died was replaced (0), or took too much with it (2).
    code, killed = broken_run(broken, rng, mark=mark, whole=False)
    assert killed and code in (0, 2)
    assert code == 0 or n_done(broken) > progress[-1]
    done(*broken[3:])
    verify(tmp_path / "broken")
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    found = {path.name: path.read_bytes() for path in (tmp_path / "broken").iterdir()}
    manifests = [json.loads(one.pop("manifest.json")) for one in (files, found)]
    assert found == files
    assert len(files) >= N_PARTS
    assert [one["counts"] for one in manifests] == [manifests[0]["counts"]] * 2


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_workers_killed_at_random_moments(corpus: Path, tmp_path: Path) -> None:
    killed_and_whole(corpus, tmp_path, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_ray_workers_killed_at_random_moments(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra hanmo[ray])")
    killed_and_whole(corpus, tmp_path, b"ray::", "--executor", "ray")
