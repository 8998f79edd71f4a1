"""TensorFlow 1's checkpoints, written without TensorFlow, a tensor at a time.

    write_bundle(
        Path("out/bert_model.ckpt"),
        [TensorSource("bert/pooler/dense/bias", np.dtype("<f4"), (768,), lambda: bias)],
    )

What it writes, byte for byte what a Saver of TensorFlow's writes of the same tensors:

bert_model.ckpt.data-00000-of-00001   the numbers, little-endian, one tensor after another
bert_model.ckpt.index                 a table (`table.py`) of messages (`messages.py`)
checkpoint                            names the prefix, as tf.train.latest_checkpoint wants it

No `.meta` is written: it is the graph of the program that trained a model, and neither
tf.train.load_checkpoint nor a Saver of a program that has its own graph reads it.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hanmo.convert.tf1.messages import Entry, Header, encode_entry, encode_header, type_number
from hanmo.convert.tf1.prefix import STATE, data_path, index_path, state_text
from hanmo.convert.tf1.table import table_bytes
from hanmo.core.crc import crc32c, masked
from hanmo.core.files import sync_folder, write_atomic

_PIECE = 1 << 22  # bytes of a tensor that are handled at a time


@dataclass(frozen=True, slots=True)
class TensorSource:
    """A tensor to be written, made when its turn comes.

    Attributes:
        name: its name in the checkpoint.
        dtype: one of `messages.DTYPES`.
        shape: sizes of its axes.
        make: returns it; need not be contiguous, so that a transposed view is not copied.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    make: Callable[[], NDArray[Any]]

    @property
    def size(self) -> int:
        """Bytes of it."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_bundle(prefix: Path, tensors: Iterable[TensorSource], *, shards: int = 1) -> None:
    """Write a checkpoint; one that is there under the same prefix is replaced.

    One tensor is in memory at a time. The files have temporary names until all data is on disk;
    the index comes last, and an old one is removed before the data is exchanged: a write that was
    interrupted leaves the old checkpoint, the new one, or none, never a mixture. Data files of
    another number of shards are left alone.

    Args:
        prefix: what the files' names begin with; the folder is made if absent.
        tensors: in any order; they are written sorted by the bytes of their names.
        shards: number of data files, of about the same size.

    Raises:
        ValueError: a name that is empty, begins with a zero byte or comes twice; a type that
            TensorFlow has not; `make` returned another type or shape.
    """
    sources = sorted(tensors, key=lambda source: source.name.encode())
    _check(sources, shards)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    items = [(b"", encode_header(Header(shards)))]
    with contextlib.ExitStack() as stack:
        temporary = []
        for shard, share in enumerate(_shares(sources, shards)):
            path = data_path(prefix, shard, shards)
            temporary.append((stack.enter_context(_written(path, share, shard, items)), path))
        index_path(prefix).unlink(missing_ok=True)
        for name, path in temporary:
            name.replace(path)
    write_atomic(index_path(prefix), table_bytes(items))
    write_atomic(prefix.with_name(STATE), state_text(prefix))
    sync_folder(prefix.parent)


def _check(sources: Sequence[TensorSource], shards: int) -> None:
    if not 1 <= shards <= 99_999:
        raise ValueError(f"{shards} data files; expected 1 to 99,999")
    last = None
    for source in sources:
        type_number(source.dtype)
        if not source.name or source.name.startswith("\0") or source.name == last:
            raise ValueError(f"tensor {source.name!r}: no name, or one that comes twice")
        last = source.name


def _shares(sources: Sequence[TensorSource], shards: int) -> Iterator[list[TensorSource]]:
    """Cut the tensors into runs of about the same bytes; a run may be empty."""
    total = sum(source.size for source in sources)
    place, done = 0, 0
    for shard in range(1, shards + 1):
        share = []
        while place < len(sources) and (shard == shards or done * shards < total * shard):
            share.append(sources[place])
            done += sources[place].size
            place += 1
        yield share


@contextlib.contextmanager
def _written(
    path: Path, sources: Sequence[TensorSource], shard: int, items: list[tuple[bytes, bytes]]
) -> Iterator[Path]:
    """Write a data file under a temporary name; yields it, and removes it if it is still there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for source in sources:
                entry = _append(file, source, shard)
                items.append((source.name.encode(), encode_entry(entry)))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        yield temporary
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _append(file: IO[bytes], source: TensorSource, shard: int) -> Entry:
    array = source.make()
    if (array.dtype, array.shape) != (source.dtype, source.shape):
        raise ValueError(
            f"tensor {source.name!r}: {array.dtype} {array.shape}; "
            f"expected {source.dtype} {source.shape}"
        )
    offset, crc = file.tell(), 0
    for piece in _pieces(array):
        crc = crc32c(piece, crc)
        file.write(piece)
    return Entry(type_number(source.dtype), source.shape, shard, offset, source.size, masked(crc))


def _pieces(array: NDArray[Any]) -> Iterator[memoryview]:
    """Yield the bytes of an array in row-major order, some rows at a time."""
    if array.size == 0:
        return
    rows = array if array.ndim else array.reshape(1)
    step = max(1, _PIECE * len(rows) // array.nbytes)
    for place in range(0, len(rows), step):
        piece: Any = np.ascontiguousarray(rows[place : place + step])
        yield memoryview(piece.reshape(-1).view(np.uint8))
