"""How much the loss would change without a head or a neuron, to first order.

A head's output goes through its columns of attention.output.dense, W; with a mask m on it the loss
has the derivative dL/dm = sum(dL/dW · W), so |sum(grad · W)| over these columns is the importance
(Michel et al. 2019, §4; TextPruner, facts/07). A neuron's is the same of its column of
output.dense; where all layers keep the same number of neurons, TextPruner adds the same of its row
and bias of intermediate.dense. Absolute values of each batch are summed, and divided by the number
of examples.

    found = measure(model, batches, loss, n_examples=512, autocast=device.autocast)

Shapes: A heads of the layer, D a head's width, F neurons, H hidden.
"""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hanmo.model.encoder import Encoder
from hanmo.model.trainable import Batch

# The loss of a batch, given its number.
Loss = Callable[[int, Batch], Tensor]


@dataclasses.dataclass(frozen=True, slots=True)
class Importance:
    """Of each layer's heads, [A], and neurons, [F]: by the output side, and with the input side."""

    heads: list[NDArray[np.float64]]
    neurons: list[NDArray[np.float64]]
    neurons_both: list[NDArray[np.float64]]


def measure(
    model: Any,
    batches: Sequence[Batch],
    loss: Loss,
    *,
    n_examples: int,
    autocast: Callable[[], AbstractContextManager[object]],
    advance: Callable[[], None] = lambda: None,
) -> Importance:
    """Measure, in evaluation mode; the model's weights are left alone.

    Args:
        model: a module with `encoder`.
        batches: what to measure on.
        loss: number of a batch and the batch → its loss, of the model.
        n_examples: in all batches.
        autocast: precision of the forward pass.
        advance: called after each batch.

    Raises:
        FloatingPointError: a loss or a gradient is not finite.
    """
    encoder: Encoder = model.encoder
    wanted = [parameter for layer in encoder.encoder.layer for parameter in _measured(layer)]
    asked = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    was_training = model.training
    model.eval().requires_grad_(False)  # gradients of embeddings are large, and nobody reads them
    sums: list[list[Tensor]] = []
    try:
        for parameter in wanted:
            parameter.requires_grad_(True)
        for number, batch in enumerate(batches):
            with autocast():
                value = loss(number, batch)
            grads = torch.autograd.grad(value, wanted)
            found = _scores(encoder, wanted, grads)
            sums = _added(sums, found) if sums else found
            advance()
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(asked[name])
        model.train(was_training)
    heads, outer, inner = (
        [(one / n_examples).double().cpu().numpy() for one in part]
        for part in zip(*sums, strict=True)
    )
    if not all(np.isfinite(one).all() for part in (heads, outer, inner) for one in part):
        raise FloatingPointError("the gradients that measure importance are not finite")
    return Importance(heads, outer, [a + b for a, b in zip(outer, inner, strict=True)])


def _added(one: list[list[Tensor]], two: list[list[Tensor]]) -> list[list[Tensor]]:
    return [
        [a + b for a, b in zip(first, second, strict=True)]
        for first, second in zip(one, two, strict=True)
    ]


def _measured(layer: Any) -> tuple[Tensor, ...]:
    wide = layer.intermediate.dense
    return (layer.attention.output.dense.weight, layer.output.dense.weight, wide.weight, wide.bias)


def _scores(
    encoder: Encoder, weights: Sequence[Tensor], grads: Sequence[Tensor]
) -> list[list[Tensor]]:
    """Return for each layer |sum(grad · W)| of heads [A], columns [F], and rows with biases [F]."""
    found = []
    for start in range(0, len(weights), 4):
        # float64: what is left of large terms of both signs
        by_heads, outer, inner, bias = (
            weight.detach().double() * grad.double()
            for weight, grad in zip(
                weights[start : start + 4], grads[start : start + 4], strict=True
            )
        )
        heads = by_heads.sum(0).view(-1, encoder.config.head_size).sum(1).abs()  # [A]
        found.append([heads, outer.sum(0).abs(), (inner.sum(1) + bias).abs()])
    return found
