r"""Protocol Buffers' wire format, as far as TensorFlow's files use it.

    bytes_field(1, b"abc") + varint_field(2, 300)   # b'\n\x03abc\x10\xac\x02'
    list(fields(b"\n\x03abc\x10\xac\x02"))          # [(1, <memory>), (2, 300)]

Reading copies nothing: values of bytes are views of the input. Only what lies within the given
bytes is read, whatever lengths they state. Source: the encoding page of Protocol Buffers' manual.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_BYTES = 10  # of a varint of 64 bits


class WireError(ValueError):
    """Bytes that are no message; the message says at which offset."""


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) in the order of the message.

    Numbers come as unsigned integers, fixed ones as their little-endian bits; strings, messages and
    packed lists as views of `data`.

    Raises:
        WireError: a field that is cut off, of an unknown wire type, or numbered 0.
    """
    view = memoryview(data)
    place = 0
    while place < len(view):
        start = place
        key, place = read_varint(view, place)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise WireError(f"field number 0 at offset {start}")
        if wire == _VARINT:
            value, place = read_varint(view, place)
            yield number, value
            continue
        if wire == _BYTES:
            length, place = read_varint(view, place)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            raise WireError(f"wire type {wire} at offset {start}")
        if length > len(view) - place:
            raise WireError(
                f"field {number} at offset {start} states {length:,} bytes; "
                f"{len(view) - place:,} are left"
            )
        content = view[place : place + length]
        place += length
        yield number, content if wire == _BYTES else int.from_bytes(content, "little")


def read_varint(view: memoryview, place: int) -> tuple[int, int]:
    """Read a number of up to 64 bits; returns it and the offset behind it.

    Raises:
        WireError: the bytes end within it, or it is longer than 64 bits.
    """
    value = 0
    for count in range(_MOST_BYTES):
        if place + count >= len(view):
            raise WireError(f"cut off within a number at offset {place}")
        byte = view[place + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, place + count + 1
    raise WireError(f"number of more than 64 bits at offset {place}")


def varint(value: int) -> bytes:
    """Write a number ≥ 0; negative ones as 64-bit two's complement, as int64 fields have them."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    """Write a field that is a number."""
    return varint(number << 3 | _VARINT) + varint(value)


def fixed32_field(number: int, value: int) -> bytes:
    """Write a field of four bytes, such as a checksum."""
    return varint(number << 3 | _FIXED32) + value.to_bytes(4, "little")


def bytes_field(number: int, value: bytes) -> bytes:
    """Write a field that is a string, a message or a packed list."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def signed(value: int) -> int:
    """Return the int64 that an unsigned number of the wire stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
