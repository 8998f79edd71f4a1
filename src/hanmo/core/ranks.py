"""Which of several training processes this is, as `torchrun` says in the environment.

Known without torch, so that only the first process speaks: what `say` and progress lines tell would
else come once from each. Errors come from every process that meets one.
"""

import os


def world() -> int:
    """Number of processes that torchrun started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if _launched() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ["RANK"]) if _launched() else 0


def local_rank() -> int:
    """Number of this process on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if _launched() else 0


def _launched() -> bool:
    # Other launchers set some of these; TORCHELASTIC_RUN_ID is torchrun's own.
    return "TORCHELASTIC_RUN_ID" in os.environ
