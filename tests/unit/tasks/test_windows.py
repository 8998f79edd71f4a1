"""Windows and the max-context rule, against a slow direct writing of Google's run_squad."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.tasks.kinds._windows import best_seen, windows

SIZES = (st.integers(0, 60), st.integers(1, 20), st.integers(1, 30))


def googles_windows(n: int, room: int, stride: int) -> list[tuple[int, int]]:
    spans, start = [], 0
    while start < n:
        length = min(n - start, room)
        spans.append((start, start + length))
        if start + length == n:
            break
        start += min(length, stride)
    return spans


def googles_best_window(spans: list[tuple[int, int]], position: int) -> int:
    """`_check_is_max_context`: the window for which it says yes."""
    best_score, best = None, -1
    for number, (start, stop) in enumerate(spans):
        end = stop - 1
        if position < start or position > end:
            continue
        score = min(position - start, end - position) + 0.01 * (stop - start)
        if best_score is None or score > best_score:
            best_score, best = score, number
    return best


@given(*SIZES)
def test_windows_are_googles_and_cover_every_place(n: int, room: int, stride: int) -> None:
    found = windows(n, room, stride)
    assert found == (googles_windows(n, room, stride) or [(0, 0)])
    assert {place for begin, stop in found for place in range(begin, stop)} == set(range(n))
    assert all(stop - begin <= room for begin, stop in found)


@given(*SIZES)
def test_every_place_is_read_in_the_window_that_google_takes(
    n: int, room: int, stride: int
) -> None:
    found = windows(n, room, stride)
    chosen = best_seen(np.array(found))
    owner = [(w, place) for w, span in enumerate(found) for place in range(*span)]
    # Each place once, in the order of the text, each from its own window.
    assert [owner[index] for index in chosen.tolist()] == [
        (googles_best_window(found, place), place) for place in range(n)
    ]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, [(0, 0)]),
        (400, [(0, 400)]),
        (401, [(0, 400), (128, 401)]),
        (700, [(0, 400), (128, 528), (256, 656), (384, 700)]),
    ],
)
def test_windows_by_hand(n: int, expected: list[tuple[int, int]]) -> None:
    assert windows(n, 400, 128) == expected
