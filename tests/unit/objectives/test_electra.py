"""ELECTRA's rules: what is chosen and masked, what the generator draws, what is judged."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.model.config import SIZES
from hanmo.model.encoder import initialise
from hanmo.model.heads import sample_and_score, sparse_cross_entropy
from hanmo.objectives import _masking
from hanmo.objectives.electra import Objective
from training_cases import TINY, TINY_ELECTRA, random_batch, random_sequence, vocabulary

MASK = vocabulary().mask_id


@given(
    words=st.lists(st.integers(1, 5), min_size=1, max_size=60),
    seed=st.integers(0, 10**6),
    unit=st.sampled_from(["piece", "word"]),
    replacement=st.booleans(),
    rate=st.sampled_from([0.05, 0.15, 0.6]),
)
def test_positions_and_targets(
    words: list[int], seed: int, unit: Any, replacement: bool, rate: float
) -> None:
    if unit == "word":
        replacement = False
    sequence = random_sequence(np.random.default_rng(seed), words)
    objective = Objective(unit=unit, replacement=replacement, rate=rate)
    made = objective.corrupt(sequence, Draws.of(seed, sequence.offsets), vocabulary())
    ids, positions = made.inputs["input_ids"], made.positions
    wanted = int(_masking.budgets(sequence, rate)[0])
    assert sequence.maskable[positions].all()
    assert len(positions) <= wanted
    if replacement:
        assert len(positions) == min(wanted, len(ids))
    elif unit == "piece":
        assert len(set(positions.tolist())) == len(positions) == min(wanted, sum(words))
    untouched = np.ones(len(ids), dtype=bool)
    untouched[positions] = False
    np.testing.assert_array_equal(ids[untouched], sequence.input_ids[untouched])
    original = made.targets["pieces"]
    np.testing.assert_array_equal(original, sequence.input_ids[positions])
    # [MASK] or the piece itself; never a random one.
    assert ((ids[positions] == MASK) | (ids[positions] == original)).all()
    numbers = made.targets["sample"]
    assert numbers.dtype == np.float32
    assert ((numbers >= 0) & (numbers <= 1)).all()
    # A piece drawn twice has one mask and one number.
    assert len({(p, n) for p, n in zip(positions, numbers, strict=True)}) == len(set(positions))


def test_85_percent_are_masked_and_some_are_drawn_twice() -> None:
    sequence = random_sequence(np.random.default_rng(0), [1] * 1000)
    masked = chosen = 0
    for seed in range(30):
        draws = Draws.of(seed, sequence.offsets)
        made = Objective(replacement=True).corrupt(sequence, draws, vocabulary())
        places = set(made.positions.tolist())
        chosen += len(places)
        masked += int((made.inputs["input_ids"] == MASK).sum())
        assert len(made.positions) == 150
    assert masked / chosen == pytest.approx(0.85, abs=0.03)
    # n (1 - (1 - 1/n)^150) of 1,000 different places.
    assert chosen / 30 == pytest.approx(1000 * (1 - (1 - 1 / 1000) ** 150), rel=0.02)


def test_pieces_are_drawn_by_their_probabilities_and_the_loss_is_the_same() -> None:
    torch.manual_seed(0)
    n, width, size = 40_000, 6, 5
    x = torch.randn(1, width).expand(n, width).contiguous().requires_grad_()
    weight = torch.randn(size, width, requires_grad=True)
    bias = torch.randn(size, requires_grad=True)
    targets, numbers = torch.randint(size, (n,)), torch.rand(n)
    numbers[:2] = torch.tensor([0.0, 1.0])
    loss, drawn = sample_and_score(x, weight, bias, targets, numbers)
    assert torch.equal(loss, sparse_cross_entropy(x, weight, bias, targets))
    expected = torch.nn.functional.linear(x[:1], weight, bias).softmax(-1)[0]
    shares = torch.bincount(drawn, minlength=size) / n
    allowed = 6 * (expected * (1 - expected) / n).sqrt()
    assert ((shares - expected).abs() < allowed).all()
    assert not drawn.requires_grad
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_no_gradient_flows_from_the_discriminator_to_the_generator() -> None:
    model: Any = Objective(weights=(0.0, 50.0)).build(TINY_ELECTRA, {})
    initialise(model, 0.2, torch.Generator().manual_seed(0))
    model(random_batch(Objective())).total.backward()
    shared = {id(p) for p in model.bert.embeddings.parameters()}
    own = [p for p in model.generator.parameters() if id(p) not in shared]
    assert not any(p.grad.any() for p in own if p.grad is not None)
    assert any(p.grad.any() for p in model.bert.embeddings.parameters())


def test_all_embeddings_are_shared() -> None:
    model: Any = Objective().build(TINY_ELECTRA, {})
    assert model.generator.bert.embeddings is model.bert.embeddings


def test_generators_are_a_quarter_as_wide() -> None:
    for name, (width, heads) in {
        "electra-small": (64, 1),
        "electra-base": (192, 3),
        "electra-large": (256, 4),
    }.items():
        shape = Objective().generator_of(SIZES[name])
        assert (shape.hidden_size, shape.num_attention_heads) == (width, heads)
        assert shape.intermediate_size == 4 * width
        assert shape.num_hidden_layers == SIZES[name].num_hidden_layers
        assert shape.embedding_width == SIZES[name].embedding_width
    third = dataclasses.replace(Objective(), generator_layers=1 / 3, generator_size=1 / 3)
    assert third.generator_of(SIZES["electra-base"]).num_hidden_layers == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replacement": True, "unit": "word"}, r"electra\.replacement: is for unit 'piece'"),
        ({"masked": 0.0}, r"electra\.masked: got 0\.0"),
        ({"generator_size": 2.0}, r"electra\.generator_size: got 2\.0"),
        ({"weights": (1.0,)}, r"electra\.weights: got \[1\.0\]; expected two"),
        ({"rate": 1.0}, r"electra\.rate"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective(**options)


@pytest.mark.parametrize("size", [0.001, 0.7])
def test_a_generator_of_an_impossible_width_is_refused(size: float) -> None:
    """Of nothing, and of 179 pieces in 2 heads."""
    with pytest.raises(UserError, match=rf"electra\.generator_size: {size} of 256 is a width of"):
        dataclasses.replace(Objective(), generator_size=size).generator_of(SIZES["electra-small"])


def test_another_family_is_refused() -> None:
    with pytest.raises(UserError, match="--size: a bert shape; objective electra needs"):
        Objective().build(TINY, {})
