"""A prepare run killed with -9, at any stage and more than once, ends in the same bytes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hanmo.core.artifact import read_manifest, verify

PROGRAM = """
import os, signal, sys
from pathlib import Path
from hanmo.commands.prepare import Config, run
from hanmo.core.log import Progress
from hanmo.corpus import choosing, paragraphs, spool, writing

source, out, workers, moment, n, full = sys.argv[1:]
calls = 0

def killed_at_call(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == int(n):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

if moment == "write":  # in the middle of a task, before a file is there
    written = killed_at_call(spool.write_atomic)
    for module in (choosing, paragraphs, spool, writing):
        module.write_atomic = written
if moment == "advance":  # while the workers are at their tasks
    Progress.advance = killed_at_call(Progress.advance)
spool.GROUP_BYTES = 1  # a task a file
more = {}
if full == "full":
    more = dict(near_duplicates=0.8, dedup_paragraphs=20, max_line_documents=50)
    more |= dict(dropped=Path(out + "-dropped"), opencc=None, strip_boilerplate=True)
run(Config([Path(source)], Path(out), workers=int(workers), part_chars=20_000, **more))
"""
# (workers, passes): (what the parent was at, the call at which it was killed) for each broken run
KILLS = {
    (1, "plain"): [("write", 4), ("write", 9), ("write", 8), ("write", 9)],
    (2, "plain"): [("advance", 3), ("advance", 5), ("advance", 12), ("advance", 6)],
    (1, "full"): [("write", 20), ("write", 40), ("write", 30), ("write", 25)],
    (2, "full"): [("advance", 5), ("advance", 14), ("advance", 20), ("advance", 22)],
}
N_FILES, N_DOCUMENTS = 8, 400


def write_inputs(folder: Path) -> None:
    """Write files of random text; some documents repeat others, or parts of them."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    characters = np.array([chr(code) for code in range(0x4E00, 0x4E00 + 3000)] + ["，"] * 300)
    before = ["无。" * 20]
    for number in range(N_FILES):
        texts = [
            before[i % len(before)]
            if i % 4 == 3
            else "".join(rng.choice(characters, size=int(rng.integers(10, 300)))) + "。"
            for i in range(N_DOCUMENTS)
        ]
        for i in range(5, N_DOCUMENTS, 8):  # nearly the same as the one before
            texts[i] = "改" + texts[i - 1]
        for i in range(2, N_DOCUMENTS, 8):
            texts[i] += "\n" + texts[i - 2] + "\n本页的页脚"
        lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        (folder / f"file{number}.jsonl").write_text("".join(lines), encoding="utf-8")
        before = texts


def prepare(
    source: Path, out: Path, workers: int, passes: str, kill: tuple[str, int] = ("never", 0)
) -> int:
    moment, n = kill
    program = [sys.executable, "-c", PROGRAM, source, out, str(workers), moment, str(n), passes]
    return subprocess.run(program, check=False, timeout=120).returncode


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("workers", "passes"), KILLS)
def test_killed_and_continued_is_the_same_as_unbroken(
    tmp_path: Path, workers: int, passes: str
) -> None:
    raw, whole, broken = (tmp_path / name for name in ("raw", "whole", "broken"))
    write_inputs(raw)
    assert prepare(raw, whole, 3 - workers, passes) == 0
    finished = []
    for kill in KILLS[workers, passes]:
        assert prepare(raw, broken, workers, passes, kill) == -signal.SIGKILL
        assert not broken.exists()
        state = tmp_path / "broken.partial" / ".state"
        finished.append(len(list(state.glob("*/completions/*"))))
    assert prepare(raw, broken, workers, passes) == 0
    assert finished == sorted(set(finished)), "each run went on from the one before"
    before_parts = N_FILES + (2 if passes == "plain" else 2 + 14 + 16)
    assert finished[-1] > before_parts, "the last run was killed while it wrote parts"
    verify(broken)
    expected, got = files(whole), files(broken)
    manifests = [json.loads(found.pop("manifest.json")) for found in (expected, got)]
    assert got == expected
    for manifest in manifests:
        manifest["config"].pop("dropped")  # where it lies
    assert manifests[0] == manifests[1]
    counts = read_manifest(whole, "corpus").counts
    assert counts["documents_in"] == N_FILES * N_DOCUMENTS
    assert counts["dropped_duplicate"] > N_DOCUMENTS
    assert len(got) == counts["parts"] > 9
    if passes == "full":
        assert counts["dropped_near-duplicate"] > N_DOCUMENTS
        assert counts["dropped_repeated-elsewhere"] > 1
        assert counts["paragraphs_dropped_seen"] > N_DOCUMENTS // 2
        assert counts["paragraphs_dropped_frequent"] > N_DOCUMENTS // 2
        aside = [files(tmp_path / f"{name}-dropped") for name in ("whole", "broken")]
        for found in aside:
            found.pop("manifest.json")
        assert aside[0] == aside[1]
        assert {name.split("-")[0] for name in aside[0]} == {"filtered", "repeated"}


def workers_of(parent: int) -> list[int]:
    """Ids of the processes of a session besides its leader."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if entry.name.isdigit() and int(fields[3]) == parent != int(entry.name):
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """A worker, then the command itself, again and again; with all passes and three workers."""
    raw, whole, broken = (tmp_path / name for name in ("raw", "whole", "broken"))
    write_inputs(raw)
    begun = time.monotonic()
    assert prepare(raw, whole, 1, "full") == 0
    seconds = time.monotonic() - begun
    rng = random.Random(7)
    program = [sys.executable, "-c", PROGRAM, str(raw), str(broken), "3", "never", "0", "full"]
    killed = 0
    for _ in range(8):
        child = subprocess.Popen(program, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 0.5) * seconds)
        for victim in rng.sample(found := workers_of(child.pid), min(1, len(found))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        time.sleep(rng.uniform(0, 0.3) * seconds)
        child.kill()
        killed += child.wait(timeout=120) == -signal.SIGKILL
        if broken.exists():
            break
    assert killed > 1
    assert prepare(raw, broken, 3, "full") == 0
    verify(broken)
    for name in ("", "-dropped"):
        found, expected = (files(tmp_path / f"{one}{name}") for one in ("broken", "whole"))
        assert found.keys() == expected.keys()
        manifests = [json.loads(one.pop("manifest.json")) for one in (found, expected)]
        assert found == expected
        assert manifests[0]["counts"] == manifests[1]["counts"]
