"""Checkpoints: what is written is read back, whole, in several files and in slices."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from bundle_cases import (
    POINTER,
    assert_holds,
    assert_same,
    random_array,
    rows,
    stored,
    tilings,
    write,
    write_items,
    write_partitioned,
)
from bundle_cases import arrays as any_array
from bundle_cases import names as any_name
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.convert.tf1.bundle import Bundle
from hanmo.convert.tf1.messages import (
    DTYPES,
    WHOLE,
    Entry,
    Header,
    encode_entry,
    encode_header,
    type_number,
)
from hanmo.convert.tf1.prefix import data_path, index_path
from hanmo.convert.tf1.slices import slice_key
from hanmo.convert.tf1.table import table_bytes, table_items
from hanmo.core.errors import UserError
from hanmo.core.wire import bytes_field, varint_field

WEIGHTS = {
    "bert/embeddings/word_embeddings": np.arange(12, dtype="<f4").reshape(4, 3),
    "bert/pooler/dense/bias": np.arange(3, dtype="<f4"),
    "global_step": np.array(1000, "<i8"),
}
TABLE = np.arange(60, dtype="<f4").reshape(10, 6)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write(tmp_path / "bert_model.ckpt", WEIGHTS)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(any_name, any_array, max_size=8), st.integers(1, 4))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any], shards: int
) -> None:
    prefix = write(tmp_path_factory.mktemp("bundle") / "model.ckpt", arrays, shards=shards)
    bundle = Bundle(prefix)
    assert bundle.shards == shards
    assert_holds(bundle, arrays)
    again = write(prefix.with_name("again"), {name: bundle.read(name) for name in bundle.names})
    assert_holds(Bundle(again), arrays)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4)])
def test_every_type(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    arrays = {"a": random_array(1, dtype, shape), "b": random_array(2, dtype, shape)}
    bundle = Bundle(write(tmp_path / "m", arrays))
    assert_holds(bundle, arrays)
    assert bundle.entry("a").dtype == dtype


def test_facts(prefix: Path) -> None:
    bundle = Bundle(prefix)
    assert bundle.names == list(WEIGHTS)
    assert "global_step" in bundle and "step" not in bundle
    entry = bundle.entry("bert/pooler/dense/bias")
    assert (entry.dtype, entry.shape, entry.shard) == (np.float32, (3,), 0)
    assert (entry.offset, entry.size, entry.slices) == (48, 12, ())
    with pytest.raises(UserError, match=r"no tensor 'global_stop' among 3; did you mean 'global_"):
        bundle.entry("global_stop")
    with pytest.raises(UserError, match=r"no tensor 'zzz' among 3$"):
        bundle.read("zzz")


def test_a_tensor_is_a_view_that_cannot_be_written(prefix: Path) -> None:
    bundle = Bundle(prefix)
    array = bundle.read("bert/pooler/dense/bias")
    assert not array.flags.owndata and not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    bundle.let_go()
    assert_same(array, WEIGHTS["bert/pooler/dense/bias"])
    del bundle
    assert_same(array, WEIGHTS["bert/pooler/dense/bias"])


def test_a_tensor_at_an_odd_place_is_copied(tmp_path: Path) -> None:
    """So that whoever uses it need not think of alignment; 60 + 1 + 8 bytes come before."""
    arrays = {"a": np.zeros(15, "<f4"), "b": np.array(True), "c": np.ones(1), "d": np.ones(4)}
    bundle = Bundle(write(tmp_path / "m", arrays))
    assert bundle.entry("d").offset == 69
    for name in "cd":
        array = bundle.read(name)
        assert array.flags.aligned and not array.flags.writeable
    assert_holds(bundle, arrays)


def test_several_files(tmp_path: Path) -> None:
    arrays = {f"layer_{i:02}": np.full(100, i, "<f4") for i in range(10)}
    prefix = write(tmp_path / "m", arrays, shards=3)
    sizes = [data_path(prefix, shard, 3).stat().st_size for shard in range(3)]
    assert sizes == [1600, 1200, 1200]
    bundle = Bundle(prefix)
    assert [bundle.entry(name).shard for name in bundle.names] == [0] * 4 + [1] * 3 + [2] * 3
    data_path(prefix, 1, 3).unlink()
    assert_same(bundle.read("layer_09"), arrays["layer_09"])  # the others can be read
    with pytest.raises(UserError, match=r"m\.data-00001-of-00003: missing"):
        bundle.read("layer_05")


def test_more_files_than_tensors(tmp_path: Path) -> None:
    prefix = write(tmp_path / "m", {"a": np.arange(3)}, shards=4)
    assert sorted(path.stat().st_size for path in tmp_path.glob("m.data-*")) == [0, 0, 0, 24]
    assert_holds(Bundle(prefix), {"a": np.arange(3)})
    assert_holds(Bundle(write(tmp_path / "none", {}, shards=2)), {})


def test_names_and_shapes_without_data(prefix: Path) -> None:
    data_path(prefix, 0, 1).unlink()
    bundle = Bundle(prefix)
    assert bundle.entry("bert/embeddings/word_embeddings").shape == (4, 3)
    with pytest.raises(UserError) as caught:
        bundle.read("global_step")
    message = str(caught.value)
    assert message.startswith(f"{prefix}.data-00000-of-00001: missing, though bert_model.ckpt.i")
    assert "expected 68 bytes, among them tensor 'global_step' at offset 60; fetch" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data[:-1],
            "67 bytes; expected 68 by .*'global_step' at offset 60: cut short",
        ),
        (lambda data: b"", "0 bytes; expected 68 by .*'global_step' at offset 60: cut short"),
        (lambda data: data + b"x", "69 bytes; expected 68 by .*: of another checkpoint"),
        (lambda data: data + bytes(5000), "5,068 bytes; expected 68 by .*: of another checkpoint"),
        (lambda data: POINTER.encode(), "a Git LFS pointer"),
    ],
)
def test_data_of_another_size(prefix: Path, change: Any, message: str) -> None:
    path = data_path(prefix, 0, 1)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=rf"data-00000-of-00001: {message}"):
        Bundle(prefix).read("global_step")


def test_padding_at_the_end_is_no_damage(prefix: Path) -> None:
    path = data_path(prefix, 0, 1)
    path.write_bytes(path.read_bytes() + bytes(60))
    assert_holds(Bundle(prefix), WEIGHTS)


def test_a_flipped_bit_is_named(prefix: Path) -> None:
    path = data_path(prefix, 0, 1)
    data = bytearray(path.read_bytes())
    data[50] ^= 4
    path.write_bytes(data)
    bundle = Bundle(prefix)
    assert_same(bundle.read("global_step"), WEIGHTS["global_step"])
    with pytest.raises(UserError) as caught:
        bundle.read("bert/pooler/dense/bias")
    assert str(caught.value).startswith(f"{path}: tensor 'bert/pooler/dense/bias' at offset 48: ")
    assert "damaged: its checksum" in str(caught.value)


def test_texts_are_listed_and_not_read(tmp_path: Path) -> None:
    text = b"\x02ab" + bytes(4)
    number = np.array([7], "<i4")
    items = {
        b"graph": encode_entry(Entry(7, (), size=len(text))),
        b"quantised": encode_entry(Entry(11, (5,), size=5)),
        b"step": encode_entry(stored(number, len(text))),
    }
    bundle = Bundle(write_items(tmp_path / "m", items, [text + number.tobytes()]))
    assert bundle.names == ["graph", "quantised", "step"]
    assert (bundle.entry("graph").type_name, bundle.entry("graph").dtype) == ("DT_STRING", None)
    with pytest.raises(UserError, match="tensor 'graph' is of DT_STRING; expected numbers"):
        bundle.read("graph")
    with pytest.raises(UserError, match="tensor 'quantised' is of DT_QINT8"):
        bundle.read("quantised")
    assert_same(bundle.read("step"), number)


@settings(max_examples=60, deadline=None)
@given(tilings(), st.sampled_from(["<f4", "?", ml_dtypes.bfloat16]), st.integers(1, 3))
def test_partitioned(
    tmp_path_factory: pytest.TempPathFactory, tiling: Any, dtype: Any, shards: int
) -> None:
    shape, boxes = tiling
    array = random_array(5, dtype, shape)
    slices = {tuple((start, stop - start) for start, stop in one) for one in boxes}
    prefix = write_partitioned(
        tmp_path_factory.mktemp("parts") / "m", "w", array, sorted(slices), shards=shards
    )
    bundle = Bundle(prefix)
    assert bundle.names == ["w"]
    read = bundle.read("w")
    assert not read.flags.writeable
    assert_same(read, array)


def test_partitioned_as_tensorflow_does(tmp_path: Path) -> None:
    prefix = write_partitioned(tmp_path / "m", "w", TABLE, rows(TABLE, 4, 7), shards=2)
    assert_same(Bundle(prefix).read("w"), TABLE)
    whole = write_partitioned(tmp_path / "n", "w", TABLE, [(WHOLE, WHOLE)])
    assert_same(Bundle(whole).read("w"), TABLE)


SLICES = rows(TABLE, 4, 7)
FULL = Entry(1, TABLE.shape, slices=SLICES)


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("w", dataclasses.replace(FULL, slices=SLICES[:2]), "its slices overlap or leave a gap"),
        ("w", dataclasses.replace(FULL, slices=(*SLICES, SLICES[0])), "its slices overlap"),
        ("w", dataclasses.replace(FULL, slices=rows(TABLE, 5)), "its slice .* has no entry"),
        ("w", dataclasses.replace(FULL, shape=(10,)), "a slice of 2 axes; expected 1"),
        ("w", dataclasses.replace(FULL, shape=(8, 6)), "a slice from 7 over 3 of an axis of 8"),
        ("w", dataclasses.replace(FULL, shape=(10, 7)), "its slice .* is of DT_FLOAT"),
        ("w", dataclasses.replace(FULL, number=3), "its slice .* is of DT_FLOAT"),
        ("v", FULL, "its slice .* has no entry"),
    ],
)
def test_slices_that_make_no_tensor(tmp_path: Path, name: str, entry: Entry, message: str) -> None:
    prefix = write_partitioned(tmp_path / "m", "w", TABLE, SLICES)
    items = dict(table_items(index_path(prefix)))
    del items[b"w"]
    items[name.encode()] = encode_entry(entry)
    data = data_path(prefix, 0, 1).read_bytes()
    bundle = Bundle(write_items(tmp_path / "n", items, [data]))
    with pytest.raises(UserError, match=rf"n\.index: tensor '{name}' at offset \d+: {message}"):
        bundle.read(name)


def test_slices_that_lie_in_one_another_allocate_nothing(tmp_path: Path) -> None:
    """A small file may not state that it is a large tensor by naming its bytes again and again."""
    piece = np.zeros((1000, 6), "<f4")
    shape = (1000 * 1000, 6)
    slices = rows(np.broadcast_to(np.float32(0), shape), *range(1000, 1000 * 1000, 1000))
    items = {slice_key("w", one): encode_entry(stored(piece)) for one in slices}
    items[b"w"] = encode_entry(Entry(1, shape, slices=slices))
    bundle = Bundle(write_items(tmp_path / "m", items, [piece.tobytes()]))
    with pytest.raises(UserError, match="its slices lie within one another"):
        bundle.read("w")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry(1, (3,), size=11), r"11 bytes; expected 12 of DT_FLOAT \(3,\)"),
        (Entry(1, (1 << 60, 1 << 60), size=12), "a shape of"),
        (Entry(1, (1 << 62, 0)), "a shape of"),
        (Entry(1, (3,), shard=1, size=12), "data file 1 of 1"),
        (Entry(7, (3,), shard=9), "data file 9 of 1"),
    ],
)
def test_entries_that_contradict_themselves(tmp_path: Path, entry: Entry, message: str) -> None:
    prefix = write_items(tmp_path / "m", {b"w": encode_entry(entry)}, [b""])
    with pytest.raises(UserError, match=rf"m\.index: tensor 'w' at offset 0: {message}"):
        Bundle(prefix)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({}, "its first entry is no header"),
        ({b"a": b""}, "its first entry is no header"),
        ({b"": bytes_field(1, b"")}, "bytes in the place of a number"),
        ({b"": b"\xff"}, "cut off within a number"),
        ({b"": b""}, "damaged index: 0 data files"),
        ({b"": varint_field(1, -3)}, "damaged index: -3 data files"),
        ({b"": varint_field(1, 1) + varint_field(2, 1)}, "big-endian order; expected little"),
        (
            {b"": varint_field(1, 1) + bytes_field(3, varint_field(2, 4))},
            r"asks for a newer reader \(version 4\); this hanmo reads version 1; upgrade",
        ),
        ({b"": encode_header(Header(1)), b"\xff": b""}, "a name that is not UTF-8"),
        ({b"": encode_header(Header(1)), b"w": b"\x0b"}, "tensor 'w': wire type 3"),
        ({b"": encode_header(Header(1)), b"\0w": b"\x0b"}, "tensor 'of a slice': wire type 3"),
    ],
)
def test_no_index_of_a_checkpoint(tmp_path: Path, items: dict[bytes, bytes], message: str) -> None:
    index_path(tmp_path / "m").write_bytes(table_bytes(items.items()))
    with pytest.raises(UserError, match=rf"m\.index: .*{message}"):
        Bundle(tmp_path / "m")


def test_snappy_and_small_blocks(prefix: Path) -> None:
    """As the indexes of some published checkpoints are."""
    items = list(table_items(index_path(prefix)))
    index_path(prefix).write_bytes(table_bytes(items, snappy=True, block_bytes=64))
    assert_holds(Bundle(prefix), WEIGHTS)


def test_pages_that_were_read_are_given_back(tmp_path: Path) -> None:
    """Reading all of a checkpoint holds one tensor at a time in memory."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        pytest.skip("the system does not say how much of a process is mapped files")

    def mapped() -> int:
        return int(statm.read_text(encoding="ascii").split()[2]) * os.sysconf("SC_PAGESIZE")

    tensor = np.zeros(1 << 20, "<f4")  # 4 MiB
    prefix = write(tmp_path / "m", {f"w{i}": tensor for i in range(12)})
    bundle, before = Bundle(prefix), mapped()
    most = 0
    for name in bundle.names:
        bundle.read(name)
        most = max(most, mapped() - before)
        bundle.let_go()
    assert tensor.nbytes / 2 < most < 2.5 * tensor.nbytes
    for name in bundle.names:
        bundle.read(name)
    assert mapped() - before > 10 * tensor.nbytes


def test_types_without_numpy_in_slices(tmp_path: Path) -> None:
    entry = Entry(7, (4,), slices=(((0, 4),),))
    bundle = Bundle(write_items(tmp_path / "m", {b"t": encode_entry(entry)}, [b""]))
    with pytest.raises(UserError, match="DT_STRING"):
        bundle.read("t")
    assert type_number(np.dtype("?")) == 10
