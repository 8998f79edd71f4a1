"""The contract of kinds, run over every file in `tasks/kinds`."""

import contextlib
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.core import registry
from hanmo.data.batches import collate
from hanmo.data.ragged import join
from hanmo.distill.distillation import TaskDistillation, distributions
from hanmo.distill.settings import Settings
from hanmo.distill.teachers import LiveTeacher, StoredOutputs
from hanmo.model.checkpoint import random_encoder
from hanmo.model.trainable import Batch
from hanmo.tasks import batches, cache
from hanmo.tasks.kind import Features, Kind, load_kind
from hanmo.tasks.methods.distill import with_answers
from hanmo.tasks.metrics import score
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
def kind(task: Task) -> Kind:
    return load_kind(task.kind, task.options)


@pytest.fixture
def task(name: str) -> Task:
    """The last entry of the suite that is of this kind, with short sequences and known labels."""
    found = [task for task in TASKS.values() if task.kind == name][-1]
    task = with_settings(found, max_length=24)
    kind = load_kind(task.kind, task.options)
    return dataclasses.replace(task, labels=kind.labels(task, read_all(kind, task)))


def text(rng: np.random.Generator, least: int = 1) -> str:
    return "".join(rng.choice(CHARACTERS[1:], int(rng.integers(least, 30))))


def row(task: Task, number: int, *, labelled: bool = True) -> dict[str, Any]:
    """A row as the kind's readers give it, with something to learn in it."""
    rng = np.random.default_rng(number)
    kind = load_kind(task.kind, task.options)
    made: dict[str, Any] = {field: text(rng) for field in (*kind.fields, *kind.optional_fields)}
    gold: Any = None
    if kind.answers == "label":
        gold = (task.labels or ("a", "b"))[number % 2]
    elif kind.answers == "number":
        gold = str(number % 6)
    elif kind.answers == "tags":
        gold = ["O"] * len(made["text"])
        gold[number % len(gold)] = "B-" + (task.labels or ("name",))[-1].partition("-")[2]
        if gold[number % len(gold)] == "B-":
            gold[number % len(gold)] = "B-name"
    mark = CHARACTERS[0] * 3 if number % 2 else ""
    if "text_a" in made:
        made["text_a"] = mark + made["text_a"]
    if "keywords" in made:
        made["keywords"] = [mark + text(rng), text(rng)]
    if "span1" in made:
        made |= {"text": text(rng, 8), "span1_start": 4, "span2_start": 1}
        made |= {"span1": made["text"][4:6], "span2": made["text"][1:2]}
    if "context" in made:
        made |= {"context": text(rng, 4) * 2, "is_impossible": "true" if number % 3 else "false"}
        start = number % (len(made["context"]) - 2)
        answer = "" if number % 3 else made["context"][start : start + 2]
        gold = [{"text": answer, "answer_start": -1 if number % 3 else start}]
    return {**made, "label": gold if labelled else None}


def read_all(kind: Kind, task: Task, *, labelled: bool = True) -> list[Example]:
    rows = [row(task, number, labelled=labelled) for number in range(10)]
    return [kind.read(str(n), values, task, train=labelled) for n, values in enumerate(rows)]


@pytest.fixture
def features(kind: Kind, task: Task) -> list[Features]:
    return [kind.encode(one, task, tokenizer()) for one in read_all(kind, task)]


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


def distilled(kind: Kind, task: Task, *teachers: Any, **options: Any) -> TaskDistillation:
    number = kind.answers == "number"
    given = {"soft_loss": "mse", "temperature": 1.0} if number else {"temperature": 2.0}
    settings = Settings(**{**given, **options})
    return TaskDistillation(build(kind, task), [LiveTeacher(one) for one in teachers], settings)


