"""Answers drawn from logits come as often as the logits say, and their loss is a likelihood."""

import pytest
import torch
from torch.nn import functional as F

from hanmo.pruning.own_answers import (
    class_loss,
    draw_classes,
    draw_places,
    place_loss,
    sequences_of,
)
from pruning_cases import mlm_batch


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_classes_are_drawn_by_their_probability() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).repeat(20000, 1)
    drawn = draw_classes(logits, generator())
    shares = torch.bincount(drawn[:, 0], minlength=3) / 20000
    assert torch.allclose(shares, logits[0].softmax(0), atol=0.02)
    assert torch.equal(drawn, draw_classes(logits, generator()))


def test_gradients_of_drawn_answers_add_up_to_that_of_soft_ones() -> None:
    """At equal models both are zero on average, but a drawn one is not zero."""
    logits = torch.tensor([[0.5, -1.0, 2.0]]).repeat(40000, 1).requires_grad_()
    class_loss(logits, draw_classes(logits.detach(), generator())).backward()
    assert logits.grad is not None
    assert logits.grad.sum(0).abs().max() < 0.02
    assert logits.grad.abs().sum() > 0.1


def test_a_number_is_drawn_around_its_own() -> None:
    logits = torch.full((20000, 1), 3.0)
    drawn = draw_classes(logits, generator())
    assert drawn.mean() == pytest.approx(3, abs=0.05)
    assert class_loss(logits, drawn) == pytest.approx(0.5, abs=0.02)


def test_places_are_drawn_one_a_sequence_and_column() -> None:
    batch = mlm_batch()
    sequence = sequences_of(batch)
    n = int(sequence.max()) + 1
    assert n == 6
    logits = torch.randn(len(sequence), 2, generator=generator())
    drawn = draw_places(logits, batch, generator())
    assert drawn.sum() == n * 2
    expected = []
    for number in range(n):
        here = sequence == number
        assert (drawn[here].sum(0) == 1).all()
        for column in range(2):
            goal = drawn[here][:, column].int().argmax()
            expected.append(F.cross_entropy(logits[here][:, column], goal))
    assert place_loss(logits, drawn, batch).item() == pytest.approx(
        torch.stack(expected).mean().item(), rel=1e-5
    )
