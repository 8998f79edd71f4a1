"""Messages of the index: TensorFlow's own bytes, round trips, and what is no such message."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.convert.tf1.messages import (
    DTYPES,
    WHOLE,
    Entry,
    Header,
    decode_entry,
    decode_header,
    encode_entry,
    encode_header,
    type_number,
)
from hanmo.core.wire import WireError, bytes_field, fixed32_field, varint_field

NUMBERS = st.integers(0, (1 << 63) - 1)
EXTENTS = st.one_of(st.just(WHOLE), st.tuples(NUMBERS, NUMBERS))
ENTRIES = st.builds(
    Entry,
    number=st.integers(0, 140),
    shape=st.lists(NUMBERS, max_size=6).map(tuple),
    shard=st.integers(0, 99_999),
    offset=NUMBERS,
    size=NUMBERS,
    crc=st.integers(0, (1 << 32) - 1),
    slices=st.lists(st.lists(EXTENTS, max_size=4).map(tuple), max_size=4).map(tuple),
)


def test_bytes_that_tensorflow_wrote() -> None:
    """From the index of chinese_L-12_H-768_A-12: header, and bert/embeddings/LayerNorm/beta."""
    assert encode_header(Header(1)) == bytes.fromhex("08011a020801")
    assert decode_header(bytes.fromhex("08011a020801")) == Header(1)
    raw = bytes.fromhex("080112051203088006" + "28801835542740d2")
    entry = decode_entry(raw)
    assert entry == Entry(1, (768,), size=3072, crc=0xD2402754)
    assert encode_entry(entry) == raw
    assert (entry.dtype, entry.type_name) == (np.float32, "DT_FLOAT")


@given(ENTRIES)
def test_entries_come_back(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(st.integers(1, 1 << 20))
def test_headers_come_back(shards: int) -> None:
    assert decode_header(encode_header(Header(shards))) == Header(shards)


def test_which_headers_can_be_read() -> None:
    version = varint_field(1, 3) + varint_field(2, 2)
    assert not decode_header(bytes_field(3, version)).readable
    assert not decode_header(bytes_field(3, varint_field(3, 1))).readable
    packed = decode_header(bytes_field(3, bytes_field(3, b"\2\1")))
    assert packed.bad_consumers == (2, 1) and not packed.readable
    assert decode_header(bytes_field(3, varint_field(3, 7))).readable
    assert decode_header(varint_field(2, 1)).big_endian


def test_numpy_types() -> None:
    for number, dtype in DTYPES.items():
        assert type_number(dtype) == number
        assert Entry(number, ()).dtype == dtype
    assert type_number(np.dtype(np.float64)) == 2
    assert type_number(np.dtype(ml_dtypes.bfloat16)) == 14
    assert Entry(7, ()).dtype is None and Entry(7, ()).type_name == "DT_STRING"
    assert Entry(11, ()).dtype is None and Entry(11, ()).type_name == "DT_QINT8"
    assert Entry(999, ()).dtype is None and Entry(999, ()).type_name == "type 999"
    for strange in (np.dtype(object), np.dtype(">f4"), np.dtype("U3"), np.dtype("M8[s]")):
        with pytest.raises(ValueError, match="no type of TensorFlow's"):
            type_number(strange)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (varint_field(4, -1), "negative place or size"),
        (varint_field(5, -7), "negative place or size"),
        (bytes_field(1, b""), "bytes in the place of a number"),
        (varint_field(2, 3), "number in the place of a message"),
        (bytes_field(2, varint_field(3, 1)), "unknown rank"),
        (bytes_field(2, varint_field(2, 1)), "number in the place of a message"),
        (bytes_field(2, bytes_field(2, varint_field(1, -1))), "1 axes, the smallest of -1"),
        (bytes_field(2, bytes_field(2, varint_field(1, 1)) * 65), "65 axes"),
        (varint_field(7, 1), "number in the place of a message"),
        (bytes_field(7, varint_field(1, 1)), "number in the place of a message"),
        (fixed32_field(6, 1)[:-1], "states 4 bytes"),
    ],
)
def test_what_is_no_entry(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        decode_entry(data)


def test_what_is_no_header() -> None:
    with pytest.raises(WireError, match="bytes in the place of a number"):
        decode_header(bytes_field(1, b"meta"))  # how a V1 checkpoint begins
    with pytest.raises(WireError, match="number in the place of a message"):
        decode_header(varint_field(3, 1))


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_entry, decode_header):
        try:
            decode(data)
        except WireError:
            continue
