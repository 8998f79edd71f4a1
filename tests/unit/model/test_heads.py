"""The chunked cross entropy against torch's, and the classification head's pieces."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hanmo.model import heads
from hanmo.model.heads import sparse_cross_entropy

CHUNK = 16
V, H = 37, 12


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_CHUNK", CHUNK)


def case(m: int, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    random = torch.Generator().manual_seed(seed)
    x, weight, bias = (torch.randn(*s, generator=random) for s in ((m, H), (V, H), (V,)))
    targets = torch.randint(V, (m,), generator=random)
    return [tensor.requires_grad_() for tensor in (x, weight, bias)], targets


def value_and_gradients(leaves: list[Tensor], loss: Tensor) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("m", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 3])
def test_value_and_gradients_are_torchs(m: int) -> None:
    leaves, targets = case(m)
    got = value_and_gradients(leaves, 3 * sparse_cross_entropy(*leaves, targets))
    plain = 3 * F.cross_entropy(F.linear(*leaves), targets, reduction="sum")
    expected = value_and_gradients(leaves, plain)
    for one, two in zip(got, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-5)


def test_under_autocast_it_is_close() -> None:
    leaves, targets = case(2 * CHUNK + 3)
    plain = F.cross_entropy(F.linear(*leaves), targets, reduction="sum")
    expected = value_and_gradients(leaves, plain)
    with torch.autocast("cpu", torch.bfloat16):
        loss = sparse_cross_entropy(*leaves, targets)
    got = value_and_gradients(leaves, loss)
    assert loss.dtype == torch.float32
    for one, two in zip(got, expected, strict=True):
        assert one.dtype == torch.float32, "gradients of fp32 weights are fp32"
        assert (one - two).norm() <= 0.02 * two.norm()


def test_weights_shared_with_another_use_get_both_gradients() -> None:
    (x, weight, bias), targets = case(5)
    total = sparse_cross_entropy(x, weight, bias, targets) + weight.square().sum()
    (got,) = torch.autograd.grad(total, weight)
    plain = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="sum")
    (expected,) = torch.autograd.grad(plain + weight.square().sum(), weight)
    assert torch.allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_without_gradients_the_value_is_the_same() -> None:
    leaves, targets = case(CHUNK + 1)
    with torch.no_grad():
        value = sparse_cross_entropy(*leaves, targets)
    assert not value.requires_grad
    assert torch.equal(value, sparse_cross_entropy(*leaves, targets).detach())


def test_large_logits_stay_finite() -> None:
    leaves, targets = case(4)
    scaled = [leaves[0] * 1e3, leaves[1] * 1e2, leaves[2]]
    loss = sparse_cross_entropy(*scaled, targets)
    assert all(value.isfinite().all() for value in value_and_gradients(leaves, loss))
