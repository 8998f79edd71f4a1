"""The best label sequences of many sentences at once, with labels that may not follow each other.

In: emission scores of all words of all sentences, one after the other, and a chain (transition
scores, allowed first and last states). Out: the best state of each word. A chain may have several
states for one label: that is how "exactly one HED" and legal BIEOS are decoded exactly, instead of
mending the best sequence afterwards.
Shapes: N words in all sentences, B sentences, S states, L labels.

Example: ``best_path(emissions, np.array([3, 5]), plain_chain(transitions))``
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

NEVER = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class Chain:
    """States of a chain.

    Attributes:
        labels: int [S], the label of each state.
        transitions: float32 [S, S]; `NEVER` where the column's state may not follow the row's.
        first: float32 [S], 0 or `NEVER`.
        last: float32 [S], 0 or `NEVER`.
    """

    labels: np.ndarray
    transitions: np.ndarray
    first: np.ndarray
    last: np.ndarray


def plain_chain(transitions: np.ndarray) -> Chain:
    """Return a chain with a state per label and no restriction."""
    free = np.zeros(len(transitions), dtype=np.float32)
    return Chain(np.arange(len(transitions)), transitions, free, free)


def restricted_chain(
    transitions: np.ndarray,
    labels: Sequence[str],
    may_follow: Callable[[str, str], bool],
) -> Chain:
    """Return a chain in which labels follow each other as `may_follow` says.

    Args:
        transitions: float32 [L, L].
        labels: The labels.
        may_follow: Takes two neighbouring labels; "" stands before the first and after the last.
    """
    allowed = np.array([[may_follow(a, b) for b in labels] for a in labels])
    first = np.array([may_follow("", b) for b in labels])
    last = np.array([may_follow(a, "") for a in labels])
    return Chain(
        np.arange(len(labels)),
        np.where(allowed, transitions, NEVER),
        np.where(first, np.float32(0), NEVER),
        np.where(last, np.float32(0), NEVER),
    )


def exactly_once_chain(transitions: np.ndarray, once: int) -> Chain:
    """Return a chain in which one label stands exactly once.

    There are two states for every other label, one before and one after it.

    Args:
        transitions: float32 [L, L].
        once: Number of the label.
    """
    others = [label for label in range(len(transitions)) if label != once]
    labels = np.array([*others, once, *others])
    n = len(others)
    phase = np.array([0] * n + [1] + [2] * n)
    steps = phase[None, :] - phase[:, None]  # 0 stay, 1 to or from the one, 2 over it
    allowed = (steps == 0) & (phase != 1)[:, None] | (steps == 1)
    return Chain(
        labels,
        np.where(allowed, transitions[np.ix_(labels, labels)], NEVER),
        np.where(phase < 2, np.float32(0), NEVER),
        np.where(phase > 0, np.float32(0), NEVER),
    )


def best_path(emissions: np.ndarray, lengths: np.ndarray, chain: Chain) -> np.ndarray:
    """Return the best label of every word.

    Args:
        emissions: float32 [N, L], the sentences one after the other.
        lengths: int [B], words of each sentence, all above 0.
        chain: See `Chain`.

    Returns:
        int [N], label numbers.
    """
    scores = emissions[:, chain.labels]  # [N, S], becomes the best score of a path that ends here
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]  # longest sentence first
    lengths = lengths[order]
    # Sentences that still have a word at each time step are a prefix of the order.
    active = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")
    scores[starts] += chain.first
    by_source = chain.transitions[:, None, :]  # [S, 1, S]
    n_states = len(chain.labels)
    buffer = np.empty((n_states, len(lengths), n_states), dtype=np.float32)
    for time in range(1, lengths[0]):
        here = starts[: active[time]] + time
        paths = buffer[:, : active[time]]
        np.add(scores[here - 1].T[:, :, None], by_source, out=paths)
        scores[here] += paths.max(axis=0)
    ends = starts + lengths - 1
    state = (scores[ends] + chain.last).argmax(axis=1)
    states = np.empty(len(emissions), dtype=np.intp)
    states[ends] = state
    to_target = np.ascontiguousarray(chain.transitions.T)
    for time in range(lengths[0] - 1, 0, -1):
        here = starts[: active[time]] + time
        states[here - 1] = (scores[here - 1] + to_target[states[here]]).argmax(axis=1)
    return chain.labels[states]
