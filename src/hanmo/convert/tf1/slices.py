r"""Partitioned variables: under which key a slice is stored, and whether the slices make a whole.

    slice_key("embeddings", ((0, 100), (0, -1)))   # b'\x00embeddings\x00\x01\x01\x02\x80…'

A slice's key begins with a zero byte, so that it is no tensor's name; the rest is the name and the
slice's place in a code whose bytes sort as the values do. Source: TensorFlow's
util/saved_tensor_slice_util.cc and lib/strings/ordered_code.cc.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product

from hanmo.convert.tf1.messages import WHOLE, Extents

# A slice along each axis: first element, and the one behind the last.
Box = tuple[tuple[int, int], ...]
_MOST_AXES = 8  # along which one tensor is cut


def slice_key(name: str, extents: Extents) -> bytes:
    """Return the key of a slice's entry.

    Args:
        name: the tensor's.
        extents: (start, length) an axis, as the tensor's entry has them.
    """
    # The code also escapes bytes 255; UTF-8 has none.
    raw = name.encode().replace(b"\0", b"\0\xff")
    places = b"".join(_signed(number) for extent in extents for number in extent)
    return _unsigned(0) + raw + b"\0\x01" + _unsigned(len(extents)) + places


def _unsigned(value: int) -> bytes:
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(digits)]) + digits


def _signed(value: int) -> bytes:
    """Write an int64; as many leading ones as the code has bytes stand before the value."""
    bits = (~value if value < 0 else value).bit_length()
    length = bits // 7 + 1
    mark = (1 << length) - 1 << 7 * length  # ones, then room for the value
    return ((mark ^ value) & (1 << 8 * length) - 1).to_bytes(length, "big")


def box(extents: Extents, shape: tuple[int, ...]) -> Box:
    """Return where a slice lies in a tensor.

    Raises:
        ValueError: another number of axes, or beyond the tensor.
    """
    if len(extents) != len(shape):
        raise ValueError(f"a slice of {len(extents)} axes; expected {len(shape)}")
    found = []
    for extent, size in zip(extents, shape, strict=True):
        start, length = (0, size) if extent == WHOLE else extent
        if start < 0 or length < 0 or start + length > size:
            raise ValueError(f"a slice from {start:,} over {length:,} of an axis of {size:,}")
        found.append((start, start + length))
    return tuple(found)


def check_tiling(boxes: Sequence[Box], shape: tuple[int, ...]) -> None:
    """Check that slices cover a tensor, each element once.

    A box is known by its corners, counted with alternating signs; if the corners of all slices add
    up to those of the tensor, so do the slices. So the work grows with their number alone, and
    nothing of the tensor's size is allocated.

    Raises:
        ValueError: they overlap or leave a gap, or are cut along more than eight axes.
    """
    if 0 in shape:
        return
    whole = tuple((0, size) for size in shape)
    axes = [axis for axis in range(len(shape)) if any(b[axis] != whole[axis] for b in boxes)]
    if len(axes) > _MOST_AXES:
        raise ValueError(f"slices along {len(axes)} axes; at most {_MOST_AXES} are read")
    corners: Counter[tuple[int, ...]] = Counter()
    for weight, one in ((-1, whole), *((1, one) for one in boxes)):
        for ends in product((0, 1), repeat=len(axes)):
            corner = tuple(one[axis][end] for axis, end in zip(axes, ends, strict=True))
            corners[corner] += weight * (-1) ** sum(ends)
    if any(corners.values()):
        raise ValueError("its slices overlap or leave a gap")
