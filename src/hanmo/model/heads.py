"""Heads on an encoder: the masked-LM head, word labels beside it, and pooled classification.

Names are Hugging Face's (`cls.predictions.transform.dense.weight`, `pooler.dense.weight` …).
Shapes: M positions, H hidden, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.model.config import ACTIVATIONS, EncoderConfig

# Rows of logits held at once by `sparse_cross_entropy`: 512 × 21,128 floats are 43 MB.
_CHUNK = 512


class Transform(nn.Module):
    """Dense, activation, layer normalisation: what MLM and LERT's label heads share (facts/01)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.approximate = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """[M, H] → [M, H]."""
        return self.LayerNorm(F.gelu(self.dense(x), approximate=self.approximate))


class Predictions(nn.Module):
    """Transform and output bias; the output matrix is the word embedding."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))


class MaskedLmHead(nn.Module):
    """BERT's MLM head, under the name `cls.predictions`."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.predictions = Predictions(config)

    def logits(self, transformed: Tensor, embedding: Tensor) -> Tensor:
        """Score every piece: [M, H], [V, H] → [M, V]."""
        return F.linear(transformed, embedding, self.predictions.bias)


class Pooler(nn.Module):
    """tanh(dense([CLS])), as BERT's classifiers use."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """[S, H] → [S, H]."""
        return torch.tanh(self.dense(x))


class _SparseCrossEntropy(torch.autograd.Function):
    """Sum of cross entropies of a linear layer whose logits are never kept.

    The gradient is formed in the forward pass, a chunk of rows at a time: M × V floats would be
    written and read five times over, which on CPUs costs as much as the products themselves.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        total = x.new_zeros((), dtype=torch.float32)
        wanted = any(ctx.needs_input_grad)
        grad_x = torch.empty_like(x) if wanted else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if wanted else None
        # One buffer of one size, whatever the batch: see `encoder.layout_of` on fragmentation.
        buffer = x.new_empty(_CHUNK, len(weight))
        for start in range(0, len(x), _CHUNK):
            rows, expected = x[start : start + _CHUNK], targets[start : start + _CHUNK, None]
            logits = torch.addmm(bias, rows, weight.t(), out=buffer[: len(rows)]).float()  # [m, V]
            grad = logits.softmax(-1)  # one pass over the exponentials, for loss and gradient
            # The greatest probability is 1 / Σ exp(logit - greatest logit), so never 0.
            norm = logits.amax(-1, keepdim=True) - grad.amax(-1, keepdim=True).log()
            total += (norm - logits.gather(1, expected)).sum()
            if grad_x is None or grad_weight is None or grad_bias is None:
                continue
            grad.scatter_add_(1, expected, grad.new_full(expected.shape, -1.0))
            grad_bias += grad.sum(0)
            grad = grad.to(x.dtype)
            grad_x[start : start + _CHUNK] = grad @ weight
            if grad.dtype is torch.float32:
                grad_weight.addmm_(grad.t(), rows)
            else:  # sums over chunks stay in fp32
                grad_weight += grad.t() @ rows
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        scale = grads[0]
        return (
            grad_x * scale.to(grad_x.dtype),
            grad_weight * scale,
            grad_bias * scale,
            None,
        )


def sparse_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over rows of CE(x·weightᵀ + bias, target) without keeping the logits.

    Args:
        x: [M, H].
        weight: [V, H].
        bias: [V].
        targets: [M] ids in [0, V).
    """
    dtype = (
        torch.get_autocast_dtype(x.device.type)
        if torch.is_autocast_enabled(x.device.type)
        else x.dtype
    )
    with torch.autocast(x.device.type, enabled=False):
        return _SparseCrossEntropy.apply(x.to(dtype), weight.to(dtype), bias.to(dtype), targets)
