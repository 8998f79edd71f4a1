"""Hashed chance: independent of the batch, uniform, and never the same by accident."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanmo.data.draws import Draws, keys, shuffled

OFFSETS = np.array([0, 5, 5, 105])
RECORDED = [3, 2, 0, 4, 0, 2]


def test_recorded_numbers_stay_what_they_are() -> None:
    # A change would change every mask of every run that is going on.
    assert Draws.of(7, np.array([0, 6])).integers("recorded", 5).tolist() == RECORDED


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40))
def test_a_sequence_has_its_numbers_in_any_batch(seed: int, index: int) -> None:
    together = keys(seed, "corrupt", np.array([0, 3, 0]), np.array([index, 8, index + 1]))
    alone = keys(seed, "corrupt", np.array([3]), np.array([8]))
    assert together[1] == alone[0]
    assert together[0] != together[2]
    many = Draws(together, np.array([0, 4, 30, 31]))
    one = Draws(alone, np.array([0, 26]))
    assert many.bits("x")[4:30].tolist() == one.bits("x").tolist()
    some = np.array([29, 4])
    assert many.bits("x", some).tolist() == many.bits("x")[some].tolist()


def test_purposes_seeds_epochs_and_places_differ() -> None:
    n = 200
    drawn = [
        Draws(keys(seed, purpose, np.array([epoch]), np.array([index])), np.array([0, n]))
        for seed in (0, 1, 2**32)
        for purpose in ("a", "b")
        for epoch in (0, 1)
        for index in (0, 1)
    ]
    numbers = np.concatenate([draws.bits(name) for draws in drawn for name in ("x", "y")])
    assert len(np.unique(numbers)) == len(numbers) == 24 * 2 * n


def test_numbers_are_uniform_and_uncorrelated() -> None:
    n = 200_000
    offsets = np.arange(0, n + 1, 100)
    draws = Draws.of(1, offsets)
    one, two = draws.uniform("one"), draws.uniform("two")
    assert one.min() >= 0
    assert one.max() < 1
    counts, _ = np.histogram(one, 50, (0, 1))
    # Six standard deviations of a multinomial count, and of a correlation.
    assert np.abs(counts - n / 50).max() < 6 * np.sqrt(n / 50)
    for other in (two, np.roll(one, 1), np.roll(one, 100)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 6 / np.sqrt(n)
    bits = draws.bits("bits")
    for place in range(64):
        share = (bits >> np.uint64(place) & np.uint64(1)).mean()
        assert abs(share - 0.5) < 6 * 0.5 / np.sqrt(n)
    assert set(draws.integers("small", 3).tolist()) == {0, 1, 2}


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_shuffled_order_has_everything_once(n: int, key: int) -> None:
    order = shuffled(np.arange(n), n, np.uint64(key))
    assert sorted(order.tolist()) == list(range(n))
    some = np.arange(n)[:: max(1, n // 7)]
    assert shuffled(some, n, np.uint64(key)).tolist() == order[some].tolist()


def test_a_shuffled_order_is_shuffled() -> None:
    n = 100_000
    order, other = (shuffled(np.arange(n), n, np.uint64(key)) for key in (1, 2))
    for one, two in ((order, np.arange(n)), (order, other), (order[1:], order[:-1])):
        assert abs(np.corrcoef(one, two)[0, 1]) < 6 / np.sqrt(n)
        # As many fixed points as by chance: one on average.
        assert (one == two).sum() < 12
    # Neighbours part: their distance is that of two random places.
    assert abs(np.abs(np.diff(order)).mean() / (n / 3) - 1) < 0.02


def test_one_thing_and_a_very_large_number() -> None:
    assert shuffled(np.zeros(1, dtype=np.int64), 1, np.uint64(5)).tolist() == [0]
    far = shuffled(np.arange(5) * 10**11, 10**12, np.uint64(5))
    assert len(set(far.tolist())) == 5
    assert (far < 10**12).all()


def test_a_generator_of_a_sequence_is_its_own() -> None:
    draws = Draws.of(3, OFFSETS)
    assert draws.generator(2).random() == Draws.of(3, OFFSETS).generator(2).random()
    assert draws.generator(2).random() != draws.generator(0).random()
