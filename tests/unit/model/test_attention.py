"""Attention: the ways of different devices are one function; gradients and dropout are exact."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hanmo.model import attention as module
from hanmo.model.attention import attend_in_groups, attend_in_rows, way_of
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.layout import Layout
from hanmo.objectives import mlm
from training_cases import TINY, TINY_ALBERT, random_batch

WAYS = ("groups", "sequences", "rows")
rows_strategy = st.lists(
    st.lists(st.integers(1, 20), min_size=0, max_size=3), min_size=1, max_size=3
)


def layout_of(rows: list[list[int]]) -> Layout:
    ids = np.zeros((len(rows), max(1, *(sum(row) for row in rows), 1)), dtype=np.int32)
    for row, sizes in enumerate(rows):
        ids[row, : sum(sizes)] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    return Layout.of(ids)


def plainly(qkv: Tensor, layout: Layout) -> Tensor:
    """Attention written down as in the paper, a sequence and a head at a time."""
    out = torch.zeros_like(qkv[:, 0])
    for begin, n in layout.sequences.tolist():
        for head in range(qkv.shape[2]):
            q, k, v = qkv[begin : begin + n, :, head].unbind(1)
            out[begin : begin + n, head] = (q @ k.T / q.shape[1] ** 0.5).softmax(-1) @ v
    return out


def random_qkv(layout: Layout, heads: int, width: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(layout.n_places, 3, heads, width, generator=made, dtype=torch.float64)


@given(rows_strategy, st.integers(1, 3), st.integers(1, 5))
@settings(deadline=None)
def test_groups_and_rows_are_plain_attention(rows: list[list[int]], heads: int, width: int) -> None:
    layout = layout_of(rows)
    qkv = random_qkv(layout, heads, width).requires_grad_()
    weights = torch.randn(layout.n_places, heads, width, dtype=torch.float64)
    # Padding means nothing, and rows attend there too.
    real = torch.zeros(layout.n_places, 1, 1, dtype=torch.float64)
    for begin, n in layout.sequences.tolist():
        real[begin : begin + n] = 1
    expected = plainly(qkv, layout) + 0 * qkv[:, 0]  # also where there is no sequence at all
    (wanted,) = torch.autograd.grad((expected * weights * real).sum(), qkv)
    for found in (
        attend_in_groups(qkv, layout.groups(heads)),
        layout.take(attend_in_rows(qkv, layout, 0.0)),
    ):
        assert torch.allclose(found * real, expected * real, atol=1e-10)
        (gradient,) = torch.autograd.grad((found * weights * real).sum(), qkv)
        assert torch.allclose(gradient, wanted, atol=1e-10)


def test_places_without_a_piece_give_and_get_nothing() -> None:
    layout = layout_of([[3, 2], [1]])
    qkv = random_qkv(layout, 2, 4).requires_grad_()
    attended = attend_in_groups(qkv, layout.groups(2))
    padding = torch.ones(layout.n_places, dtype=torch.bool)
    for begin, n in layout.sequences.tolist():
        padding[begin : begin + n] = False
    assert padding.sum() == 4
    assert not attended[padding].any()
    attended.sum().backward()
    assert qkv.grad is not None
    assert not qkv.grad[padding].any()


def test_the_gradient_with_dropout_is_that_of_the_dropped_weights() -> None:
    """Against finite differences, with the same draws every time."""
    layout = layout_of([[5, 17], [2]])
    groups = layout.groups(2)

    def run(qkv: Tensor) -> Tensor:
        torch.manual_seed(3)
        return attend_in_groups(qkv, groups, 0.4)

    qkv = random_qkv(layout, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(run, (qkv,))
    assert not torch.allclose(run(qkv), attend_in_groups(qkv, groups))


@pytest.mark.parametrize("way", WAYS)
def test_a_part_of_a_step_without_pieces_has_states_and_gradients(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last processes get of a batch with fewer rows than processes."""
    monkeypatch.setattr(module, "way_of", lambda x, dropout: way)
    model = Encoder(TINY).train()
    nothing = torch.zeros(2, 8, dtype=torch.int64)
    layout = Layout.of(nothing.numpy())
    states = model(nothing, nothing, nothing, nothing, nothing.flatten()[:0], layout)
    assert states.shape == (0, TINY.hidden_size)
    states.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_dropped_weights_keep_their_mean() -> None:
    """With equal values the sum of the kept weights shows: 1 on average, seldom 1."""
    layout = layout_of([[64, 64]] * 4)
    qkv = random_qkv(layout, 4, 8)
    qkv[:, 2] = 1
    torch.manual_seed(0)
    sums = attend_in_groups(qkv, layout.groups(4), 0.25)[:, :, 0]
    assert sums.mean().item() == pytest.approx(1, abs=0.02)
    assert sums.std() > 0.05


def test_half_precision_stays_half_under_autocast() -> None:
    layout = layout_of([[30, 9]])
    qkv = random_qkv(layout, 2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend_in_groups(qkv.bfloat16(), layout.groups(2))
    assert found.dtype == torch.bfloat16
    expected = plainly(qkv, layout)
    assert torch.allclose(found.double(), expected, atol=0.05)


@pytest.mark.parametrize("shape", [TINY, TINY_ALBERT], ids=lambda shape: shape.model_type)
def test_the_ways_of_all_devices_agree(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of GPUs run on a CPU: same states and gradients, at all and at asked places."""
    model = Encoder(dataclasses.replace(shape, hidden_dropout_prob=0.0)).eval()
    initialise(model, 0.2, torch.Generator().manual_seed(0))
    batch = random_batch(mlm.Objective(), n=9)
    ways = []
    for way in WAYS:
        monkeypatch.setattr(module, "way_of", lambda x, dropout, way=way: way)
        model.zero_grad()
        everywhere = model(*batch.inputs, None, batch.layout).flatten(0, 1)[batch.layout.real]
        asked = model(*batch.inputs, batch.positions, batch.layout)
        (everywhere.square().sum() + asked.sum()).backward()
        ways.append((everywhere, asked, [p.grad.clone() for p in model.parameters()]))
    (one, asked, gradients), *others = ways
    for two, other, their_gradients in others:
        assert torch.allclose(one, two, atol=1e-6)
        assert torch.allclose(asked, other, atol=1e-6)
        for a, b in zip(gradients, their_gradients, strict=True):
            assert torch.allclose(a, b, atol=1e-4, rtol=1e-4)


def test_gpus_go_by_sequences_in_half_precision_without_dropout() -> None:
    class Fake:
        is_cuda = True
        dtype = torch.bfloat16

    fake: Any = Fake()
    assert way_of(fake, 0.0) == "sequences"
    assert way_of(fake, 0.1) == "rows"
    fake.dtype = torch.float32
    assert way_of(fake, 0.0) == "rows"
    assert way_of(torch.zeros(1), 0.0) == "groups"
