"""Answers drawn from a model's own logits: what importance is measured by without labels.

TextPruner takes the cross entropy against the soft logits of a frozen copy. At the first pass the
two models are the same, and there the gradient of that loss is exactly zero: what it measures is
the rounding of its half-precision copy. Here the answers are drawn from the same logits, once
before the first pass. The mean of the gradients over draws is the gradient of the soft loss; the
size of a batch's gradient is that of the Fisher information, which is what removing something costs
where the first derivative vanishes.

Shapes: M asked positions, C classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from hanmo.model.trainable import Batch


def draw_classes(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a class for each row, [M, C] → [M, 1]; of a single output, a value a unit normal off."""
    noise = torch.rand(logits.shape, generator=generator).clamp_(1e-9, 1 - 1e-7)
    if logits.shape[1] == 1:
        return logits.float().cpu() + torch.randn(logits.shape, generator=generator)
    return (logits.float().cpu() - (-noise.log()).log()).argmax(1, keepdim=True)


def class_loss(logits: Tensor, drawn: Tensor) -> Tensor:
    """Mean cross entropy of rows against drawn classes; of a single output half the squared error.

    Both are minus the log-likelihood of what was drawn.
    """
    drawn = drawn.to(logits.device)
    if logits.shape[1] == 1:
        return F.mse_loss(logits.float(), drawn) / 2
    return F.cross_entropy(logits.float(), drawn[:, 0])


def draw_places(logits: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
    """Draw one of a sequence's asked positions for each column: [M, C] → bool [M, C]."""
    noise = torch.rand(logits.shape, generator=generator).clamp_(1e-9, 1 - 1e-7)
    values = logits.float().cpu() - (-noise.log()).log()
    sequence = sequences_of(batch).cpu()[:, None].expand_as(values)
    best = torch.full_like(values, -torch.inf).scatter_reduce(0, sequence, values, "amax")
    return values == best.gather(0, sequence)


def place_loss(logits: Tensor, drawn: Tensor, batch: Batch) -> Tensor:
    """Mean cross entropy of the drawn places, one softmax a sequence and column."""
    logits = logits.float()
    sequence = sequences_of(batch)[:, None].expand_as(logits)
    greatest = torch.full_like(logits, -torch.inf)
    greatest = greatest.scatter_reduce(0, sequence, logits.detach(), "amax").gather(0, sequence)
    sums = torch.zeros_like(logits).scatter_add(0, sequence, (logits - greatest).exp())
    lost = sums.gather(0, sequence).log() + greatest - logits
    return lost[drawn.to(logits.device)].mean()


def sequences_of(batch: Batch) -> Tensor:
    """Number the sequences by where the asked positions stand: int64 [M], ascending."""
    row = batch.positions // batch.sequence_ids.shape[1]
    rank = batch.sequence_ids.flatten()[batch.positions]
    changes = (row[1:] != row[:-1]) | (rank[1:] != rank[:-1])
    return F.pad(changes.long().cumsum(0), (1, 0))
