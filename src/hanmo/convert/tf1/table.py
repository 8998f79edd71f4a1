"""LevelDB's table, the format of a checkpoint's `.index`: sorted keys and values in blocks.

block     entries, then the offsets of its restart points (uint32 each) and their number (uint32)
          entry   varints: bytes shared with the key before, further bytes of the key, bytes of the
                  value; then those bytes. At a restart point nothing is shared.
trailer   a byte (0 = plain, 1 = Snappy) and the masked CRC-32C of the block and that byte
file      data blocks, a block of metadata (empty), the index block, the footer
          index   last key of a data block (or a shorter one before the next) → its offset and size
footer    48 bytes: offset and size of the last two blocks, zeros, eight bytes of magic

    for key, value in table_items(Path("bert_model.ckpt.index")): ...
    write_atomic(path, table_bytes([(b"", header), (b"weights", entry)]))

Source: LevelDB's doc/table_format.md and util/comparator.cc.
"""

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hanmo.convert.git_lfs import refuse_pointer
from hanmo.core.crc import crc32c, masked
from hanmo.core.errors import UserError
from hanmo.core.wire import WireError, read_varint, varint

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
_TRAILER = 5
_PLAIN, _SNAPPY = 0, 1
# A copy of Snappy's gives at most 64 bytes for three: no block unpacks to more than this.
_MOST_SNAPPY = 22
# Names of tensors share about three quarters with the one before; a table whose keys unpack to
# much more was made to fill the memory.
_MOST_UNPACKED, _ALWAYS_UNPACKED = 64, 1 << 20
_BLOCK = 1 << 18  # TensorFlow's; a checkpoint's index is nearly always one block
_AGAIN = "fetch the checkpoint again"


class _DamageError(ValueError):
    """What is wrong, and where in the file."""


def table_items(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) in the order of the file; each block is checked before its first item.

    Only what is asked for is read, and nothing is allocated that the file's size does not warrant.

    Raises:
        UserError: no such file, a Git LFS pointer, not a table, or damaged (names the offset).
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    refuse_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - len(MAGIC)))
        if size < _FOOTER or file.read(len(MAGIC)) != MAGIC:
            raise UserError(
                f"{path}: not the index of a TensorFlow checkpoint, or cut short: {size:,} bytes "
                f"that do not end with a table's footer; {_AGAIN}"
            )
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        yield from _items(view)
    except (_DamageError, WireError) as error:
        raise UserError(f"{path}: damaged index: {error}; {_AGAIN}") from None


def _items(view: memoryview) -> Iterator[tuple[bytes, bytes]]:
    index = _index_handle(view)
    limit = _ALWAYS_UNPACKED + _MOST_UNPACKED * len(view)
    unpacked, end, last = 0, 0, None
    for _, handle in _entries(_block(view, *index), index[0]):
        offset, size = _handle(handle, 0)[:2]
        # Blocks that lie within one another would let a small file unpack to a large one.
        if offset < end:
            raise _DamageError(f"block at offset {offset:,} begins before the last one's end")
        end = offset + size + _TRAILER
        for key, value in _entries(_block(view, offset, size), offset):
            if last is not None and key <= last:
                raise _DamageError(f"keys out of order in the block at offset {offset:,}")
            last = key
            unpacked += len(key)
            if unpacked > limit:
                raise _DamageError(f"keys of more than {limit:,} bytes")
            yield key, bytes(value)


def _index_handle(view: memoryview) -> tuple[int, int]:
    footer = view[-_FOOTER : -len(MAGIC)]
    try:
        place = _handle(footer, 0)[2]
        offset, size, _ = _handle(footer, place)
    except WireError as error:
        raise _DamageError(f"footer: {error}") from None
    return offset, size


def _handle(view: memoryview, place: int) -> tuple[int, int, int]:
    """Read where a block lies: offset, size, and the place behind what was read."""
    offset, place = read_varint(view, place)
    size, place = read_varint(view, place)
    return offset, size, place


def _block(view: memoryview, offset: int, size: int) -> memoryview:
    """Return a block, checked and unpacked."""
    where = f"block at offset {offset:,}"
    if offset + size + _TRAILER > len(view) - _FOOTER:
        raise _DamageError(f"{where} of {size:,} bytes reaches beyond the end of the file")
    content = view[offset : offset + size]
    kind, stored = view[offset + size], view[offset + size + 1 : offset + size + _TRAILER]
    if masked(crc32c(view[offset : offset + size + 1])) != int.from_bytes(stored, "little"):
        raise _DamageError(f"{where}: its checksum (CRC-32C) differs")
    if kind == _PLAIN:
        return content
    if kind != _SNAPPY:
        raise _DamageError(f"{where}: compression {kind}; expected 0 (none) or 1 (Snappy)")
    return memoryview(_unpacked(content, where))


