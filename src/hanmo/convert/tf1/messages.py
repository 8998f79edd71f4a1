r"""What the index of a tensor bundle says: its header, and of each tensor type, shape and place.

    encode_entry(Entry(1, (2, 3), size=24))       # b'\x08\x01\x12\x08\x12\x02\x08\x02…'
    Entry(1, (2, 3), size=24).dtype               # dtype('float32')

Source: TensorFlow's tensor_bundle.proto, tensor_shape.proto, tensor_slice.proto, versions.proto and
types.proto.
"""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from hanmo.core.wire import WireError, bytes_field, fields, fixed32_field, signed, varint_field

# Where a slice lies: (start, length) an axis; length −1 is the whole axis.
Extents = tuple[tuple[int, int], ...]
WHOLE = (0, -1)

_MOST_AXES = 64  # numpy's
_VERSION = 1  # of the bundles that are written, and the newest that is read

# types.proto: number → name, and what numpy calls it. Little-endian, as bundles are.
_TYPES: dict[int, tuple[str, Any]] = {
    1: ("DT_FLOAT", "<f4"),
    2: ("DT_DOUBLE", "<f8"),
    3: ("DT_INT32", "<i4"),
    4: ("DT_UINT8", "u1"),
    5: ("DT_INT16", "<i2"),
    6: ("DT_INT8", "i1"),
    7: ("DT_STRING", None),
    8: ("DT_COMPLEX64", "<c8"),
    9: ("DT_INT64", "<i8"),
    10: ("DT_BOOL", "?"),
    11: ("DT_QINT8", None),
    12: ("DT_QUINT8", None),
    13: ("DT_QINT32", None),
    14: ("DT_BFLOAT16", ml_dtypes.bfloat16),
    15: ("DT_QINT16", None),
    16: ("DT_QUINT16", None),
    17: ("DT_UINT16", "<u2"),
    18: ("DT_COMPLEX128", "<c16"),
    19: ("DT_HALF", "<f2"),
    20: ("DT_RESOURCE", None),
    21: ("DT_VARIANT", None),
    22: ("DT_UINT32", "<u4"),
    23: ("DT_UINT64", "<u8"),
    24: ("DT_FLOAT8_E5M2", ml_dtypes.float8_e5m2),
    25: ("DT_FLOAT8_E4M3FN", ml_dtypes.float8_e4m3fn),
    26: ("DT_FLOAT8_E4M3FNUZ", ml_dtypes.float8_e4m3fnuz),
    27: ("DT_FLOAT8_E4M3B11FNUZ", ml_dtypes.float8_e4m3b11fnuz),
    28: ("DT_FLOAT8_E5M2FNUZ", ml_dtypes.float8_e5m2fnuz),
    29: ("DT_INT4", ml_dtypes.int4),  # a byte each, in bundles as in numpy
    30: ("DT_UINT4", ml_dtypes.uint4),
}
DTYPES = {number: np.dtype(kind) for number, (_, kind) in _TYPES.items() if kind is not None}
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


def type_number(dtype: np.dtype[Any]) -> int:
    """Return TensorFlow's number of a dtype.

    Raises:
        ValueError: a dtype that TensorFlow's checkpoints do not have, or a big-endian one.
    """
    if dtype not in _NUMBERS:
        raise ValueError(f"no type of TensorFlow's: {dtype!r}")
    return _NUMBERS[dtype]


