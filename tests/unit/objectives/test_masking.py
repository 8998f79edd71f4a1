"""The rules of masking: what may be chosen, how much, and what stands in its place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import IntArray, Sequences
from hanmo.objectives import _masking
from hanmo.objectives._masking import BoolArray
from hanmo.objectives._objective import Vocabulary
from training_cases import VOCAB, join_sequences, random_sequence, vocabulary

NGRAM = (0.4, 0.3, 0.2, 0.1)
BERT = (0.8, 0.1, 0.1)
words_lists = st.lists(st.integers(1, 6), min_size=1, max_size=60)
seeds = st.integers(0, 2**32)
cases = given(
    words=words_lists,
    seed=seeds,
    unit=st.sampled_from(["piece", "word"]),
    ngram=st.sampled_from([(1.0,), NGRAM, (0.0, 1.0)]),
    rate=st.floats(0.01, 0.6),
)


def mask(  # noqa: PLR0917
    words: list[int],
    seed: int,
    unit: str,
    ngram: tuple[float, ...],
    rate: float,
    shares: tuple[float, ...] = BERT,
) -> tuple[Sequences, IntArray, IntArray]:
    sequence = random_sequence(np.random.default_rng(seed), words)
    draws = Draws.of(seed, sequence.offsets)
    masked, positions = _masking.mask_units(
        sequence, draws, vocabulary(), unit=unit, ngram=ngram, rate=rate, shares=shares
    )
    return sequence, masked, positions


def flat(word_starts: BoolArray, maskable: BoolArray) -> Sequences:
    """One sequence of which only these matter."""
    n = len(maskable)
    ids, types = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int8)
    return Sequences(ids, word_starts, maskable, types, {})


def within(count: float, n: int, share: float, sigmas: float = 6) -> bool:
    """Whether a binomial count is within so many standard deviations of its mean."""
    return abs(count - n * share) <= sigmas * math.sqrt(n * share * (1 - share)) + 1


@cases
@settings(max_examples=80, deadline=None)
def test_budget_order_and_specials(
    words: list[int], seed: int, unit: str, ngram: tuple[float, ...], rate: float
) -> None:
    sequence, masked, positions = mask(words, seed, unit, ngram, rate)
    n = len(sequence.input_ids)
    assert len(positions) <= max(1, round(rate * n))
    assert np.all(np.diff(positions) > 0)
    assert sequence.maskable[positions].all()
    untouched = np.ones(n, dtype=bool)
    untouched[positions] = False
    assert np.array_equal(masked[untouched], sequence.input_ids[untouched])
    assert masked.dtype == sequence.input_ids.dtype


@cases
@settings(max_examples=80, deadline=None)
def test_words_are_chosen_whole(
    words: list[int], seed: int, unit: str, ngram: tuple[float, ...], rate: float
) -> None:
    sequence, _, positions = mask(words, seed, "word", ngram, rate)
    chosen = np.zeros(len(sequence.input_ids), dtype=bool)
    chosen[positions] = True
    word = np.cumsum(sequence.word_starts)
    for number in np.unique(word):
        assert len(set(chosen[word == number].tolist())) == 1, "a word was cut"
    units = np.cumsum(
        _masking.unit_starts(
            sequence, unit="word", ngram=ngram, draws=Draws.of(seed, sequence.offsets)
        )
    )
    for number in np.unique(units):
        assert len(set(chosen[units == number].tolist())) == 1, "an n-gram was cut"


@cases
@settings(max_examples=50, deadline=None)
def test_the_generator_decides(
    words: list[int], seed: int, unit: str, ngram: tuple[float, ...], rate: float
) -> None:
    one, two = mask(words, seed, unit, ngram, rate), mask(words, seed, unit, ngram, rate)
    assert np.array_equal(one[1], two[1])
    assert np.array_equal(one[2], two[2])


@given(words=words_lists, seed=seeds, rate=st.floats(0.05, 0.5))
@settings(max_examples=50, deadline=None)
def test_the_budget_is_used_up_by_pieces(words: list[int], seed: int, rate: float) -> None:
    sequence, _, positions = mask(words, seed, "piece", (1.0,), rate)
    wanted = max(1, round(rate * len(sequence.input_ids)))
    assert len(positions) == min(wanted, sum(words))


def test_a_word_over_the_budget_is_passed_over() -> None:
    sequence, masked, positions = mask([50], 3, "word", (1.0,), 0.15)
    assert len(positions) == 0
    assert np.array_equal(masked, sequence.input_ids)
    assert positions.dtype.kind == "i"


def test_a_short_word_is_found_among_long_ones() -> None:
    for seed in range(20):
        _, _, positions = mask([30, 2, 30], seed, "word", (1.0,), 0.1)
        assert positions.tolist() == [31, 32]


def test_every_word_is_chosen_equally_often() -> None:
    counts = np.zeros(42)
    for seed in range(400):
        counts[mask([1] * 40, seed, "word", (1.0,), 0.15)[2]] += 1
    n_chosen = round(0.15 * 42)
    assert counts.sum() == 400 * n_chosen
    assert all(within(count, 400, n_chosen / 40) for count in counts[1:-1])


@pytest.mark.parametrize("unit", ["piece", "word"])
def test_shares_are_drawn_for_each_piece(unit: str) -> None:
    kinds = {"mask": 0, "random": 0, "kept": 0}
    mixed = n_words = 0
    for seed in range(400):
        sequence, masked, positions = mask([2] * 60, seed, unit, (1.0,), 0.3)
        before, after = sequence.input_ids[positions], masked[positions]
        is_mask = after == vocabulary().mask_id
        kinds["mask"] += int(is_mask.sum())
        kinds["kept"] += int((after == before).sum())
        kinds["random"] += int((~is_mask & (after != before)).sum())
        if unit == "word":
            pairs = is_mask.reshape(-1, 2)
            n_words += len(pairs)
            mixed += int((pairs[:, 0] != pairs[:, 1]).sum())
    n = sum(kinds.values())
    # A random piece is now and then the piece itself.
    same = 1 / len(vocabulary().random_ids)
    expected = {"mask": 0.8, "random": 0.1 * (1 - same), "kept": 0.1 + 0.1 * same}
    assert n > 10_000
    for kind, share in expected.items():
        assert within(kinds[kind], n, share), (kind, kinds[kind] / n)
    if unit == "word":  # drawn for each piece: [MASK] and not [MASK] side by side in a word
        assert within(mixed, n_words, 2 * 0.8 * 0.2)


def test_random_pieces_are_neither_special_nor_reserved() -> None:
    allowed = {i for i, piece in enumerate(VOCAB) if not piece.startswith("[")}
    seen: set[int] = set()
    for seed in range(60):
        _, masked, positions = mask([1] * 60, seed, "word", (1.0,), 0.5, shares=(0.0, 1.0, 0.0))
        seen |= set(masked[positions].tolist())
    assert seen <= allowed
    assert len(seen) > 0.99 * len(allowed)


def test_another_vocabulary_gives_its_own_ids() -> None:
    sequence = random_sequence(np.random.default_rng(0), [1] * 100)
    other = Vocabulary(1000, 999, np.arange(500, 600, dtype=np.int32))
    masked, positions = _masking.mask_units(
        sequence,
        Draws.of(1, sequence.offsets),
        other,
        unit="word",
        ngram=(1.0,),
        rate=0.5,
        shares=(0.5, 0.5, 0.0),
    )
    after = masked[positions]
    assert set(after.tolist()) - {999} <= set(range(500, 600))
    assert (after == 999).any()


def test_ngrams_have_their_shares() -> None:
    lengths: list[int] = []
    for seed in range(100):
        sequence = random_sequence(np.random.default_rng(seed), [2] * 100)
        starts = _masking.unit_starts(
            sequence, unit="word", ngram=NGRAM, draws=Draws.of(seed, sequence.offsets)
        )
        assert not (starts & ~sequence.word_starts).any(), "an n-gram begins inside a word"
        bounds = np.flatnonzero(starts[1:-1])
        lengths += (np.diff(bounds) // 2).tolist()  # the last one may be cut short by [SEP]
    n = len(lengths)
    assert n > 3000
    for words, share in enumerate(NGRAM, start=1):
        # The end of a sequence cuts long n-grams a little more often than short ones.
        assert within(lengths.count(words), n, share, sigmas=7), (words, lengths.count(words) / n)


def test_units_do_not_cross_a_special() -> None:
    maskable = np.array([False, True, True, False, True, True, False])
    no_starts = np.array([True, True, False, False, False, False, False])
    sequence = flat(no_starts, maskable)
    for seed in range(50):
        draws = Draws.of(seed, sequence.offsets)
        starts = _masking.unit_starts(sequence, unit="word", ngram=(0.0, 0.0, 1.0), draws=draws)
        assert starts.tolist() == [True, True, False, True, True, False, True]


@pytest.mark.parametrize("shares", [(), (0.5, 0.4), (1.2, -0.2), (0.0,), (float("nan"), 1.0)])
def test_bad_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match=r"mlm\.shares: got .* sum to 1"):
        _masking.check_shares("mlm.shares", shares)


def test_shares_that_sum_to_one_nearly_are_taken() -> None:
    thirds = (0.3333333, 0.3333333, 0.3333333)
    _masking.check_shares("mlm.ngram", thirds)
    mask([1] * 20, 0, "word", thirds, 0.3)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan")])
def test_bad_rates_are_refused(rate: float) -> None:
    with pytest.raises(UserError, match=r"mlm\.rate: got"):
        _masking.check_rate("mlm.rate", rate)


def test_the_first_unit_behind_cls_is_drawn_like_the_others() -> None:
    n, n_draws = 20, 4000
    words = np.ones(n, dtype=np.bool_)
    maskable = np.ones(n, dtype=np.bool_)
    maskable[[0, -1]] = False
    lengths = np.zeros(5)
    sequence = flat(words, maskable)
    for seed in range(n_draws):
        draws = Draws.of(seed, sequence.offsets)
        starts = _masking.unit_starts(sequence, unit="word", ngram=NGRAM, draws=draws)
        begins = np.flatnonzero(starts)
        assert begins[1] == 1
        lengths[begins[2] - begins[1]] += 1
    # Six standard deviations of a binomial share.
    shares = np.array(NGRAM)
    assert (
        np.abs(lengths[1:] / n_draws - shares) < 6 * np.sqrt(shares * (1 - shares) / n_draws)
    ).all()


def test_random_pieces_are_ordinary_ones_or_on_request_any() -> None:
    sequence = random_sequence(np.random.default_rng(0), [1] * 2000)
    drawn = {}
    for any_random in (False, True):
        masked, positions = _masking.mask_units(
            sequence,
            Draws.of(1, sequence.offsets),
            vocabulary(),
            unit="piece",
            ngram=(1.0,),
            rate=0.9,
            shares=(0.0, 1.0, 0.0),
            any_random=any_random,
        )
        drawn[any_random] = set(masked[positions].tolist())
    assert drawn[False] == set(vocabulary().random_ids.tolist())
    assert drawn[True] == set(range(vocabulary().size))


def one_by_one(starts: BoolArray, maskable: BoolArray, wanted: int, orders: IntArray) -> list[int]:
    """The rule in plain words: units in their order, each taken if it still fits."""
    begins = np.flatnonzero(starts)
    ends = [*begins[1:].tolist(), len(starts)]
    units = [u for u in zip(begins.tolist(), ends, strict=True) if maskable[u[0]]]
    chosen: list[int] = []
    for begin, end in sorted(units, key=lambda unit: (int(orders[unit[0]]) >> 24, unit[0])):
        if len(chosen) + end - begin <= wanted:
            chosen += range(begin, end)
    return sorted(chosen)


@given(
    lists=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=80), min_size=1, max_size=6),
    seed=seeds,
    rate=st.floats(0.01, 0.9),
    ngram=st.sampled_from([(1.0,), NGRAM]),
)
@settings(max_examples=120, deadline=None)
def test_units_are_taken_in_their_order_while_they_fit(
    lists: list[list[int]], seed: int, rate: float, ngram: tuple[float, ...]
) -> None:
    parts = [random_sequence(np.random.default_rng([seed, i]), w) for i, w in enumerate(lists)]
    many = join_sequences(parts)
    draws = Draws.of(seed, many.offsets)
    starts = _masking.unit_starts(many, unit="word", ngram=ngram, draws=draws)
    wanted = _masking.budgets(many, rate)
    chosen = _masking.choose(starts, many, wanted, draws).tolist()
    orders = draws.bits("order")
    expected = []
    for number, begin in enumerate(many.offsets[:-1].tolist()):
        here = slice(begin, int(many.offsets[number + 1]))
        found = one_by_one(starts[here], many.maskable[here], int(wanted[number]), orders[here])
        expected += [begin + place for place in found]
    assert chosen == expected
