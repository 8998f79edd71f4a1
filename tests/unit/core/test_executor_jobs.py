"""Jobs of a cluster that outlive their command: found again, or ended before others write there."""

import json
import os
import textwrap
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import store_cases
from hanmo.core import remote
from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.core.execute import Counts, run_tasks
from hanmo.core.executor import JOBS, make_executor, note_jobs
from hanmo.core.executors import slurm
from hanmo.core.files import write_atomic
from hanmo.core.urls import as_path, shown


@dataclass
class Queue:
    """Stand-ins for Slurm's programs: jobs are in the queue until the file `ended` is there."""

    folder: Path

    @property
    def cancelled(self) -> list[str]:
        path = self.folder / "cancelled"
        return path.read_text().split() if path.exists() else []

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text("#!/bin/bash\n" + textwrap.dedent(text))
        path.chmod(0o755)

    def when_cancelled(self, last: str) -> None:
        """Say what the jobs still do before they end; it goes on after `scancel` returned."""
        here = self.folder
        self.program("scancel", f'echo "$@" > {here}/cancelled\n{{ {last}; }} 2> /dev/null')
        self.program(
            "squeue",
            f"""\
            [ -e {here}/ended ] && exit
            echo 17
            [ -e {here}/cancelled ] || exit 0
            {{ {last}; }} 2> /dev/null
            [ -e {here}/looked ] && touch {here}/ended
            touch {here}/looked
            """,
        )


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    made = Queue(tmp_path / "slurm")
    (made.folder / "bin").mkdir(parents=True)
    made.when_cancelled(":")
    monkeypatch.setenv("PATH", f"{made.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_LOOKS", 0.01)
    return made


