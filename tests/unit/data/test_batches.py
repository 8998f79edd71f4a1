"""Collation: every piece lands once, targets stay with their pieces, rows are deterministic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.data.batches import best_fit_decreasing, collate, split
from hanmo.data.ragged import Corrupted, join

MAX_LENGTH = 32


def make_samples(lengths: list[int]) -> list[Corrupted]:
    """Sequences whose ids are unique over the batch; every third piece is predicted."""
    samples = []
    first = 100
    for length in lengths:
        ids = np.arange(first, first + length, dtype=np.int32)
        positions = np.arange(0, length, 3)
        inputs = {"input_ids": ids, "token_type_ids": (ids % 2).astype(np.int8), "extra": ids * 2}
        targets = {"pieces": ids[positions], "weight": ids[positions] / 4}
        samples.append(Corrupted(inputs, positions, targets))
        first += length
    return samples


lengths_strategy = st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=40)


@given(lengths_strategy, st.booleans())
def test_every_piece_and_target_lands_where_it_belongs(lengths: list[int], pack: bool) -> None:
    samples = make_samples(lengths)
    arrays = collate(join(samples), max_length=MAX_LENGTH, pad_id=7, pack=pack)
    real = arrays["sequence_ids"] > 0
    ids = arrays["input_ids"]
    assert sorted(ids[real]) == list(range(100, 100 + sum(lengths)))
    assert (ids[~real] == 7).all()
    for name in ("token_type_ids", "extra", "position_ids"):
        assert (arrays[name][~real] == 0).all()
        assert arrays[name].shape == ids.shape
    np.testing.assert_array_equal(arrays["extra"][real], 2 * ids[real])
    np.testing.assert_array_equal(arrays["token_type_ids"][real], ids[real] % 2)
    at = ids.reshape(-1)[arrays["positions"]]
    np.testing.assert_array_equal(at, arrays["pieces"])
    np.testing.assert_array_equal(at / 4, arrays["weight"])
    assert len(at) == sum(len(sample.positions) for sample in samples)


@given(lengths_strategy, st.booleans())
def test_sequences_are_contiguous_and_numbered(lengths: list[int], pack: bool) -> None:
    arrays = collate(join(make_samples(lengths)), max_length=MAX_LENGTH, pad_id=0, pack=pack)
    seen = []
    for ids, positions, numbers in zip(
        arrays["input_ids"], arrays["position_ids"], arrays["sequence_ids"], strict=True
    ):
        end = 0
        for number in range(1, numbers.max() + 1):
            where = np.flatnonzero(numbers == number)
            assert where[0] == end
            np.testing.assert_array_equal(where, np.arange(end, end + len(where)))
            np.testing.assert_array_equal(positions[where], np.arange(len(where)))
            np.testing.assert_array_equal(np.diff(ids[where]), 1)
            seen.append(len(where))
            end += len(where)
        assert (numbers[end:] == 0).all()
    assert sorted(seen) == sorted(lengths)


@given(lengths_strategy)
def test_best_fit_decreasing_equals_its_definition(lengths: list[int]) -> None:
    rows, n_rows = best_fit_decreasing(np.array(lengths), MAX_LENGTH)
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fitting = [r for r, left in enumerate(room) if left >= lengths[index]]
        if not fitting:
            fitting = [len(room)]
            room.append(MAX_LENGTH)
        # Which of several rows with the same room is taken, nobody needs to know.
        least = min(room[r] for r in fitting)
        row = int(rows[index])
        assert row in fitting
        assert room[row] == least
        room[row] -= lengths[index]
    assert n_rows == len(room)


@pytest.mark.parametrize(("longest", "width"), [(3, 8), (8, 8), (9, 16), (29, 30)])
def test_own_rows_are_rounded_up_to_eight_but_not_over_the_maximum(
    longest: int, width: int
) -> None:
    arrays = collate(join(make_samples([1, longest])), max_length=30, pad_id=0, pack=False)
    assert arrays["input_ids"].shape == (2, width)


def test_dtypes_are_what_the_model_takes() -> None:
    arrays = collate(join(make_samples([3, 5])), max_length=8, pad_id=0, pack=True)
    dtypes = {name: array.dtype for name, array in arrays.items()}
    assert dtypes.pop("sequence_ids") == np.int32
    assert dtypes.pop("weight") == np.float64
    assert set(dtypes.values()) == {np.dtype(np.int64)}


def test_token_types_that_are_left_out_are_zero() -> None:
    sample = Corrupted({"input_ids": np.array([5, 6])}, np.array([1]), {"pieces": np.array([6])})
    arrays = collate(sample, max_length=8, pad_id=0, pack=True)
    assert arrays["token_type_ids"].tolist() == [[0] * 8]


def test_a_sequence_over_the_maximum_is_refused() -> None:
    with pytest.raises(ValueError, match="a sequence of 9 pieces; max_length is 8"):
        collate(join(make_samples([4, 9])), max_length=8, pad_id=0, pack=True)


def test_no_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="no sequences"):
        nothing = Corrupted({"input_ids": np.zeros(0)}, np.zeros(0, int), {}, np.zeros(1, int))
        collate(nothing, max_length=8, pad_id=0, pack=True)


@pytest.mark.parametrize("name", ["input_ids", "positions", "sequence_ids"])
def test_a_target_may_not_take_the_name_of_an_input(name: str) -> None:
    sample = Corrupted({"input_ids": np.array([5])}, np.array([0]), {name: np.array([5])})
    with pytest.raises(ValueError, match=name):
        collate(sample, max_length=8, pad_id=0, pack=True)


@given(lengths_strategy, st.booleans(), st.integers(1, 12))
def test_parts_of_a_batch_are_the_batch(lengths: list[int], pack: bool, n: int) -> None:
    arrays = collate(join(make_samples(lengths)), max_length=MAX_LENGTH, pad_id=7, pack=pack)
    parts = split(arrays, n)
    assert len(parts) == min(n, len(arrays["input_ids"]))
    sizes = [len(part["input_ids"]) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for name in ("input_ids", "sequence_ids", "position_ids", "extra"):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), arrays[name])
    for part in parts:  # every position still points at the piece that is asked for
        at = part["input_ids"].reshape(-1)[part["positions"]]
        np.testing.assert_array_equal(at, part["pieces"])
        np.testing.assert_array_equal(at / 4, part["weight"])
    got = np.sort(np.concatenate([part["pieces"] for part in parts]))
    np.testing.assert_array_equal(got, np.sort(arrays["pieces"]))
