"""Protocol Buffers' wire format: the manual's own examples, round trips, and damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.wire import (
    WireError,
    bytes_field,
    fields,
    fixed32_field,
    read_varint,
    signed,
    varint,
    varint_field,
)

NUMBERS = st.integers(0, (1 << 64) - 1)


def test_examples_of_the_manual() -> None:
    assert varint_field(1, 150) == b"\x08\x96\x01"
    assert bytes_field(2, b"testing") == b"\x12\x07testing"
    assert list(fields(b"\x08\x96\x01")) == [(1, 150)]


@given(NUMBERS)
def test_numbers_come_back(value: int) -> None:
    assert read_varint(memoryview(varint(value)), 0) == (value, len(varint(value)))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_negative_numbers_are_twos_complement(value: int) -> None:
    assert signed(read_varint(memoryview(varint(value)), 0)[0]) == value


@given(
    st.lists(st.tuples(st.integers(1, (1 << 29) - 1), st.one_of(NUMBERS, st.binary(max_size=300))))
)
def test_messages_come_back(message: list[tuple[int, int | bytes]]) -> None:
    written = b"".join(
        bytes_field(number, value) if isinstance(value, bytes) else varint_field(number, value)
        for number, value in message
    )
    read = [(n, bytes(v) if isinstance(v, memoryview) else v) for n, v in fields(written)]
    assert read == message


def test_fixed_numbers() -> None:
    assert list(fields(fixed32_field(6, 0xDEADBEEF))) == [(6, 0xDEADBEEF)]
    assert list(fields(b"\x09" + (7).to_bytes(8, "little"))) == [(1, 7)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x08", "cut off within a number"),
        (b"\x08\x80", "cut off within a number"),
        (b"\x08" + b"\xff" * 10, "more than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        (b"\x12\x07test", "states 7 bytes; 4 are left"),
        (b"\x12\xff\xff\xff\xff\x7fx", "states 34,359,738,367 bytes; 1 are left"),
        (b"\x0d\x01", "states 4 bytes"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "field number 0"),
    ],
)
def test_damage_is_told_with_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        list(fields(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read = list(fields(data))
    except WireError:
        return
    assert sum(len(v) for _, v in read if isinstance(v, memoryview)) <= len(data)
