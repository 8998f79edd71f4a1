r"""Read `.xz` and `.bz2` files stream by stream, refusing what is no stream behind the first.

Python's own readers take a damaged header of a later stream for rubbish at the file's end and stop
there without a word; files packed in parallel, and dumps, have many streams.

    io.BufferedReader(StreamReader(path.open("rb"), lzma.LZMADecompressor, b"\0"))
"""

import io
from collections.abc import Callable
from typing import IO, Any

_CHUNK = 1 << 18


class StreamReader(io.RawIOBase):
    """Raw stream of the decompressed bytes of a file of one or more streams.

    Args:
        file: the packed file; it is closed with this one.
        decompressor: makes what unpacks one stream, as `lzma` and `bz2` have it.
        padding: bytes that may stand between streams.
    """

    def __init__(
        self, file: IO[bytes], decompressor: Callable[[], Any], padding: bytes = b""
    ) -> None:
        super().__init__()
        self._file = file
        self._make = decompressor
        self._padding = padding
        self._stream = decompressor()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the beginning of a buffer; 0 at the end of the last stream.

        Raises:
            EOFError: the file ends within a stream.
            LZMAError, OSError: what the codec raises for damage.
        """
        while True:
            packed = b""
            if self._stream.eof:
                packed = self._next_stream()
                if not packed:
                    return 0
                self._stream = self._make()
            elif self._stream.needs_input:
                packed = self._file.read(_CHUNK)
                if not packed:
                    raise EOFError("it ends within a stream")
            piece = self._stream.decompress(packed, len(buffer))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)

    def _next_stream(self) -> bytes:
        """Return the beginning of the next stream; nothing at the end of the file."""
        packed: bytes = self._stream.unused_data
        while not (packed := packed.lstrip(self._padding) if self._padding else packed):
            packed = self._file.read(_CHUNK)
            if not packed:
                return b""
        return packed

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
