"""A Ray cluster: a running one, or one that is started on this machine for the stage.

Needs `pip install 'hanmo[ray]'`, hanmo on every machine, and a folder that all of them see. A task
whose worker or machine dies is run again by Ray; the others go on. `--workers` of 2 or more limits
how many run at a time; 1, the default, leaves it to Ray: as many as the cluster has room for. A
cluster that is started here has one CPU for each of `--workers`. Tasks work in the folder in which
the command was started, so relative paths mean the same on every machine.

    hanmo annotate work/corpus --out work/sentences --executor ray --executor-options address=auto
"""

import functools
import os
import platform
import socket
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.executor import Failure, Outcome, RunOne, end_jobs, portable
from hanmo.core.log import say

_PATIENCE = 10.0  # seconds until a machine that does not answer counts as absent
_AT_ONCE = 1000  # tasks given to Ray beforehand: it is asked for all of them whenever one ends


@dataclass(frozen=True, slots=True)
class Executor:
    """Tasks on a Ray cluster.

    Attributes:
        address: Of a running cluster: "auto", host:port or ray://host:port; without it, one is
            started on this machine with as many CPUs as `--workers`.
        num_cpus: CPUs that a task takes.
        memory: Bytes of memory that a task takes, for Ray's placing; without it, not counted.
        retries: How often a task is run again whose worker died.
    """

    address: str | None = None
    num_cpus: float = 1.0
    memory: int | None = None
    retries: int = 2

    def run(
        self, run_one: RunOne, ranks: list[int], *, workers: int, state_dir: Path, title: str
    ) -> Generator[Outcome]:
        """Run tasks; see `hanmo.core.executor.Executor`.

        Raises:
            UserError: Ray is not installed, or no cluster answers at the address.
        """
        ray: Any = _ray()
        end_jobs(state_dir)
        began = self._begin(ray, workers)
        try:
            self._tell_too_large(ray)
            options: dict[str, Any] = {"num_cpus": self.num_cpus, "max_retries": self.retries}
            if self.memory is not None:
                options["memory"] = self.memory
            remote = ray.remote(_attempt).options(name=f"hanmo {title}", **options)
            once = [ray.put((run_one, str(Path.cwd())))]  # in a list Ray leaves it unread
            room = workers if workers > 1 else self._room(ray)
            todo, running = iter(ranks), {}
            for rank in todo:
                running[remote.remote(once, rank)] = rank
                if len(running) == room:
                    yield from self._some(ray, running)
            while running:
                yield from self._some(ray, running)
        finally:
            if began:
                ray.shutdown()

    def _begin(self, ray: Any, workers: int) -> bool:
        """Connect to a cluster, or start one; returns whether it is ours to end."""
        if ray.is_initialized():
            return False
        quiet = {"log_to_driver": False, "include_dashboard": False}
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            if self.address is None:
                ray.init(num_cpus=max(1, workers), configure_logging=False, **quiet)
            else:
                _refuse_silent(self.address)
                ray.init(address=self.address, log_to_driver=False, configure_logging=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"executor ray: no cluster at {self.address or 'this machine'} ({error}); start "
                "one with: ray start --head"
            ) from error
        return True

    def _tell_too_large(self, ray: Any) -> None:
        """Say when no machine has the CPUs of a task: Ray waits for one without a word."""
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes()), default=0)
        if self.num_cpus > most:
            say(
                f"executor ray: a task takes {self.num_cpus:g} CPUs, and no machine of the cluster "
                f"has more than {most:g}: Ray waits until one with as many joins it"
            )

    def _room(self, ray: Any) -> int:
        """Return how many tasks Ray gets at a time: enough for every CPU of the cluster."""
        at_once = ray.cluster_resources().get("CPU", 0) / (self.num_cpus or 1)
        return max(_AT_ONCE, 2 * int(at_once))

    def _some(self, ray: Any, running: dict[Any, int]) -> Iterator[Outcome]:
        """Wait for a task or more to end; yields their outcomes."""
        ended, _ = ray.wait(list(running))
        for reference in ended:
            rank = running.pop(reference)
            try:
                failure: Failure = ray.get(reference)
            except ray.exceptions.RayError as error:
                failure = UserError(
                    f"its Ray worker died, also when run again {self.retries} times "
                    f"({str(error).strip().splitlines()[0]}); finished tasks are kept"
                )
                failure.__cause__ = error
            yield rank, failure


def _refuse_silent(address: str) -> None:
    """Ask for a connection beforehand: Ray itself tries for minutes.

    Raises:
        OSError: nobody listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _attempt(once: list[Any], rank: int) -> Failure:
    """Run a task; returns what went wrong."""
    try:
        _read(once[0])(rank)
    except Exception as error:  # noqa: BLE001 - the driver decides what to raise
        return portable(error)
    return None


@functools.lru_cache(maxsize=1)
def _read(reference: Any) -> RunOne:
    """Return what a worker runs: read once, for with the names of many parts it takes a while."""
    run_one: RunOne
    run_one, folder = _ray().get(reference)
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: the command was started there, and {platform.node()} has no such folder "
            f"({error.strerror}); start it in a folder that all machines see"
        ) from None
    return run_one


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("executor ray: Ray is not installed; pip install 'hanmo[ray]'") from None
    return ray
