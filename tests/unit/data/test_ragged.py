"""Sequences as flat arrays: cut, joined, counted."""

import numpy as np
import pytest

from hanmo.data.ragged import Corrupted, Sequences, join, ranges


def test_one_sequence_needs_no_offsets() -> None:
    ids = np.arange(4, dtype=np.int32)
    one = Sequences(ids, ids > 1, ids > 2, ids.astype(np.int8), {"pos": ids.astype(np.int8)})
    assert one.offsets.tolist() == [0, 4]
    assert len(one) == 1
    assert Corrupted({"input_ids": ids}, ids[:0], {}).offsets.tolist() == [0, 4]


def test_a_sequence_is_cut_out_as_it_was() -> None:
    ids = np.arange(6, dtype=np.int32)
    types = ids.astype(np.int8)
    many = Sequences(ids, ids > 1, ids > 2, types, {"pos": types}, np.array([0, 2, 2, 6]))
    assert many.lengths.tolist() == [2, 0, 4]
    part = many[2]
    assert part.input_ids.tolist() == part.layers["pos"].tolist() == [2, 3, 4, 5]
    assert part.offsets.tolist() == [0, 4]
    assert many[1].input_ids.tolist() == []


@pytest.mark.parametrize("with_partners", [True, False])
def test_joined_positions_move_and_counts_add_up(with_partners: bool) -> None:
    parts = [
        Corrupted(
            {"input_ids": np.arange(n)},
            np.array([0, n - 1]),
            {"pieces": np.array([n, n + 1])},
            partners=np.array([n], dtype=np.int8) if with_partners else None,
            counts={"odd": 1, str(n): 2},
        )
        for n in (3, 5)
    ]
    both = join(parts)
    assert both.inputs["input_ids"].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert both.positions.tolist() == [0, 2, 3, 7]
    assert both.targets["pieces"].tolist() == [3, 4, 5, 6]
    assert both.offsets.tolist() == [0, 3, 8]
    assert both.counts == {"odd": 2, "3": 2, "5": 2}
    assert (both.partners is None) != with_partners
    if both.partners is not None:
        assert both.partners.tolist() == [3, 5]
    assert join(parts[:1]) is parts[0]


def test_ranges() -> None:
    assert ranges(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
    assert ranges(np.array([], dtype=np.int64)).tolist() == []
