"""The contract of objectives, run over every file in `objectives`."""

import copy
import dataclasses
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import registry
from hanmo.data.batches import collate
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, Sequences, join
from hanmo.model import checkpoint
from hanmo.model.encoder import initialise
from hanmo.model.trainable import Batch
from hanmo.objectives._objective import PACKAGE, Corruptor, Objective, make_objective
from hanmo.train.loop import parts_of
from hanmo.train.optim import build_optimizer
from training_cases import (
    join_sequences,
    options_of,
    random_arrays,
    random_batch,
    random_sequence,
    shape_for,
    tokenizer,
    vocabulary,
    vocabulary_for,
)

WORDS = [1, 2, 3, 1, 1, 4, 2, 2, 1, 3]


@pytest.fixture(params=registry.names(PACKAGE))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options(name: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return options_of(name, tmp_path_factory.getbasetemp())


@pytest.fixture
def objective(name: str, options: dict[str, Any]) -> Objective:
    return make_objective(name, options)


def build(objective: Any, seed: int = 0) -> Any:
    shape = shape_for(type(objective).__module__.rpartition(".")[2])
    layers = {layer: tuple(TAGSETS[layer]) for layer in objective.layers}
    model: Any = objective.build(dataclasses.replace(shape, hidden_dropout_prob=0.0), layers)
    initialise(model, 0.1, torch.Generator().manual_seed(seed))
    return model.eval()


def corrupt(objective: Objective, seed: int, sequence: Sequences | None = None) -> Corrupted:
    sequence = sequence or random_sequence(np.random.default_rng(seed), WORDS)
    return objective.corrupt(sequence, Draws.of(seed, sequence.offsets), vocabulary_for(objective))


def assert_same(one: Corrupted, two: Corrupted) -> None:
    assert np.array_equal(one.positions, two.positions)
    for first, second in ((one.inputs, two.inputs), (one.targets, two.targets)):
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_options_are_frozen_documented_and_have_defaults(name: str, objective: Any) -> None:
    documented = "".join(one.__doc__ or "" for one in type(objective).__mro__)
    for option in dataclasses.fields(objective):
        assert f"\n        {option.name}: " in documented
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(objective, option.name, None)
    assert registry.summary(PACKAGE, name).endswith(".")
    assert set(objective.layers) <= set(TAGSETS)


def test_corrupt_is_pure_and_leaves_its_input_alone(objective: Objective) -> None:
    for seed in range(10):
        sequence = random_sequence(np.random.default_rng(seed), WORDS)
        before = copy.deepcopy(sequence)
        made = corrupt(objective, seed, sequence)
        assert_same(made, corrupt(objective, seed, sequence))
        for field in ("input_ids", "word_starts", "maskable", "token_type_ids"):
            assert np.array_equal(getattr(sequence, field), getattr(before, field))
        for layer, labels in before.layers.items():
            assert np.array_equal(sequence.layers[layer], labels)
        # What it returns is its own: writing into it must not reach the shards.
        assert not np.shares_memory(made.inputs["input_ids"], sequence.input_ids)


def test_many_at_once_are_what_each_is_alone(objective: Objective) -> None:
    rng = np.random.default_rng(3)
    parts = [
        random_sequence(rng, rng.integers(1, 5, int(rng.integers(1, 40))).tolist())
        for _ in range(20)
    ]
    many = join_sequences(parts)
    draws = Draws.of(5, many.offsets)
    words = vocabulary_for(objective)
    alone = [
        objective.corrupt(part, Draws(draws.keys[i : i + 1], part.offsets), words)
        for i, part in enumerate(parts)
    ]
    made = objective.corrupt(many, draws, words)
    assert_same(made, join(alone))
    assert np.array_equal(made.offsets, many.offsets)


def test_other_chance_gives_another_corruption(objective: Objective) -> None:
    sequence = random_sequence(np.random.default_rng(0), WORDS * 3)
    made = [corrupt(objective, seed, sequence).inputs["input_ids"].tobytes() for seed in range(10)]
    assert len(set(made)) > 5


def test_what_corrupt_returns_fits_the_sequence(objective: Objective) -> None:
    for seed in range(10):
        sequence = random_sequence(np.random.default_rng(seed), WORDS)
        made = corrupt(objective, seed, sequence)
        n, m = len(sequence.input_ids), len(made.positions)
        assert all(len(array) == n for array in made.inputs.values())
        assert all(len(array) == m for array in made.targets.values())
        assert len(set(made.positions.tolist())) == m
        assert all(0 <= position < n for position in made.positions.tolist())
        ids = made.inputs["input_ids"]
        assert ids.min() >= 0
        assert ids.max() < vocabulary_for(objective).size


def test_a_corruptor_pickles_and_corrupts_alike(
    name: str, options: dict[str, Any], objective: Objective
) -> None:
    sequence = random_sequence(np.random.default_rng(1), WORDS)
    corruptor = Corruptor(name, options, vocabulary())
    copied = pickle.loads(pickle.dumps(corruptor))
    draws = Draws.of(2, sequence.offsets)
    expected = objective.corrupt(sequence, draws, vocabulary_for(objective))
    assert_same(corruptor.corrupt(sequence, draws), expected)
    assert_same(copied.corrupt(sequence, draws), expected)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_losses_are_finite_and_differentiable(objective: Objective, progress: float) -> None:
    model, batch = build(objective), random_batch(objective)
    losses = model.losses(model.outputs(batch), batch, progress=progress)
    assert losses.total.ndim == 0
    assert losses.parts
    for part in losses.parts.values():
        assert math.isfinite(part)
        assert not part.requires_grad
    losses.total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    # A head whose weight is 0 at this point of the schedule has a gradient of zeros.
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    assert all(p.grad.any() for p in model.encoder.encoder.parameters() if p.ndim == 2)


def test_the_loss_falls_on_one_repeated_batch(objective: Objective) -> None:
    model, batch = build(objective), random_batch(objective)
    optimizer = build_optimizer(model, learning_rate=5e-3)
    parts = []
    for _ in range(40):
        losses = model(batch, progress=1.0)
        losses.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        parts.append(
            {"total": losses.total.item()} | {k: v.item() for k, v in losses.parts.items()}
        )
    for key, first in parts[0].items():
        assert parts[-1][key] < 0.7 * first, (key, first, parts[-1][key])


def test_a_batch_without_positions(objective: Objective) -> None:
    made = [corrupt(objective, seed) for seed in range(2)]
    nothing = [
        Corrupted(one.inputs, one.positions[:0], {k: v[:0] for k, v in one.targets.items()})
        for one in made
    ]
    arrays = collate(join(nothing), max_length=32, pad_id=0, pack=False)
    batch = Batch.from_arrays(arrays)
    model = build(objective)
    losses = model(batch, progress=1.0)
    losses.total.backward()
    # ELECTRA's discriminator judges every piece, chosen or not.
    parts = {name: part for name, part in losses.parts.items() if name != "discriminator"}
    assert all(part.item() == 0 for part in parts.values())
    if parts == losses.parts:
        assert losses.total.item() == 0
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_packing_does_not_change_the_loss(objective: Objective) -> None:
    model = build(objective)
    one = model(random_batch(objective, pack=True), progress=1.0)
    two = model(random_batch(objective, pack=False), progress=1.0)
    assert torch.allclose(one.total, two.total, rtol=1e-5)


@pytest.mark.parametrize("n_parts", [2, 5])
def test_the_losses_of_the_parts_add_up(objective: Objective, n_parts: int) -> None:
    model, arrays = build(objective), random_arrays(objective, n=10)
    whole = model(Batch.from_arrays(arrays), progress=0.6)
    parts = [model(part, progress=0.6) for part in parts_of(arrays, n_parts)]
    assert len(parts) == min(n_parts, len(arrays["input_ids"])) > 1
    assert sum(part.total.item() for part in parts) == pytest.approx(whole.total.item(), rel=1e-5)
    for name, value in whole.parts.items():
        assert sum(p.parts[name].item() for p in parts) == pytest.approx(value.item(), rel=1e-5)


def test_saved_and_loaded_it_is_the_same(objective: Objective, tmp_path: Path) -> None:
    model, batch = build(objective, seed=1), random_batch(objective)
    checkpoint.save_model(tmp_path / "model", model, tokenizer=tokenizer())
    again = build(objective, seed=2)
    assert checkpoint.load_into(again, tmp_path / "model") == checkpoint.Loaded((), ())
    expected, got = model.state_dict(), again.state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert torch.equal(model(batch, 1.0).total, again(batch, 1.0).total)
    encoder = checkpoint.load_encoder(tmp_path / "model")
    kept = model.encoder.state_dict()
    assert all(torch.equal(kept[key], value) for key, value in encoder.state_dict().items())
