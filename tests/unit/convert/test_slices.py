"""Partitioned variables: keys that sort as their numbers do, boxes, and exact tilings."""

import itertools

import numpy as np
import pytest
from bundle_cases import tilings
from hypothesis import given
from hypothesis import strategies as st

from hanmo.convert.tf1.messages import WHOLE, Extents
from hanmo.convert.tf1.slices import _signed, _unsigned, box, check_tiling, slice_key

SIGNED = st.integers(-(1 << 63), (1 << 63) - 1)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        # Values of TensorFlow's ordered_code_test.cc and of its own checkpoints.
        (0, "80"),
        (-1, "7f"),
        (63, "bf"),
        (-64, "40"),
        (64, "c040"),
        (-65, "3fbf"),
        (100, "c064"),
        (8191, "dfff"),
        (8192, "e02000"),
        ((1 << 63) - 1, "ffc07fffffffffffffff"),
        (-(1 << 63), "003f8000000000000000"),
    ],
)
def test_signed_codes(value: int, code: str) -> None:
    assert _signed(value).hex() == code


@given(SIGNED, SIGNED)
def test_signed_codes_sort_as_numbers(one: int, two: int) -> None:
    assert (_signed(one) < _signed(two)) == (one < two)
    assert len(_signed(one)) <= 10


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_unsigned_codes_sort_as_numbers(one: int, two: int) -> None:
    assert (_unsigned(one) < _unsigned(two)) == (one < two)


def test_keys() -> None:
    assert slice_key("w", ((0, 100), WHOLE)) == b"\0w\0\x01\x01\x02\x80\xc0\x64\x80\x7f"
    assert slice_key("a\0b", ()) == b"\0a\0\xffb\0\x01\0"


def test_boxes() -> None:
    assert box(((2, 3), WHOLE), (10, 4)) == ((2, 5), (0, 4))
    assert box((), ()) == ()
    for extents in (((8, 3), WHOLE), ((-1, 3), WHOLE), ((0, -2), WHOLE)):
        with pytest.raises(ValueError, match="of an axis of 10"):
            box(extents, (10, 4))
    with pytest.raises(ValueError, match="a slice of 1 axes; expected 2"):
        box((WHOLE,), (10, 4))


@given(tilings(), st.data())
def test_a_tiling_is_known_and_so_is_what_is_none(
    tiling: tuple[tuple[int, ...], list], data: st.DataObject
) -> None:
    shape, boxes = tiling
    check_tiling(boxes, shape)
    number = data.draw(st.integers(0, len(boxes) - 1))
    axis = data.draw(st.integers(0, len(shape) - 1))
    start = data.draw(st.integers(0, shape[axis]))
    stop = data.draw(st.integers(start, shape[axis]))
    one = boxes[number]
    changed = [*boxes]
    changed[number] = (*one[:axis], (start, stop), *one[axis + 1 :])
    counts = np.zeros(shape, int)
    for ends in changed:
        counts[tuple(slice(*pair) for pair in ends)] += 1
    if (counts == 1).all():
        check_tiling(changed, shape)
    else:
        with pytest.raises(ValueError, match="overlap or leave a gap"):
            check_tiling(changed, shape)


def test_numbers_of_slices() -> None:
    whole = ((0, 3), (0, 2))
    check_tiling([whole], (3, 2))
    check_tiling([()], ())
    for boxes in ([], [whole, whole]):
        with pytest.raises(ValueError, match="overlap or leave a gap"):
            check_tiling(boxes, (3, 2))
    check_tiling([((0, 0), (0, 2))] * 2, (0, 2))  # nothing to be covered


def test_a_large_tensor_costs_no_memory_and_many_slices_little_time() -> None:
    size = 1 << 40
    many: list[Extents] = [((i << 20, i + 1 << 20), (0, size)) for i in range(1 << 14)]
    check_tiling(many, (1 << 34, size))
    with pytest.raises(ValueError, match="leave a gap"):
        check_tiling(many[1:], (1 << 34, size))


def test_cut_along_too_many_axes() -> None:
    boxes = [tuple(ends) for ends in itertools.product(((0, 1), (1, 2)), repeat=9)]
    with pytest.raises(ValueError, match="slices along 9 axes; at most 8"):
        check_tiling(boxes, (2,) * 9)
    check_tiling([(*one[:8], (0, 2)) for one in boxes[::2]], (2,) * 9)
