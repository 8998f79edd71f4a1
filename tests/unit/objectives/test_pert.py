"""PERT's rules: what moves, how much, where to; and what its head may point at."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import Sequences
from hanmo.model.encoder import initialise
from hanmo.objectives import _masking
from hanmo.objectives.pert import Objective
from training_cases import TINY, random_arrays, random_batch, random_sequence, vocabulary

words_strategy = st.lists(st.integers(1, 5), min_size=1, max_size=40)
options_strategy = st.fixed_dictionaries(
    {
        "within": st.sampled_from(["sequence", "unit"]),
        "unit": st.sampled_from(["piece", "word"]),
        "rate": st.sampled_from([0.15, 0.5, 0.9]),
        "permuted": st.sampled_from([0.5, 0.9, 1.0]),
    }
)


def sequence_of(words: list[int], seed: int) -> Sequences:
    """A sequence whose pieces all differ, so that each can be followed."""
    sequence = random_sequence(np.random.default_rng(seed), words)
    sequence.input_ids[:] = np.arange(1000, 1000 + len(sequence.input_ids))
    return sequence


@given(words_strategy, options_strategy, st.integers(0, 10**6))
def test_the_target_is_where_the_right_piece_stands(
    words: list[int], options: dict[str, Any], seed: int
) -> None:
    sequence = sequence_of(words, seed)
    objective = Objective(**options)
    made = objective.corrupt(sequence, Draws.of(seed, sequence.offsets), vocabulary())
    ids, places = made.inputs["input_ids"], made.targets["places"]
    np.testing.assert_array_equal(ids[places], sequence.input_ids[made.positions])
    # Nothing is lost, nothing new: no [MASK], no random piece, specials where they were.
    np.testing.assert_array_equal(np.sort(ids), sequence.input_ids)
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[made.positions] = True
    np.testing.assert_array_equal(ids[~chosen], sequence.input_ids[~chosen])
    assert not chosen[~sequence.maskable].any()
    assert chosen.sum() <= _masking.budgets(sequence, objective.rate)[0]
    assert set(places.tolist()) <= set(made.positions.tolist())
    if options == {**options, "unit": "word"}:  # words are chosen whole
        starts = np.append(np.flatnonzero(sequence.word_starts), len(ids))
        for begin, end in itertools.pairwise(starts):
            assert chosen[begin:end].all() or not chosen[begin:end].any()


@given(words_strategy, st.integers(0, 10**6))
def test_within_units_no_piece_leaves_its_word(words: list[int], seed: int) -> None:
    sequence = sequence_of(words, seed)
    objective = Objective(within="unit", ngram=(1.0,), rate=0.6)
    made = objective.corrupt(sequence, Draws.of(seed, sequence.offsets), vocabulary())
    word = np.cumsum(sequence.word_starts)
    np.testing.assert_array_equal(word[made.targets["places"]], word[made.positions])


def test_ten_percent_of_the_chosen_stay_and_every_order_is_as_likely() -> None:
    sequence = sequence_of([1] * 200, 0)
    objective = Objective(unit="piece", ngram=(1.0,))
    stay, chosen = 0, 0
    for seed in range(300):
        made = objective.corrupt(sequence, Draws.of(seed, sequence.offsets), vocabulary())
        stay += int((made.targets["places"] == made.positions).sum())
        chosen += len(made.positions)
    # A permutation of k leaves one in place on average: one of the 27 that move of 30.
    assert stay / chosen == pytest.approx(0.1 + 1 / 30, abs=0.01)
    four = sequence_of([1] * 4, 0)
    orders = [
        tuple(
            Objective(rate=0.9, permuted=1.0, ngram=(1.0,))
            .corrupt(four, Draws.of(seed, four.offsets), vocabulary())
            .targets["places"]
            .tolist()
        )
        for seed in range(4800)
    ]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert counts.min() > 140
    assert counts.max() < 260


def make_model() -> Any:
    model: Any = Objective().build(TINY, {})
    initialise(model, 0.2, torch.Generator().manual_seed(0))
    return model.eval()


def test_the_head_points_at_places_of_its_own_sequence_alone() -> None:
    model, batch = make_model(), random_batch(Objective(), n=12)
    with torch.no_grad():
        scores = model.outputs(batch).logits["places"]
    length = batch.sequence_ids.shape[1]
    assert scores.shape == (len(batch.positions), length)
    for position, row in zip(batch.positions.tolist(), scores, strict=True):
        ids = batch.sequence_ids[position // length]
        own = ids == ids[position % length]
        assert (row.softmax(-1)[~own] == 0).all()
        assert (row[own] > -1e3).all()


def test_the_loss_is_the_formula() -> None:
    model = make_model()
    arrays = random_arrays(Objective(), n=5, pack=False)
    batch = random_batch(Objective(), n=5, pack=False)
    with torch.no_grad():
        loss = model(batch).total.item()
        hidden = model.encoder(*batch.inputs)
        expected = 0.0
        for position, place in zip(arrays["positions"], arrays["places"], strict=True):
            row, column = divmod(int(position), hidden.shape[1])
            n = int((arrays["sequence_ids"][row] > 0).sum())
            scores = model.pert(hidden[row, column][None]) @ hidden[row, :n].T
            expected -= scores.log_softmax(-1)[0, int(place)].item()
    assert loss == pytest.approx(expected / len(arrays["positions"]), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"permuted": 0.0}, r"pert\.permuted: got 0\.0"),
        ({"within": "word"}, r"pert\.within: got 'word'; expected sequence or unit"),
        ({"rate": 1.5}, r"pert\.rate"),
        ({"unit": "words"}, r"pert\.unit"),
        ({"ngram": (0.5, 0.4)}, r"pert\.ngram"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective(**options)
