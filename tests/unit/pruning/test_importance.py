"""Importance is the derivative of the loss by a mask; cutting is the same as zeroing."""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from hanmo.pruning.cut import silence, whole
from hanmo.pruning.importance import Importance, measure
from hanmo.pruning.passes import Goal, prune
from pruning_cases import SHAPE, masked_lm_of, masks, mlm_batch
from training_cases import TINY_ALBERT


def losses(model: MaskedLm, batch: Batch) -> Tensor:
    return model.losses(model.outputs(batch), batch, progress=1.0).total


def measured(model: MaskedLm, batches: list[Batch], n_examples: int = 1) -> Importance:
    return measure(
        model,
        batches,
        lambda _, batch: losses(model, batch),
        n_examples=n_examples,
        autocast=contextlib.nullcontext,
    )


def by_masks(model: MaskedLm, batch: Batch) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """|dL / d mask| of masks on heads, on neurons' outputs, and on what goes into neurons."""
    width = model.encoder.config.head_size
    heads, outer, inner, hooks = [], [], [], []
    for layer in model.encoder.encoder.layer:
        some = torch.ones(layer.attention.self.n_heads, requires_grad=True)
        few = torch.ones(layer.output.dense.in_features, requires_grad=True)
        into = torch.ones(layer.output.dense.in_features, requires_grad=True)

        def on_heads(_: object, args: tuple, mask: Tensor = some) -> tuple:
            return (args[0] * mask.repeat_interleave(width), *args[1:])

        def on_neurons(_: object, args: tuple, mask: Tensor = few) -> tuple:
            return (args[0] * mask, *args[1:])

        hooks += [
            layer.attention.output.dense.register_forward_pre_hook(on_heads),
            layer.output.dense.register_forward_pre_hook(on_neurons),
            layer.intermediate.dense.register_forward_hook(
                lambda _, __, out, mask=into: out * mask
            ),
        ]
        heads.append(some)
        outer.append(few)
        inner.append(into)
    losses(model, batch).backward()
    for hook in hooks:
        hook.remove()
    model.zero_grad()
    return tuple([mask.grad.abs() for mask in part] for part in (heads, outer, inner))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        dataclasses.replace(SHAPE, heads=(4, 1, 2), intermediates=(7, 32, 1)),
        dataclasses.replace(TINY_ALBERT, num_hidden_layers=1),
    ],
)
def test_importance_is_the_derivative_by_a_mask(shape: object) -> None:
    model = masked_lm_of(shape)  # type: ignore[arg-type]
    batches = [mlm_batch(seed) for seed in (1, 2)]
    found = measured(model, batches, n_examples=4)
    parts = [by_masks(model, batch) for batch in batches]
    for kind, got in ((0, found.heads), (1, found.neurons)):
        for layer, values in enumerate(got):
            expected = sum(part[kind][layer] for part in parts) / 4  # type: ignore[misc]
            np.testing.assert_allclose(values, expected.numpy(), rtol=1e-4, atol=1e-7)
    for layer, values in enumerate(found.neurons_both):
        expected = sum(part[1][layer] + part[2][layer] for part in parts) / 4  # type: ignore[misc]
        np.testing.assert_allclose(values, expected.numpy(), rtol=1e-4, atol=1e-7)


def test_measuring_leaves_the_model_as_it_was() -> None:
    model = masked_lm_of().train()
    model.cls.predictions.bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measured(model, [mlm_batch()])
    assert model.training
    assert not model.cls.predictions.bias.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model.cls.predictions.bias.data[:] = float("nan")
    with pytest.raises(FloatingPointError, match="not finite"):
        measured(model, [mlm_batch()])


def test_what_was_silenced_has_no_importance() -> None:
    model = masked_lm_of()
    heads = masks([1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1])
    neurons = whole([32, 32, 32])
    neurons[1][:30] = False
    silence(model.encoder, heads, neurons)
    found = measured(model, [mlm_batch()])
    for scores, kept in zip([*found.heads, *found.neurons_both], [*heads, *neurons], strict=True):
        assert (scores[~kept] == 0).all()
        assert (scores[kept] > 0).all()


def run(goal: Goal) -> tuple[list, list, int]:
    model = masked_lm_of()
    calls = 0

    def once() -> Importance:
        nonlocal calls
        calls += 1
        return measured(model, [mlm_batch()])

    heads, neurons = prune(model.encoder, once, goal)
    return [one.tolist() for one in heads], [one.tolist() for one in neurons], calls


def test_one_pass_is_one_shot() -> None:
    found = measured(masked_lm_of(), [mlm_batch()])
    heads, neurons, calls = run(Goal(2, 8))
    assert calls == 1
    for kept, scores, n in (
        *((one, s, 2) for one, s in zip(heads, found.heads, strict=True)),
        *((one, s, 8) for one, s in zip(neurons, found.neurons_both, strict=True)),
    ):
        assert set(np.flatnonzero(kept)) == set(np.argsort(-scores)[:n])


@pytest.mark.parametrize(
    ("order", "passes"), [("together", 3), ("heads-first", 6), ("ffn-first", 6)]
)
def test_orders_and_passes(order: str, passes: int) -> None:
    heads, neurons, calls = run(Goal(1, 4, iterations=3, order=order, even_heads=False))  # type: ignore[arg-type]
    assert calls == passes
    assert sum(map(sum, heads)) == 3
    assert [sum(one) for one in neurons] == [4, 4, 4]


def test_only_what_is_asked_for_goes() -> None:
    heads, neurons, _ = run(Goal(None, 5, iterations=2))
    assert all(all(one) for one in heads)
    assert [sum(one) for one in neurons] == [5, 5, 5]
