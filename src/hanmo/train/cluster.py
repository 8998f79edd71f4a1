"""Training processes that work on one batch: DDP or FSDP2 through torch, started by torchrun.

    torchrun --nproc-per-node 8 -m hanmo pretrain …

Every process takes its rows of each batch, losses divide by the totals of the whole batch, and
gradients are summed: without dropout the run is that of one process within rounding, whatever
their number; each process draws dropout of its own. The first process writes; small numbers travel
over gloo, gradients over the device's own backend.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hanmo.core import ranks
from hanmo.core.errors import UserError, nearest
from hanmo.model.trainable import Batch, Losses, Trainable

STRATEGIES = ("ddp", "fsdp")


class Step(nn.Module):
    """A model's forward pass as torch's wrappers want it: one call."""

    def __init__(self, model: Trainable) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.model.losses(self.model.outputs(batch), batch, progress=progress)


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """The processes of a run.

    Attributes:
        rank: this one, from 0.
        world: how many there are.
        strategy: "ddp" (each has the model) or "fsdp" (each has a share of it).
    """

    rank: int = 0
    world: int = 1
    strategy: str = "ddp"

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def wrap(self, model: Any) -> nn.Module:
        """Wrap a model for training; with FSDP its parameters become shares."""
        step = Step(model)
        if self.world == 1:
            return step
        if self.strategy == "ddp":
            from torch.nn.parallel import DistributedDataParallel

            return DistributedDataParallel(step)
        from torch.distributed.fsdp import fully_shard

        for layer in model.encoder.encoder.layer:
            fully_shard(layer)
        fully_shard(step)
        return step

    @contextlib.contextmanager
    def accumulating(self, step: nn.Module, *, last: bool) -> Iterator[None]:
        """Hold back the exchange of gradients but for the last part of a step."""
        if self.world == 1 or last:
            if self.world > 1 and self.strategy == "fsdp":
                _syncs(step, wanted=True)
            yield
        elif self.strategy == "ddp":
            with step.no_sync():  # type: ignore[operator]
                yield
        else:
            _syncs(step, wanted=False)
            yield

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum numbers over the processes; all must have the same names."""
        if self.world == 1:
            return dict(values)
        import torch.distributed as dist

        numbers = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(numbers)
        return dict(zip(values, numbers.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return self.sums({"flag": float(flag)})["flag"] > 0

    def from_first(self, value: Any) -> Any:
        """Give all processes what the first one has (a string or number)."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(flag=False)


ALONE = Cluster()


@contextlib.contextmanager
def joined(strategy: str, *, device: str) -> Iterator[Cluster]:
    """Join the processes that torchrun started; alone without it.

    Args:
        strategy: "ddp" or "fsdp".
        device: "cpu" or "cuda".

    Raises:
        UserError: no such strategy.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"strategy: no {strategy!r}{nearest(strategy, STRATEGIES)}")
    if ranks.world() == 1:
        yield ALONE
        return
    import torch.distributed as dist

    if device == "cuda":
        torch.cuda.set_device(ranks.local_rank())
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield Cluster(ranks.rank(), ranks.world(), strategy)
    finally:
        dist.destroy_process_group()


def whole(tensor: Tensor) -> Tensor:
    """Gather a parameter or moment that FSDP has cut into shares; all processes must ask."""
    gather = getattr(tensor, "full_tensor", None)
    gathered: Tensor = tensor if gather is None else gather()
    return gathered


def share_like(value: Tensor, parameter: Tensor) -> Tensor:
    """Cut a whole tensor as a parameter is cut."""
    if not hasattr(parameter, "full_tensor") or not value.ndim:
        return value.to(parameter.device).clone()
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = parameter.device_mesh, parameter.placements  # type: ignore[attr-defined]
    return distribute_tensor(value.to(parameter.device), mesh, placements)


def _syncs(step: nn.Module, *, wanted: bool) -> None:
    step.set_requires_gradient_sync(wanted)  # type: ignore[operator]
