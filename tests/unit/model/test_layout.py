"""Layouts: where real pieces are, where sequences begin, which are attended to together."""

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.model.layout import Layout

rows_strategy = st.lists(
    st.lists(st.integers(1, 6), min_size=0, max_size=5), min_size=1, max_size=5
)


@given(rows_strategy)
def test_bounds_are_those_of_the_sequences(rows: list[list[int]]) -> None:
    length = max(1, *(sum(row) for row in rows))
    ids = np.zeros((len(rows), length), dtype=np.int32)
    for row, sizes in enumerate(rows):
        ids[row, : sum(sizes)] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    layout = Layout.of(ids)
    flat = torch.arange(ids.size)
    taken = layout.take(flat)
    bounds = layout.bounds.tolist()
    assert bounds[-1] == len(taken)
    found = [taken[a:b] for a, b in itertools.pairwise(bounds)]
    assert layout.longest == max(map(len, found), default=0)
    assert layout.longest <= length
    # Every run is one sequence, whole and in order, or padding.
    ids_of = [set(ids.flat[run.tolist()].tolist()) for run in found]
    assert all(len(one) == 1 for one in ids_of)
    whole = [run for run, one in zip(found, ids_of, strict=True) if one != {0}]
    assert [len(run) for run in whole] == [size for row in rows for size in row]
    assert all((run.diff() == 1).all() for run in whole)
    asked = torch.from_numpy(np.flatnonzero(ids))
    assert torch.equal(torch.cat([asked[:0], *whole]), asked)
    assert torch.equal(taken[layout.among_real(asked)], asked)
    back = layout.spread(taken + 1)
    assert (back[asked] == asked + 1).all()


@given(rows_strategy, st.integers(1, 4))
def test_every_real_piece_is_in_one_group(rows: list[list[int]], n_heads: int) -> None:
    length = max(1, *(sum(row) for row in rows))
    ids = np.zeros((len(rows), length), dtype=np.int32)
    for row, sizes in enumerate(rows):
        ids[row, : sum(sizes)] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    layout = Layout.of(ids)
    found = []
    for group in layout.groups(n_heads):
        goals = group.goals.view(-1, group.length)
        real = goals < layout.n_places
        assert torch.equal(goals[real], group.sources.view_as(goals)[real])
        assert int(real.sum(1).min()) == group.shortest
        if group.dead is None:
            assert real.all()
        else:
            assert torch.equal(group.dead, ~real[:, group.shortest :])
        found += [one[one < layout.n_places].tolist() for one in goals]
    taken = layout.take(torch.arange(ids.size))
    pieces = [taken[one] for one in found]
    assert sorted(len(one) for one in found) == sorted(n for sizes in rows for n in sizes)
    assert sorted(int(i) for one in pieces for i in one) == layout.real.tolist()
    for one in pieces:  # one sequence each, whole and in order
        assert len(set(ids.flat[one.tolist()].tolist())) == 1
        assert (one.diff() == 1).all()


def test_groups_are_small_enough_for_the_cache() -> None:
    """64 sequences of 128 pieces and 4 heads are 4 million scores: eight groups."""
    layout = Layout.of(np.ones((64, 128), dtype=np.int32))
    assert len(layout.groups(4)) == 8
    assert layout.groups(4) is layout.groups(4)
