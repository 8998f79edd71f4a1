"""The loop: what a record says, and that it stops before a bad step is taken."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from hanmo.annotate.tagsets import TAGSETS
from hanmo.model.encoder import initialise
from hanmo.model.trainable import Batch, Losses, Outputs
from hanmo.objectives.lert import Objective
from hanmo.train.devices import Device
from hanmo.train.loop import NotFiniteError, Record, parts_of, train_steps
from hanmo.train.optim import build_optimizer
from training_cases import TINY, random_arrays, random_batch

LAYERS = {name: tuple(tags) for name, tags in TAGSETS.items()}
CPU = Device("cpu", "fp32")


def make_model(seed: int = 0) -> Any:
    model: Any = Objective().build(TINY, LAYERS)
    initialise(model, 0.05, torch.Generator().manual_seed(seed))
    return model


def batches(start: int = 0) -> Iterator[list[Batch]]:
    step = start
    while True:
        yield [random_batch(Objective(), seed=step)]
        step += 1


def train(model: Any, optimizer: Any, start: int, stop: int, **changed: Any) -> Iterator[Record]:
    options: dict[str, Any] = {"learning_rate": lambda step: 1e-3 * (step + 1), "device": CPU}
    options |= {"start": start, "stop": stop, "total": 12, "batches": batches(start)} | changed
    return train_steps(model, optimizer, **options)


def weights(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_records_say_what_was_done() -> None:
    model = make_model()
    records = list(train(model, build_optimizer(model, learning_rate=1.0), 0, 4))
    assert [record.step for record in records] == [1, 2, 3, 4]
    assert [record.learning_rate for record in records] == [1e-3 * k for k in (1, 2, 3, 4)]
    for step, record in enumerate(records):
        assert record.weights == Objective().weights(step / 12)
        assert set(record.parts) == {"mlm", *TAGSETS}
        total = record.parts["mlm"] + sum(record.weights[k] * record.parts[k] for k in TAGSETS)
        assert record.loss == pytest.approx(total, rel=1e-5)
        assert record.n_pieces == int((random_batch(Objective(), seed=step).sequence_ids > 0).sum())
        assert record.seconds > 0
        assert math.isfinite(record.grad_norm)
    assert model.training, "dropout is on"


def test_a_broken_off_run_goes_on_exactly() -> None:
    whole, broken = make_model(), make_model()
    one, two = (build_optimizer(model, learning_rate=1.0) for model in (whole, broken))
    expected = [r.loss for r in train(whole, one, 0, 8, seed=3)]
    got = [r.loss for r in train(broken, two, 0, 3, seed=3)]
    torch.manual_seed(99)  # nothing reads the state that other code left
    torch.rand(5)
    got += [r.loss for r in train(broken, two, 3, 8, seed=3)]
    assert got == expected
    state = weights(whole)
    assert all(torch.equal(state[name], value) for name, value in weights(broken).items())


def test_dropout_differs_by_step_and_by_seed() -> None:
    def first_loss(step: int, seed: int) -> float:
        model = make_model()
        optimizer = build_optimizer(model, learning_rate=1.0)
        same = iter([[random_batch(Objective(), seed=0)]])
        options = {"batches": same, "total": 10**9, "seed": seed}
        return next(train(model, optimizer, step, step + 1, **options)).loss

    assert len({first_loss(step, seed) for step, seed in [(0, 1), (1, 1), (0, 2)]}) == 3
    assert first_loss(5, 1) == first_loss(5, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(value: float) -> None:
    model = make_model()
    optimizer = build_optimizer(model, learning_rate=1.0)
    losses = model.losses

    def at_step_three(outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        made = losses(outputs, batch, progress=progress)
        return made if progress < 3 / 12 else dataclasses.replace(made, total=made.total * value)

    model.losses = at_step_three
    records = train(model, optimizer, 0, 12)
    for _ in range(3):
        next(records)
    before = weights(model)
    with pytest.raises(NotFiniteError, match=r"loss is (nan|inf), of which \{'mlm'") as caught:
        next(records)
    assert caught.value.step == 4
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change() -> None:
    model = make_model()
    optimizer = build_optimizer(model, learning_rate=1.0)
    bias = model.cls.predictions.bias
    bias.register_hook(lambda grad: torch.full_like(grad, torch.inf))
    before = weights(model)
    with pytest.raises(NotFiniteError, match=r"gradient norm is (nan|inf)"):
        next(train(model, optimizer, 0, 12))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("n_parts", [2, 3, 50])
def test_a_step_in_parts_is_the_same_step(n_parts: int) -> None:
    whole, cut = make_model(), make_model()
    for model in (whole, cut):
        for part in model.modules():
            if hasattr(part, "dropout"):
                part.dropout = (
                    torch.nn.Identity() if isinstance(part.dropout, torch.nn.Module) else 0.0
                )
    arrays = [random_arrays(Objective(), seed=step, n=12) for step in range(3)]
    records = []
    for model, n in ((whole, 1), (cut, n_parts)):
        parts = iter([parts_of(one, n) for one in arrays])
        optimizer = build_optimizer(model, learning_rate=1.0)
        records.append(list(train(model, optimizer, 3, 6, batches=parts)))
    for one, two in zip(*records, strict=True):
        assert two.loss == pytest.approx(one.loss, rel=1e-5)
        assert two.parts == pytest.approx(one.parts, rel=1e-5)
        assert two.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
        assert (two.n_pieces, two.weights) == (one.n_pieces, one.weights)


def test_gradients_are_clipped_to_the_norm() -> None:
    seen = []

    class Watch(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            grads = [p.grad for group in self.param_groups for p in group["params"]]
            seen.append(torch.stack([g.norm() for g in grads if g is not None]).norm().item())

    model = make_model()
    optimizer = Watch(model.parameters(), lr=1.0)
    records = list(train(model, optimizer, 6, 8, clip_norm=0.01))
    assert all(record.grad_norm > 0.01 for record in records), "the norm before clipping"
    assert seen == pytest.approx([0.01, 0.01], rel=1e-3)


def test_bf16_trains_fp32_weights() -> None:
    model = make_model()
    optimizer = build_optimizer(model, learning_rate=1.0)
    plain = make_model()
    expected = list(train(plain, build_optimizer(plain, learning_rate=1.0), 0, 3))
    records = list(train(model, optimizer, 0, 3, device=Device("cpu", "bf16")))
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())
    for one, two in zip(records, expected, strict=True):
        assert one.loss == pytest.approx(two.loss, rel=0.02)
        assert one.loss != two.loss
