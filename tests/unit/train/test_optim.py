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
    layer_scale,
    moments,
    restore_moments,
    schedule_named,
    split_by_decay,
    warmup_decayed,
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


@pytest.mark.parametrize("name", ["adamw", "adamw-torch", "lamb"])
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


def test_twenty_steps_of_lamb_are_the_formulas() -> None:
    """Two groups: one decays and is scaled by the trust ratio, the other neither."""
    rng = np.random.default_rng(0)
    weights, eps, decay = [rng.normal(size=(6, 4)), rng.normal(size=4)], 1e-6, 0.01
    parameters = [nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in weights]
    groups = [
        {"params": parameters[:1], "weight_decay": decay, "adapts": True},
        {"params": parameters[1:], "weight_decay": 0.0, "adapts": False},
    ]
    optimizer = BertAdamW(groups, lr=0.02)
    m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step in range(20):
        for i, w in enumerate(weights):
            gradient = rng.normal(size=w.shape) * 10.0 ** rng.integers(-4, 2)
            parameters[i].grad = torch.tensor(gradient)
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient**2
            update = m[i] / (np.sqrt(v[i]) + eps) + (decay * w if i == 0 else 0)
            ratio = np.linalg.norm(w) / np.linalg.norm(update) if i == 0 else 1
            weights[i] = w - 0.02 * ratio * update
        optimizer.step()
        for expected, got in zip(weights, parameters, strict=True):
            assert np.allclose(got.detach().numpy(), expected, rtol=1e-9), step


def test_lambs_ratio_is_one_where_a_norm_is_zero() -> None:
    at_zero, still = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))
    optimizer = BertAdamW([at_zero, still], lr=0.1, weight_decay=0.0, adapts=True)
    at_zero.grad, still.grad = torch.ones(3), torch.zeros(3)
    optimizer.step()
    expected = -0.1 * 0.1 / (0.001**0.5 + 1e-6)
    assert torch.allclose(at_zero, torch.full((3,), expected), rtol=1e-6)
    assert torch.equal(still, torch.ones(3))


def test_lamb_scales_what_decays() -> None:
    optimizer = build_optimizer(MaskedLm(TINY), name="lamb", learning_rate=0.1)
    assert {(g["weight_decay"], g["adapts"]) for g in optimizer.param_groups} == {
        (0.01, True),
        (0.0, False),
    }


def test_layers_decay_as_in_electra() -> None:
    """Depths of facts/04: embeddings 0, layer i at i + 1, heads n + 2; rate · decay^(n + 2 - d)."""
    names = {
        "bert.embeddings.word_embeddings.weight": 14,
        "bert.embeddings.LayerNorm.bias": 14,
        "bert.embeddings_project.weight": 14,
        "bert.encoder.layer.0.output.dense.weight": 13,
        "bert.encoder.layer.10.output.dense.weight": 3,
        "bert.encoder.layer.11.attention.self.query.bias": 2,
        "encoder.layer.11.attention.self.query.bias": 2,
        "bert.pooler.dense.weight": 0,
        "classifier.weight": 0,
        "cls.predictions.transform.dense.weight": 0,
    }
    for name, power in names.items():
        assert layer_scale(name, decay=0.8, n_layers=12) == pytest.approx(0.8**power), name


def test_groups_hold_every_parameter_once_at_the_rate_of_its_depth() -> None:
    model = MaskedLm(TINY, layers=LAYERS)
    optimizer = build_optimizer(model, learning_rate=0.1, layer_decay=0.5)
    found = {
        id(p): (group["scale"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)
    plain = {name for name, _ in split_by_decay(model)[1]}
    n_layers = TINY.num_hidden_layers
    for name, parameter in model.named_parameters():
        scale = layer_scale(name, decay=0.5, n_layers=n_layers)
        assert found.pop(id(parameter)) == (scale, 0.0 if name in plain else 0.01), name
    assert not found
    with pytest.raises(UserError, match=r"layer_decay: got 1\.5"):
        build_optimizer(model, learning_rate=0.1, layer_decay=1.5)


@pytest.mark.parametrize(("total", "warmup"), [(100, 10), (20, 0), (10, 10)])
def test_electras_schedule_decays_while_it_warms_up(total: int, warmup: int) -> None:
    for step in range(total + 3):
        rise = min(1.0, step / warmup) if warmup else 1.0
        expected = max(0.0, 1 - step / total) * rise
        assert warmup_decayed(step, total=total, warmup=warmup) == pytest.approx(expected)


def test_an_unknown_schedule_names_the_nearest() -> None:
    assert schedule_named("bert") is warmup_linear
    with pytest.raises(UserError, match=r"no 'elektra'; did you mean 'electra'"):
        schedule_named("elektra")
