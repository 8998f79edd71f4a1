"""The training loop: a generator that yields one record a step.

Logging, evaluating and saving are ordinary code in whoever consumes it. The loop knows nothing of
Chinese, of masking or of tasks.

    for record in train_steps(model, optimizer, batches, start=0, stop=1000, ...): log(record)
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from hanmo.core.seeds import generator
from hanmo.model.trainable import Batch, Trainable
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
    """

    step: int
    loss: float
    parts: dict[str, float]
    weights: dict[str, float]
    learning_rate: float
    grad_norm: float
    n_pieces: int
    seconds: float


def train_steps(
    model: Trainable,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    *,
    start: int,
    stop: int,
    total: int,
    learning_rate: Callable[[int], float],
    device: Device,
    clip_norm: float = 1.0,
    seed: int = 0,
) -> Iterator[Record]:
    """Train from step `start` to `stop` of `total`, yielding a record after each step.

    Args:
        model: what is trained, already on the device.
        optimizer: over the model's parameters.
        batches: the batches of steps `start`, `start + 1`, …
        start: number of steps done before.
        stop: last step to do, at most `total`.
        total: length of the whole run: progress is step / total.
        learning_rate: step (from 0) → learning rate.
        device: where and how precisely to run.
        clip_norm: global gradient norm is clipped to this.
        seed: dropout at step s draws from (seed, s), so a resumed run draws the same.

    Raises:
        NotFiniteError: the loss or the gradient is not finite. Weights are still those of the
            step before.
    """
    assert isinstance(model, nn.Module)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    source = iter(batches)
    clock = time.perf_counter()
    for step in range(start, stop):
        batch = next(source)
        # Hashed: torch's CPU generator reads only the low 32 bits of what it is seeded with.
        torch.manual_seed(int(generator(seed, "dropout", step).integers(1 << 63)))
        rate = learning_rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with device.autocast():
            outputs = model.outputs(batch)
            losses = model.losses(outputs, batch, progress=step / total)
        loss = losses.total.item()
        parts = {name: part.item() for name, part in losses.parts.items()}
        if not math.isfinite(loss):
            raise NotFiniteError(step + 1, f"loss is {loss}, of which {parts}")
        losses.total.backward()
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
        if not math.isfinite(norm.item()):
            raise NotFiniteError(step + 1, f"gradient norm is {norm.item()}, loss {loss}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = time.perf_counter()
        yield Record(
            step + 1,
            loss,
            parts,
            dict(losses.weights),
            rate,
            norm.item(),
            batch.n_pieces,
            now - clock,
        )
        clock = now
