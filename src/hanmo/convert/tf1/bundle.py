"""TensorFlow 1's checkpoints, read without TensorFlow: names and shapes, and the tensors.

    bundle = Bundle(find_prefix(Path("chinese_L-12_H-768_A-12")))
    for name in bundle.names:
        array = bundle.read(name)      # a view of the file, checked against its CRC-32C
        ...
        bundle.let_go()                # so that memory holds one tensor at a time

Of an index without its data all but `read` works. Texts (DT_STRING) are listed and not read.
Source: TensorFlow's core/util/tensor_bundle (version 1 of the format).
"""

import difflib
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.convert.git_lfs import refuse_pointer
from hanmo.convert.tf1.messages import Entry, Header, decode_entry, decode_header
from hanmo.convert.tf1.prefix import data_path, find_prefix, index_path
from hanmo.convert.tf1.slices import box, check_tiling, slice_key
from hanmo.convert.tf1.table import table_items
from hanmo.core.crc import crc32c, masked
from hanmo.core.errors import UserError
from hanmo.core.wire import WireError

__all__ = ["Bundle", "Entry", "find_prefix"]

_AGAIN = "fetch the checkpoint again"
_SLICE = b"\0"  # what the key of a slice begins with
_MOST_BYTES = 1 << 62  # of a tensor; more does not fit numpy's count
_MOST_PADDING = 1 << 12  # zeros at the end of a data file, from a writer that aligns tensors


