r"""Text files, plain or compressed, with the place of every error; and writes that never tear.

`.gz`, `.bz2`, `.xz` and `.zst` are opened by suffix. Lines end at `\n` only (U+2028, U+0085
and friends are ordinary characters in Chinese text and in BERT's vocabulary: facts/05).

    for number, line in read_lines(Path("wiki.txt.xz")): ...
"""

import bz2
import contextlib
import functools
import gzip
import hashlib
import io
import json
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO, cast

from hanmo.core import remote
from hanmo.core.errors import UserError
from hanmo.core.streams import StreamReader
from hanmo.core.urls import is_remote
from hanmo.core.zstd import ZstdReader

# What unpacks a stream, and what may stand between streams.
_CODECS: dict[str, tuple[Callable[[], Any], bytes]] = {
    ".bz2": (bz2.BZ2Decompressor, b""),
    ".xz": (lzma.LZMADecompressor, b"\0"),
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
MEBIBYTE = 1 << 20
_NAMES = {"cp950": "Big5 (CP950)"}
_BOM = "\ufeff"


class LineTooLongError(UserError):
    """A line over the limit of `read_lines`; the caller knows how the limit is raised."""


class BadEncodingError(UserError):
    """A line that is not in the encoding expected.

    Attributes:
        fact: What is wrong, without the advice.
        line: The bytes of the line.
        number: Its number in the file, from 1.
    """

    def __init__(self, fact: str, advice: str = "", line: bytes = b"", number: int = 0) -> None:
        super().__init__(fact + advice)
        self.fact, self.line, self.number = fact, line, number


def open_bytes(path: Path, mode: str = "rb") -> IO[bytes]:
    """Open a file for bytes, through the codec that its suffix names."""
    if "r" in mode:
        remote.fetched(path)
    if path.suffix == ".zst":
        return _open_zstd(path, mode)
    if path.suffix == ".gz" and "w" in mode:
        # Name and time out of the header: the same text gives the same bytes.
        raw: Any = path.open(mode)
        stream = gzip.GzipFile("", mode, fileobj=raw, mtime=0)
        stream.myfileobj = raw  # to be closed with it
        return cast(IO[bytes], stream)
    if path.suffix in _CODECS and "w" not in mode:
        streams = StreamReader(path.open("rb"), *_CODECS[path.suffix])
        return cast(IO[bytes], io.BufferedReader(streams, buffer_size=MEBIBYTE))
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opened = openers.get(path.suffix, Path.open)(path, mode)
    if path.suffix == ".gz" and "w" not in mode:
        # Its own readline is Python, twice as slow on short lines.
        opened = io.BufferedReader(_Pieces(opened), buffer_size=MEBIBYTE)
    return cast(IO[bytes], opened)


class _Pieces(io.RawIOBase):
    """What a codec gives, piece by piece: an error loses nothing of what came before it."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the beginning of a buffer; 0 at the end."""
        piece = self._stream.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()
        super().close()


def _open_zstd(path: Path, mode: str) -> IO[bytes]:
    if "w" not in mode:
        return cast(IO[bytes], io.BufferedReader(ZstdReader(path)))
    import zstandard

    compressor = zstandard.ZstdCompressor(write_checksum=True)
    return cast(IO[bytes], zstandard.open(path, mode, cctx=compressor))


def open_text(path: Path, mode: str = "r") -> TextIO:
    """Open a UTF-8 text file, plain or compressed; line ends are left as they are."""
    raw = open_bytes(path, mode.replace("t", "") + "b")
    return io.TextIOWrapper(raw, encoding="utf-8", newline="")


def stem(path: Path) -> str:
    """Name of a file without its compression and format suffixes: `wiki.txt.xz` → `wiki`."""
    name = path
    while name.suffix in COMPRESSIONS:
        name = name.with_suffix("")
    return name.stem


def format_suffix(path: Path) -> str:
    """Suffix below the compression: `a.jsonl.zst` → `.jsonl`."""
    return (path.with_suffix("") if path.suffix in COMPRESSIONS else path).suffix


def read_lines(path: Path, *, max_bytes: int = 8 * MEBIBYTE) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line without its `\n` or `\r\n`).

    Args:
        path: a UTF-8 file, plain or compressed; a byte order mark is dropped.
        max_bytes: longest line accepted, in bytes.

    Raises:
        UserError: missing file, truncated archive, or bad UTF-8 (file, line and byte).
        LineTooLongError: a line over `max_bytes`.
    """
    for number, line in scan_lines(path, max_bytes=max_bytes):
        if isinstance(line, UserError):
            raise line
        yield number, line


def scan_lines(
    path: Path, *, max_bytes: int = 8 * MEBIBYTE, encoding: str = "utf-8"
) -> Iterator[tuple[int, str | UserError]]:
    """Yield lines as `read_lines`; for a line that cannot be read, what is wrong with it.

    The line after it comes as usual: the reader decides whether to stop. Too long a line is passed
    over in pieces, whatever its length.

    Args:
        path: a text file, plain or compressed.
        max_bytes: longest line accepted, in bytes.
        encoding: Python's name of an encoding in which byte 0x0A only ends a line.

    Raises:
        UserError: missing file or truncated archive: nothing more can be read.
    """
    number, offset = 0, 0
    try:
        with open_bytes(path) as stream:
            while raw := stream.readline(max_bytes + 2):
                number += 1
                line: str | UserError
                try:
                    line = _decode((path, number, offset), raw, max_bytes, encoding)
                except UserError as error:
                    line = error
                yield number, line
                offset += len(raw)
                if len(raw) >= max_bytes + 2:
                    while raw and not raw.endswith(b"\n"):
                        raw = stream.readline(MEBIBYTE)
                        offset += len(raw)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; expected a file") from None
    except Exception as error:
        if not is_damage(error):
            raise
        raise UserError(
            f"{path}: damaged archive after line {number} ({error}); fetch or pack it again"
        ) from None


def is_damage(error: Exception) -> bool:
    """Say whether a codec could not go on: each of them has an error type of its own."""
    if isinstance(error, OSError):  # bz2's and gzip's; the system's have a number
        return error.errno is None
    # zstandard's own error type is only importable when the library is.
    return (
        isinstance(error, EOFError | lzma.LZMAError | zlib.error)
        or type(error).__name__ == "ZstdError"
    )


def _decode(place: tuple[Path, int, int], raw: bytes, max_bytes: int, encoding: str) -> str:
    path, number, offset = place
    body = raw[:-1] if raw.endswith(b"\n") else raw
    body = body[:-1] if body.endswith(b"\r") else body
    if len(body) > max_bytes:
        raise LineTooLongError(
            f"{path}:{number}: a line of more than {max_bytes:,} bytes (at byte {offset:,}); "
            "expected one sentence, paragraph or record a line; break it up or raise the limit"
        )
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        bad = body[error.start]
        convert = "; convert it first, for example: iconv -f GB18030 -t UTF-8"
        raise BadEncodingError(
            f"{path}:{number}: not {_NAMES.get(encoding, encoding.upper())}: byte 0x{bad:02x} "
            f"at byte {offset + error.start:,} of the file",
            convert if encoding == "utf-8" else "",
            body,
            number,
        ) from None
    return text.removeprefix(_BOM) if number == 1 else text


def json_lines(path: Path, *, max_bytes: int = 64 * MEBIBYTE) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of a JSON-lines file; blank lines are passed over.

    Raises:
        UserError: as `read_lines`, or a line that is not JSON (file:line and column).
    """
    for number, line in read_lines(path, max_bytes=max_bytes):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not JSON: {error.msg} at column {error.colno}"
            ) from None


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a whole file under a temporary name, flush it to disk and rename it into place."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file to write; it is flushed to disk and renamed to `path` at the end.

    Its suffix is that of `path`, so that it is packed alike. After an error it is removed, and what
    stood under `path` is still there. The twin of a URL is written to the store instead.
    """
    if is_remote(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if is_remote(path):
            remote.push(temporary, path)
            temporary.unlink()
            return
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # a full disk does not say where
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def parsed(path: Path) -> Any:
    """Return the value of a JSON file, parsed once as long as the file is the same; not to change.

    Raises:
        OSError, ValueError: as opening and json have them.
    """
    stat = path.stat()
    return _parsed(path, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, stamp: tuple[int, int, int]) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that a person can read (two-space indent, sorted keys, atomic)."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with remote.fetched(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename is only safe once its folder is flushed)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
