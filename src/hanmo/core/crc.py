"""CRC-32C as TensorFlow's files have it: Castagnoli's polynomial, and "masked" where it is stored.

A checksum of data that holds checksums is weak, so LevelDB, TFRecord and the tensor bundle store it
rotated and shifted. Source: LevelDB's doc/log_format.md and util/crc32c.h.

    masked(crc32c(b"123456789"))
"""

import google_crc32c

_DELTA = 0xA282EAD8
_BITS = (1 << 32) - 1
_CHUNK = 1 << 22  # a mapped file is read piece by piece, so that it need not be copied as a whole


def crc32c(data: bytes | memoryview, start: int = 0) -> int:
    """Return the CRC-32C of `data`, going on from the checksum `start` of what came before."""
    view = memoryview(data).cast("B")
    crc = start
    for place in range(0, len(view), _CHUNK):
        crc = google_crc32c.extend(crc, bytes(view[place : place + _CHUNK]))
    return crc


def masked(crc: int) -> int:
    """Turn a checksum into what is stored."""
    return ((crc >> 15 | crc << 17 & _BITS) + _DELTA) & _BITS


def unmasked(stored: int) -> int:
    """Turn what is stored into the checksum."""
    rotated = (stored - _DELTA) & _BITS
    return (rotated >> 17 | rotated << 15) & _BITS
