"""Which heads and neurons go: the least important, a share at each pass, never the last of a layer.

Even: every layer loses by its own ranking until all have the same number. Uneven: one ranking of
all layers, so that a layer may lose more than another; sizes are then rounded to multiples with the
sum unchanged. Nothing that went comes back. Method: TextPruner (facts/07).

    kept = choose(scores, kept, goal=8, iteration=1, iterations=4, even=True)

Shapes: L layers, n units (heads or neurons) of a layer.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[NDArray[np.float64]]
Kept = tuple[NDArray[np.bool_], ...]


def choose(
    scores: Scores,
    kept: Kept,
    *,
    goal: int,
    iteration: int = 1,
    iterations: int = 1,
    even: bool = True,
    multiple: int = 1,
) -> Kept:
    """Choose what is left after a pass.

    Args:
        scores: L × [n] importance.
        kept: L × [n] what was left before it.
        goal: units a layer that are left after the last pass; their mean when uneven.
        iteration: which pass, from 1.
        iterations: passes; each removes an equal share of what is to go.
        even: the same number in every layer.
        multiple: sizes are multiples of it.

    Returns:
        L × [n], part of `kept`; at least one unit of each layer.
    """
    have = np.array([one.sum() for one in kept])
    left = iterations - iteration
    if even:
        sizes = np.array([_share(n, goal, left, multiple) for n in have])
    else:
        total = _share(int(have.sum()), goal * len(kept), left, multiple)
        room = have // multiple * multiple
        ranked = _globally(scores, kept, min(total, int(room.sum())), multiple)
        sizes = to_multiples(ranked, room, multiple)
    return tuple(
        _best(score, one, int(size)) for score, one, size in zip(scores, kept, sizes, strict=True)
    )


def _share(have: int, goal: int, left: int, multiple: int) -> int:
    """Return the size after a pass that removes 1 / (left + 1) of what is still to go."""
    size = goal + -(-(have - goal) * left // (left + 1)) if left else goal
    size = -(-size // multiple) * multiple
    return min(size, have // multiple * multiple)


def _best(scores: NDArray[np.float64], kept: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Mark the n most important of the kept units; of equal ones the first."""
    order = np.lexsort((np.arange(len(scores)), -scores, ~kept))
    chosen = np.zeros(len(scores), dtype=np.bool_)
    chosen[order[:n]] = True
    return chosen


def _globally(scores: Scores, kept: Kept, total: int, least: int) -> NDArray[np.int64]:
    """Return how many units of each layer are among the `total` best; `least` of each are."""
    sure = [_best(score, one, least) for score, one in zip(scores, kept, strict=True)]
    free = [one & ~first for one, first in zip(kept, sure, strict=True)]
    layer = np.repeat(np.arange(len(kept)), [one.sum() for one in free])
    values = np.concatenate([score[one] for score, one in zip(scores, free, strict=True)])
    best = np.argsort(-values, kind="stable")[: total - least * len(kept)]
    return np.bincount(layer[best], minlength=len(kept)) + least


def to_multiples(
    sizes: NDArray[np.int64], room: NDArray[np.int64], multiple: int
) -> NDArray[np.int64]:
    """Round sizes to multiples without changing their sum (largest remainders first).

    Args:
        sizes: [L], each `multiple` or more; their sum is a multiple.
        room: [L] largest sizes, multiples themselves; their sum is at least that of `sizes`.
        multiple: of what.
    """
    made = np.minimum(sizes // multiple * multiple, room)
    rest = sizes - made
    while (missing := int(sizes.sum() - made.sum()) // multiple) > 0:
        order = np.lexsort((np.arange(len(rest)), -rest, made >= room))
        for layer in order[: min(missing, int((made < room).sum()))]:
            made[layer] += multiple
            rest[layer] -= multiple
    return made
