"""Soft targets: a student's logits against its teachers' probabilities (Hinton et al. 2015).

    loss of a row = -Σ softmax(T/τ) · log softmax(S/τ)        "ce"
                  = mean of (T/τ - S/τ)²                      "mse"

summed over rows; whoever calls divides by the rows of the whole step. TextBrewer has no factor τ²
(facts/07), DistilBERT has it. With several teachers a row's loss is the mean of theirs.

Two ways: `soft_sum` for few classes, by torch's own gradients, and `vocabulary_sum` for rows of a
vocabulary, whose logits are never kept, with the hard labels' cross entropy in the same pass.

Shapes: M rows, C classes, V vocabulary, K teachers, E embeddings.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hanmo.distill.settings import Settings

# Rows of a vocabulary at a time: 512 × 21,128 floats are 43 MB.
_CHUNK = 512
# A temperature that a schedule has moved is no lower: 0 and below mean nothing.
LEAST_TEMPERATURE = 1.0

# Logits as small as this belong to no class: rows may be of different lengths.
_ABSENT = -1e4

# One temperature, or one a row [M].
Temperature: TypeAlias = float | Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """A teacher's logits of some rows.

    Attributes:
        values: [m, C], or [m, k] of the k most likely classes.
        classes: int64 [m, k], which these are; None for all of them in order.
    """

    values: Tensor
    classes: Tensor | None = None


# (first row, behind the last) → a teacher's logits there.
Rows: TypeAlias = Callable[[int, int], Scores]


def soft_sum(student: Tensor, teachers: Sequence[Tensor], settings: Settings) -> Tensor:
    """Sum over rows of the soft loss: [M, C], K × [M, C] → [].

    Raises:
        ValueError: one class alone and "ce": its probability is always 1.
    """
    student = _wide(student)
    if settings.soft_loss == "ce" and student.shape[1] == 1:
        raise ValueError("one number is no distribution")
    total = student.new_zeros(())
    for teacher in (_wide(one.detach()) for one in teachers):
        tau = temperatures(student.detach(), teacher, settings)
        there = teacher > _ABSENT
        total = total + _row_losses(student / tau, teacher / tau, there, settings, tau).sum()
    return total / len(teachers)


def _row_losses(
    student: Tensor, teacher: Tensor, there: Tensor, settings: Settings, tau: Temperature
) -> Tensor:
    """[M, C], [M, C], divided by the temperature, and where classes are → [M]."""
    if settings.soft_loss == "mse":
        squares = (student - teacher).square() * there
        lost = squares.sum(-1) / there.sum(-1).clamp(min=1)
    else:
        lost = -(teacher.softmax(-1) * student.log_softmax(-1)).sum(-1)
    if not settings.t_squared:
        return lost
    return lost * (tau.flatten() if isinstance(tau, Tensor) else tau) ** 2


def temperatures(student: Tensor, teacher: Tensor, settings: Settings) -> Temperature:
    """Return the temperature of each row [M, 1], or of all.

    Args:
        student: [M, C], detached.
        teacher: [M, C].
        settings: the schedule.
    """
    if settings.temperature_schedule == "none":
        return settings.temperature
    return scheduled(_marks(student, teacher, settings), settings)[:, None]


def _marks(student: Tensor, teacher: Tensor, settings: Settings) -> Tensor:
    """What a schedule looks at: [M, C], [M, C] → [M] (TextBrewer's `presets.py`; facts/07)."""
    if settings.temperature_schedule == "cwsm":
        return 1 / (student.softmax(-1).amax(-1) + 1e-3)
    absent = teacher <= _ABSENT
    student, teacher = (
        F.normalize(one.masked_fill(absent, 0.0), dim=-1) for one in (student, teacher)
    )
    cosine = (student * teacher).sum(-1)
    # Rounding may take the cosine above 1, of which no root is a number.
    return (1 - cosine).clamp(min=0.0) ** settings.gamma


def scheduled(marks: Tensor, settings: Settings) -> Tensor:
    """τ₀ + (mean(w) - w) · β, at least `LEAST_TEMPERATURE`: [M] → [M].

    The mean is over the rows that run together: a part of a step, where a step is cut into parts.
    """
    moved = settings.temperature + (marks.mean() - marks) * settings.beta
    return moved.clamp(min=min(LEAST_TEMPERATURE, settings.temperature))


@dataclasses.dataclass(frozen=True, slots=True)
class Weights:
    """What the two losses of a row count for: the weight of each by the rows of the whole step.

    One that is None is not computed; one that is 0, at an end of its schedule, is.
    """

    soft: float | None
    hard: float | None


def vocabulary_sum(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    teachers: Sequence[Rows],
    *,
    settings: Settings,
    weights: Weights,
) -> tuple[Tensor, Tensor, Tensor]:
    """Soft and hard loss of rows whose logits x·weightᵀ + bias are never kept.

    Args:
        x: [M, E].
        weight: [V, E].
        bias: [V].
        targets: [M] ids in [0, V); -1 where there is none.
        teachers: logits by rows.
        settings: of the soft loss.
        weights: of both.

    Returns:
        weights.soft · soft + weights.hard · hard, which has the gradient; and both sums as they
        are, without one.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    with torch.autocast(device, enabled=False):
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        tau: Temperature = settings.temperature
        if settings.temperature_schedule != "none" and len(x):
            tau = _vocabulary_temperatures(x, weight, bias, teachers, settings)
        made: Any = _Vocabulary.apply(x, weight, bias, targets, teachers, settings, weights, tau)
    total, soft, hard = made
    return total, soft, hard


@torch.no_grad()
def _vocabulary_temperatures(
    x: Tensor, weight: Tensor, bias: Tensor, teachers: Sequence[Rows], settings: Settings
) -> Tensor:
    """[K, M]: looked at once before, since a schedule needs the mean over all rows."""
    marks = []
    for rows in teachers:
        found = []
        for begin in range(0, len(x), _CHUNK):
            end = min(len(x), begin + _CHUNK)
            logits = _wide(F.linear(x[begin:end], weight, bias))
            found.append(_marks(logits, _wide(rows(begin, end).values), settings))
        marks.append(scheduled(torch.cat(found), settings))
    return torch.stack(marks)


class _Vocabulary(torch.autograd.Function):
    """See `vocabulary_sum`; the gradient is formed in the forward pass, a chunk at a time."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        teachers: Sequence[Rows],
        settings: Settings,
        weights: Weights,
        tau: Temperature,
    ) -> tuple[Tensor, Tensor, Tensor]:
        soft = x.new_zeros((), dtype=torch.promote_types(x.dtype, torch.float32))
        hard = torch.zeros_like(soft)
        wanted = any(ctx.needs_input_grad)
        grads = [torch.zeros_like(t, dtype=soft.dtype) for t in (x, weight, bias)]
        for begin in range(0, len(x), _CHUNK):
            end = min(len(x), begin + _CHUNK)
            rows = x[begin:end]
            logits = F.linear(rows, weight, bias).to(soft.dtype)  # [m, V]
            grad = torch.zeros_like(logits)
            if weights.soft is not None:
                for number, teacher in enumerate(teachers):
                    own = tau[number, begin:end, None] if isinstance(tau, Tensor) else tau
                    lost, slope = _soft_chunk(logits, teacher(begin, end), settings, own)
                    soft += lost / len(teachers)
                    grad += slope * (weights.soft / len(teachers))
            if weights.hard is not None:
                lost, slope = _hard_chunk(logits, targets[begin:end])
                hard += lost
                grad += slope * weights.hard
            if wanted:
                grads[2] += grad.sum(0)
                grad = grad.to(x.dtype)
                grads[0][begin:end] = grad @ weight
                grads[1] += grad.t() @ rows
        ctx.save_for_backward(*(grads if wanted else ()))
        ctx.dtype = x.dtype
        ctx.mark_non_differentiable(soft, hard)
        return (weights.soft or 0.0) * soft + (weights.hard or 0.0) * hard, soft, hard

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *incoming: Tensor) -> Any:
        by = incoming[0]
        grads = (grad * by for grad in ctx.saved_tensors)
        return (*(grad.to(ctx.dtype) for grad in grads), None, None, None, None, None)


