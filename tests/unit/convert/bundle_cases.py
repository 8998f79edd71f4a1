"""Made checkpoints: of arrays by name, and partitioned ones, which the writer does not make."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanmo.convert.tf1.bundle import Bundle
from hanmo.convert.tf1.messages import (
    DTYPES,
    WHOLE,
    Entry,
    Extents,
    Header,
    encode_entry,
    encode_header,
    type_number,
)
from hanmo.convert.tf1.prefix import data_path, index_path
from hanmo.convert.tf1.slices import box, slice_key
from hanmo.convert.tf1.table import table_bytes
from hanmo.convert.tf1.writer import TensorSource, write_bundle
from hanmo.core.crc import crc32c, masked

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 411577344\n"
)
Arrays = Mapping[str, NDArray[Any]]


def sources(arrays: Arrays) -> list[TensorSource]:
    return [
        TensorSource(name, array.dtype, array.shape, lambda array=array: array)
        for name, array in arrays.items()
    ]


def write(prefix: Path, arrays: Arrays, *, shards: int = 1) -> Path:
    write_bundle(prefix, sources(arrays), shards=shards)
    return prefix


def random_array(seed: int, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Any bits: also the not-a-numbers of floats."""
    dtype = np.dtype(dtype)
    draw = np.random.default_rng(seed)
    if dtype == np.bool_ or dtype.name in {"int4", "uint4"}:
        return draw.integers(0, 2, shape).astype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(draw.bytes(count * dtype.itemsize), np.uint8).view(dtype).reshape(shape)


shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
names = st.text(st.characters(codec="utf-8", min_codepoint=1), min_size=1, max_size=40)
arrays = st.builds(
    random_array, st.integers(0, 1000), st.sampled_from(sorted(DTYPES.values(), key=str)), shapes
)


def assert_same(one: NDArray[Any], two: NDArray[Any]) -> None:
    assert (one.dtype, one.shape) == (two.dtype, two.shape)
    assert one.tobytes() == two.tobytes()


def assert_holds(bundle: Bundle, arrays: Arrays) -> None:
    assert bundle.names == sorted(arrays, key=str.encode)
    for name, array in arrays.items():
        assert_same(bundle.read(name), array)


def write_items(prefix: Path, items: Mapping[bytes, bytes], data: Sequence[bytes]) -> Path:
    """Write an index of any entries, and data files of any bytes."""
    whole = {b"": encode_header(Header(len(data))), **items}
    index_path(prefix).write_bytes(table_bytes(sorted(whole.items())))
    for shard, content in enumerate(data):
        data_path(prefix, shard, len(data)).write_bytes(content)
    return prefix


def stored(array: NDArray[Any], offset: int = 0, **changes: Any) -> Entry:
    """Return the entry of an array that lies at `offset` of the first data file."""
    raw = array.tobytes()
    facts = {"shape": array.shape, "offset": offset, "size": len(raw), "crc": masked(crc32c(raw))}
    return Entry(**{"number": type_number(array.dtype), **facts, **changes})


def rows(array: NDArray[Any], *borders: int) -> tuple[Extents, ...]:
    """Return slices of rows that end at the borders and at the last row, as TensorFlow's are."""
    ends = [0, *borders, len(array)]
    others = (WHOLE,) * (array.ndim - 1)
    return tuple(((a, b - a), *others) for a, b in itertools.pairwise(ends))


def write_partitioned(
    prefix: Path, name: str, array: NDArray[Any], slices: Sequence[Extents], *, shards: int = 1
) -> Path:
    """Write a partitioned tensor, slice by slice, over the data files in turn."""
    data = [bytearray() for _ in range(shards)]
    items = {
        name.encode(): encode_entry(
            Entry(type_number(array.dtype), array.shape, slices=tuple(slices))
        )
    }
    for number, extents in enumerate(slices):
        shard = number % shards
        piece = array[tuple(slice(*ends) for ends in box(extents, array.shape))]
        entry = stored(piece, len(data[shard]), shard=shard)
        items[slice_key(name, extents)] = encode_entry(entry)
        data[shard] += piece.tobytes()
    return write_items(prefix, items, [bytes(content) for content in data])


@st.composite
def tilings(draw: st.DrawFn) -> tuple[tuple[int, ...], list]:
    """Cut a tensor again and again, each time one of the boxes along one axis."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    boxes = [tuple((0, size) for size in shape)]
    for _ in range(draw(st.integers(0, 8))):
        one = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axis = draw(st.integers(0, len(shape) - 1))
        start, stop = one[axis]
        cut = draw(st.integers(start, stop))
        boxes += [(*one[:axis], ends, *one[axis + 1 :]) for ends in ((start, cut), (cut, stop))]
    return shape, draw(st.permutations(boxes))