def _unpacked(content: memoryview, where: str) -> bytes:
    import cramjam

    stated, _ = read_varint(content, 0)
    if stated > _MOST_SNAPPY * len(content):
        raise _DamageError(
            f"{where}: {len(content):,} bytes of Snappy state that they unpack to {stated:,}"
        )
    try:
        return bytes(cramjam.snappy.decompress_raw(bytes(content)))
    except cramjam.DecompressionError as error:
        raise _DamageError(f"{where}: {error}") from None


def _entries(block: memoryview, offset: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (key, value) of a block; `offset` is for messages."""
    where = f"block at offset {offset:,}"
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if count == 0 or end < 0:
        raise _DamageError(f"{where}: {count:,} restart points in {len(block):,} bytes")
    restarts = set(np.frombuffer(block[end:-4], "<u4").tolist())
    entries = block[:end]
    whole = {0}  # places where a key is written whole
    key, place = b"", 0
    while place < end:
        start = place
        shared, place = read_varint(entries, place)
        own, place = read_varint(entries, place)
        length, place = read_varint(entries, place)
        if shared > len(key) or own + length > end - place:
            raise _DamageError(f"{where}: the entry at {start:,} reaches beyond its end")
        if shared == 0:
            whole.add(start)
        key = key[:shared] + bytes(entries[place : place + own])
        place += own + length
        yield key, entries[place - length : place]
    if not restarts <= whole:
        raise _DamageError(f"{where}: a restart point that is none")


def table_bytes(
    items: Iterable[tuple[bytes, bytes]],
    *,
    snappy: bool = False,
    block_bytes: int = _BLOCK,
    restart_interval: int = 16,
) -> bytes:
    """Return a table; with the defaults the bytes are those that TensorFlow writes.

    Args:
        items: (key, value), by ascending keys.
        snappy: compress the blocks, as some old checkpoints are.
        block_bytes: a data block is closed when it has this size.
        restart_interval: entries between two keys that are written whole.

    Raises:
        ValueError: keys that do not ascend.
    """
    out = bytearray()
    index = _Block(1)
    block, last, waiting = _Block(restart_interval), None, b""
    for key, value in items:
        if last is not None and key <= last:
            raise ValueError(f"keys must ascend: {key!r} after {last!r}")
        if waiting and last is not None:
            index.add(_between(last, key), waiting)
            waiting = b""
        block.add(key, value)
        last = key
        if block.size >= block_bytes:
            waiting = _append(out, block, snappy)
            block = _Block(restart_interval)
    if not block.empty:
        waiting = _append(out, block, snappy)
    metadata = _append(out, _Block(restart_interval), snappy)
    if waiting and last is not None:
        index.add(_after(last), waiting)
    handles = metadata + _append(out, index, snappy)
    return bytes(out + handles.ljust(_FOOTER - len(MAGIC), b"\0") + MAGIC)


class _Block:
    """A block in the making."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._data = bytearray()
        self._restarts = [0]
        self._since = 0
        self._last = b""

    def add(self, key: bytes, value: bytes) -> None:
        """Append an entry."""
        shared = 0
        if self._since < self._interval:
            shared = _shared(self._last, key)
        else:
            self._restarts.append(len(self._data))
            self._since = 0
        self._data += varint(shared) + varint(len(key) - shared) + varint(len(value))
        self._data += key[shared:] + value
        self._since += 1
        self._last = key

    @property
    def empty(self) -> bool:
        """Whether it has no entry."""
        return not self._data

    @property
    def size(self) -> int:
        """Bytes that it would have now."""
        return len(self._data) + 4 * len(self._restarts) + 4

    def content(self) -> bytes:
        """Return the block."""
        points = [*self._restarts, len(self._restarts)]
        return bytes(self._data) + np.array(points, "<u4").tobytes()


def _append(out: bytearray, block: _Block, snappy: bool) -> bytes:
    """Write a block and its trailer; returns where it lies, as tables have it."""
    content = block.content()
    if snappy:
        import cramjam

        content = bytes(cramjam.snappy.compress_raw(content))
    handle = varint(len(out)) + varint(len(content))
    content += bytes([_SNAPPY if snappy else _PLAIN])
    out += content + masked(crc32c(content)).to_bytes(4, "little")
    return handle


def _shared(one: bytes, two: bytes) -> int:
    for place, (left, right) in enumerate(zip(one, two, strict=False)):
        if left != right:
            return place
    return min(len(one), len(two))


def _between(last: bytes, following: bytes) -> bytes:
    """Return a short key from `last` on and before `following`."""
    place = _shared(last, following)
    if place < len(last) and place < len(following) and last[place] + 1 < following[place]:
        return last[:place] + bytes([last[place] + 1])
    return last


def _after(last: bytes) -> bytes:
    """Return a short key that does not come before `last`."""
    for place, byte in enumerate(last):
        if byte != 0xFF:
            return last[:place] + bytes([byte + 1])
    return last
