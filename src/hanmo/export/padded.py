"""An encoder as plain tensor operations over padded rows: what exporters can follow.

The encoder of `hanmo.model` works on real pieces alone and groups sequences of like length, which
no exported graph can say. Here the same weights run over [B, L] with a mask, and the modules on top
of it do not notice: only the encoder's `forward` is another one. Queries, keys and values are one
matrix product, so that a quantised one reads its input once; the scale is in the weights.

Shapes: B rows, L length, M asked positions, A heads, D a head's width, H hidden.
"""

import copy
import types
from typing import Any

import torch
from torch import Tensor, nn

from hanmo.model.encoder import Encoder

_NEVER = -1e4  # a score that leaves nothing of its piece
_MERGED = "qkv"


class Asked:
    """A batch as an exported graph knows it: what modules read of `hanmo.model.trainable.Batch`.

    Args:
        input_ids: [B, L].
        attention_mask: [B, L], 1 for pieces, 0 for padding; it stands for the sequence's number.
        token_type_ids: [B, L].
        positions: [M], flat indices r · L + c.
    """

    layout = None
    firsts = None

    def __init__(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, positions: Tensor
    ) -> None:
        places = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
        self.inputs = (input_ids, token_type_ids, places, attention_mask)
        self.sequence_ids, self.positions = attention_mask, positions


def padded(model: nn.Module) -> nn.Module:
    """Copy a model so that its encoder runs over padded rows.

    Args:
        model: a `Trainable`, in evaluation mode.

    Returns:
        Its copy, whose `outputs` takes an `Asked`. Who watches its layers sees [B·L, H], and [M, H]
        of the last one.
    """
    model = copy.deepcopy(model).eval()
    encoder: Any = model.encoder
    for layer in encoder.encoder.layer:
        _merge(layer.attention.self)
    encoder.forward = types.MethodType(_forward, encoder)
    return model


def _merge(attention: Any) -> None:
    """Put queries (scaled), keys and values into one product."""
    parts = (attention.query, attention.key, attention.value)
    merged = nn.Linear(parts[0].in_features, 3 * parts[0].out_features)
    scale = attention.head_size**-0.5
    with torch.no_grad():
        weights, biases = ([getattr(one, slot) for one in parts] for slot in ("weight", "bias"))
        merged.weight.copy_(torch.cat([weights[0] * scale, *weights[1:]]))
        merged.bias.copy_(torch.cat([biases[0] * scale, *biases[1:]]))
    for name in ("query", "key", "value"):
        delattr(attention, name)
    attention.add_module(_MERGED, merged)


def _forward(  # noqa: PLR0917 - in the order of `Batch.inputs`
    self: Encoder,
    input_ids: Tensor,
    token_type_ids: Tensor,
    position_ids: Tensor,
    attention_mask: Tensor,
    positions: Tensor,
    layout: None = None,
) -> Tensor:
    """[B, L] → [M, H]: what `Encoder.forward` gives for rows of one sequence each."""
    x = self.embeddings(input_ids, token_type_ids, position_ids)  # [B, L, E]
    if self.config.projects:
        x = self.embeddings_project(x)
    hidden = attention_mask[:, None, None, :] == 0
    bias = torch.where(hidden, _NEVER, 0.0)  # [B, 1, 1, L]
    stack: Any = self.encoder
    for number in range(stack.depth):
        layer = stack.layer[number % len(stack.layer)]
        attended = _attend(layer.attention.self, x, bias)  # [B, L, A·D]
        watched = stack.watched
        if watched is not None and number in watched.hidden:
            watched.seen.hidden[number] = x.flatten(0, 1)
        if number == stack.depth - 1:  # of the last layer nobody reads the other positions
            attended = attended.flatten(0, 1).index_select(0, positions)
            x = x.flatten(0, 1).index_select(0, positions)
        x = layer.attention.output(attended, x)
        x = layer.output(layer.intermediate(x), x)
    if stack.watched is not None and stack.depth in stack.watched.hidden:
        stack.watched.seen.hidden[stack.depth] = x  # [M, H]: of the asked positions alone
    return x


def _attend(attention: Any, x: Tensor, bias: Tensor) -> Tensor:
    """[B, L, H] → [B, L, A·D]."""
    b, n, _ = x.shape
    heads, width = attention.n_heads, attention.head_size
    qkv = getattr(attention, _MERGED)(x).view(b, n, 3, heads, width).permute(2, 0, 3, 1, 4)
    weights = (qkv[0] @ qkv[1].transpose(-1, -2) + bias).softmax(-1)  # [B, A, L, L]
    attended: Tensor = (weights @ qkv[2]).permute(0, 2, 1, 3).reshape(b, n, heads * width)
    return attended
