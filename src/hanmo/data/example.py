"""tf.train.Example: named lists of integers, numbers or bytes, as records of TensorFlow hold them.

    Example   1: Features          Features   1: entries of name (1) → Feature (2)
    Feature   one of 1: BytesList, 2: FloatList, 3: Int64List; the list's values are its field 1

Numbers may be packed (one run of bytes, as every writer of today has it) or each a field of its
own. Of a name that is there twice the last counts, as Protocol Buffers' manual says of maps.
Source: TensorFlow's core/example/feature.proto and example.proto.

    data = write_example({"ids": int64_feature(np.array([101, 102]))})
    read_example(data)["ids"]       # array([101, 102])
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanmo.core.wire import WireError, bytes_field, fields, signed

# int64 [n], float32 [n], or a list of bytes.
Values: TypeAlias = NDArray[Any] | list[bytes]

_BYTES, _FLOATS, _INTS = 1, 2, 3
_MOST_BYTES = 10  # of a number of 64 bits
_FLOAT = "<f4"


def read_example(data: bytes | memoryview) -> dict[str, Values]:
    """Read the features of an Example.

    Returns:
        name → int64 or float32 [n], or a list of bytes; a feature of no kind is int64 [0].

    Raises:
        WireError: bytes that are no Example; says where.
    """
    found: dict[str, Values] = {}
    for number, features in fields(data):
        if number != 1:
            continue
        for entry_number, entry in fields(_message(features, "features")):
            if entry_number == 1:
                name, feature = _entry(_message(entry, "a feature"))
                try:
                    found[name] = _feature(feature)
                except WireError as error:
                    raise WireError(f"feature {name!r}: {error}") from None
    return found


def write_example(features: Mapping[str, bytes]) -> bytes:
    """Write an Example of features that are written already, in the order given."""
    entries = [
        bytes_field(1, bytes_field(1, name.encode()) + bytes_field(2, feature))
        for name, feature in features.items()
    ]
    return bytes_field(1, b"".join(entries))


def int64_feature(values: NDArray[Any]) -> bytes:
    """Write a list of integers, packed."""
    return int64_features(values[None])[0]


def int64_features(rows: NDArray[Any]) -> list[bytes]:
    """Write each row of [S, n] as a list of integers: much faster than one at a time."""
    n_rows, n = rows.shape
    content, ends = pack_varints(rows.reshape(-1))
    bounds = np.concatenate([[0], ends])[:: max(n, 1)][: n_rows + 1] if n else [0] * (n_rows + 1)
    return [_list(_INTS, content[bounds[row] : bounds[row + 1]].tobytes()) for row in range(n_rows)]


def float_feature(values: NDArray[Any]) -> bytes:
    """Write a list of 32-bit numbers, packed."""
    return _list(_FLOATS, values.astype(_FLOAT).tobytes())


def bytes_feature(values: Iterable[bytes]) -> bytes:
    """Write a list of byte strings."""
    return bytes_field(_BYTES, b"".join(bytes_field(1, value) for value in values))


def _list(kind: int, packed: bytes) -> bytes:
    return bytes_field(kind, bytes_field(1, packed) if packed else b"")


def _message(value: int | memoryview, what: str) -> memoryview:
    if isinstance(value, int):
        raise WireError(f"a number where {what} should be")
    return value


def _entry(entry: memoryview) -> tuple[str, memoryview]:
    name, feature = b"", memoryview(b"")
    for number, value in fields(entry):
        if number == 1:
            name = bytes(_message(value, "a feature's name"))
        elif number == 2:
            feature = _message(value, "a feature")
    try:
        return name.decode(), feature
    except UnicodeDecodeError:
        raise WireError(f"a feature's name is not UTF-8: {name[:40]!r}") from None


def _feature(feature: memoryview) -> Values:
    kind = 0
    lists: list[memoryview] = []
    for number, value in fields(feature):
        if number in (_BYTES, _FLOATS, _INTS):
            lists = lists if number == kind else []  # of several kinds the last one counts
            kind = number
            lists.append(_message(value, "a list"))
    values = [value for one in lists for number, value in fields(one) if number == 1]
    if kind == _BYTES:
        return [bytes(_message(value, "bytes")) for value in values]
    if not kind or not values:
        return np.zeros(0, dtype=_FLOAT if kind == _FLOATS else np.int64)
    read = _integers if kind == _INTS else _floats
    return np.concatenate([read(value) for value in values])


def _integers(value: int | memoryview) -> NDArray[np.int64]:
    if isinstance(value, int):
        return np.array([signed(value)], dtype=np.int64)
    return unpack_varints(value)


def _floats(value: int | memoryview) -> NDArray[Any]:
    if isinstance(value, int):
        if value >= 1 << 32:
            raise WireError("a number of more than 32 bits in a list of floats")
        return np.frombuffer(value.to_bytes(4, "little"), _FLOAT)
    if len(value) % 4:
        raise WireError(f"{len(value)} bytes of 32-bit numbers; expected a multiple of 4")
    return np.frombuffer(value, _FLOAT)


def pack_varints(values: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write integers [n] as varints; returns the bytes and the offset behind each, int64 [n]."""
    bits = values.astype(np.int64).view(np.uint64)
    sizes = np.ones(len(bits), dtype=np.int64)
    rest = bits >> np.uint64(7)
    while rest.any():
        sizes += rest > 0
        rest >>= np.uint64(7)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    out = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for place in range(int(sizes.max(initial=0))):
        here = sizes > place
        part = (bits[here] >> np.uint64(7 * place) & np.uint64(0x7F)).astype(np.uint8)
        out[starts[here] + place] = part | ((sizes[here] > place + 1).astype(np.uint8) << 7)
    return out, ends


def unpack_varints(data: memoryview) -> NDArray[np.int64]:
    """Read a run of varints: int64 [n].

    Raises:
        WireError: the last one is cut off, or one has more than 64 bits.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    last = raw < 0x80
    if not len(raw) or last.all():
        return raw.astype(np.int64)
    if not last[-1]:
        raise WireError("a list of numbers is cut off within one")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    # The tenth byte holds the 64th bit alone.
    if sizes.max() > _MOST_BYTES or (raw[ends[sizes == _MOST_BYTES]] > 1).any():
        raise WireError("a number of more than 64 bits in a list")
    places = (np.arange(len(raw)) - np.repeat(starts, sizes)).astype(np.uint64)
    parts = (raw & 0x7F).astype(np.uint64) << (places * np.uint64(7))
    return np.bitwise_or.reduceat(parts, starts).view(np.int64)
