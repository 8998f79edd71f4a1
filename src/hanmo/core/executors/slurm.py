"""A Slurm cluster: one array job for each step of a stage, written and submitted by datatrove.

Run the command on a machine that can submit jobs; it waits, shows progress and goes on with the
next step. The output folder must be one that all machines see, and hanmo be installed where it is
here (or say `env`). When the command is killed its jobs go on; the same command finds them again.
They are cancelled (scancel) when something else is to be made in their place: with --overwrite or
another executor, or after other settings. A command that stops early, as on a full disk, cancels
what it has not waited for. Job files and the machines' output are under OUT.partial/.state/…/slurm.

    hanmo annotate work/corpus --out work/sentences --workers 64 --executor slurm \
        --executor-options partition=cpu time=12:00:00
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time as clock
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hanmo.core import remote
from hanmo.core.errors import UserError
from hanmo.core.executor import JOBS, Failure, Outcome, RunOne, end_jobs, note_jobs, noted_jobs
from hanmo.core.files import write_atomic
from hanmo.core.log import say

_PATIENCE = 300.0  # seconds that cancelled jobs may take to end: Slurm gives them 30 to clean up
_ENDED = ("invalid job id", "already complet")  # what scancel and squeue say then
_LOOKS = 1.0  # seconds between looks whether they have

_LEAST = {"mem_gb": 1, "cpus": 1, "gpus": 0, "tasks_per_job": 1, "max_array": 1, "poll": 0.01}
# As sbatch's manual has it: minutes, minutes:seconds, hours:minutes:seconds, days-hours and so on.
_TIME = re.compile(r"(?:\d+-)?\d+(?::\d{1,2}){0,2}|UNLIMITED|INFINITE", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Executor:
    """Array jobs on a Slurm cluster.

    Attributes:
        partition: Where jobs go.
        time: Limit of a job, as Slurm writes it.
        mem_gb: GiB of memory of a job.
        cpus: Cores of a job.
        gpus: GPUs of a job, for annotators that use them.
        tasks_per_job: Tasks that a job runs one after the other; a task is one part.
        max_array: Jobs of an array, as the cluster's MaxArraySize allows.
        qos: Quality of service; "" leaves it to the cluster.
        account: Account that pays.
        env: Shell command that a job begins with; by default it takes this Python's folder first.
        poll: Seconds between looks at the markers.
    """

    partition: str | None = None
    time: str = "24:00:00"
    mem_gb: int = 4
    cpus: int = 1
    gpus: int = 0
    tasks_per_job: int = 1
    max_array: int = 1001
    qos: str = ""
    account: str | None = None
    env: str | None = None
    poll: float = 10.0

    def __post_init__(self) -> None:
        """Check the options before the first step: not every step goes to the cluster.

        Raises:
            UserError: No partition given, or an option that no job can have.
        """
        if not self.partition:
            raise UserError("executor slurm: give --executor-options partition=NAME (see: sinfo)")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise UserError(f"executor slurm: {name}: got {value}, expected {least} or more")
        if not _TIME.fullmatch(self.time):
            raise UserError(
                f"executor slurm: time: got {self.time!r}, expected minutes, hours:minutes:seconds "
                "or days-hours:minutes:seconds, such as 12:00:00"
            )

    def run(
        self, run_one: RunOne, ranks: list[int], *, workers: int, state_dir: Path, title: str
    ) -> Generator[Outcome]:
        """Run tasks; see `hanmo.core.executor.Executor`.

        Raises:
            UserError: No `sbatch` here, or Slurm refuses the job.
        """
        if not ranks:
            return
        state_dir = state_dir.absolute()
        folder = state_dir / "slurm"
        job = noted_jobs(state_dir, __name__)
        if not job or not _in_queue(job):
            job = self._submit(run_one, ranks, workers, state_dir, title)
        waiting, ended = set(ranks), False
        try:
            while waiting:
                there = {path.name for path in remote.children(folder / "outcomes")}
                found = {rank for rank in waiting if _outcome_file(folder, rank).name in there}
                for rank in sorted(found):
                    yield rank, _outcome(_outcome_file(folder, rank))
                waiting -= found
                if ended:
                    break
                if waiting:
                    ended = not _in_queue(job)  # then one more look: it may just have ended
                    clock.sleep(0 if ended else self.poll)
        except GeneratorExit:  # whoever waits has seen enough
            _give_up(state_dir)
            raise
        except KeyboardInterrupt:
            end = f"scancel {job.replace(',', ' ')}"
            say(f"the Slurm jobs go on, and the same command finds them again; to end them: {end}")
            raise
        remote.remove(state_dir / JOBS)
        for rank in sorted(waiting):
            error = UserError(
                f"its Slurm job ({job}) ended without it: time limit, memory or a lost machine; "
                f"see {folder / 'logs'}; run again to do the rest"
            )
            error.__cause__ = ChildProcessError(job)
            yield rank, error

    def _submit(
        self, run_one: RunOne, ranks: list[int], workers: int, state_dir: Path, title: str
    ) -> str:
        """Write the job files, submit them; returns the jobs' numbers."""
        if shutil.which("sbatch") is None:
            raise UserError("executor slurm: no sbatch here; run it where jobs can be submitted")
        end_jobs(state_dir)  # of another executor, if any
        folder = state_dir / "slurm"
        remote.remove_tree(folder)
        (folder / "outcomes").mkdir(parents=True)
        from datatrove.executor import SlurmPipelineExecutor

        job: Any = SlurmPipelineExecutor(
            pipeline=[partial(_task, run_one, ranks, folder)],
            tasks=len(ranks),
            time=self.time,
            partition=self.partition,
            cpus_per_task=self.cpus,
            mem_per_cpu_gb=-(-self.mem_gb // self.cpus),
            gpus_per_task=self.gpus,
            workers=workers if workers > 1 else -1,
            job_name="hanmo-" + "".join(c if c.isalnum() else "-" for c in title),
            qos=self.qos,
            env_command=self.env or f"export PATH={shlex.quote(_bin())}:$PATH",
            sbatch_args={"account": self.account} if self.account else {},
            max_array_size=self.max_array,
            max_array_launch_parallel=True,
            logging_dir=str(folder),
            slurm_logs_folder=str(folder / "logs"),
            tasks_per_job=self.tasks_per_job,
            job_id_retriever=partial(_remember, state_dir),
        )
        job.launch_merge_stats = _nothing  # a further job, for statistics that we do not use
        try:
            with _quiet():
                job.launch_job()
        except subprocess.CalledProcessError as error:
            raise UserError(
                f"executor slurm: sbatch refused {folder / 'launch_script.slurm'} (what it says "
                "is above)"
            ) from error
        return noted_jobs(state_dir, __name__)


def _task(run_one: RunOne, ranks: list[int], folder: Path, /, *given: Any) -> None:
    """Be datatrove's pipeline on a machine of the cluster: run a task, write its outcome."""
    _, number, _ = given  # data, the task's number in the array, the number of tasks
    rank = ranks[number]
    failure: dict[str, str] = {}
    try:
        run_one(rank)
    except Exception as error:  # noqa: BLE001 - whoever waits decides what to raise
        mistake = isinstance(error, UserError)
        failure = {"error": str(error) if mistake else f"{type(error).__name__}: {error}"}
        failure["kind"] = "bug" if not mistake else "cause" if error.__cause__ else "mistake"
    write_atomic(_outcome_file(folder, rank), json.dumps(failure))


def _outcome_file(folder: Path, rank: int) -> Path:
    return folder / "outcomes" / f"{rank:05d}.json"


def _outcome(path: Path) -> Failure:
    read = json.loads(remote.read_bytes(path))
    if not read:
        return None
    if read["kind"] == "bug":
        return RuntimeError(read["error"])
    error = UserError(read["error"])
    if read["kind"] == "cause":
        error.__cause__ = OSError(read["error"])
    return error


def cancel(jobs: str) -> None:
    """End jobs, and wait until none of them runs; see `hanmo.core.executor`.

    Raises:
        UserError: no `scancel` here, Slurm refuses, or they do not end.
    """
    if not _in_queue(jobs):
        return
    say(f"executor slurm: cancels the jobs {jobs} and waits for their end")
    try:
        asked = subprocess.run(
            ["scancel", *jobs.split(",")], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UserError(f"executor slurm: no scancel here; do it elsewhere: {jobs}") from None
    gone = any(word in asked.stderr.lower() for word in _ENDED)  # one of them, before the others
    deadline = clock.monotonic() + _PATIENCE
    while _in_queue(jobs):
        if (asked.returncode and not gone) or clock.monotonic() > deadline:
            said = asked.stderr.strip() or f"they still run after {_PATIENCE:.0f} seconds"
            raise UserError(f"executor slurm: scancel {jobs}: {said}; see: squeue --jobs={jobs}")
        clock.sleep(_LOOKS)


def _give_up(state_dir: Path) -> None:
    """Cancel our jobs; the error that made the command stop is told, not that this failed."""
    try:
        end_jobs(state_dir)
    except UserError as error:
        say(str(error))


def _remember(state_dir: Path, printed: str) -> str:
    """Note the number of a job that sbatch printed ("Submitted batch job 17")."""
    number = printed.rsplit(maxsplit=1)[-1]
    earlier = noted_jobs(state_dir, __name__)
    note_jobs(state_dir, __name__, f"{earlier},{number}" if earlier else number)
    return number


def _in_queue(jobs: str) -> bool:
    """Whether Slurm still has one of the jobs, waiting or running."""
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", f"--jobs={jobs}"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UserError("executor slurm: no squeue here; run it where jobs can be seen") from None
    if asked.returncode:  # jobs that ended long ago are unknown; anything else may pass
        return _ENDED[0] not in asked.stderr.lower()
    return bool(asked.stdout.strip())


def _bin() -> str:
    return str(Path(sys.executable).parent)


def _nothing() -> None:
    pass


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep datatrove's log off the console."""
    from loguru import logger

    logger.disable("datatrove")
    try:
        yield
    finally:
        logger.enable("datatrove")
