"""Fill the [MASK]s of one word together, by a beam search that looks again after every piece.

In: an input with k masks of a word, and a function that ranks pieces at open places. Out: fillings
of the whole word with their probabilities, best first.

A masked LM gives each mask its own distribution, so the k best pieces side by side need not make a
word (ymcui/Chinese-BERT-wwm#236). Here a filling is built one piece at a time: at the open mask of
which the model is surest (highest top probability), then the model runs again with that piece in
place. The probability of a filling is the product of what each piece got when it was put in,
P(w) = Π P(piece | text, pieces put in before). As which mask comes next depends only on the pieces
already in, every filling is reached along one path: the probabilities over all fillings add up to
one at most, and k = 1 is exact. The beam is the only approximation; one as wide as the
vocabulary makes k = 2 exact, too.

Cost of a word: k passes of the model, over 1, then `beam` inputs each: 1 + beam · (k - 1).

    fill([Question(ids, (3, 4))], rank, beam=16)[0].fillings[0].pieces     # (677, 3862)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanmo.predict._forward import Question, Ranking

Rank = Callable[[Sequence[Question]], list[Ranking]]


@dataclass(frozen=True, slots=True)
class Filling:
    """Pieces for all masks of a word, in the order of the masks."""

    pieces: tuple[int, ...]
    log_probability: float


@dataclass(frozen=True, slots=True)
class Filled:
    """Answer for one word.

    Attributes:
        masks: pieces at each mask while all masks are open.
        fillings: joint fillings, best first, at most as many as the beam is wide.
    """

    masks: Ranking
    fillings: tuple[Filling, ...]


@dataclass(frozen=True, slots=True)
class _Partial:
    ids: NDArray[np.int32]
    open: tuple[int, ...]
    log_probability: float


def fill(words: Sequence[Question], rank: Rank, *, beam: int) -> list[Filled]:
    """Fill many words at once, all beams in step.

    Args:
        words: an input and the places of the masks of one word each; other masks stay open.
        rank: ranks pieces at the open places; should name at least `beam` pieces a place.
        beam: partial fillings kept for each word.
    """
    beams = [[_Partial(word.ids, word.places, 0.0)] for word in words]
    first: list[Ranking] = []
    for _ in range(max(len(word.places) for word in words) if words else 0):
        asked = [part for parts in beams for part in parts if part.open]
        answers = rank([Question(part.ids, part.open) for part in asked])
        first = first or answers
        rankings = iter(answers)
        beams = [
            _longer(parts, [next(rankings) for _ in parts], beam) if parts[0].open else parts
            for parts in beams
        ]
    return [
        Filled(masks, tuple(_filling(part, word) for part in parts))
        for masks, parts, word in zip(first, beams, words, strict=True)
    ]


def _longer(parts: list[_Partial], rankings: list[Ranking], beam: int) -> list[_Partial]:
    """Put ranked pieces into the place of each part of which the model is surest; keep the best."""
    surest = [int(one.log_probabilities[:, 0].argmax()) for one in rankings]
    values = np.concatenate(
        [
            part.log_probability + ranking.log_probabilities[place].astype(np.float64)
            for part, ranking, place in zip(parts, rankings, surest, strict=True)
        ]
    )
    owners = np.repeat(np.arange(len(parts)), [one.log_probabilities.shape[1] for one in rankings])
    pieces = np.concatenate(
        [one.pieces[place] for one, place in zip(rankings, surest, strict=True)]
    )
    longer = []
    # Only what is kept is made: beam x beam inputs would be gigabytes.
    for n in np.argsort(-values, kind="stable")[:beam].tolist():
        part, chosen = parts[owners[n]], surest[owners[n]]
        ids = part.ids.copy()
        ids[part.open[chosen]] = pieces[n]
        left = part.open[:chosen] + part.open[chosen + 1 :]
        longer.append(_Partial(ids, left, float(values[n])))
    return longer


def _filling(part: _Partial, word: Question) -> Filling:
    pieces = tuple(int(part.ids[place]) for place in word.places)
    return Filling(pieces, part.log_probability)