def _soft_chunk(
    logits: Tensor, teacher: Scores, settings: Settings, tau: Temperature
) -> tuple[Tensor, Tensor]:
    """Soft loss of a chunk, summed, and its slope by the student's logits: [m, V] → [], [m, V]."""
    square = tau**2 if settings.t_squared else 1.0
    theirs = teacher.values.to(logits.dtype) / tau
    ours = logits / tau
    if settings.soft_loss == "mse":
        difference = ours - theirs
        classes = logits.shape[1]
        lost = difference.square().mean(-1, keepdim=True) * square
        return lost.sum(), difference * (2 / classes) / tau * square
    wanted = theirs.softmax(-1)  # [m, V], or [m, k] that add up to one
    own = ours.log_softmax(-1)
    if teacher.classes is None:
        lost = -(wanted * own).sum(-1, keepdim=True)
        slope = own.exp_().sub_(wanted)
    else:
        lost = -(wanted * own.gather(1, teacher.classes)).sum(-1, keepdim=True)
        slope = own.exp_().scatter_add_(1, teacher.classes, -wanted)
    return (lost * square).sum(), slope.mul_(square / tau)


def _hard_chunk(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy against labels, -1 being none: [m, V], [m] → [], [m, V]."""
    own = logits.log_softmax(-1)
    there = (targets >= 0).to(own.dtype)[:, None]
    labels = targets.clamp(min=0)[:, None]
    lost = -(own.gather(1, labels) * there).sum()
    slope = own.exp_()
    slope.scatter_add_(1, labels, torch.full_like(there, -1.0))
    return lost, slope.mul_(there)


def _wide(x: Tensor) -> Tensor:
    """Half precision is too coarse for sums of probabilities."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
