"""Dropout from shared bits: rate, scale, chance, gradient; torch's own elsewhere."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.model.dropout import Dropout, dropout, keep_mask, keep_scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_values_are_dropped_at_the_rate(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 1001, dtype=dtype)
    dropped = dropout(x, rate, training=True)
    assert dropped.dtype == dtype
    assert (dropped == 0).double().mean().item() == pytest.approx(rate, abs=0.002)
    kept = dropped[dropped != 0].double()
    assert torch.allclose(kept, torch.tensor(1 / (1 - rate)).double(), rtol=0.004)
    # Neighbours, which share a number of 64 bits, are independent.
    zero = (dropped == 0).double()
    both = (zero[:, 1:] * zero[:, :-1]).mean().item()
    assert both == pytest.approx(rate**2, abs=0.003)


@given(st.lists(st.integers(0, 7), max_size=3), st.floats(0.01, 0.99))
def test_the_gradient_follows_what_was_kept(shape: list[int], rate: float) -> None:
    x = torch.rand(shape, dtype=torch.float64).add(1).requires_grad_()
    torch.manual_seed(1)
    dropped = dropout(x, rate, training=True)
    assert dropped.shape == x.shape
    dropped.sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad * x, dropped)
    assert torch.allclose(x.grad[x.grad != 0], torch.tensor(keep_scale(rate)).double())
    torch.manual_seed(1)
    assert torch.equal(dropout(x, rate, training=True), dropped)


def test_nothing_is_drawn_where_nothing_is_dropped() -> None:
    x = torch.rand(5)
    before = torch.random.get_rng_state()
    assert dropout(x, 0.0, training=True) is x
    assert dropout(x, 0.5, training=False) is x
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("rate", [0.0, 1e-9])
def test_a_rate_of_next_to_nothing_drops_nothing(rate: float) -> None:
    assert keep_mask(torch.zeros(100_000), rate).all()
    assert keep_scale(rate) == 1


def test_a_rate_of_one_leaves_next_to_nothing() -> None:
    assert keep_mask(torch.zeros(1000), 1.0).sum() <= 1
    assert Dropout(1.0)(torch.ones(1000)).count_nonzero() <= 1
