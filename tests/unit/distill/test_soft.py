"""Soft targets: plain references, both ways alike, temperature schedules."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from hanmo.distill import soft
from hanmo.distill.settings import Settings
from hanmo.distill.soft import Rows, Scores, Weights, soft_sum, vocabulary_sum

V, E = 40, 6


def rows_of(logits: Tensor) -> Rows:
    return lambda begin, end: Scores(logits[begin:end])


def best_rows(logits: Tensor, k: int) -> Rows:
    best = logits.topk(k)
    return lambda begin, end: Scores(best.values[begin:end], best.indices[begin:end])


def student(seed: int, m: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    targets = torch.randint(-1, V, (m,), generator=generator)
    x, weight, bias = make(m, E), make(V, E), make(V)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), targets


def teachers(seed: int, m: int, n: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1000 + seed)
    return [3 * torch.randn(m, V, generator=generator, dtype=torch.float64) for _ in range(n)]


def plain(
    logits: Tensor, targets: Tensor, others: Sequence[Tensor], settings: Settings, weights: Weights
) -> Tensor:
    """The two losses as they are defined, row by row."""
    total = logits.new_zeros(())
    for other in others:
        s, t = logits.detach(), other
        if settings.temperature_schedule == "cwsm":
            w = 1 / (s.softmax(-1).amax(-1) + 1e-3)
        else:
            w = (1 - F.cosine_similarity(s, t, dim=-1)).clamp(min=0) ** settings.gamma
        tau = (settings.temperature + (w.mean() - w) * settings.beta).clamp(min=1.0)
        if settings.temperature_schedule == "none":
            tau = torch.full_like(w, settings.temperature)
        a, b = logits / tau[:, None], other / tau[:, None]
        if settings.soft_loss == "mse":
            lost = ((a - b) ** 2).mean(-1)
        else:
            lost = -(b.softmax(-1) * a.log_softmax(-1)).sum(-1)
        total = total + (lost * (tau**2 if settings.t_squared else 1)).sum() / len(others)
    hard = F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
    return weights.soft * total + weights.hard * hard


SETTINGS = st.builds(
    Settings,
    temperature=st.sampled_from([1.0, 2.0, 8.0]),
    temperature_schedule=st.sampled_from(["none", "flsw", "cwsm"]),
    soft_loss=st.sampled_from(["ce", "mse"]),
    t_squared=st.booleans(),
    beta=st.sampled_from([0.0, 0.5, 2.0]),
    gamma=st.sampled_from([1.0, 2.0]),
)


@checked(max_examples=40, deadline=None)
@given(
    settings=SETTINGS,
    seed=st.integers(0, 999),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 3), st.sampled_from([1, 7, 512])),
    hard=st.sampled_from([0.0, 0.7]),
)
def test_a_vocabulary_is_scored_as_defined(
    settings: Settings, seed: int, sizes: tuple[int, int, int], hard: float
) -> None:
    m, n, chunk = sizes
    x, weight, bias, targets = student(seed, m)
    others = teachers(seed, m, n)
    weights = Weights(0.3, hard)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soft, "_CHUNK", chunk)
        got, soft_part, hard_part = vocabulary_sum(
            x,
            weight,
            bias,
            targets,
            [rows_of(t) for t in others],
            settings=settings,
            weights=weights,
        )
    expected = plain(F.linear(x, weight, bias), targets, others, settings, weights)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(0.3 * soft_part + hard * hard_part, expected.detach())
    for mine, wanted in zip(
        torch.autograd.grad(2 * got, [x, weight, bias]),
        torch.autograd.grad(2 * expected, [x, weight, bias]),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-8, atol=1e-9)


@checked(max_examples=30, deadline=None)
@given(settings=SETTINGS, seed=st.integers(0, 999), m=st.integers(1, 9), n=st.integers(1, 3))
def test_few_classes_are_scored_as_defined(settings: Settings, seed: int, m: int, n: int) -> None:
    x, weight, bias, targets = student(seed, m)
    logits = F.linear(x, weight, bias).float().detach().requires_grad_()
    others = [t.float() for t in teachers(seed, m, n)]
    got = soft_sum(logits, others, settings)
    expected = plain(logits, targets, others, settings, Weights(1.0, 0.0))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    mine, wanted = (torch.autograd.grad(value, logits)[0] for value in (got, expected))
    torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-5)


def test_all_pieces_kept_are_all_pieces() -> None:
    x, weight, bias, targets = student(3, 11)
    (logits,) = teachers(3, 11, 1)
    settings, weights = Settings(temperature=4.0), Weights(1.0, 1.0)
    made = [
        vocabulary_sum(x, weight, bias, targets, [rows], settings=settings, weights=weights)[0]
        for rows in (rows_of(logits), best_rows(logits, V))
    ]
    torch.testing.assert_close(*made)
    grads = [torch.autograd.grad(one, [x, weight, bias]) for one in made]
    for mine, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(mine, wanted)


def test_the_best_pieces_are_scaled_to_one() -> None:
    x, weight, bias, targets = student(5, 4)
    (logits,) = teachers(5, 4, 1)
    settings = Settings(temperature=2.0)
    got = vocabulary_sum(
        x,
        weight,
        bias,
        targets,
        [best_rows(logits, 3)],
        settings=settings,
        weights=Weights(1.0, 0.0),
    )[0]
    best = logits.topk(3)
    cut = torch.full_like(logits, -torch.inf).scatter(1, best.indices, best.values)
    own = (F.linear(x, weight, bias) / 2).log_softmax(-1)
    wanted = (cut / 2).softmax(-1)
    expected = -(wanted * own).sum()
    torch.testing.assert_close(got, expected)
    for mine, theirs in zip(
        torch.autograd.grad(got, [x, weight]),
        torch.autograd.grad(expected, [x, weight]),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_temperature_squared_keeps_the_size_of_gradients() -> None:
    """Hinton et al. 2015, §2.1: without the factor, gradients go down as 1/τ²."""
    x, weight, bias, targets = student(1, 30)
    others = teachers(1, 30, 1)
    sizes = {}
    for t_squared in (False, True):
        for tau in (20.0, 40.0):
            settings = Settings(temperature=tau, t_squared=t_squared)
            total = vocabulary_sum(
                x,
                weight,
                bias,
                targets,
                [rows_of(t) for t in others],
                settings=settings,
                weights=Weights(1.0, 0.0),
            )[0]
            sizes[t_squared, tau] = torch.autograd.grad(total, x)[0].norm().item()
    assert 0.2 < sizes[False, 40.0] / sizes[False, 20.0] < 0.3
    assert 0.8 < sizes[True, 40.0] / sizes[True, 20.0] < 1.2


def test_no_rows_have_no_loss() -> None:
    x, weight, bias, targets = student(1, 0)
    for schedule in ("none", "flsw"):
        settings = dataclasses.replace(Settings(), temperature_schedule=schedule)  # type: ignore[arg-type]
        total, *_ = vocabulary_sum(
            x,
            weight,
            bias,
            targets,
            [rows_of(torch.zeros(0, V))],
            settings=settings,
            weights=Weights(1.0, 1.0),
        )
        assert total.item() == 0
        assert not torch.autograd.grad(total, weight)[0].any()


def test_one_number_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="no distribution"):
        soft_sum(torch.zeros(3, 1), [torch.zeros(3, 1)], Settings())
    settings: Any = Settings(soft_loss="mse", temperature=1.0)
    assert soft_sum(torch.ones(3, 1), [torch.zeros(3, 1)], settings).item() == 3
