"""Windows over a text that is longer than a sequence, as Google's run_squad cuts them.

The last one may be shorter.

    windows(1000, 400, 128)    # [(0, 400), (128, 528), (256, 656), …, (640, 1000)]
"""

import numpy as np

from hanmo.data.ragged import Array


def windows(n: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return [begin, stop) of windows of at most `room` that cover 0 … n.

    Args:
        n: length of the text; at least one window comes back.
        room: longest window.
        stride: from one beginning to the next; more than a window: no gaps are left.
    """
    found = []
    begin = 0
    while True:
        stop = min(begin + room, n)
        found.append((begin, stop))
        if stop == n:
            return found
        begin += min(room, stride)


def best_seen(places: Array) -> Array:
    """Choose for each place of a text the window that shows most of its surroundings.

    Args:
        places: [W, 2], windows as `windows` returns them.

    Returns:
        For each place 0 … n-1 its index among the windows' places, one window after the other.
    """
    n = int(places[:, 1].max())
    if len(places) == 1:
        return np.arange(n)
    best = np.full(n, -1.0)
    chosen = np.zeros(n, dtype=np.int64)
    first = 0
    for begin, stop in places.tolist():
        here = np.arange(begin, stop)
        # The lesser of what is seen to the left and to the right, and a little for longer windows:
        # the max-context rule of Google's run_squad.
        seen = np.minimum(here - begin, stop - 1 - here) + 0.01 * (stop - begin)
        better = seen > best[begin:stop]
        chosen[begin:stop][better] = (first + here - begin)[better]
        best[begin:stop][better] = seen[better]
        first += stop - begin
    return chosen
