"""Read `.zst` files frame by frame, refusing a truncated one.

The zstandard library's own reader has no `readline` and ends quietly where a file was cut short;
this one is a raw stream for `io.BufferedReader` that raises EOFError there.
"""

import io
from pathlib import Path
from typing import Any

_CHUNK = 1 << 18


class ZstdReader(io.RawIOBase):
    """Raw stream of the decompressed bytes of a file of one or more frames."""

    def __init__(self, path: Path) -> None:
        import zstandard

        super().__init__()
        self._file = path.open("rb")
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end of the last frame.

        Raises:
            EOFError: the file ends within a frame.
        """
        while not self._output:
            if not self._advance():
                return 0
        n = min(len(buffer), len(self._output))
        buffer[:n] = self._output[:n]
        self._output = self._output[n:]
        return n

    def _advance(self) -> bool:
        """Decompress some more into `_output`; False at the proper end."""
        self._input = self._input or self._file.read(_CHUNK)
        if not self._input:
            if self._frame is not None:
                raise EOFError("it ends within a frame")
            return False
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        self._output = memoryview(self._frame.decompress(self._input))
        self._input = b""
        if self._frame.eof:
            self._input, self._frame = self._frame.unused_data, None
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
