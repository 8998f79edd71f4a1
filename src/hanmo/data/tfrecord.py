"""TFRecord files: records one after another, each with its length and two checksums.

    uint64  length n, little-endian        uint32  masked CRC-32C of these eight bytes
    n bytes of data                        uint32  masked CRC-32C of the data

In and out: the bytes of records; what they mean is in `example.py`. `.gz`, `.xz`, `.bz2` and
`.zst` are opened by suffix. A length is believed when its checksum is right, and even then nothing
is set aside for it: the data is read as far as the file goes. Source: TensorFlow's
core/lib/io/record_writer.h.

    for record in read_records(Path("pretrain_data.tfrecord-00000-of-00010")): ...
    write_records(Path("out.tfrecord"), [b"first", b"second"])
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hanmo.core.crc import crc32c, masked
from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, is_damage, open_bytes, replacing

LONGEST = 1 << 28  # bytes of one record; those of pre-training have some thousands
_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
_POINTER = b"version https://git-lfs"
# What other files begin with, and what is to be done with them.
_STRANGERS = (
    (
        _POINTER,
        "a Git LFS pointer: the file's address, not the file itself; fetch it with: git lfs pull",
    ),
    (b"\x1f\x8b", "gzip data; name it .gz, and it is unpacked as it is read"),
    (b"\xfd7zXZ\x00", "xz data; name it .xz, and it is unpacked as it is read"),
    (b"\x28\xb5\x2f\xfd", "zstandard data; name it .zst, and it is unpacked as it is read"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        number: from 1.
        offset: where its length stands, in bytes of the unpacked file.
        data: its bytes.
    """

    number: int
    offset: int
    data: bytes


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file; one without bytes has none.

    Raises:
        UserError: no such file, not a TFRecord file (a Git LFS pointer is told as one), or one that
            is cut off or changed: names the file, the record and its offset.
    """
    number = offset = 0
    try:
        with open_bytes(path) as stream:
            while head := stream.read(_HEAD.size):
                number += 1
                data = _read_one(stream, head, f"{path}: record {number:,} at offset {offset:,}")
                yield Record(number, offset, data)
                offset += _HEAD.size + len(data) + _FOOT.size
    except _NoRecordError as error:
        strange = number == 1 and error.at_length
        raise UserError(f"{path}: {_stranger(path)}" if strange else str(error)) from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; expected a file") from None
    except Exception as error:
        if not is_damage(error):
            raise
        if not number and _begin(path) == _POINTER:
            raise UserError(f"{path}: {_known(_POINTER)}") from None
        raise UserError(
            f"{path}: damaged archive after record {number:,} ({error}); fetch or pack it again"
        ) from None


class _NoRecordError(Exception):
    """No record stands here; `at_length`: not even a length."""

    def __init__(self, text: str, *, at_length: bool = False) -> None:
        super().__init__(text)
        self.at_length = at_length


def _read_one(stream: IO[bytes], head: bytes, where: str) -> bytes:
    again = "copy or make the file again"
    if len(head) < _HEAD.size:
        raise _NoRecordError(
            f"{where}: cut off after {len(head)} of the {_HEAD.size} bytes of its length; {again}",
            at_length=True,
        )
    length, stored = _HEAD.unpack(head)
    if masked(crc32c(head[:8])) != stored:
        raise _NoRecordError(
            f"{where}: the checksum of its length is wrong: bytes were changed or lost; {again}",
            at_length=True,
        )
    if length > LONGEST:
        raise _NoRecordError(
            f"{where}: states {length:,} bytes; hanmo reads records of up to {LONGEST:,}"
        )
    data = _take(stream, length)
    foot = stream.read(_FOOT.size) if len(data) == length else b""
    if len(foot) < _FOOT.size:
        raise _NoRecordError(
            f"{where}: cut off: states {length:,} bytes and a checksum of {_FOOT.size}; "
            f"{len(data) + len(foot):,} are left; {again}"
        )
    if masked(crc32c(data)) != _FOOT.unpack(foot)[0]:
        raise _NoRecordError(
            f"{where}: the checksum of its {length:,} bytes is wrong: they were changed; {again}"
        )
    return data


def _take(stream: IO[bytes], length: int) -> bytes:
    """Read up to `length` bytes piece by piece: a reader sets aside all that it is asked for."""
    if length <= MEBIBYTE:
        return stream.read(length)
    parts = []
    while length and (part := stream.read(min(length, MEBIBYTE))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _stranger(path: Path) -> str:
    """Say what a file is whose first bytes are no length with its checksum."""
    with open_bytes(path) as stream:
        begin = stream.read(len(_POINTER))
    return _known(begin) or (
        f"not a TFRecord file, or its beginning is damaged: begins with {begin[:12].hex(' ')}, "
        "which is no length with its checksum; expected the output of upstream's "
        "create_pretraining_data.py, or of hanmo encode --to tfrecord"
    )


def _begin(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(_POINTER))


def _known(begin: bytes) -> str:
    found = (what for magic, what in _STRANGERS if begin.startswith(magic))
    return next((f"not a TFRecord file but {what}" for what in found), "")


def framed(data: bytes) -> bytes:
    """Return a record as it stands in a file."""
    length = len(data).to_bytes(8, "little")
    return b"".join(
        [
            _HEAD.pack(len(data), masked(crc32c(length))),
            data,
            _FOOT.pack(masked(crc32c(data))),
        ]
    )


def write_records(path: Path, records: Iterable[bytes]) -> int:
    """Write a file under a temporary name and rename it; packed as its suffix says.

    Returns:
        The number of records.
    """
    n = 0
    with replacing(path) as temporary, open_bytes(temporary, "wb") as stream:
        for data in records:
            stream.write(framed(data))
            n += 1
    return n
