"""Every executor: all tasks, failures beside successes, dead workers, going on where it was."""

import json
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

import store_cases
from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.core.execute import Counts, run_tasks
from hanmo.core.executor import EXECUTORS, make_executor, note_jobs
from hanmo.core.files import write_atomic
from hanmo.core.urls import as_path

NAMES = registry.names(EXECUTORS)
OPTIONS = {"slurm": ["partition=cpu", "poll=0.05"]}


def work(folder: Path, rank: int) -> Counts:
    """Write rank², counting attempts; obey the files that a test left."""
    with (folder / f"runs-{rank}").open("a") as stream:
        stream.write("x")
    attempts = (folder / f"runs-{rank}").stat().st_size
    if (folder / f"bad-{rank}").exists():
        raise UserError(f"part-{rank}: row 7 is damaged")
    if (folder / f"die-{rank}").exists() or (
        (folder / f"die-once-{rank}").exists() and attempts < 2
    ):
        os.kill(os.getpid(), signal.SIGKILL)
    write_atomic(folder / f"{rank}.txt", str(rank * rank))
    return {"square": rank * rank}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Slurm of one machine: jobs run at once, one after the other, each in its own process."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        sbatch = f"""\
            #!{sys.executable}
            import os, re, subprocess, sys
            *options, script = sys.argv[1:]
            text = open(script).read()
            first, last = map(int, re.search(r"--array=(\\d+)-(\\d+)", text).groups())
            logs = re.search(r"--output=(.*)", text)[1]
            for option in options:
                if option.startswith("--export=ALL,"):
                    name, value = option.split(",")[1].split("=")
                    os.environ[name] = value
            for number in range(first, last + 1):
                out = open(logs.replace("%A", "17").replace("%a", str(number)), "w")
                job = {{**os.environ, "SLURM_ARRAY_TASK_ID": str(number), "SLURM_NODELIST": "n1"}}
                subprocess.run(["bash", script], env=job, stdout=out, stderr=out)
            print("Submitted batch job 17")
            """
        srun = """\
            #!/bin/bash
            while [ "${1#-}" != "$1" ]; do [ "$1" = -n ] && shift; shift; done
            exec "$@"
            """
        squeue = """\
            #!/bin/bash
            echo "slurm_load_jobs error: Invalid job id specified" >&2
            exit 1
            """
        scontrol = "#!/bin/bash\necho n1\n"
        made = {"sbatch": sbatch, "srun": srun, "squeue": squeue, "scontrol": scontrol}
        for name, text in made.items():
            path = Path(scratch) / name
            path.write_text(textwrap.dedent(text))
            path.chmod(0o755)
        before = dict(os.environ)
        os.environ["PATH"] = f"{scratch}{os.pathsep}{before['PATH']}"
        tests = Path(__file__).parents[1]
        folders = [str(tests.parent), str(tests), *filter(None, [before.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(folders)
        yield
        os.environ.clear()
        os.environ.update(before)


def marked(name: str) -> ParameterSet:
    """Ray keeps the processes that it started until the interpreter ends."""
    ignored = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    marks = [pytest.mark.slow, pytest.mark.filterwarnings(*ignored)] if name == "ray" else []
    return pytest.param(name, marks=marks)


@pytest.fixture(params=[marked(name) for name in NAMES])
def executor(request: pytest.FixtureRequest, cluster: None) -> str:
    name = str(request.param)
    if name == "ray":
        pytest.importorskip("ray", reason="Ray is not installed (extra hanmo[ray])")
    return name


def run(name: str, folder: Path, n_tasks: int = 4) -> list[Counts]:
    return run_tasks(
        partial(work, folder),
        n_tasks,
        workers=2,
        state_dir=folder / "state",
        title="square numbers",
        executor=make_executor(name, OPTIONS.get(name, [])),
        names=[f"part-{rank}" for rank in range(n_tasks)],
    )


def test_all_tasks_once_and_nothing_again(executor: str, tmp_path: Path) -> None:
    for _ in range(2):
        assert run(executor, tmp_path) == [{"square": rank**2} for rank in range(4)]
    assert [len((tmp_path / f"runs-{rank}").read_text()) for rank in range(4)] == [1] * 4


def test_the_others_go_on_when_one_fails(executor: str, tmp_path: Path) -> None:
    (tmp_path / "bad-1").touch()
    with pytest.raises(UserError, match=r"^part-1: row 7 is damaged$"):
        run(executor, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.txt")) == [f"{n}.txt" for n in (0, 2, 3)]
    (tmp_path / "bad-3").touch()
    (tmp_path / "bad-1").unlink()
    assert run(executor, tmp_path)[1] == {"square": 1}  # 3 was done before it went bad


def test_several_failures_are_told_together(executor: str, tmp_path: Path) -> None:
    for rank in (1, 3):
        (tmp_path / f"bad-{rank}").touch()
    message = r"^2 of 4 tasks failed \(2 are done and kept; .*part-1: row 7 .*; part-3: row 7"
    with pytest.raises(UserError, match=message):
        run(executor, tmp_path)


def test_a_dead_worker_costs_its_task_alone(executor: str, tmp_path: Path) -> None:
    (tmp_path / "die-2").touch()
    with pytest.raises(UserError, match=r"^part-2: its .*(worker|job)") as caught:
        run(executor, tmp_path)
    assert caught.value.__cause__ is not None  # no mistake of the user's
    assert sorted(p.name for p in tmp_path.glob("*.txt")) == [f"{n}.txt" for n in (0, 1, 3)]
    (tmp_path / "die-2").unlink()
    assert run(executor, tmp_path)[2] == {"square": 4}
    assert len((tmp_path / "runs-0").read_text()) == 1


def test_a_worker_killed_once_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "die-once-2").touch()
    assert run("local", tmp_path) == [{"square": rank**2} for rank in range(4)]
    assert {n: len((tmp_path / f"runs-{n}").read_text()) for n in range(4)} == {
        **dict.fromkeys(range(4), 1),
        2: 2,
    }


def test_nothing_succeeds_so_it_stops(tmp_path: Path) -> None:
    for rank in range(9):
        (tmp_path / f"bad-{rank}").touch()
    with pytest.raises(UserError, match=r"^3 of 9 tasks failed"):
        run_tasks(
            partial(work, tmp_path), 9, workers=1, state_dir=tmp_path / "state", title="squares"
        )
    assert len(list(tmp_path.glob("runs-*"))) == 3


def test_slurm_job_file(cluster: None, tmp_path: Path) -> None:
    """What Slurm gets: an array over the tasks left, limits, this Python, one task a job."""
    (tmp_path / "state" / "completions").mkdir(parents=True)
    for rank in (0, 3):
        (tmp_path / "state" / "completions" / f"{rank:05d}").touch()
        counts = tmp_path / "state" / "counts" / f"{rank:05d}.json"
        counts.parent.mkdir(exist_ok=True)
        counts.write_text("{}")
    options = ["partition=long", "time=1-0", "mem_gb=8", "cpus=2", "account=lab", "poll=0.05"]
    run_tasks(
        partial(work, tmp_path),
        5,
        workers=2,
        state_dir=tmp_path / "state",
        title="annotate (crf)",
        executor=make_executor("slurm", options),
    )
    text = (tmp_path / "state" / "slurm" / "launch_script.slurm").read_text()
    head = {line.removeprefix("#SBATCH --") for line in text.splitlines() if "#SBATCH" in line}
    wanted = ["partition=long", "time=1-0", "array=0-2%2", "cpus-per-task=2", "mem-per-cpu=4G"]
    assert {*wanted, "account=lab", "job-name=hanmo-annotate--crf-", "nodes=1"} <= head
    assert not any("mail" in line or line.startswith("qos") for line in head)
    assert f"export PATH={Path(sys.executable).parent}:$PATH" in text
    assert sorted(p.name for p in tmp_path.glob("*.txt")) == ["1.txt", "2.txt", "4.txt"]


def test_slurm_jobs_of_a_folder_in_a_store(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes, markers and counts come by the store; job files lie in its local copy."""
    store_cases.use(tmp_path, monkeypatch)
    state = as_path("shelf://work/out.partial/.state/tasks")
    (runs := tmp_path / "runs").mkdir()
    (runs / "bad-1").touch()
    squares = partial(
        run_tasks,
        partial(work, runs),
        3,
        workers=2,
        state_dir=state,
        title="squares",
        executor=make_executor("slurm", OPTIONS["slurm"]),
    )
    with pytest.raises(UserError, match=r"^part-1: row 7 is damaged$"):
        squares()
    stored = tmp_path / "shelf/work/out.partial/.state/tasks"
    assert sorted(path.name for path in (stored / "completions").iterdir()) == ["00000", "00002"]
    assert len(list((stored / "slurm/outcomes").iterdir())) == 3
    (runs / "bad-1").unlink()
    assert squares() == [{"square": 0}, {"square": 1}, {"square": 4}]
    assert [len((runs / f"runs-{rank}").read_text()) for rank in range(3)] == [1, 2, 1]


