"""Which pieces are chosen, and what stands in their place: the rules that masked objectives share.

Choosing (facts/02 "Whole word masking", facts/03 "N-gram"): the sequence is cut into units (a
piece, a word, or a run of words), the units are shuffled and taken while they fit into the budget
of max(1, round(rate · n)) pieces, n counting [CLS] and [SEP] as Google does. A unit that would
exceed the budget is passed over, so the budget is never exceeded and a word is never cut.

N-grams follow HFL's sequential pointer (MacBERT#13): at a word, draw n, take the next n words as
one unit, go on behind them. How this met the budget upstream is not published; here the units
are then shuffled like any others (facts/03, an inference). Units are drawn 40/30/20/10; because a
long one fits less often into what is left of a budget, the chosen ones are 44/30/18/9 at length
512 and 51/27/15/7 at length 128 (crf words of wiki, news and technology; 2,000 sequences each).
ALBERT's shares, 1/n, are 6/11 3/11 2/11 (facts/05).

Replacing: 80 % [MASK], 10 % a random piece, 10 % kept, drawn for each piece (facts/02).

Every rule runs over many sequences at once (`data/ragged.py`: S sequences, N pieces in all), and
gives each what it would get alone.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import IntArray, Sequences, ranges
from hanmo.objectives._objective import Vocabulary

BoolArray = NDArray[np.bool_]

UNITS = ("piece", "word")


def check_unit(name: str, unit: str) -> None:
    """Refuse a unit that is not known.

    Raises:
        UserError: names the option and its value.
    """
    if unit not in UNITS:
        raise UserError(f"{name}: got {unit!r}; expected {' or '.join(UNITS)}")


def check_shares(name: str, shares: tuple[float, ...], *, n: int | None = None) -> None:
    """Refuse shares that are negative, do not sum to 1, or are not `n` (any number if None).

    Raises:
        UserError: names the option and the shares.
    """
    wrong_number = not shares or (n is not None and len(shares) != n)
    if wrong_number or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-6:
        count = "" if n is None else f"{n} "
        raise UserError(f"{name}: got {list(shares)}; expected {count}shares ≥ 0 that sum to 1")


def check_rate(name: str, rate: float) -> None:
    """Refuse a rate outside (0, 1).

    Raises:
        UserError: names the option and its value.
    """
    if not 0 < rate < 1:
        raise UserError(f"{name}: got {rate}; expected a share between 0 and 1")


def budgets(sequences: Sequences, rate: float) -> IntArray:
    """Return how many pieces may be chosen of each sequence, specials counted: int64 [S]."""
    return np.maximum(1, np.rint(sequences.lengths * rate).astype(np.int64))


def unit_starts(
    sequences: Sequences, *, unit: str, ngram: tuple[float, ...], draws: Draws
) -> BoolArray:
    """Mark where each unit begins.

    Args:
        sequences: N pieces.
        unit: "piece" or "word".
        ngram: share of units of 1, 2, 3 … words (or pieces).
        draws: the lengths of n-grams.

    Returns:
        bool [N]: True at the first piece of each unit; specials are units of their own.
    """
    maskable = sequences.maskable
    special = ~maskable
    starts = (
        np.ones(len(maskable), np.bool_) if unit == "piece" else sequences.word_starts | special
    )
    # A piece behind a special, or a first one, always begins a unit, whatever the words say.
    starts[sequences.offsets[:-1]] = True
    starts[1:] |= special[:-1]
    if len(ngram) == 1:
        return starts
    words = np.flatnonzero(starts & maskable)
    first = np.searchsorted(words, sequences.offsets)  # [S + 1] each sequence's first word
    # The k-th unit of a sequence has the length drawn at its k-th word.
    bounds = np.cumsum(np.array(ngram) / sum(ngram))[:-1]
    lengths = np.searchsorted(bounds, draws.uniform("n-gram", words), side="right") + 1
    before = np.cumsum(lengths) - lengths
    counts = np.diff(first)
    before -= np.repeat(before[first[:-1][counts > 0]], counts[counts > 0])
    inside = before < np.repeat(counts, counts)
    joined = special.copy()
    joined[1:] |= special[:-1]
    joined[sequences.offsets[:-1]] = True
    joined[words[(np.repeat(first[:-1], counts) + before)[inside]]] = True
    return joined


def choose(starts: BoolArray, sequences: Sequences, wanted: IntArray, draws: Draws) -> IntArray:
    """Choose whole units of each sequence at random, at most `wanted` pieces of it.

    Args:
        starts: [N] first pieces of units.
        sequences: units at unmaskable pieces are never chosen.
        wanted: [S] budgets, in pieces.
        draws: the order in which units are tried.

    Returns:
        Chosen positions among the N, ascending; no piece of a sequence that no unit fits into.
    """
    begins = np.append(np.flatnonzero(starts), len(starts))
    counts = np.diff(np.searchsorted(begins, sequences.offsets))
    orders = draws.bits("order", begins[:-1])
    units = _Units(begins, orders, np.repeat(np.arange(len(sequences)), counts), sequences.maskable)
    # Only the first units in the order are taken, so only they need sorting: as many as make a
    # multiple of the budget, and all where those are not enough.
    share = np.minimum(1.0, _MARGIN * wanted / np.maximum(1, sequences.lengths))
    bounds = (share * 2.0**64).clip(max=2.0**64 - 2048).astype(np.uint64)
    taken, left = _in_order(units, np.flatnonzero(orders < np.repeat(bounds, counts)), wanted)
    again = left > 0
    if again.any():
        more, _ = _in_order(units, np.flatnonzero(np.repeat(again, counts)), wanted)
        taken = np.concatenate([taken[~again[units.owners[taken]]], more])
    taken.sort()
    begin = begins[taken]
    lengths = begins[taken + 1] - begin
    return np.repeat(begin, lengths) + ranges(lengths)


# Candidates are this multiple of the budget: more are sorted for nothing, fewer are often too few.
_MARGIN = 1.8


@dataclasses.dataclass(frozen=True, slots=True)
class _Units:
    """All U units of all sequences."""

    begins: IntArray  # [U + 1]
    orders: NDArray[np.uint64]  # [U]
    owners: IntArray  # [U] ascending
    maskable: BoolArray  # [N]


def _in_order(units: _Units, which: IntArray, wanted: IntArray) -> tuple[IntArray, IntArray]:
    """Take the units `which` in their order while they fit; those taken, and [S] what is left."""
    which = which[units.maskable[units.begins[which]]]
    mine = units.owners[which]
    sortable = mine.astype(np.uint64) << np.uint64(40)
    sortable |= units.orders[which] >> np.uint64(24)
    which = which[np.argsort(sortable, kind="stable")]  # `mine` was and stays ascending
    sizes = units.begins[which + 1] - units.begins[which]
    taken = []
    left = wanted.copy()
    while len(which):
        total = np.cumsum(sizes)
        new = np.flatnonzero(np.diff(mine, prepend=-1))
        room = left[mine[new]] + (total - sizes)[new]
        fits = total <= np.repeat(room, np.diff(new, append=len(mine)))
        taken.append(which[fits])
        left -= np.bincount(mine, sizes * fits, minlength=len(left)).astype(np.int64)
        # A unit that is too long now is too long for ever.
        still = np.flatnonzero((sizes <= left[mine]) & ~fits)
        which, mine, sizes = which[still], mine[still], sizes[still]
    return np.concatenate([which, *taken]), left


def replace(
    input_ids: NDArray[np.int32],
    positions: IntArray,
    *,
    shares: tuple[float, ...],
    mask_id: int,
    random_ids: NDArray[np.int32],
    draws: Draws,
) -> NDArray[np.int32]:
    """Return a copy with [MASK], a random piece or the piece itself at `positions`.

    Args:
        input_ids: [N].
        positions: [M] chosen positions.
        shares: of [MASK], random and kept.
        mask_id: id of [MASK].
        random_ids: pieces to draw from.
        draws: for each piece on its own.
    """
    replaced = input_ids.copy()
    draw = draws.uniform("replace", positions)
    replaced[positions[draw < shares[0]]] = mask_id
    random = positions[(shares[0] <= draw) & (draw < shares[0] + shares[1])]
    replaced[random] = random_ids[draws.integers("random piece", len(random_ids), random)]
    return replaced


def mask_units(
    sequences: Sequences,
    draws: Draws,
    vocabulary: Vocabulary,
    *,
    unit: str,
    ngram: tuple[float, ...],
    rate: float,
    shares: tuple[float, ...],
    any_random: bool = False,
) -> tuple[NDArray[np.int32], IntArray]:
    """Choose units of each sequence and mask them.

    Args:
        sequences: N pieces.
        draws: the only source of chance.
        vocabulary: for [MASK] and random pieces.
        unit: "piece" or "word".
        ngram: share of units of 1, 2, 3 … words.
        rate: share of pieces to choose.
        shares: of [MASK], random and kept.
        any_random: draw random pieces from all ids, [unusedN] and specials included, as Google's
            script and transformers do (facts/11 trap 24).

    Returns:
        The masked ids [N] and the chosen positions [M], ascending.
    """
    starts = unit_starts(sequences, unit=unit, ngram=ngram, draws=draws)
    positions = choose(starts, sequences, budgets(sequences, rate), draws)
    masked = replace(
        sequences.input_ids,
        positions,
        shares=shares,
        mask_id=vocabulary.mask_id,
        random_ids=np.arange(vocabulary.size, dtype=np.int32)
        if any_random
        else vocabulary.random_ids,
        draws=draws,
    )
    return masked, positions