class Bundle:
    """A checkpoint. Its index is read at once, its data where a tensor is read.

    Args:
        prefix: what the names of its files begin with, see `find_prefix`.

    Raises:
        UserError: no index, a Git LFS pointer, damaged, or of a format that is not read.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self._index = index_path(prefix)
        self._entries: dict[str, Entry] = {}
        self._pieces: dict[bytes, Entry] = {}
        items = table_items(self._index)
        self.shards = self._header(*next(items, (b"?", b""))).shards
        for key, value in items:
            self._add(key, value)
        self._maps: dict[int, mmap.mmap | bytes] = {}
        self._sizes: dict[int, int] = {}
        whole = [entry for entry in self._entries.values() if not entry.slices]
        for entry in (*whole, *self._pieces.values()):
            end = max(self._sizes.get(entry.shard, 0), entry.offset + entry.size)
            self._sizes[entry.shard] = end

    @property
    def names(self) -> list[str]:
        """Names of the tensors, in the order of their bytes."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def entry(self, name: str) -> Entry:
        """Return type, shape and place of a tensor.

        Raises:
            UserError: no tensor of this name.
        """
        if name not in self._entries:
            alike = difflib.get_close_matches(name, self._entries, n=1)
            hint = f"; did you mean {alike[0]!r}?" if alike else ""
            raise UserError(f"{self._index}: no tensor {name!r} among {len(self._entries):,}{hint}")
        return self._entries[name]

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor, read-only; its checksum is compared.

        It is a view of the mapped file. A partitioned one is put together, and one that does not
        lie at a multiple of its numbers' size is copied.

        Raises:
            UserError: no such tensor, one that is not of numbers, or its data is missing, of
                another size or damaged.
        """
        entry = self.entry(name)
        dtype = entry.dtype
        if dtype is None:
            raise UserError(
                f"{self._index}: tensor {name!r} is of {entry.type_name}; expected numbers; leave "
                "it out"
            )
        read = self._joined if entry.slices else self._view
        array = read(name, entry, dtype)
        array.flags.writeable = False
        return array

    def let_go(self) -> None:
        """Let the system take back the pages that were read; arrays stay valid.

        They stay in its cache while it has room, and are mapped again when they are asked for.
        """
        for mapped in self._maps.values():
            if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)

    def _header(self, key: bytes, value: bytes) -> Header:
        try:
            if key != b"":
                raise WireError("its first entry is no header")
            header = decode_header(value)
        except WireError as error:
            # A V1 checkpoint is a table as well, whose first entry is another message.
            raise UserError(
                f"{self._index}: not the index of a checkpoint of TensorFlow's second format "
                f"({error}); {_AGAIN}, or save it anew in TensorFlow with "
                "tf.compat.v1.train.Saver(write_version=2)"
            ) from None
        if header.big_endian:
            raise UserError(
                f"{self._index}: numbers in big-endian order; expected little-endian; save it anew "
                "on a little-endian machine"
            )
        if not header.readable:
            raise UserError(
                f"{self._index}: a format that asks for a newer reader (version "
                f"{header.min_consumer}); this hanmo reads version 1; upgrade hanmo"
            )
        if header.shards < 1:
            raise UserError(f"{self._index}: damaged index: {header.shards} data files; {_AGAIN}")
        return header

    def _add(self, key: bytes, value: bytes) -> None:
        is_slice = key.startswith(_SLICE)
        try:
            name = "of a slice" if is_slice else key.decode()
        except UnicodeDecodeError:
            raise UserError(
                f"{self._index}: damaged index: a name that is not UTF-8, {key[:80]!r}; {_AGAIN}"
            ) from None
        try:
            entry = decode_entry(value)
        except WireError as error:
            raise UserError(
                f"{self._index}: damaged index: tensor {name!r}: {error}; {_AGAIN}"
            ) from None
        self._check(name, entry)
        if is_slice:
            self._pieces[key] = entry
        else:
            self._entries[name] = entry

    def _check(self, name: str, entry: Entry) -> None:
        """Compare an entry's statements with each other."""
        if entry.shard >= self.shards:
            raise self._damage(name, entry, f"data file {entry.shard} of {self.shards}")
        if entry.dtype is None:
            return
        # Numpy counts the other axes even where one of them is empty.
        if math.prod(max(1, size) for size in entry.shape) * entry.dtype.itemsize > _MOST_BYTES:
            raise self._damage(name, entry, f"a shape of {entry.shape}")
        expected = math.prod(entry.shape) * entry.dtype.itemsize
        if not entry.slices and entry.size != expected:
            raise self._damage(
                name,
                entry,
                f"{entry.size:,} bytes; expected {expected:,} of {entry.type_name} {entry.shape}",
            )

    def _damage(self, name: str, entry: Entry, what: str) -> UserError:
        path = self._index
        return UserError(f"{path}: tensor {name!r} at offset {entry.offset:,}: {what}; {_AGAIN}")

    def _view(self, name: str, entry: Entry, dtype: np.dtype[Any]) -> NDArray[Any]:
        data = self._data(name, entry)
        raw = memoryview(data)[entry.offset : entry.offset + entry.size]
        if masked(crc32c(raw)) != entry.crc:
            path = data_path(self.prefix, entry.shard, self.shards)
            raise UserError(
                f"{path}: tensor {name!r} at offset {entry.offset:,}: damaged: its checksum "
                f"(CRC-32C of {entry.size:,} bytes) differs from the one in {self._index.name}; "
                f"{_AGAIN}"
            )
        array = np.frombuffer(raw, np.uint8).view(dtype).reshape(entry.shape)
        return array if array.flags.aligned else array.copy()

    def _joined(self, name: str, entry: Entry, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Put the slices of a partitioned tensor together."""
        places = []
        for extents in entry.slices:
            piece = self._pieces.get(slice_key(name, extents))
            if piece is None:
                raise self._damage(name, entry, f"its slice {extents} has no entry")
            try:
                place = box(extents, entry.shape)
            except ValueError as error:
                raise self._damage(name, piece, str(error)) from None
            if piece.number != entry.number or piece.shape != tuple(b - a for a, b in place):
                raise self._damage(
                    name, piece, f"its slice {extents} is of {piece.type_name} {piece.shape}"
                )
            places.append((place, piece))
        try:
            check_tiling([place for place, _ in places], entry.shape)
        except ValueError as error:
            raise self._damage(name, entry, str(error)) from None
        # Pieces may lie in one another: no more is allocated than the files hold.
        for _, piece in places:
            self._data(name, piece)
        if sum(piece.size for _, piece in places) > sum(map(len, self._maps.values())):
            raise self._damage(name, entry, "its slices lie within one another")
        array = np.empty(entry.shape, dtype)
        for place, piece in places:
            array[tuple(slice(*ends) for ends in place)] = self._view(name, piece, dtype)
            self.let_go()
        return array

    def _data(self, name: str, entry: Entry) -> mmap.mmap | bytes:
        """Map the data file of a tensor; its size is compared with what the index says."""
        if entry.shard not in self._maps:
            path = data_path(self.prefix, entry.shard, self.shards)
            self._check_size(path, self._sizes[entry.shard], f"{name!r} at offset {entry.offset:,}")
            size = path.stat().st_size
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
            self._maps[entry.shard] = mapped
        return self._maps[entry.shard]

    def _check_size(self, path: Path, expected: int, wanted: str) -> None:
        if not path.is_file():
            raise UserError(
                f"{path}: missing, though {self._index.name} is there; expected {expected:,} "
                f"bytes, among them tensor {wanted}; {_AGAIN}"
            )
        refuse_pointer(path)
        size = path.stat().st_size
        if 0 <= size - expected < _MOST_PADDING:
            with path.open("rb") as file:
                file.seek(expected)
                if not any(file.read(_MOST_PADDING)):
                    return
        why = "cut short" if size < expected else "of another checkpoint"
        raise UserError(
            f"{path}: {size:,} bytes; expected {expected:,} by {self._index.name}, among them "
            f"tensor {wanted}: {why}; {_AGAIN}"
        )