def test_slurm_finds_its_jobs_again(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed command's jobs go on; the next one waits for them and submits nothing."""
    state = tmp_path / "state" / "slurm"
    (state / "outcomes").mkdir(parents=True)
    note_jobs(state.parent, "hanmo.core.executors.slurm", "17")
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/bash\n[ -e {tmp_path}/ended ] || echo 17\n")
    squeue.chmod(0o755)
    refuses = squeue.with_name("sbatch")
    refuses.write_text("#!/bin/bash\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}{os.pathsep}{os.environ['PATH']}")
    for rank in range(2):
        (state / "outcomes" / f"{rank:05d}.json").write_text("{}")
        marker = tmp_path / "state" / "counts" / f"{rank:05d}.json"
        marker.parent.mkdir(exist_ok=True)
        marker.write_text(json.dumps({"square": rank}))
    assert [one["square"] for one in run("slurm", tmp_path, 2)] == [0, 1]
    (tmp_path / "ended").touch()
    (other := tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"sbatch refused .*launch_script\.slurm"):
        run("slurm", other, 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("locl", [], "executors: no 'locl'; did you mean 'local'"),
        ("slurm", ["partitoin=cpu"], "no option 'partitoin'; did you mean 'partition'"),
        ("slurm", ["cpus"], "got 'cpus', expected KEY=VALUE"),
        ("slurm", ["cpus=two"], "cpus: got 'two'; expected a whole number"),
        ("slurm", ["cpus=2"], "give --executor-options partition=NAME"),
        ("slurm", ["partition="], "give --executor-options partition=NAME"),
        ("slurm", ["partition=a", "cpus=0"], "cpus: got 0, expected 1 or more"),
        ("slurm", ["partition=a", "gpus=-1"], "gpus: got -1, expected 0 or more"),
        ("slurm", ["partition=a", "max_array=0"], "max_array: got 0, expected 1 or more"),
        ("slurm", ["partition=a", "poll=nan"], "poll: got nan, expected 0.01 or more"),
        ("slurm", ["partition=a", "time=zzz"], "time: got 'zzz', expected minutes"),
    ],
)
def test_bad_options(name: str, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_executor(name, options)


@pytest.mark.parametrize("time", ["90", "1:30", "12:00:00", "2-00", "2-12:30:00", "unlimited"])
def test_times_as_slurm_writes_them(time: str) -> None:
    assert make_executor("slurm", ["partition=a", f"time={time}"])


def test_no_worker_outlives_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad-0").touch()
    with pytest.raises(UserError):
        run("local", tmp_path)
    deadline = time.monotonic() + 30
    import multiprocessing

    while multiprocessing.active_children():
        assert time.monotonic() < deadline
