"""Tasks over processes: order, continuing, failures, kills; console and stdin are left alone."""

import errno
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from hanmo.core import log
from hanmo.core.errors import UserError
from hanmo.core.execute import Counts, run_tasks
from hanmo.core.files import write_atomic


def square(folder: Path, rank: int) -> Counts:
    """Write rank² and count how often this task ran."""
    with (folder / f"runs-{rank}").open("a") as stream:
        stream.write("x")
    write_atomic(folder / f"{rank}.txt", str(rank * rank))
    return {"rank": rank, "square": rank * rank}


def fail_at_two(folder: Path, kind: str, rank: int) -> Counts:
    """Fail at task 2 unless the folder says that the fault was mended."""
    if rank == 2 and not (folder / "mended").exists():
        raise {
            "user": UserError("wiki.txt:7: not UTF-8"),
            "other": ZeroDivisionError("division by zero"),
            "strange": _OddError("a", "b"),
            "full": OSError(errno.ENOSPC, "No space left on device", str(folder / "part.bin")),
        }[kind]
    return square(folder, rank)


def die(rank: int) -> Counts:
    """Be killed by the system."""
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def slow(folder: Path, rank: int) -> Counts:
    """Say the process id, then take a second."""
    write_atomic(folder / f"pid-{rank}", str(os.getpid()))
    time.sleep(1)
    return square(folder, rank)


class _OddError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def runs(folder: Path) -> dict[int, int]:
    return {int(p.name[5:]): len(p.read_text()) for p in folder.glob("runs-*")}


@pytest.mark.parametrize("workers", [1, 2])
def test_counts_come_in_task_order_and_nothing_runs_twice(tmp_path: Path, workers: int) -> None:
    for _ in range(2):
        counts = run_tasks(
            partial(square, tmp_path), 7, workers=workers, state_dir=tmp_path / "s", title="t"
        )
        assert counts == [{"rank": i, "square": i * i} for i in range(7)]
    assert runs(tmp_path) == dict.fromkeys(range(7), 1)


def test_no_tasks_is_no_work(tmp_path: Path) -> None:
    assert run_tasks(square, 0, workers=2, state_dir=tmp_path / "s", title="t") == []  # type: ignore[arg-type]


def test_nothing_reaches_console_or_stdin(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_SILENT", math.inf)  # our own line, on a slow machine
    stdin = io.StringIO("untouched")
    monkeypatch.setattr(sys, "stdin", stdin)
    for workers in (1, 2):
        step = partial(square, tmp_path)
        state = tmp_path / f"s{workers}"
        run_tasks(step, 3, workers=workers, state_dir=state, title="t")
    assert capfd.readouterr() == ("", "")
    assert stdin.read() == "untouched"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("user", UserError, r"^wiki\.txt:7: not UTF-8$"),
        ("other", ZeroDivisionError, "^division by zero$"),
        ("strange", RuntimeError, "^_OddError: a and b$"),
        ("full", UserError, r"^no space left on the disk of .*: [\d.]+ MiB free; make room"),
    ],
)
def test_failure_surfaces_and_the_next_run_does_only_the_rest(
    tmp_path: Path, workers: int, kind: str, error: type[Exception], message: str
) -> None:
    step = partial(fail_at_two, tmp_path, kind)
    state = tmp_path / "s"
    with pytest.raises(error, match=message):
        run_tasks(step, 4, workers=workers, state_dir=state, title="t")
    traces = list((state / "errors").iterdir())
    assert [p.name for p in traces] == (["00002.txt"] if kind in ("other", "strange") else [])
    assert all("fail_at_two" in p.read_text() for p in traces)
    finished = {int(p.name) for p in (state / "completions").iterdir()}
    assert 2 not in finished
    before = runs(tmp_path)
    (tmp_path / "mended").touch()
    counts = run_tasks(step, 4, workers=workers, state_dir=state, title="t")
    assert [c["square"] for c in counts] == [0, 1, 4, 9]
    assert all(runs(tmp_path)[rank] == before[rank] for rank in finished)


def test_a_worker_killed_for_its_memory_does_not_hang(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"worker process died 2 times \(signal 9\): .*fewer workers, now 2;"
    ):
        run_tasks(die, 3, workers=2, state_dir=tmp_path / "s", title="t")


def test_other_tasks_in_an_old_folder_are_refused(tmp_path: Path) -> None:
    state = tmp_path / "s"
    run_tasks(partial(square, tmp_path), 2, workers=1, state_dir=state, title="t")
    with pytest.raises(UserError, match=r"square with 3 tasks, expected .*square with 2 tasks"):
        run_tasks(partial(square, tmp_path), 3, workers=1, state_dir=state, title="t")
    with pytest.raises(UserError, match=r"got .*\.die with 2 tasks, expected .*\.square"):
        run_tasks(die, 2, workers=1, state_dir=state, title="t")
    with pytest.raises(UserError, match="workers: got 0, expected 1 or more"):
        run_tasks(die, 2, workers=0, state_dir=state, title="t")


def test_lost_counts_are_an_error(tmp_path: Path) -> None:
    state = tmp_path / "s"
    run_tasks(partial(square, tmp_path), 2, workers=1, state_dir=state, title="t")
    (state / "counts" / "00001.json").write_text('{"ra')
    with pytest.raises(UserError, match=r"damaged: .*00001\.json; delete"):
        run_tasks(partial(square, tmp_path), 2, workers=1, state_dir=state, title="t")


def test_a_program_on_standard_input_can_use_workers(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, functools\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_execute as t\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "step = functools.partial(t.square, folder)\n"
        "print(t.run_tasks(step, 3, workers=2, state_dir=folder / 's', title='t')[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'rank': 2, 'square': 4}\n"
    assert done.returncode == 0


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_kill_9_of_the_parent_ends_its_workers_and_costs_only_tasks_in_progress(
    tmp_path: Path,
) -> None:
    state = tmp_path / "s"
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, pathlib, functools\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_execute as t\n"
        "if __name__ == '__main__':\n"
        f"    folder = pathlib.Path({str(tmp_path)!r})\n"
        "    step = functools.partial(t.slow, folder)\n"
        "    t.run_tasks(step, 40, workers=2, state_dir=folder / 's', title='t')\n"
    )
    parent = subprocess.Popen([sys.executable, program])
    deadline = time.monotonic() + 60
    while len(list((state / "completions").glob("*"))) < 2:
        assert time.monotonic() < deadline
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    pids = {int(p.read_text()) for p in tmp_path.glob("pid-*")}
    while any(map(_alive, pids)):
        assert time.monotonic() < deadline, "workers outlive a killed parent"
        time.sleep(0.02)
    finished = {int(p.name) for p in (state / "completions").iterdir()}
    assert 2 <= len(finished) < 40
    for rank in finished:
        assert json.loads((state / "counts" / f"{rank:05d}.json").read_text())["rank"] == rank
