"""Dropout that costs little on CPUs.

torch draws a floating-point number for each value there (7 ns, and products of `small` wait for
it); here four values share one 64-bit number, 16 bits each (1.4 ns). The rate is rounded to a
multiple of 1/65,536. On GPUs, and in code that torch.compile sees, torch's own runs.

    dropped = dropout(x, 0.1, training=True)
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16


def dropout(x: Tensor, rate: float, *, training: bool) -> Tensor:
    """Zero values at `rate` and scale the others so that means stay: any shape → the same.

    Draws from torch's default generator.
    """
    if not training or not rate:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    return x * keep_mask(x, rate) * keep_scale(rate)


def keep_mask(like: Tensor, rate: float) -> Tensor:
    """Draw what is kept of a CPU tensor: 1 there, 0 elsewhere, in the shape and type of `like`."""
    n = math.prod(like.shape)
    bits = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    mask = torch.empty(like.shape, dtype=like.dtype)
    torch.ge(bits[:n].view(like.shape), _dropped_levels(rate) - _LEVELS // 2, out=mask)
    return mask


def keep_scale(rate: float) -> float:
    """What kept values are multiplied with."""
    return _LEVELS / (_LEVELS - _dropped_levels(rate))


def _dropped_levels(rate: float) -> int:
    return min(round(rate * _LEVELS), _LEVELS - 1)


class Dropout(nn.Dropout):
    """torch's module with `dropout` inside."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same."""
        return dropout(x, self.p, training=self.training)
