"""Attention within the sequences of packed rows, in each device's fastest way.

    CPU                          groups of sequences of about one length (`_Grouped`)
    GPU, half precision          torch's kernel for sequences of different lengths
    GPU, fp32 or with dropout    whole rows with a mask, in torch's fused kernel

On CPUs `scaled_dot_product_attention` takes 41 % of a step backward (facts/15), and whole rows of
512 work at pairs of pieces that may not see each other. Groups are as large as their scores stay in
the cache (docs/log.md).

Shapes: N places of real pieces, A heads, D a head's width, G sequences of n pieces.
"""

import itertools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hanmo.model.config import EncoderConfig
from hanmo.model.dropout import keep_mask, keep_scale
from hanmo.model.layout import Group, Layout

_NEVER = -1e4  # a score that leaves nothing of its piece


class SelfAttention(nn.Module):
    """Multi-head attention of a layer; the three projections run as one matrix product.

    Attributes:
        kept: takes the queries, keys and values of a forward pass, if somebody wants them.
    """

    def __init__(self, config: EncoderConfig, layer: int = 0) -> None:
        super().__init__()
        h = config.hidden_size
        self.n_heads, self.head_size = config.heads_of(layer), config.head_size
        self.query = nn.Linear(h, self.n_heads * self.head_size)
        self.key = nn.Linear(h, self.n_heads * self.head_size)
        self.value = nn.Linear(h, self.n_heads * self.head_size)
        self.dropout = config.attention_probs_dropout_prob
        self.kept: list[Tensor] | None = None

    def forward(self, x: Tensor, layout: Layout, asked: Tensor | None = None) -> Tensor:
        """Attend within sequences: [N, H] → [N, A·D], or [M, A·D] at the asked places."""
        weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        offset = torch.cat([self.query.bias, self.key.bias, self.value.bias])
        qkv = F.linear(x, weight, offset)
        # No -1 for the heads' width: a process may have no pieces in a part of a step.
        qkv = qkv.view(len(x), 3, self.n_heads, self.head_size)
        if self.kept is not None:
            self.kept.append(qkv)
        dropout = self.dropout if self.training else 0.0
        way = way_of(qkv, dropout)
        if way == "rows":
            return layout.take(attend_in_rows(qkv, layout, dropout).flatten(1), asked)
        if way == "groups":
            attended = attend_in_groups(qkv, layout.groups(self.n_heads), dropout)
        else:
            attended = attend_by_sequences(qkv, layout)
        attended = attended.flatten(1)
        return attended if asked is None else attended.index_select(0, layout.among_real(asked))


def way_of(x: Tensor, dropout: float) -> Literal["groups", "sequences", "rows"]:
    """Choose the way for a device, a type and a share of weights to drop.

    A GPU's kernel for sequences of different lengths has no dropout and no fp32.
    """
    if not x.is_cuda:
        return "groups"
    half = x.dtype in (torch.bfloat16, torch.float16)
    return "sequences" if half and not dropout else "rows"


def attend_in_groups(qkv: Tensor, groups: tuple[Group, ...], dropout: float = 0.0) -> Tensor:
    """Attend within sequences, group by group: [N, 3, A, D] → [N, A, D].

    Args:
        qkv: queries, keys and values.
        groups: `Layout.groups` of A heads; places in none of them get zeros.
        dropout: share of the weights that is dropped.
    """
    attended = _Grouped.apply(qkv, groups, dropout)
    assert isinstance(attended, Tensor)
    return attended


def attend_by_sequences(qkv: Tensor, layout: Layout) -> Tensor:
    """Attend within sequences that lie one after the other: [N, 3, A, D] → [N, A, D]."""
    if not len(qkv):  # a part of a step without pieces
        return qkv[:, 0]
    q, k, v = qkv.unbind(1)
    if qkv.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        bounds, longest = layout.bounds, layout.longest
        attended = varlen_attn(q, k, v, bounds, bounds, longest, longest)
        assert isinstance(attended, Tensor)  # a pair only where it is asked for
        return attended
    # Elsewhere plainly, so that tests can follow this way without a GPU.
    parts = []
    for begin, end in itertools.pairwise(layout.bounds.tolist()):
        one, two, three = (t[begin:end].transpose(0, 1) for t in (q, k, v))  # [A, n, D]
        parts.append(F.scaled_dot_product_attention(one, two, three).transpose(0, 1))
    return torch.cat(parts)


