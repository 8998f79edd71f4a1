"""BERT's AdamW against its formula, which parameters decay, the schedule, exact restoring."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hanmo.core.errors import UserError
from hanmo.model.masked_lm import MaskedLm
from hanmo.train.optim import (
    BertAdamW,
    build_optimizer,
    moments,
    restore_moments,
    split_by_decay,
    warmup_linear,
)
from training_cases import TINY

LAYERS = {"pos": ("n", "v", "wp")}


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, start: int, stop: int) -> None:
    for step in range(start, stop):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_twenty_steps_are_the_formulas() -> None:
    rng = np.random.default_rng(0)
    weight, beta1, beta2, eps, decay = rng.normal(size=(6, 4)), 0.9, 0.999, 1e-6, 0.01
    parameter = nn.Parameter(torch.tensor(weight, dtype=torch.float32))
    optimizer = BertAdamW([parameter], lr=1.0, weight_decay=decay)
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for step in range(20):
        rate = 0.01 * (1 - step / 20)
        gradient = rng.normal(size=weight.shape) * 10.0 ** rng.integers(-4, 2)
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        weight = weight - rate * (m / (np.sqrt(v) + eps) + decay * weight)
        parameter.grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        assert np.allclose(parameter.detach().numpy(), weight, rtol=1e-5, atol=1e-6), step


def test_the_first_step_is_not_bias_corrected() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = BertAdamW([parameter], lr=1e-3, weight_decay=0.0)
    parameter.grad = torch.ones(1)
    optimizer.step()
    # m / sqrt(v) = 0.1 / sqrt(0.001); with bias correction it would be 1.
    assert parameter.item() == pytest.approx(1 - 1e-3 * 0.1 / (0.001**0.5 + 1e-6), rel=1e-6)


def test_parameters_without_a_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = BertAdamW([used, unused], lr=0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2)), "not even decayed"
    assert unused not in optimizer.state


def test_biases_and_layer_norms_do_not_decay() -> None:
    model = MaskedLm(TINY, layers=LAYERS)
    decayed, plain = ({name for name, _ in group} for group in split_by_decay(model))
    assert decayed | plain == dict(model.named_parameters()).keys()
    assert not decayed & plain
    assert all("LayerNorm" in name or name.endswith("bias") for name in plain)
    assert not any("LayerNorm" in name or name.endswith("bias") for name in decayed)
    assert "cls.predictions.bias" in plain
    assert {"bert.embeddings.word_embeddings.weight", "tags.pos.weight"} <= decayed
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.3)
    by_decay = {group["weight_decay"]: len(group["params"]) for group in optimizer.param_groups}
    assert by_decay == {0.3: len(decayed), 0.0: len(plain)}


def test_with_zero_gradients_only_decayed_weights_shrink() -> None:
    model = MaskedLm(TINY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = build_optimizer(model, learning_rate=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = {name for name, _ in split_by_decay(model)[0]}
    for name, parameter in model.named_parameters():
        factor = 0.95 if name in decayed else 1.0
        assert torch.allclose(parameter, before[name] * factor, rtol=1e-6), name


@pytest.mark.parametrize(("total", "warmup"), [(100, 10), (20, 0), (10, 10), (7, 3)])
def test_the_schedule_is_berts(total: int, warmup: int) -> None:
    for step in range(total):
        expected = step / warmup if step < warmup else 1 - step / total
        assert warmup_linear(step, total=total, warmup=warmup) == expected
    assert warmup_linear(total, total=total, warmup=warmup) == 0
    assert warmup_linear(total + 5, total=total, warmup=warmup) == 0


@pytest.mark.parametrize("name", ["adamw", "adamw-torch"])
def test_restored_it_goes_on_bit_for_bit(name: str) -> None:
    whole, first = small_model(), small_model()
    one = build_optimizer(whole, name=name, learning_rate=0.01)
    train(whole, one, 0, 9)
    two = build_optimizer(first, name=name, learning_rate=0.01)
    train(first, two, 0, 4)
    stored = save({key: value.contiguous() for key, value in moments(first, two).items()})
    second = small_model(seed=1)
    second.load_state_dict(first.state_dict())
    three = build_optimizer(second, name=name, learning_rate=0.01)
    restore_moments(second, three, load(stored))
    train(second, three, 4, 9)
    for expected, got in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, got)
    expected_moments, got_moments = moments(whole, one), moments(second, three)
    assert expected_moments.keys() == got_moments.keys()
    assert all(torch.equal(expected_moments[key], got_moments[key]) for key in got_moments)


def test_restored_moments_are_copies() -> None:
    model = small_model()
    optimizer = build_optimizer(model, learning_rate=0.01)
    train(model, optimizer, 0, 2)
    stored = {key: value.clone() for key, value in moments(model, optimizer).items()}
    kept = {key: value.clone() for key, value in stored.items()}
    restore_moments(model, optimizer, stored)
    train(model, optimizer, 2, 4)
    assert all(torch.equal(stored[key], kept[key]) for key in kept)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"9.weight/m": torch.zeros(1)}, "'9.weight': the model has no such parameter"),
        ({"0.weight/m": torch.zeros(5, 7)}, r"0.weight/m: shape \(5, 7\); expected \(7, 5\)"),
    ],
)
def test_a_state_of_another_model_is_refused(state: dict[str, Tensor], message: str) -> None:
    model = small_model()
    with pytest.raises(UserError, match=message):
        restore_moments(model, build_optimizer(model, learning_rate=0.1), state)


def test_an_unknown_optimiser_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no 'adam'.*adamw"):
        build_optimizer(small_model(), name="adam", learning_rate=0.1)
