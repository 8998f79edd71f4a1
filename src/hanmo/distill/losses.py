"""Losses that compare layers of a student with layers of a teacher (TextBrewer's; facts/07).

Each takes what both computed for the same packed batch and returns a mean over the whole step; so
the losses of a step's parts add up. Padding is not counted. All are 0 where both are equal.

Shapes: N places, D width of the hidden states, A heads, d their width, n pieces of a sequence.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hanmo.distill.places import Block, Places

# Of one side: hidden states [N, D], or queries, keys and values [N, 3, A, d]; of one or two layers.
Layers = Sequence[Tensor]
_EPSILON = 1e-12
_NEVER = -1e4


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it needs.

    Attributes:
        compare: (student, teacher, places) → mean over the step.
        feature: "hidden" or "attention".
        layers: how many layers of each side it takes.
        same_width: student and teacher must be of one width, by a projection if need be.
        same_heads: both must have as many heads.
    """

    compare: Callable[[Layers, Layers, Places], Tensor]
    feature: str = "hidden"
    layers: int = 1
    same_width: bool = False
    same_heads: bool = False


def hidden_mse(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """Mean squared difference, over pieces and width."""
    one, two = places.real(student[0]), places.real(teacher[0])
    return (one - two).square().sum() / (places.n_pieces * one.shape[1])


def cos(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """1 - cosine, mean over pieces (DistilBERT's cosine loss)."""
    one, two = places.real(student[0]), places.real(teacher[0])
    return (1 - F.cosine_similarity(one, two, dim=-1)).sum() / places.n_pieces


def pkd(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """Squared distance of the normalised [CLS], mean over sequences (Sun et al. 2019)."""
    one, two = (
        F.normalize(places.firsts(side[0]), dim=-1, eps=_EPSILON) for side in (student, teacher)
    )
    return (one - two).square().sum() / places.n_sequences


def gram(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """Flow between two layers (FSP, Yim et al. 2017): mean squared difference of X₀ᵀX₁ / n.

    [D, D] a sequence; mean over its entries and over sequences.
    """
    total = student[0].new_zeros(())
    for block in places.blocks(total.device):
        one, two = (_flow(side, block) for side in (student, teacher))
        total = total + (one - two).square().sum() / one.shape[-1] ** 2
    return total / places.n_sequences


def nst(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """Likeness of pieces across two layers (MMD, Huang and Wang 2017): X₀X₁ᵀ / D.

    Mean squared difference over pairs of pieces; the widths need not be the same.
    """
    total = student[0].new_zeros(())
    for block in places.blocks(total.device):
        one, two = (_likeness(side, block) for side in (student, teacher))
        total = total + ((one - two).square() * block.pairs).sum()
    return total / places.n_pairs


def attention_mse(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """Mean squared difference of attention scores, over heads and pairs of pieces (TinyBERT)."""
    return _scores_mse(student, teacher, places, lambda scores: scores)


def attention_mse_sum(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """As `attention_mse`, of scores added up over heads, however many each side has."""
    return _scores_mse(student, teacher, places, lambda scores: scores.sum(1, keepdim=True))


def attention_ce(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """Cross entropy of attention weights, over heads and pieces, less the teacher's own entropy."""
    return _weights_ce(student, teacher, places, lambda scores: scores)


def attention_ce_mean(student: Layers, teacher: Layers, places: Places) -> Tensor:
    """As `attention_ce`, of scores averaged over heads, however many each side has."""
    return _weights_ce(student, teacher, places, lambda scores: scores.mean(1, keepdim=True))


LOSSES: Mapping[str, Loss] = {
    "hidden_mse": Loss(hidden_mse, same_width=True),
    "cos": Loss(cos, same_width=True),
    "pkd": Loss(pkd, same_width=True),
    "gram": Loss(gram, layers=2, same_width=True),
    "fsp": Loss(gram, layers=2, same_width=True),
    "nst": Loss(nst, layers=2),
    "mmd": Loss(nst, layers=2),
    "attention_mse": Loss(attention_mse, "attention", same_heads=True),
    "attention_mse_sum": Loss(attention_mse_sum, "attention"),
    "attention_ce": Loss(attention_ce, "attention", same_heads=True),
    "attention_ce_mean": Loss(attention_ce_mean, "attention"),
}


def _flow(side: Layers, block: Block) -> Tensor:
    """X₀ᵀX₁ / n of each sequence: [G, D, D]."""
    mask = block.mask[..., None].to(side[0].dtype)
    first, second = (block.take(layer) * mask for layer in side)
    return torch.bmm(first.transpose(1, 2), second) / mask.sum(1, keepdim=True)


def _likeness(side: Layers, block: Block) -> Tensor:
    """X₀X₁ᵀ / D of each sequence: [G, n, n]."""
    first, second = (block.take(layer) for layer in side)
    return torch.bmm(first, second.transpose(1, 2)) / second.shape[-1]


def scores_of(qkv: Tensor, block: Block) -> Tensor:
    """Attention scores before the softmax, of all pairs: [N, 3, A, d] → [G, A, n, n]."""
    q, k = (block.take(qkv[:, part]).transpose(1, 2) for part in (0, 1))  # [G, A, n, d]
    return q @ k.transpose(2, 3) * q.shape[-1] ** -0.5


def _both(
    student: Layers, teacher: Layers, places: Places
) -> Iterator[tuple[Block, Tensor, Tensor]]:
    for block in places.blocks(student[0].device):
        yield block, scores_of(student[0], block), scores_of(teacher[0], block)


def _scores_mse(
    student: Layers, teacher: Layers, places: Places, together: Callable[[Tensor], Tensor]
) -> Tensor:
    total, heads = student[0].new_zeros(()), 1
    for block, one, two in _both(student, teacher, places):
        difference = together(one) - together(two)
        heads = difference.shape[1]
        total = total + (difference.square() * block.pairs[:, None]).sum()
    return total / (places.n_pairs * heads)


def _weights_ce(
    student: Layers, teacher: Layers, places: Places, together: Callable[[Tensor], Tensor]
) -> Tensor:
    total, heads = student[0].new_zeros(()), 1
    for block, one, two in _both(student, teacher, places):
        absent = ~block.mask[:, None, None, :]
        own = together(one).masked_fill(absent, _NEVER).log_softmax(-1)
        wanted = together(two).masked_fill(absent, _NEVER).log_softmax(-1)
        heads = own.shape[1]
        lost = (wanted.exp() * (wanted - own)).sum(-1)  # [G, A, n]
        total = total + (lost * block.mask[:, None, :]).sum()
    return total / (places.n_pieces * heads)
