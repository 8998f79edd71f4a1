"""The training loop: a generator that yields one record a step.

Logging, evaluating and saving are ordinary code in whoever consumes it. The loop knows nothing of
Chinese, of masking or of tasks.

    for record in train_steps(model, optimizer, batches, start=0, stop=1000, ...): log(record)
"""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hanmo.core.memory import Heap
from hanmo.core.seeds import generator
from hanmo.data.batches import split
from hanmo.model.trainable import Batch, Trainable, totals_of
from hanmo.train.cluster import ALONE, Cluster, Step, whole
from hanmo.train.devices import Device


class NotFiniteError(FloatingPointError):
    """A loss or gradient is infinite or no number at step `step`; nothing was updated by it."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What one optimiser step did.

    Attributes:
        step: number of finished steps, this one included.
        loss: total loss.
        parts: its named parts.
        weights: weight of a part in the total, where it is scheduled.
        learning_rate: as used by this step.
        grad_norm: global norm before clipping.
        n_pieces: real (non-padding) pieces seen.
        seconds: wall time of the step, data included.
        waited: seconds of these that the step waited for its batch.
        counts: what the objective counted in the batch.
    """

    step: int
    loss: float
    parts: dict[str, float]
    weights: dict[str, float]
    learning_rate: float
    grad_norm: float
    n_pieces: int
    seconds: float
    waited: float = 0.0
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


def train_steps(
    model: Trainable,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Sequence[Batch]],
    *,
    start: int,
    stop: int,
    total: int,
    learning_rate: Callable[[int], float],
    device: Device,
    clip_norm: float = 1.0,
    seed: int = 0,
    cluster: Cluster = ALONE,
    step_module: nn.Module | None = None,
) -> Iterator[Record]:
    """Train from step `start` to `stop` of `total`, yielding a record after each step.

    Args:
        model: what is trained, already on the device.
        optimizer: over the model's parameters.
        batches: the batches of steps `start`, `start + 1`, …, each in one or more parts whose
            gradients add up (`Batch.totals`).
        start: number of steps done before.
        stop: last step to do, at most `total`.
        total: length of the whole run: progress is step / total.
        learning_rate: step (from 0) → learning rate.
        device: where and how precisely to run.
        clip_norm: global gradient norm is clipped to this.
        seed: dropout at step s draws from (seed, s), so a resumed run draws the same.
        cluster: the processes that share each step.
        step_module: the model as the cluster wrapped it; default: the model alone.

    Raises:
        NotFiniteError: the loss or the gradient is not finite. Weights are still those of the
            step before.
    """
    assert isinstance(model, nn.Module)
    forward = step_module or Step(model)
    forward.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    source = iter(batches)
    heap = Heap()
    clock = time.perf_counter()
    for step in range(start, stop):
        asked = time.perf_counter()
        parts_of_step = next(source)
        waited = time.perf_counter() - asked
        # Hashed: torch's CPU generator reads only the low 32 bits of what it is seeded with.
        place = (step, cluster.rank) if cluster.rank else (step,)
        torch.manual_seed(int(generator(seed, "dropout", *place).integers(1 << 63)))
        rate = learning_rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        numbers, weights = _gradients(
            forward, parts_of_step, device, cluster, progress=step / total
        )
        norm_found = whole(nn.utils.clip_grad_norm_(parameters, clip_norm))
        # The one time in a step that the device is waited for.
        names, values = list(numbers), [*numbers.values(), norm_found.detach()]
        *found, norm = torch.stack([value.double() for value in values]).tolist()
        loss, *each = found
        parts = dict(zip(names[1:], each, strict=True))
        counts = _counts(parts_of_step)
        n_pieces = sum(part.n_pieces for part in parts_of_step)
        if cluster.world > 1:
            loss, parts, counts, n_pieces = _summed(cluster, loss, parts, counts, n_pieces)
        if not math.isfinite(loss):
            raise NotFiniteError(step + 1, f"loss is {loss}, of which {parts}")
        if not math.isfinite(norm):
            raise NotFiniteError(step + 1, f"gradient norm is {norm}, loss {loss}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        heap.tend()
        now = time.perf_counter()
        yield Record(
            step + 1,
            loss,
            parts,
            weights,
            rate,
            norm,
            n_pieces,
            now - clock,
            waited,
            counts,
        )
        clock = now


def _counts(parts: Sequence[Batch]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.counts)
    return dict(total)


def parts_of(
    arrays: Mapping[str, Any], n: int, device: str = "cpu", cluster: Cluster = ALONE
) -> list[Batch]:
    """Make a step's batch of a loader's arrays in at most `n` parts, cut between rows.

    Every part knows the totals of the whole step, those of other processes included, so that their
    losses add up to its loss.
    """
    totals: Mapping[str, Any] = cluster.sums(totals_of(arrays))
    totals = {name: int(value) for name, value in totals.items()}
    return [Batch.from_arrays(part, device, totals=totals) for part in split(arrays, n)]


def _summed(
    cluster: Cluster,
    loss: float,
    parts: Mapping[str, float],
    counts: Mapping[str, int],
    n_pieces: int,
) -> tuple[float, dict[str, float], dict[str, int], int]:
    """Sum what each process saw of a step."""
    own = {"loss": loss, "n": n_pieces}
    own |= {f"part {name}": value for name, value in parts.items()}
    own |= {f"count {name}": value for name, value in counts.items()}
    all_ = cluster.sums(own)
    return (
        all_["loss"],
        {name: all_[f"part {name}"] for name in parts},
        {name: int(all_[f"count {name}"]) for name in counts},
        int(all_["n"]),
    )


def _gradients(
    forward: nn.Module,
    batches: Sequence[Batch],
    device: Device,
    cluster: Cluster,
    *,
    progress: float,
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Run a step's parts forward and backward.

    Returns:
        The loss, then its parts by name, as numbers that are still on the device; and the parts'
        weights.
    """
    numbers: dict[str, Tensor] = {}
    weights: dict[str, float] = {}
    for number, batch in enumerate(batches):
        with cluster.accumulating(forward, last=number == len(batches) - 1):
            with device.autocast():
                losses = forward(batch, progress)
            # torch's wrappers take the mean over the processes; here it is the sum.
            (losses.total * cluster.world if cluster.world > 1 else losses.total).backward()
        for name, value in {"": losses.total.detach(), **losses.parts}.items():
            numbers[name] = numbers[name] + value.double() if name in numbers else value.double()
        weights = dict(losses.weights)
    return numbers, weights