def attend_in_rows(qkv: Tensor, layout: Layout, dropout: float) -> Tensor:
    """Attend in whole rows with a mask: [N, 3, A, D] → [R·L, A, D]."""
    a, d = qkv.shape[2:]
    rows = layout.spread(qkv).view(layout.n_rows, layout.length, 3, a, d)
    q, k, v = rows.permute(2, 0, 3, 1, 4)  # [R, A, L, D] each
    mask = layout.mask(q.dtype)
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return attended.transpose(1, 2).reshape(-1, a, d)


class _Grouped(torch.autograd.Function):
    """See `attend_in_groups`; keeps each group's weights if there is a backward pass."""

    @staticmethod
    def forward(ctx, qkv: Tensor, groups: tuple[Group, ...], dropout: float) -> Tensor:  # type: ignore[no-untyped-def]
        n_places, _, a, d = qkv.shape
        attended = qkv.new_zeros(n_places + 1, a, d)  # the last one takes what nobody wants
        kept: list[Tensor] = []
        training = ctx.needs_input_grad[0]
        # Autocast would turn the scores into fp32 and back; softmax adds up in fp32 anyway.
        with torch.autocast("cpu", enabled=False):
            for group in groups:
                q, k, v = _gather(qkv, group)
                scores = _scaled(q, k.transpose(1, 2), d**-0.5)
                if group.dead is not None:
                    tail = scores.view(-1, a, group.length, group.length)[..., group.shortest :]
                    tail.masked_fill_(group.dead[:, None, None], _NEVER)
                weights = scores.softmax(-1)
                used = weights
                if dropout:
                    mask = keep_mask(weights, dropout)
                    used = (weights * mask).mul_(keep_scale(dropout))
                if training:
                    kept += [q, k, v, weights, mask] if dropout else [q, k, v, weights]
                out = torch.bmm(used, v).view(-1, a, group.length, d).transpose(1, 2)
                attended.index_copy_(0, group.goals, out.reshape(-1, a, d))
        ctx.groups, ctx.dropout, ctx.n_places = groups, dropout, n_places
        ctx.save_for_backward(*kept)
        return attended[:n_places]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        _, a, d = gradient.shape
        kept = iter(ctx.saved_tensors)
        found = gradient.new_zeros(ctx.n_places + 1, 3, a, d)
        for group in ctx.groups:
            q, k, v, weights = (next(kept) for _ in range(4))
            out = gradient.index_select(0, group.sources).view(-1, group.length, a, d)
            if group.dead is not None:
                # What stands where no piece is must not count as a query.
                out[:, group.shortest :].masked_fill_(group.dead[..., None, None], 0)
            out = out.transpose(1, 2).reshape(-1, group.length, d)
            by_weights = torch.bmm(out, v.transpose(1, 2))
            used = weights
            if ctx.dropout:
                mask = next(kept)
                by_weights.mul_(mask).mul_(keep_scale(ctx.dropout))
                used = (weights * mask).mul_(keep_scale(ctx.dropout))
            by_scores = torch.ops.aten._softmax_backward_data(
                by_weights, weights, -1, weights.dtype
            )
            by_qkv = torch.stack(
                [
                    _scaled(by_scores, k, d**-0.5),
                    _scaled(by_scores.transpose(1, 2), q, d**-0.5),
                    torch.bmm(used.transpose(1, 2), out),
                ]
            )
            by_qkv = by_qkv.view(3, -1, a, group.length, d).permute(1, 3, 0, 2, 4)
            found.index_copy_(0, group.goals, by_qkv.reshape(-1, 3, a, d))
        return found[: ctx.n_places], None, None


def _gather(qkv: Tensor, group: Group) -> Tensor:
    """Queries, keys and values of a group: [N, 3, A, D] → [3, G·A, n, D], contiguous."""
    _, _, a, d = qkv.shape
    rows = qkv.index_select(0, group.sources).view(-1, group.length, 3, a, d)
    return rows.permute(2, 0, 3, 1, 4).reshape(3, -1, group.length, d)


def _scaled(one: Tensor, two: Tensor, scale: float) -> Tensor:
    """Products of a batch of matrices, times `scale`."""
    out = one.new_empty(len(one), one.shape[1], two.shape[2])
    return torch.baddbmm(out, one, two, beta=0, alpha=scale)