def test_a_teacher_teaches_a_student_of_the_same_kind(
    kind: Kind, task: Task, features: list[Features]
) -> None:
    batch, teacher = batch_of(features), build(kind, task, seed=5)
    matches = ("2,2,hidden,hidden_mse,0.5,linear", "1,1,attention,attention_mse,1")
    module = distilled(kind, task, teacher, hard_weight=0.3, matches=matches)
    losses = module(batch)
    losses.total.backward()
    assert math.isfinite(losses.total.item())
    assert set(matches) < set(losses.parts)
    assert all(p.grad is not None for p in module.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    # Matches are 0: the encoders are the same, but for the projection.
    alone = distilled(kind, task, teacher)
    optimizer = build_optimizer(alone, learning_rate=3e-3)
    far = _apart(alone.student, teacher, batch)
    for _ in range(60):
        alone(batch).total.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert _apart(alone.student, teacher, batch) < 0.6 * far


def _apart(one: Any, two: Any, batch: Batch) -> float:
    """How far the distributions, or numbers, of two models are from each other."""
    total = 0.0
    for name, (rows, _) in _rows(one, batch).items():
        both = [rows, _rows(two, batch)[name][0]]
        if rows.shape[1] > 1:
            both = [side.softmax(-1) for side in both]
        total += (both[0] - both[1]).abs().mean().item()
    return total


def _rows(model: Any, batch: Batch) -> Any:
    with torch.no_grad():
        return distributions(model, model.outputs(batch), batch)


def test_the_soft_losses_of_the_parts_add_up(
    kind: Kind, task: Task, features: list[Features]
) -> None:
    module = distilled(kind, task, build(kind, task, seed=5), hard_weight=0.3).eval()
    sequences = [sequence for one in features for sequence in one.sequences]
    arrays = collate(join(sequences), max_length=24, pad_id=0, pack=False)
    total = sum(module(part).total.item() for part in parts_of(arrays, 2))
    assert total == pytest.approx(module(Batch.from_arrays(arrays)).total.item(), rel=1e-5)


def test_stored_answers_are_those_given_live(
    kind: Kind, task: Task, features: list[Features]
) -> None:
    teacher = build(kind, task, seed=5)
    logits = predict_arrays(teacher, features)
    sequences = [sequence for one in features for sequence in one.sequences]
    stored = with_answers(sequences, logits, 0)
    made = Batch.from_arrays(collate(join(stored), max_length=24, pad_id=0, pack=True))
    live = distilled(kind, task, teacher)
    settings = live.settings
    beside = StoredOutputs(teacher.encoder.config, 0, tuple(logits))
    module = TaskDistillation(build(kind, task), [beside], settings)
    torch.testing.assert_close(module(made).total, live(batch_of(features)).total)


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
    read = read_all(kind, task, labelled=False)
    assert all(example.gold is None for example in read)
    unknown = [kind.encode(one, task, tokenizer()) for one in read]
    for one in unknown:
        for sequence in one.sequences:
            for target in sequence.targets.values():
                missing = np.isnan(target) if target.dtype.kind == "f" else target == -1
                assert missing.all()
    model = build(kind, task)
    both, known = batch_of([*features, *unknown]), batch_of(features)
    assert model(both).total.item() == pytest.approx(model(known).total.item(), abs=1e-5)


def test_a_row_of_the_training_split_is_read_like_any(kind: Kind, task: Task) -> None:
    for number in range(10):
        train, other = (
            kind.read("7", row(task, number), task, train=train) for train in (True, False)
        )
        assert train == other
        assert train.id == "7"


def test_answers_are_what_the_metrics_take(
    kind: Kind, task: Task, features: list[Features]
) -> None:
    expected = [one.example.gold for one in features]
    scores = score(task.metrics, expected, predict(kind, task, features), labels=task.labels)
    assert set(scores) == set(task.metrics)


def test_features_survive_the_cache(
    kind: Kind,
    task: Task,
    features: list[Features],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path))
    examples = [one.example for one in features]
    assert cache.load("key", examples) is None
    cache.store("key", features)
    again = cache.load("key", examples)
    assert again is not None
    assert predict(kind, task, again) == predict(kind, task, features)
    for one, other in zip(features, again, strict=True):
        assert (one.example, one.truncated) == (other.example, other.truncated)
        for a, b in zip(one.sequences, other.sequences, strict=True):
            assert a.positions.tolist() == b.positions.tolist()
            for name in a.targets:
                np.testing.assert_array_equal(a.targets[name], b.targets[name])


def predict_arrays(model: Any, features: list[Features]) -> dict[str, Any]:
    return batches.predict(
        model, features, max_length=24, pad_id=0, device="cpu", autocast=contextlib.nullcontext
    )


def predict(kind: Kind, task: Task, features: list[Features]) -> list[Any]:
    arrays = batches.predict(
        build(kind, task),
        features,
        max_length=24,
        pad_id=0,
        device="cpu",
        autocast=contextlib.nullcontext,
    )
    return [one.answer for one in kind.decode(features, arrays, task)]
