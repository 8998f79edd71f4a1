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

Replacing: 80 % [MASK], 10 % a random piece, 10 % kept, drawn for each piece (facts/02).
"""

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.data.batches import EncodedSequence
from hanmo.objectives._objective import Vocabulary

IntArray = NDArray[np.int64]
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


def budget(n_pieces: int, rate: float) -> int:
    """Return how many pieces may be chosen of a sequence of `n_pieces`, specials counted."""
    return max(1, round(n_pieces * rate))


def unit_starts(
    word_starts: BoolArray,
    maskable: BoolArray,
    *,
    unit: str,
    ngram: tuple[float, ...],
    rng: np.random.Generator,
) -> BoolArray:
    """Mark where each unit begins.

    Args:
        word_starts: [n] first pieces of words.
        maskable: [n] False at specials; a special ends a unit.
        unit: "piece" or "word".
        ngram: share of units of 1, 2, 3 … words (or pieces).
        rng: draws the lengths of n-grams.

    Returns:
        bool [n]: True at the first piece of each unit; specials are units of their own.
    """
    n = len(maskable)
    starts = np.ones(n, dtype=np.bool_) if unit == "piece" else word_starts | ~maskable
    # A piece behind a special always begins a unit, whatever the words say.
    starts[0] = True
    starts[1:] |= ~maskable[:-1]
    if len(ngram) == 1:
        return starts
    words = np.flatnonzero(starts & maskable)
    shares = np.array(ngram) / sum(ngram)  # choice() wants a sum of 1 within 1e-8
    lengths = rng.choice(len(ngram), size=len(words), p=shares) + 1
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    joined = np.zeros(n, dtype=np.bool_)
    joined[words[bounds[bounds < len(words)]]] = True
    joined |= ~maskable
    joined[1:] |= ~maskable[:-1]
    return joined


def choose(
    starts: BoolArray, maskable: BoolArray, n_wanted: int, rng: np.random.Generator
) -> IntArray:
    """Choose whole units at random, at most `n_wanted` pieces.

    Args:
        starts: [n] first pieces of units.
        maskable: [n] units at False pieces are never chosen.
        n_wanted: the budget, in pieces.
        rng: shuffles the units.

    Returns:
        Chosen positions, ascending; none when no unit fits.
    """
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], len(starts))
    allowed = maskable[begins]
    begins, ends = begins[allowed], ends[allowed]
    order = rng.permutation(len(begins))
    chosen = np.zeros(len(starts), dtype=np.bool_)
    left = n_wanted
    for index, length in zip(order.tolist(), (ends - begins)[order].tolist(), strict=True):
        if length <= left:
            chosen[begins[index] : ends[index]] = True
            left -= length
            if not left:
                break
    return np.flatnonzero(chosen)


def replace(
    input_ids: NDArray[np.int32],
    positions: IntArray,
    *,
    shares: tuple[float, ...],
    mask_id: int,
    random_ids: NDArray[np.int32],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Return a copy with [MASK], a random piece or the piece itself at `positions`.

    Args:
        input_ids: [n].
        positions: [m] chosen positions.
        shares: of [MASK], random and kept.
        mask_id: id of [MASK].
        random_ids: pieces to draw from.
        rng: draws for each piece on its own.
    """
    replaced = input_ids.copy()
    draw = rng.random(len(positions))
    masked = draw < shares[0]
    random = ~masked & (draw < shares[0] + shares[1])
    replaced[positions[masked]] = mask_id
    replaced[positions[random]] = rng.choice(random_ids, size=int(random.sum()))
    return replaced


def mask_units(
    sequence: EncodedSequence,
    rng: np.random.Generator,
    vocabulary: Vocabulary,
    *,
    unit: str,
    ngram: tuple[float, ...],
    rate: float,
    shares: tuple[float, ...],
    any_random: bool = False,
) -> tuple[NDArray[np.int32], IntArray]:
    """Choose units of a sequence and mask them.

    Args:
        sequence: n pieces.
        rng: the only source of chance.
        vocabulary: for [MASK] and random pieces.
        unit: "piece" or "word".
        ngram: share of units of 1, 2, 3 … words.
        rate: share of pieces to choose.
        shares: of [MASK], random and kept.
        any_random: draw random pieces from all ids, [unusedN] and specials included, as Google's
            script and transformers do (facts/11 trap 24).

    Returns:
        The masked ids [n] and the chosen positions [m], ascending.
    """
    starts = unit_starts(sequence.word_starts, sequence.maskable, unit=unit, ngram=ngram, rng=rng)
    positions = choose(starts, sequence.maskable, budget(len(starts), rate), rng)
    masked = replace(
        sequence.input_ids,
        positions,
        shares=shares,
        mask_id=vocabulary.mask_id,
        random_ids=np.arange(vocabulary.size, dtype=np.int32)
        if any_random
        else vocabulary.random_ids,
        rng=rng,
    )
    return masked, positions
