"""Any damage of a checkpoint ends in a UserError or in the right numbers, within little memory."""

import contextlib
import dataclasses
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_cases import random_array, rows, write, write_items, write_partitioned
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanmo.convert.tf1.bundle import Bundle, find_prefix
from hanmo.convert.tf1.messages import WHOLE, Entry, decode_entry, encode_entry
from hanmo.convert.tf1.prefix import data_path, index_path
from hanmo.convert.tf1.table import table_bytes, table_items
from hanmo.core.errors import UserError

MOST = 4 << 20  # bytes that reading a file of a few kilobytes may allocate
REAL = ("keras-bert-test_checkpoint", "tf1_albert_random", "tf1_lert_random")
TABLE = random_array(3, "<f4", (10, 6))
Arrays = dict[str, NDArray[Any]]

# (what, where as a share of the file, bytes)
changes = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "delete", "overwrite"]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=12),
)


def changed(data: bytes, what: str, share: float, raw: bytes) -> bytes:
    place = int(share * (len(data) - 1))
    match what:
        case "flip":
            flipped = data[place] ^ (1 << raw[0] % 8)
            return data[:place] + bytes([flipped]) + data[place + 1 :]
        case "cut":
            return data[:place]
        case "insert":
            return data[:place] + raw + data[place:]
        case "delete":
            return data[:place] + data[place + len(raw) :]
        case _:
            return data[:place] + raw + data[place + len(raw) :]


@contextlib.contextmanager
def within(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def read_all(prefix: Path) -> tuple[Arrays, list[str]]:
    """Read what can be read; returns it, and the messages of the rest."""
    arrays, messages = {}, []
    try:
        bundle = Bundle(find_prefix(prefix))
    except UserError as error:
        return {}, [str(error)]
    for name in bundle.names:
        try:
            arrays[name] = bundle.read(name)
        except UserError as error:
            assert repr(name) in str(error)
            assert "at offset" in str(error) or "expected numbers" in str(error)
            messages.append(str(error))
    return arrays, messages


def made(folder: Path) -> dict[str, Path]:
    arrays = {f"layer/{i}/kernel": random_array(i, "<f4", (i, 4)) for i in range(6)}
    plain = write(folder / "plain", {**arrays, "step": np.array(7)}, shards=2)
    packed = write(folder / "packed", {**arrays, "step": np.array(7)})
    items = list(table_items(index_path(packed)))
    index_path(packed).write_bytes(table_bytes(items, snappy=True, block_bytes=90))
    parts = write_partitioned(folder / "parts", "w", TABLE, rows(TABLE, 4, 7))
    return {prefix.name: prefix for prefix in (plain, packed, parts)}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("damage"))


def check_damage(good: Path, folder: Path, file: str, change: tuple[str, float, bytes]) -> None:
    """Change a file of a copy; what is read then is as it was, or it is refused with a word."""
    expected, none = read_all(good)
    assert none == []
    for path in good.parent.glob(f"{good.name}.*"):
        data = path.read_bytes()
        if path.name == f"{good.name}{file}":
            data = changed(data, *change)
        (folder / path.name).write_bytes(data)
    with within(MOST):
        arrays, messages = read_all(folder / good.name)
    for name, array in arrays.items():
        assert array.tobytes() == expected[name].tobytes()
    assert arrays.keys() == expected.keys() or messages


FILES = [
    ("plain", ".index"),
    ("plain", ".data-00001-of-00002"),
    ("packed", ".index"),
    ("parts", ".index"),
    ("parts", ".data-00000-of-00001"),
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FILES), changes)
def test_made_checkpoints(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoints: dict[str, Path],
    file: tuple[str, str],
    change: tuple[str, float, bytes],
) -> None:
    check_damage(checkpoints[file[0]], tmp_path_factory.mktemp("copy"), file[1], change)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(REAL), st.sampled_from([".index", ".data-00000-of-00001"]), changes)
def test_real_checkpoints(
    tmp_path_factory: pytest.TempPathFactory,
    data_dir: Path,
    name: str,
    file: str,
    change: tuple[str, float, bytes],
) -> None:
    good = find_prefix(data_dir / "tf1" / name)
    check_damage(good, tmp_path_factory.mktemp("copy"), file, change)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["plain", "packed"]), st.data())
def test_messages_of_an_index_whose_checksums_are_right(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoints: dict[str, Path],
    name: str,
    data: st.DataObject,
) -> None:
    """An index made to harm: any bytes in the place of a header, a name or an entry."""
    good = checkpoints[name]
    items = dict(table_items(index_path(good)))
    key = data.draw(st.sampled_from(sorted(items)))
    change = data.draw(changes)
    if items[key] and data.draw(st.booleans()):
        items[key] = changed(items[key], *change)
    else:
        items[changed(key or b"x", *change)] = items.pop(key)
    prefix = tmp_path_factory.mktemp("made") / "m"
    index_path(prefix).write_bytes(table_bytes(sorted(items.items()), snappy=name == "packed"))
    shards = 2 if name == "plain" else 1
    for shard in range(shards):
        content = data_path(good, shard, shards).read_bytes()
        data_path(prefix, shard, shards).write_bytes(content)
    with within(MOST):
        read_all(prefix)


NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, (1 << 63) - 1))
EXTENTS = st.lists(st.one_of(st.just(WHOLE), st.tuples(NUMBERS, NUMBERS)), max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.fixed_dictionaries({"number": st.integers(0, 40)}),
            st.fixed_dictionaries({"shape": st.lists(NUMBERS, max_size=4).map(tuple)}),
            st.fixed_dictionaries({"shard": st.integers(0, 3)}),
            st.fixed_dictionaries({"offset": NUMBERS}),
            st.fixed_dictionaries({"size": NUMBERS}),
            st.fixed_dictionaries({"slices": st.lists(EXTENTS.map(tuple), max_size=3).map(tuple)}),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 3),
)
def test_fields_of_an_entry(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoints: dict[str, Path],
    facts: list[dict[str, Any]],
    number: int,
) -> None:
    """The tensor, or one of its three slices, states another type, shape, place or slicing."""
    good = checkpoints["parts"]
    items = dict(table_items(index_path(good)))
    key = sorted(set(items) - {b""})[number]
    entry: Entry = decode_entry(items[key])
    for fact in facts:
        entry = dataclasses.replace(entry, **fact)
    items[key] = encode_entry(entry)
    prefix = tmp_path_factory.mktemp("made") / "m"
    write_items(prefix, items, [data_path(good, 0, 1).read_bytes()])
    with within(MOST):
        arrays, messages = read_all(prefix)
    assert messages or arrays["w"].nbytes <= TABLE.nbytes


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_file(tmp_path_factory: pytest.TempPathFactory, raw: bytes, footer: bool) -> None:
    prefix = tmp_path_factory.mktemp("any") / "m"
    index_path(prefix).write_bytes(raw + (table_bytes([])[-48:] if footer else b""))
    with within(MOST):
        assert read_all(prefix)[0] == {}