@pytest.fixture(params=["disk", "store"])
def out(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to make; one in a store is also seen by machines with other local copies."""
    if request.param == "disk":
        return tmp_path / "work/out"
    store_cases.use(tmp_path, monkeypatch)
    return as_path("shelf://work/out")


def really(out: Path, tmp_path: Path) -> Path:
    """Return where the files of a folder in the making are."""
    base = tmp_path / "shelf/work" if remote.is_remote(out) else out.parent
    return base / "out.partial"


def noted(state: Path, jobs: str) -> Path:
    """Leave jobs in a folder of markers; returns the folder."""
    state.mkdir(parents=True, exist_ok=True)
    note_jobs(state, "hanmo.core.executors.slurm", jobs)
    return state


def killed(out: Path, settings: dict[str, int]) -> None:
    """Leave what a killed command leaves: a folder in the making, and jobs that write there."""

    class Killed(BaseException):
        pass

    with pytest.raises(Killed), building(out, kind="t", config=settings) as build:
        write_atomic(build.dir / "part-0", "old")
        noted(build.state_dir / "clean/tasks", "17,18")
        raise Killed


def test_overwriting_ends_them_first(out: Path, queue: Queue, tmp_path: Path) -> None:
    """They write until the end, also after scancel returned: nothing of it is in the new folder."""
    killed(out, {"size": 1})
    there = really(out, tmp_path)
    old = there / ".state/clean/tasks/completions"
    old.mkdir(parents=True)
    queue.when_cancelled(f"mkdir -p {old}; touch {old}/00001; echo old > {there}/part-1")
    if remote.is_remote(out):
        remote.forget(out.with_name("out.partial"))  # another machine, or a cleared cache
    with building(out, kind="t", config={"size": 2}, overwrite=True) as build:
        assert queue.cancelled == ["17", "18"]
        assert not build.has_progress
        assert {path.name for path in remote.children(build.dir)} == {".state"}
        assert {path.name for path in there.iterdir()} == {".state"}
    assert {path.name for path in remote.children(out)} == {"manifest.json"}


def test_the_same_settings_leave_them_alone(out: Path, queue: Queue) -> None:
    killed(out, {"size": 1})
    with (
        pytest.raises(UserError, match="repeat those settings to continue it"),
        building(out, kind="t", config={"size": 2}),
    ):
        pass
    with building(out, kind="t", config={"size": 1}) as build:
        assert remote.exists(build.state_dir / "clean/tasks" / JOBS)
        assert remote.read_bytes(build.dir / "part-0") == b"old"
    assert queue.cancelled == []


def test_other_settings_after_a_mistake_end_them(out: Path, queue: Queue) -> None:
    with pytest.raises(UserError), building(out, kind="t", config={"size": 1}) as build:
        noted(build.state_dir / "tasks", "17")
        raise UserError("no such letter")
    with building(out, kind="t", config={"size": 2}):
        assert queue.cancelled == ["17"]


@pytest.mark.parametrize(
    ("scancel", "message"),
    [
        ("echo 'scancel: error: Access/permission denied' >&2; exit 1", "scancel 17,18: .*denied;"),
        (":", r"still run after 0 seconds; see: squeue --jobs=17,18"),
        (None, "no scancel here; do it elsewhere: 17,18"),
    ],
)
def test_nothing_is_removed_while_they_run(
    scancel: str | None,
    message: str,
    out: Path,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed(out, {"size": 1})
    if scancel is None:
        (queue.folder / "bin/scancel").unlink()
        monkeypatch.setenv("PATH", f"{queue.folder / 'bin'}{os.pathsep}/nowhere")
        queue.program("squeue", "echo 17")
    else:
        queue.program("scancel", scancel)
        monkeypatch.setattr(slurm, "_PATIENCE", 0.0)
    with (
        pytest.raises(UserError, match=message) as caught,
        building(out, kind="t", config={"size": 2}, overwrite=True),
    ):
        pass
    note = out.with_name("out.partial") / ".state/clean/tasks" / JOBS
    assert str(caught.value).startswith(f"{shown(note)}: jobs of an interrupted run may still")
    assert remote.read_bytes(out.with_name("out.partial") / "part-0") == b"old"
    remote.remove(note)  # as the message says
    with building(out, kind="t", config={"size": 2}, overwrite=True):
        pass


def test_some_of_them_have_ended(out: Path, queue: Queue) -> None:
    """Then scancel fails, but has told the others to end."""
    killed(out, {"size": 1})
    gone = "Kill job error on job id 17: Invalid job id specified"
    queue.program(
        "scancel", f"echo $@ > {queue.folder}/cancelled; echo 'scancel: error: {gone}' >&2; exit 1"
    )
    with building(out, kind="t", config={"size": 2}, overwrite=True):
        assert (queue.folder / "ended").exists()


def square(folder: Path, rank: int) -> Counts:
    """Count; obey the files that a test left."""
    if (folder / f"bad-{rank}").exists():
        raise UserError(f"part-{rank}: row 7 is damaged")
    return {"square": rank * rank}


def run(name: str, out: Path, n_tasks: int, *options: str) -> list[Counts]:
    return run_tasks(
        partial(square, Path("none")),
        n_tasks,
        workers=1,
        state_dir=out.with_name("out.partial") / ".state/tasks",
        title="squares",
        executor=make_executor(name, options),
    )


def test_another_executor_ends_them(out: Path, queue: Queue) -> None:
    state = noted(out.with_name("out.partial") / ".state/tasks", "17")
    assert run("local", out, 2) == [{"square": 0}, {"square": 1}]
    assert queue.cancelled == ["17"]
    assert not remote.exists(state / JOBS)


def outcome(folder: Path, rank: int, **failure: str) -> None:
    """Write what a task on another machine writes."""
    (folder / "counts").mkdir(parents=True, exist_ok=True)
    (folder / "slurm/outcomes").mkdir(parents=True, exist_ok=True)
    (folder / f"counts/{rank:05d}.json").write_text(json.dumps({"square": rank * rank}))
    (folder / f"slurm/outcomes/{rank:05d}.json").write_text(json.dumps(failure))


def test_a_command_that_stops_early_ends_them(out: Path, queue: Queue, tmp_path: Path) -> None:
    state = really(out, tmp_path) / ".state/tasks"
    for rank in range(3):
        outcome(state, rank, error=f"part-{rank}: row 7 is damaged", kind="mistake")
    there = noted(out.with_name("out.partial") / ".state/tasks", "17")
    with pytest.raises(UserError, match=r"^3 of 9 tasks failed"):
        run("slurm", out, 9, "partition=cpu", "poll=0.01")
    assert queue.cancelled == ["17"]
    assert not remote.exists(there / JOBS)


def test_an_interrupted_command_leaves_them(
    out: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = noted(out.with_name("out.partial") / ".state/tasks", "17,18")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as pressed, pytest.raises(KeyboardInterrupt):
        pressed.setattr(time, "sleep", interrupt)
        run("slurm", out, 2, "partition=cpu")
    assert capsys.readouterr().err.endswith("to end them: scancel 17 18\n")
    assert queue.cancelled == []
    assert remote.exists(state / JOBS)


def test_outcomes_that_come_one_by_one(out: Path, queue: Queue, tmp_path: Path) -> None:
    """Each look at the queue finds another task done, as when other machines work."""
    state = really(out, tmp_path) / ".state/tasks"
    for rank in range(4):
        outcome(state, rank)
        (state / f"slurm/outcomes/{rank:05d}.json").rename(queue.folder / f"{rank:05d}.json")
    queue.program(
        "squeue",
        f"""\
        next=$(ls {queue.folder}/0*.json | head -1)
        [ "$next" ] || exit 0
        mv $next {state}/slurm/outcomes/
        echo 17
        """,
    )
    noted(out.with_name("out.partial") / ".state/tasks", "17")
    squares = run("slurm", out, 4, "partition=cpu", "poll=0.01")
    assert squares == [{"square": rank * rank} for rank in range(4)]
