"""What Ray is given: few tasks at a time, and what they run once for each worker, not each task."""

import os
import pickle
import socket
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hanmo.core.errors import UserError
from hanmo.core.execute import Counts, run_tasks
from hanmo.core.executor import make_executor
from hanmo.core.executors import ray as ray_executor


class Ray:
    """A stand-in: one worker, which runs a task when it is asked whether one has ended."""

    exceptions = SimpleNamespace(RayError=ZeroDivisionError)

    def __init__(self, cpus: int) -> None:
        self.cpus, self.most, self.read = cpus, 0, 0
        self.folder = str(Path.cwd())

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Resources": {"CPU": self.cpus}}, {"Resources": {}}]

    def put(self, value: Any) -> bytes:
        return pickle.dumps(value)

    def remote(self, function: Any) -> Any:
        call = SimpleNamespace(remote=lambda *given: (partial(function, *given), object()))
        return SimpleNamespace(options=lambda **_: call)

    def wait(self, references: list[Any]) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(references))
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        if isinstance(reference, bytes):
            self.read += 1
            return pickle.loads(reference)
        here = Path.cwd()
        os.chdir(self.folder)  # the worker's
        try:
            return reference[0]()
        finally:
            self.folder = str(Path.cwd())
            os.chdir(here)


def square(folder: Path, rank: int) -> Counts:
    """Write a file below a folder that may be relative."""
    (folder / f"{rank}.txt").write_text(str(rank * rank))
    return {"square": rank * rank}


def run(n_tasks: int, workers: int, *options: str) -> list[Counts]:
    return run_tasks(
        partial(square, Path("made")),
        n_tasks,
        workers=workers,
        state_dir=Path("state").absolute(),
        title="squares",
        executor=make_executor("ray", options),
    )


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here/made").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ray_executor._read.cache_clear()
    return tmp_path / "here/made"


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("cpus", "workers", "options", "most"),
    [(2, 1, [], 4), (3, 1, [], 6), (3, 1, ["num_cpus=0.5"], 9), (9, 2, [], 2), (0, 1, [], 4)],
)
def test_how_many_it_gets(
    cpus: int, workers: int, options: list[str], most: int, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Ray(cpus)
    monkeypatch.setattr(ray_executor, "_ray", lambda: ray)
    monkeypatch.setattr(ray_executor, "_AT_ONCE", 4)
    assert run(9, workers, *options) == [{"square": rank * rank} for rank in range(9)]
    assert ray.most == most
    assert ray.read == 1


def test_relative_paths_mean_those_of_the_command(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Ray(1)
    ray.folder = str(tmp_path / "elsewhere")
    monkeypatch.setattr(ray_executor, "_ray", lambda: ray)
    run(2, 1)
    assert sorted(path.name for path in made.iterdir()) == ["0.txt", "1.txt"]
    monkeypatch.setattr(ray, "put", lambda value: pickle.dumps((value[0], "not here")))
    (tmp_path / "here/state/completions/00000").unlink()
    with pytest.raises(UserError, match=r"not here: the command was started there, and .* has no"):
        run(2, 1)


@pytest.mark.slow
def test_a_cluster_that_was_started_elsewhere(made: Path, tmp_path: Path) -> None:
    """Its workers begin in its folder, and read once what they run."""
    pytest.importorskip("ray", reason="Ray is not installed (extra hanmo[ray])")
    (tmp_path / "elsewhere/steps.py").write_text(
        textwrap.dedent("""\
            import sys
            from functools import partial
            from pathlib import Path
            from hanmo.core.execute import run_tasks
            from hanmo.core.executor import make_executor

            class Step:
                def __call__(self, rank):
                    Path(f"made/{rank}.txt").touch()
                    return {"n": rank}

                def __reduce__(self):
                    return _read, ()

            def _read():
                with open(Path(__file__).with_name("read"), "a") as stream:
                    stream.write("x")
                return Step()

            def count(step, rank):
                return step(rank)

            def main():
                run_tasks(
                    partial(count, Step()), 20, workers=1, state_dir=Path("state"), title="t",
                    executor=make_executor("ray", [f"address={sys.argv[1]}"]),
                )
            """)
    )
    cluster = textwrap.dedent("""\
        import subprocess, sys, ray
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
        address = ray.get_runtime_context().gcs_address
        program = [sys.executable, "-c", "import steps; steps.main()", address]
        sys.exit(subprocess.run(program, cwd=sys.argv[1]).returncode)
        """)
    paths = [str(tmp_path / "elsewhere"), *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = subprocess.run(
        [sys.executable, "-c", cluster, str(made.parent)],
        cwd=tmp_path / "elsewhere",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(list(made.iterdir())) == 20
    assert 1 <= len((tmp_path / "elsewhere/read").read_text()) <= 4, (
        "for each worker, not each task"
    )


def test_tasks_too_large_for_every_machine_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_executor, "_ray", lambda: Ray(2))
    for cpus, told in ((2, False), (99, True)):
        run_tasks(
            partial(square, tmp_path),
            2,
            workers=1,
            state_dir=tmp_path / str(cpus),
            title="t",
            executor=make_executor("ray", [f"num_cpus={cpus}"]),
        )
        said = "a task takes 99 CPUs, and no machine of the cluster has more than 2"
        assert (said in capsys.readouterr().err) is told


def test_an_address_at_which_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody else can
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ray = Ray(2)
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray_executor, "_ray", lambda: ray)
        executor = make_executor("ray", [f"address={address}"])
        with pytest.raises(UserError, match=f"no cluster at {address} .*refused.*ray start"):
            list(executor.run(print, [0], workers=1, state_dir=tmp_path, title="t"))
