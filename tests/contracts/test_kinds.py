"""The contract of kinds, run over every file in `tasks/kinds`."""

import contextlib
import math
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.core import registry
from hanmo.data.batches import collate
from hanmo.data.ragged import join
from hanmo.model.checkpoint import random_encoder
from hanmo.model.trainable import Batch
from hanmo.tasks import batches
from hanmo.tasks.kind import Features, Kind, load_kind
from hanmo.tasks.suite import TASKS
from hanmo.tasks.task import Example, Task, with_settings
from hanmo.tasks.task_file import KINDS
from hanmo.train.loop import parts_of
from hanmo.train.optim import build_optimizer
from training_cases import CHARACTERS, TINY, tokenizer


@pytest.fixture(params=registry.names(KINDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kind(name: str) -> Kind:
    return load_kind(name)


@pytest.fixture
def task(name: str) -> Task:
    """The first entry of the suite that is of this kind, with short sequences."""
    found = next(task for task in TASKS.values() if task.kind == name)
    return with_settings(found, max_length=24)


@pytest.fixture
def features(kind: Kind, task: Task) -> list[Features]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(10):
        texts = {
            field: "".join(rng.choice(CHARACTERS, int(rng.integers(1, 30))))
            for field in (*kind.fields, *kind.optional_fields)
        }
        label = task.labels[number % len(task.labels)]
        made.append(kind.encode(Example(str(number), texts, label), task, tokenizer()))
    return made


def build(kind: Kind, task: Task, seed: int = 0) -> Any:
    model, notes = kind.build(random_encoder(TINY, seed=0), task, weights={}, seed=seed)
    assert isinstance(notes, dict)
    return model.eval()


def batch_of(features: list[Features]) -> Batch:
    sequences = [sequence for one in features for sequence in one.sequences]
    return Batch.from_arrays(collate(join(sequences), max_length=24, pad_id=0, pack=True))


def test_sequences_fit_and_begin_with_cls(features: list[Features]) -> None:
    for one in features:
        assert one.sequences
        for sequence in one.sequences:
            ids = sequence.inputs["input_ids"]
            assert 2 <= len(ids) <= 24
            assert ids[0] == tokenizer().cls_id
            assert all(0 <= position < len(ids) for position in sequence.positions.tolist())
            for target in sequence.targets.values():
                assert len(target) == len(sequence.positions)


def test_losses_are_finite_and_reach_every_parameter(
    kind: Kind, task: Task, features: list[Features]
) -> None:
    model, batch = build(kind, task), batch_of(features)
    losses = model.losses(model.outputs(batch), batch, progress=0.0)
    assert math.isfinite(losses.total.item())
    losses.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.encoder.config == TINY
    assert isinstance(model.architecture, str)


def test_the_losses_of_the_parts_add_up(kind: Kind, task: Task, features: list[Features]) -> None:
    model = build(kind, task).eval()
    sequences = [sequence for one in features for sequence in one.sequences]
    arrays = collate(join(sequences), max_length=24, pad_id=0, pack=False)
    whole, parts = model(Batch.from_arrays(arrays)), parts_of(arrays, 2)
    assert len(parts) == 2
    total = sum(model(part).total.item() for part in parts)
    assert total == pytest.approx(whole.total.item(), rel=1e-5)


def test_the_loss_falls_on_one_repeated_batch(
    kind: Kind, task: Task, features: list[Features]
) -> None:
    model, batch = build(kind, task), batch_of(features)
    optimizer = build_optimizer(model, learning_rate=5e-3)
    losses = []
    for _ in range(60):
        loss = model(batch).total
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_heads_depend_on_the_seed_alone(kind: Kind, task: Task) -> None:
    one, same, other = (build(kind, task, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_decoding_answers_every_example(kind: Kind, task: Task, features: list[Features]) -> None:
    arrays = batches.predict(
        build(kind, task),
        features,
        max_length=24,
        pad_id=0,
        device="cpu",
        autocast=contextlib.nullcontext,
    )
    answers = kind.decode(features, arrays, task)
    assert [answer.id for answer in answers] == [one.example.id for one in features]


def test_missing_targets_do_not_count(kind: Kind, task: Task, features: list[Features]) -> None:
    unknown = [
        kind.encode(Example(one.example.id, one.example.fields, None), task, tokenizer())
        for one in features
    ]
    for one in unknown:
        for sequence in one.sequences:
            assert all((target == -1).all() for target in sequence.targets.values())
    model = build(kind, task)
    both, known = batch_of([*features, *unknown]), batch_of(features)
    assert model(both).total.item() == pytest.approx(model(known).total.item(), abs=1e-5)
