"""Find exact duplicates among any number of documents with 16 bytes for each.

In: the 128-bit BLAKE2b hash of each text without its white space. Out: a mask that keeps the first
document of every text in input order. Two different texts among 10⁹ share a hash with a
probability below 10⁻²⁰. Near duplicates (MinHash) are left to datatrove.

    keep = first_of_each(as_hashes(text_digest("中文") + text_digest("中 文")))    # [True, False]
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]  # [N, 2]

_SLICES = 64


def text_digest(text: str) -> bytes:
    """Return the 16 bytes that stand for a text, white space left out."""
    return hashlib.blake2b("".join(text.split()).encode(), digest_size=16).digest()


def as_hashes(digests: bytes | bytearray) -> Hashes:
    """View digests, one after the other, as hashes [N, 2]."""
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def first_of_each(hashes: Hashes) -> NDArray[np.bool_]:
    """Mark the first of every group of equal hashes.

    The work goes through slices of the hash space, so that sorting needs 1/64 of the memory
    besides the hashes themselves.

    Args:
        hashes: uint64 [N, 2], in input order.

    Returns:
        bool [N].
    """
    keep = np.zeros(len(hashes), dtype=np.bool_)
    slice_of = (hashes[:, 0] % np.uint64(_SLICES)).astype(np.uint8)
    for number in range(_SLICES):
        places = np.flatnonzero(slice_of == number)
        if len(places) == 0:
            continue
        part = hashes[places]
        order = np.lexsort((part[:, 1], part[:, 0]))  # stable: the first in input order leads
        ordered = part[order]
        differs = np.any(ordered[1:] != ordered[:-1], axis=1)
        keep[places[order]] = np.concatenate([[True], differs])
    return keep
