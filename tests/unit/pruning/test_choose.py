"""What stays: the best, as many as asked for, at least one a layer, nothing that went before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanmo.pruning.choose import choose, to_multiples
from pruning_cases import masks


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """Scores with ties, and what earlier passes left: three or more units of each layer."""
    scores, kept = [], []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(3, 12))
        scores.append(np.array(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), float))
        gone = draw(st.sets(st.integers(0, n - 1), max_size=n - 3))
        kept.append(np.array([i not in gone for i in range(n)]))
    return scores, tuple(kept)


@given(layers(), st.data())
def test_even_layers_keep_their_own_best(case: tuple, data: st.DataObject) -> None:
    scores, kept = case
    goal = data.draw(st.integers(1, min(int(one.sum()) for one in kept)))
    for score, before, after in zip(scores, kept, choose(scores, kept, goal=goal), strict=True):
        assert after.sum() == goal
        assert not (after & ~before).any()
        lost = before & ~after
        assert not lost.any() or score[after].min() >= score[lost].max()


@given(layers(), st.data())
def test_uneven_layers_keep_the_best_of_all(case: tuple, data: st.DataObject) -> None:
    scores, kept = case
    most = sum(int(one.sum()) for one in kept) // len(kept)
    goal = data.draw(st.integers(1, most))
    after = choose(scores, kept, goal=goal, even=False)
    assert sum(int(one.sum()) for one in after) == goal * len(kept)
    assert all(one.any() for one in after)
    assert not any((one & ~before).any() for one, before in zip(after, kept, strict=True))
    lost = [s[b & ~a] for s, b, a in zip(scores, kept, after, strict=True)]
    # A unit that stays though a better one went is the best of its layer.
    greatest = max((float(one.max()) for one in lost if len(one)), default=-1.0)
    for score, before, one in zip(scores, kept, after, strict=True):
        worse = np.flatnonzero(one & (score < greatest))
        assert len(worse) <= 1
        assert not len(worse) or (one.sum() == 1 and score[worse[0]] == score[before].max())


@given(layers(), st.integers(1, 6), st.booleans(), st.data())
def test_passes_remove_ever_more_and_end_at_the_goal(
    case: tuple, iterations: int, even: bool, data: st.DataObject
) -> None:
    scores, kept = case
    goal = data.draw(st.integers(1, min(int(one.sum()) for one in kept)))
    sizes = [sum(int(one.sum()) for one in kept)]
    for iteration in range(1, iterations + 1):
        kept = choose(
            scores, kept, goal=goal, iteration=iteration, iterations=iterations, even=even
        )
        sizes.append(sum(int(one.sum()) for one in kept))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == goal * len(kept)
    steps = np.diff(sizes)
    if not even:
        assert steps.max() - steps.min() <= 1, "equal shares"
    # With the same scores in every pass the passes make no difference.
    scores, kept = case
    once = choose(scores, kept, goal=goal, even=even)
    for iteration in range(1, iterations + 1):
        kept = choose(
            scores, kept, goal=goal, iteration=iteration, iterations=iterations, even=even
        )
    assert all((a == b).all() for a, b in zip(once, kept, strict=True))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=6),
    st.integers(1, 8),
    st.data(),
)
def test_multiples_have_the_same_sum(
    sizes: list[tuple[int, int]], multiple: int, data: st.DataObject
) -> None:
    room = np.array([n * multiple for n, _ in sizes])
    given_sizes = np.array([data.draw(st.integers(multiple, int(n))) for n in room])
    spare = -int(given_sizes.sum()) % multiple
    grows = np.flatnonzero(given_sizes + spare <= room)
    if spare and not len(grows):
        return
    if spare:
        given_sizes[grows[0]] += spare
    made = to_multiples(given_sizes, room, multiple)
    assert made.sum() == given_sizes.sum()
    assert not (made % multiple).any()
    assert ((made >= multiple) & (made <= room)).all()


@given(layers(), st.integers(1, 3), st.integers(1, 4))
def test_uneven_sizes_are_multiples(case: tuple, multiple: int, iterations: int) -> None:
    scores, kept = case
    after = kept
    for iteration in range(1, iterations + 1):
        after = choose(
            scores,
            after,
            goal=multiple,
            iteration=iteration,
            iterations=iterations,
            even=False,
            multiple=multiple,
        )
        assert not any(int(one.sum()) % multiple for one in after)
    assert all(one.sum() == multiple for one in after)


def test_an_example() -> None:
    scores = [np.array([5.0, 1.0, 4.0]), np.array([3.0, 2.0, 0.5])]
    whole = masks([1, 1, 1], [1, 1, 1])
    even = choose(scores, whole, goal=2)
    assert [one.tolist() for one in even] == [[True, False, True], [True, True, False]]
    uneven = choose(scores, whole, goal=1, even=False)
    assert [one.tolist() for one in uneven] == [[True, False, False], [True, False, False]]
