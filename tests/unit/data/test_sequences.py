"""The plan: every piece once, whole sentences while they fit, cuts at word starts."""

import numpy as np
import pytest
from data_cases import make_documents, shards_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet

sentence = st.lists(st.integers(1, 12), min_size=1, max_size=10)
document = st.lists(sentence, min_size=1, max_size=6)


@settings(deadline=None)
@given(
    st.lists(document, min_size=1, max_size=6),
    st.integers(4, 30),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_every_piece_is_in_exactly_one_sequence(
    documents: list, max_length: int, n_shards: int, rate: float
) -> None:
    shards = shards_in_memory(make_documents(documents), min(n_shards, len(documents)))
    plan = plan_sequences(shards, max_length=max_length, short_sequence_rate=rate, seed=3)
    end = 0
    shard = 0
    for number, start, stop in plan.ranges(np.arange(len(plan)))[:, 0].tolist():
        if number != shard:
            assert end == len(shards.shards[shard].ids)
            shard, end = number, 0
        assert start == end
        assert 0 < stop - start <= max_length - 2
        # Never across documents.
        offsets = shards.shards[number].piece_offsets
        assert np.searchsorted(offsets, start, "right") == np.searchsorted(offsets, stop, "left")
        end = stop
    assert shard == len(shards.shards) - 1
    assert end == len(shards.shards[shard].ids)


def reference(documents: list, budget: int) -> list[int]:
    """Lengths of the sequences, one word at a time."""
    lengths = []
    for sentences in documents:
        units: list[int] = []
        for words in sentences:
            if sum(words) <= budget:
                units.append(sum(words))
                continue
            unit = 0
            for word in words:
                left = word
                if unit and unit + word > budget:
                    units.append(unit)
                    unit = 0
                while unit + left > budget:
                    units.append(budget)
                    left -= budget
                unit += left
            units.append(unit)
        length = 0
        for unit in units:
            if length and length + unit > budget:
                lengths.append(length)
                length = 0
            length += unit
        lengths.append(length)
    return lengths


@settings(deadline=None)
@given(st.lists(document, min_size=1, max_size=5), st.integers(12, 40))
def test_the_plan_equals_a_word_by_word_reference(documents: list, budget: int) -> None:
    shards = shards_in_memory(make_documents(documents))
    plan = plan_sequences(shards, max_length=budget + 2)
    assert (plan.lengths - 2).tolist() == reference(documents, budget)


def test_a_long_sentence_is_cut_at_a_word_start() -> None:
    shards = shards_in_memory(make_documents([[[3, 3, 3, 3], [2]]]))
    plan = plan_sequences(shards, max_length=10)  # 8 pieces: two words of three, then the rest
    assert plan.start[:, 0].tolist() == [0, 6]
    assert plan.stop[:, 0].tolist() == [6, 14]


def test_a_word_longer_than_a_sequence_is_cut_and_its_rest_starts_a_word() -> None:
    shards = shards_in_memory(make_documents([[[1, 7, 1]]]))
    plan = plan_sequences(shards, max_length=6)
    assert (plan.lengths - 2).tolist() == [1, 4, 4]
    last = plan.sequences(np.array([2]))
    assert last.word_starts.tolist() == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]


def test_a_sequence_has_its_specials(shards: ShardSet) -> None:
    plan = plan_sequences(shards, max_length=64)
    sequence = plan.sequences(np.array([5]))
    number, start, stop = plan.ranges(np.array([5]))[0, 0].tolist()
    n = stop - start + 2
    assert plan.lengths[5] == n
    assert sequence.input_ids.dtype == np.int32
    assert sequence.input_ids[[0, -1]].tolist() == [2, 3]
    np.testing.assert_array_equal(sequence.input_ids[1:-1], shards.shards[number].ids[start:stop])
    assert sequence.maskable.tolist() == [False, *[True] * (n - 2), False]
    assert sequence.word_starts[[0, 1, -1]].all()
    assert sequence.token_type_ids.tolist() == [0] * n
    for name, labels in sequence.layers.items():
        assert labels.dtype == np.int8
        assert labels[[0, -1]].tolist() == [-1, -1]
        stored = shards.shards[number].layers[name][start:stop]
        np.testing.assert_array_equal(labels[1:-1], stored)


def test_a_plan_of_two_segments_is_a_pair(shards: ShardSet) -> None:
    plan = plan_sequences(shards, max_length=64)
    pair = type(plan)(
        shards,
        64,
        np.array([[0, 1]], dtype=np.int32),
        np.array([[0, 4]]),
        np.array([[3, 6]]),
    )
    sequence = pair.sequences(np.array([0]))
    assert pair.lengths.tolist() == [8]
    assert sequence.token_type_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert np.flatnonzero(~sequence.maskable).tolist() == [0, 4, 7]


def test_the_plan_is_deterministic_and_the_seed_matters_only_for_short_ones(
    shards: ShardSet,
) -> None:
    def stops(seed: int, rate: float) -> list[int]:
        plan = plan_sequences(shards, max_length=64, short_sequence_rate=rate, seed=seed)
        return plan.stop[:, 0].tolist()

    assert stops(1, 0.0) == stops(2, 0.0)
    assert stops(1, 0.5) == stops(1, 0.5)
    assert stops(1, 0.5) != stops(2, 0.5)
    assert len(stops(1, 0.5)) > len(stops(1, 0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 3}, "max_length: got 3; expected 4 or more"),
        ({"max_length": 8, "short_sequence_rate": 1.5}, "short_sequence_rate: got 1.5"),
    ],
)
def test_impossible_options_are_refused(shards: ShardSet, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_sequences(shards, **options)
