"""Heads on an encoder: the masked-LM head, word labels beside it, and pooled classification.

Names are Hugging Face's (`cls.predictions.transform.dense.weight`, `pooler.dense.weight` …).
Shapes: M positions, H hidden, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.model.activations import activation
from hanmo.model.config import EncoderConfig

# Rows of logits held at once by `sparse_cross_entropy`: 512 × 21,128 floats are 43 MB.
_CHUNK = 512


class Transform(nn.Module):
    """Dense, activation, layer normalisation: what MLM and LERT's label heads share (facts/01).

    Its width is that of the embeddings, whose matrix scores the pieces.
    """

    def __init__(self, config: EncoderConfig, *, width: int | None = None) -> None:
        super().__init__()
        width = width or config.embedding_width
        self.dense = nn.Linear(config.hidden_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """[M, H] → [M, E]."""
        return self.LayerNorm(self.activation(self.dense(x)))


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
        """Score every piece: [M, E], [V, E] → [M, V]."""
        return F.linear(transformed, embedding, self.predictions.bias)


class Pooler(nn.Module):
    """tanh(dense([CLS])), as BERT's classifiers use; transformers' ELECTRA has GELU there."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = getattr(F, config.family.pooler)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """[S, H] → [S, H]."""
        pooled: Tensor = self.activation(self.dense(x))
        return pooled


class _SparseCrossEntropy(torch.autograd.Function):
    """Sum of cross entropies of a linear layer whose logits are never kept.

    The gradient is formed in the forward pass, a chunk of rows at a time: M × V floats would be
    written and read five times over, which on CPUs costs as much as the products themselves.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        numbers: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        total = x.new_zeros((), dtype=torch.float32)
        drawn = torch.empty_like(targets)
        wanted = any(ctx.needs_input_grad)
        grad_x = torch.empty_like(x) if wanted else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if wanted else None
        # One buffer of one size, whatever the batch: see `layout.py` on fragmentation.
        buffer = x.new_empty(_CHUNK, len(weight))
        for start in range(0, len(x), _CHUNK):
            rows, expected = x[start : start + _CHUNK], targets[start : start + _CHUNK, None]
            logits = torch.addmm(bias, rows, weight.t(), out=buffer[: len(rows)]).float()  # [m, V]
            grad = logits.softmax(-1)  # one pass over the exponentials, for loss and gradient
            # The greatest probability is 1 / Σ exp(logit - greatest logit), so never 0.
            norm = logits.amax(-1, keepdim=True) - grad.amax(-1, keepdim=True).log()
            total += (norm - logits.gather(1, expected)).sum()
            if numbers is not None:
                drawn[start : start + _CHUNK] = _drawn(grad, numbers[start : start + _CHUNK])
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
        ctx.mark_non_differentiable(drawn)
        return total, drawn

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        scale = grads[0]  # the drawn pieces have none
        return (
            grad_x * scale.to(grad_x.dtype),
            grad_weight * scale,
            grad_bias * scale,
            None,
            None,
        )


def _drawn(probabilities: Tensor, numbers: Tensor) -> Tensor:
    """Turn numbers in [0, 1) into pieces by their probabilities: [m, V], [m] → int64 [m]."""
    sums = probabilities.cumsum(-1)
    # Sums end at nearly 1: scaled, and never past the last piece.
    places = torch.searchsorted(sums, numbers.to(sums.dtype)[:, None] * sums[:, -1:])
    return places.squeeze(1).clamp(max=probabilities.shape[1] - 1)


def sparse_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over rows of CE(x·weightᵀ + bias, target) without keeping the logits.

    Args:
        x: [M, H].
        weight: [V, H].
        bias: [V].
        targets: [M] ids in [0, V).
    """
    return _sparse(x, weight, bias, targets, None)[0]


def sample_and_score(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Return `sparse_cross_entropy`, and a piece drawn for each row from the same probabilities.

    Args:
        x: [M, H].
        weight: [V, H].
        bias: [V].
        targets: [M] ids in [0, V).
        numbers: [M] in [0, 1): the chance of each draw.

    Returns:
        The summed loss, and int64 [M] ids; no gradient flows through these.
    """
    return _sparse(x, weight, bias, targets, numbers)


def _sparse(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, numbers: Tensor | None
) -> tuple[Tensor, Tensor]:
    dtype = (
        torch.get_autocast_dtype(x.device.type)
        if torch.is_autocast_enabled(x.device.type)
        else x.dtype
    )
    with torch.autocast(x.device.type, enabled=False):
        total, drawn = _SparseCrossEntropy.apply(
            x.to(dtype), weight.to(dtype), bias.to(dtype), targets, numbers
        )
    return total, drawn