@dataclass(frozen=True, slots=True)
class Header:
    """The entry of the empty key.

    Attributes:
        shards: number of data files.
        big_endian: byte order of the numbers in them.
        min_consumer: oldest version of the format whose readers may read it.
        bad_consumers: versions whose readers may not.
    """

    shards: int = 1
    big_endian: bool = False
    min_consumer: int = 0
    bad_consumers: tuple[int, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether the format is one that this module knows."""
        return self.min_consumer <= _VERSION and _VERSION not in self.bad_consumers


@dataclass(frozen=True, slots=True)
class Entry:
    """What a bundle says of a tensor, or of a slice of one.

    Attributes:
        number: TensorFlow's number of its type.
        shape: sizes of its axes.
        shard: which data file it lies in.
        offset: its first byte there.
        size: its bytes.
        crc: CRC-32C of these bytes, masked.
        slices: where its slices lie, if it is stored in slices: each has an entry of its own, and
            `shard`, `offset`, `size` and `crc` say nothing.
    """

    number: int
    shape: tuple[int, ...]
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    slices: tuple[Extents, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Numpy's type; nothing for texts, quantised numbers and resources."""
        return DTYPES.get(self.number)

    @property
    def type_name(self) -> str:
        """TensorFlow's name of the type."""
        return _TYPES.get(self.number, (f"type {self.number}",))[0]


def decode_header(data: bytes | memoryview) -> Header:
    """Read a BundleHeaderProto.

    Raises:
        WireError: no such message.
    """
    shards, endianness, minimum = 0, 0, 0
    bad: list[int] = []
    for number, value in fields(data):
        if number == 1:
            shards = _number(value)
        elif number == 2:
            endianness = _number(value)
        elif number == 3:
            for inner, version in fields(_message(value)):
                if inner == 2:
                    minimum = _number(version)
                elif inner == 3:  # one by one, or packed
                    bad += [version] if isinstance(version, int) else list(version)
    return Header(shards, endianness != 0, minimum, tuple(bad))


def encode_header(header: Header) -> bytes:
    """Write a BundleHeaderProto of a little-endian bundle."""
    return varint_field(1, header.shards) + bytes_field(3, varint_field(1, _VERSION))


def decode_entry(data: bytes | memoryview) -> Entry:
    """Read a BundleEntryProto.

    Raises:
        WireError: no such message, or negative sizes.
    """
    facts = dict.fromkeys((1, 3, 4, 5, 6), 0)
    shape: tuple[int, ...] = ()
    slices: list[Extents] = []
    for number, value in fields(data):
        if number == 2:
            shape = _shape(_message(value))
        elif number == 7:
            slices.append(_extents(_message(value)))
        elif number in facts:
            facts[number] = _number(value)
    if min(facts.values()) < 0:
        raise WireError("a negative place or size")
    return Entry(facts[1], shape, facts[3], facts[4], facts[5], facts[6], tuple(slices))


def encode_entry(entry: Entry) -> bytes:
    """Write a BundleEntryProto; fields that are 0 are left out, as TensorFlow does."""
    dims = b"".join(bytes_field(2, _nonzero(1, length)) for length in entry.shape)
    return (
        varint_field(1, entry.number)
        + bytes_field(2, dims)
        + _nonzero(3, entry.shard)
        + _nonzero(4, entry.offset)
        + _nonzero(5, entry.size)
        + (fixed32_field(6, entry.crc) if entry.crc else b"")
        + b"".join(bytes_field(7, _encode_extents(extents)) for extents in entry.slices)
    )


def _shape(data: memoryview) -> tuple[int, ...]:
    """Read a TensorShapeProto."""
    shape = []
    for number, value in fields(data):
        if number == 2:
            sizes = [_number(size) for inner, size in fields(_message(value)) if inner == 1]
            shape.append(sizes[-1] if sizes else 0)
        elif number == 3 and value:
            raise WireError("a shape of unknown rank")
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise WireError(f"a shape of {len(shape)} axes, the smallest of {min(shape)}")
    return tuple(shape)


def _extents(data: memoryview) -> Extents:
    """Read a TensorSliceProto."""
    extents = []
    for number, value in fields(data):
        if number == 1:
            found = {inner: _number(part) for inner, part in fields(_message(value))}
            extents.append((found.get(1, 0), found[2]) if 2 in found else WHOLE)
    return tuple(extents)


def _encode_extents(extents: Extents) -> bytes:
    # A length has its own presence in the message: 0 is written, the whole axis is not.
    return b"".join(
        bytes_field(
            1, b"" if extent == WHOLE else _nonzero(1, extent[0]) + varint_field(2, extent[1])
        )
        for extent in extents
    )


def _nonzero(number: int, value: int) -> bytes:
    return varint_field(number, value) if value else b""


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise WireError("bytes in the place of a number")
    return signed(value)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise WireError("a number in the place of a message")
    return value
