"""tf.train.Example: TensorFlow's own bytes, round trips, both ways to write lists, and damage."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.wire import WireError, bytes_field, fixed32_field, varint, varint_field
from hanmo.data.example import (
    bytes_feature,
    float_feature,
    int64_feature,
    int64_features,
    pack_varints,
    read_example,
    unpack_varints,
    write_example,
)

INTS = st.integers(-(1 << 63), (1 << 63) - 1)

# SerializeToString of TensorFlow 2.21.
TENSORFLOW = {
    "0a180a160a016112111a0f0a0d01ffffffffffffffffff01ac02": {
        "a": int64_feature(np.array([1, -1, 300]))
    },
    "0a130a110a0162120c120a0a080000003f000000c0": {"b": float_feature(np.array([0.5, -2.0]))},
    "0a0e0a0c0a016312070a050a01780a00": {"c": bytes_feature([b"x", b""])},
}


@pytest.mark.parametrize("data", TENSORFLOW)
def test_the_bytes_of_tensorflow(data: str) -> None:
    assert write_example(TENSORFLOW[data]).hex() == data
    assert read_example(bytes.fromhex(data)).keys() == TENSORFLOW[data].keys()


def test_every_kind_of_list_comes_back() -> None:
    data = write_example(
        {
            "a": int64_feature(np.array([1, -1, 300, 1 << 62, -(1 << 63)])),
            "b": float_feature(np.array([0.5, -2.0])),
            "c": bytes_feature([b"x", b"", "字".encode()]),
            "名": int64_feature(np.zeros(0, dtype=np.int64)),
        }
    )
    found: dict[str, Any] = read_example(data)
    assert found["a"].tolist() == [1, -1, 300, 1 << 62, -(1 << 63)]
    assert found["a"].dtype == np.int64
    assert found["b"].tolist() == [0.5, -2.0]
    assert found["b"].dtype == np.float32
    assert found["c"] == [b"x", b"", "字".encode()]
    assert found["名"].tolist() == []


@given(st.dictionaries(st.text(max_size=8), st.lists(INTS, max_size=30), max_size=5))
def test_any_integers_come_back(features: dict[str, list[int]]) -> None:
    made = {k: int64_feature(np.array(v, dtype=np.int64)) for k, v in features.items()}
    found: dict[str, Any] = read_example(write_example(made))
    assert {name: values.tolist() for name, values in found.items()} == features


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=30))
def test_any_floats_come_back(values: list[float]) -> None:
    found: dict[str, Any] = read_example(write_example({"a": float_feature(np.array(values))}))
    assert found["a"].tolist() == values


@given(st.lists(INTS, max_size=40))
def test_packed_numbers_are_those_of_the_wire(values: list[int]) -> None:
    packed, ends = pack_varints(np.array(values, dtype=np.int64))
    assert packed.tobytes() == b"".join(map(varint, values))
    assert ends.tolist() == np.cumsum([len(varint(value)) for value in values]).tolist()
    assert unpack_varints(memoryview(packed.tobytes())).tolist() == values


@given(st.integers(0, 4), st.integers(0, 5), st.data())
def test_rows_are_written_as_one_by_one(n_rows: int, n: int, data: st.DataObject) -> None:
    flat = data.draw(st.lists(INTS, min_size=n_rows * n, max_size=n_rows * n))
    rows = np.array(flat, dtype=np.int64).reshape(n_rows, n)
    assert int64_features(rows) == [int64_feature(row) for row in rows]


def example_of(kind: int, content: bytes) -> bytes:
    feature = bytes_field(kind, content)
    return bytes_field(1, bytes_field(1, bytes_field(1, b"a") + bytes_field(2, feature)))


def test_lists_that_are_not_packed() -> None:
    ints = b"".join(varint_field(1, value) for value in (5, -3, 1 << 40))
    mixed = ints + bytes_field(1, varint(7) + varint(300)) + varint_field(1, 9)
    found: dict[str, Any] = read_example(example_of(3, ints))
    assert found["a"].tolist() == [5, -3, 1 << 40]
    found = read_example(example_of(3, mixed))
    assert found["a"].tolist() == [5, -3, 1 << 40, 7, 300, 9]
    bits = [int(np.float32(value).view(np.uint32)) for value in (0.25, -7.5)]
    found = read_example(example_of(2, b"".join(fixed32_field(1, one) for one in bits)))
    assert found["a"].tolist() == [0.25, -7.5]


def test_what_the_manual_says_of_repeated_and_unknown_fields() -> None:
    def entry(name: bytes, feature: bytes) -> bytes:
        return bytes_field(1, bytes_field(1, name) + bytes_field(2, feature))

    one, two = int64_feature(np.array([1])), int64_feature(np.array([2]))
    found: dict[str, Any] = read_example(bytes_field(1, entry(b"a", one) + entry(b"a", two)))
    assert found["a"].tolist() == [2]
    parts = bytes_field(1, entry(b"a", one)) + bytes_field(1, entry(b"b", two))
    assert set(read_example(parts)) == {"a", "b"}
    found = read_example(bytes_field(1, entry(b"a", one + two)))
    assert found["a"].tolist() == [1, 2]
    found = read_example(bytes_field(1, entry(b"a", float_feature(np.array([0.5])) + two)))
    assert found["a"].tolist() == [2]
    assert read_example(varint_field(9, 4) + bytes_field(7, b"x")) == {}
    assert list(read_example(bytes_field(1, entry(b"a", b"")))) == ["a"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\x05abc", "states 5 bytes; 3 are left"),
        (b"\x08\x01", "a number where features should be"),
        (bytes_field(1, b"\x08\x01"), "a number where a feature should be"),
        (bytes_field(1, bytes_field(1, b"\x08\x01")), "a number where a feature's name"),
        (bytes_field(1, bytes_field(1, bytes_field(1, b"\xff"))), "name is not UTF-8"),
        (example_of(3, bytes_field(1, b"\x81")), "feature 'a': .*cut off within one"),
        (example_of(3, bytes_field(1, b"\xff" * 10 + b"\x01")), "feature 'a': .*more than 64 bits"),
        (example_of(3, bytes_field(1, b"\xff" * 9 + b"\x02")), "more than 64 bits"),
        (example_of(2, bytes_field(1, b"abcde")), "5 bytes of 32-bit numbers"),
        (example_of(2, varint_field(1, 1 << 40)), "more than 32 bits in a list of floats"),
        (example_of(1, varint_field(1, 4)), "a number where bytes should be"),
    ],
)
def test_damage_is_told(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        read_example(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = read_example(data)
    except WireError:
        return
    assert all(len(values) <= len(data) for values in found.values())


@given(st.data())
def test_a_changed_example_is_read_or_refused(data: st.DataObject) -> None:
    sound = bytearray(
        write_example(
            {
                "input_ids": int64_feature(np.arange(0, 900, 7)),
                "masked_lm_weights": float_feature(np.ones(5)),
                "raw": bytes_feature([b"abc"]),
            }
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_example(bytes(sound))
    except WireError:
        return
