"""LERT: the schedule of its losses, labels at masked positions, and missing labels."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.objectives import mlm
from hanmo.objectives.lert import Objective
from training_cases import TINY, random_batch, random_sequence, vocabulary

LAYERS = {name: tuple(tags) for name, tags in TAGSETS.items()}


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Fraction(0), (0, 0, 0)),
        (Fraction(1, 12), (1 / 2, 1 / 4, 1 / 6)),
        (Fraction(1, 6), (1, 1 / 2, 1 / 3)),
        (Fraction(1, 3), (1, 1, 2 / 3)),
        (Fraction(1, 2), (1, 1, 1)),
        (Fraction(1), (1, 1, 1)),
    ],
)
def test_ramps_reach_a_sixth_a_third_and_half(progress: Fraction, expected: tuple) -> None:
    assert Objective().weights(float(progress)) == dict(zip(TAGSETS, expected, strict=True))


def test_a_subset_of_layers_has_its_ramps_and_heads_only() -> None:
    objective = Objective(layers=("dep", "pos"))
    assert objective.weights(1 / 4) == {"dep": 1 / 2, "pos": 1}
    model = objective.build(TINY, LAYERS)
    assert {name: head.out_features for name, head in model.tags.items()} == {"dep": 14, "pos": 28}
    losses = model(random_batch(objective), progress=1.0)
    assert set(losses.parts) == {"mlm", "dep", "pos"}


def test_ramps_of_zero_are_constant_weights() -> None:
    objective = Objective(ramps={"pos": 0, "ner": 0, "dep": 0})
    assert objective.weights(0.0) == objective.weights(1.0) == {"pos": 1, "ner": 1, "dep": 1}


def test_masking_is_that_of_mlm_and_labels_are_copied() -> None:
    options = {"ngram": (0.4, 0.3, 0.2, 0.1), "rate": 0.4}
    for seed in range(20):
        sequence = random_sequence(np.random.default_rng(seed), [1, 3, 2, 1, 2, 2, 4, 1])
        made = Objective(**options).corrupt(sequence, Draws.of(1, sequence.offsets), vocabulary())
        plain = mlm.Objective(**options).corrupt(
            sequence, Draws.of(1, sequence.offsets), vocabulary()
        )
        assert np.array_equal(made.positions, plain.positions)
        assert np.array_equal(made.inputs["input_ids"], plain.inputs["input_ids"])
        assert set(made.targets) == {"pieces", *TAGSETS}
        assert np.array_equal(made.targets["pieces"], sequence.input_ids[made.positions])
        for name in TAGSETS:
            assert np.array_equal(made.targets[name], sequence.layers[name][made.positions])


def test_missing_labels_add_nothing_to_loss_and_gradient() -> None:
    objective = Objective()
    torch.manual_seed(0)
    model = objective.build(TINY, LAYERS).eval()
    batch = random_batch(objective)
    n = len(batch.positions)
    gone = torch.arange(n) % 3 == 0
    targets = dict(batch.targets)
    targets["pos"] = torch.where(gone, -1, torch.arange(n) % 28)
    labelled = dataclasses.replace(
        batch, targets=targets, totals={**batch.totals, "pos": int((~gone).sum())}
    )
    outputs = model.outputs(labelled)
    outputs.logits["pos"].retain_grad()
    losses = model.losses(outputs, labelled, progress=1.0)
    losses.total.backward()
    gradient = outputs.logits["pos"].grad
    assert gradient is not None
    assert not gradient[gone].any()
    assert gradient[~gone].any(dim=1).all()
    expected = torch.nn.functional.cross_entropy(
        outputs.logits["pos"][~gone], targets["pos"][~gone], reduction="sum"
    ) / (int((~gone).sum()) + 1e-5)
    assert torch.allclose(losses.parts["pos"], expected, rtol=1e-6)


def test_no_labels_at_all_leave_the_mlm_loss() -> None:
    objective = Objective()
    torch.manual_seed(0)
    model = objective.build(TINY, LAYERS).eval()
    batch = random_batch(objective)
    targets = {name: torch.full_like(value, -1) for name, value in batch.targets.items()}
    batch = dataclasses.replace(batch, targets=targets | {"pieces": batch.targets["pieces"]})
    losses = model(batch, progress=1.0)
    assert torch.equal(losses.total, losses.parts["mlm"])
    losses.total.backward()
    assert not any(p.grad.any() for p in model.tags.parameters())


def test_the_schedule_weights_the_total() -> None:
    objective = Objective()
    torch.manual_seed(0)
    model = objective.build(TINY, LAYERS).eval()
    batch = random_batch(objective)
    for progress in (0.0, 1 / 12, 0.4, 1.0):
        losses = model(batch, progress=progress)
        weights = objective.weights(progress)
        expected = losses.parts["mlm"] + sum(weights[k] * losses.parts[k] for k in weights)
        assert torch.allclose(losses.total, expected, rtol=1e-6)
        assert losses.weights == weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ramps": {"pos": 0.1, "ner": 0.1}}, "no ramp for layer 'dep'"),
        ({"layers": ("pos,ner",)}, "one word a layer: --lert.layers pos ner"),
        ({"layers": ('["pos"]',)}, "one word a layer"),
        ({"layers": ("",)}, "one word a layer"),
        ({"layers": ("pso",)}, "no ramp for layer 'pso'; did you mean 'pos'"),
        ({"layers": ("pos", "pos")}, r"lert\.layers: 'pos' is there twice"),
        ({"layers": ("pos",), "ramps": {"pos": 0.1, "srl": 0.2}}, "no layer 'srl'"),
        ({"ramps": {"pos": 0.1, "ner": 0.1, "dep": 1.1}}, r"lert\.ramps\.dep: got 1\.1"),
        ({"ramps": {"pos": -0.1, "ner": 0.1, "dep": 1}}, r"lert\.ramps\.pos: got -0\.1"),
        ({"rate": 0.0}, r"lert\.rate: got 0\.0"),
        ({"ngram": (0.5, 0.4)}, r"lert\.ngram: got"),
        ({"shares": (0.5, 0.4)}, r"lert\.shares: got"),
        ({"shares": (0.5, 0.5)}, r"lert\.shares: got .* expected 3 shares"),
        ({"unit": "sentence"}, r"lert\.unit: got 'sentence'"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective(**options)


def test_a_layer_of_ones_own_may_have_any_word_as_name() -> None:
    own = Objective(layers=("semantic-role",), ramps={"semantic-role": 0.5})
    assert own.weights(0.25) == {"semantic-role": 0.5}
