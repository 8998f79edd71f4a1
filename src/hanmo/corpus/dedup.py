"""Find duplicates among any number of documents: equal hashes, and what follows from them.

In: hashes in input order, such as the 128-bit BLAKE2b hash of each text without its white space.
Out: for each document the number of the first one that counts as the same. Two different texts
among 10⁹ share such a hash with a probability below 10⁻²⁰.

    hashes = as_hashes(text_digest("中文") + text_digest("中 文"))
    first_equal(hashes)    # [0, 0]
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]  # [N, K]: K numbers stand for a text

_SLICES = 64  # divides 256


def text_digest(text: str) -> bytes:
    """Return the 16 bytes that stand for a text, white space left out."""
    return hashlib.blake2b("".join(text.split()).encode(), digest_size=16).digest()


def as_hashes(digests: bytes | bytearray) -> Hashes:
    """View digests of 16 bytes, one after the other, as hashes [N, 2]."""
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def first_equal(hashes: Hashes) -> NDArray[np.int64]:
    """Return for each row the number of the first row that is equal to it: often its own.

    The work goes through slices of the hash space, so that sorting needs 1/64 of the memory
    besides the hashes themselves.

    Args:
        hashes: uint64 [N, K], in input order.

    Returns:
        int64 [N].
    """
    first = np.arange(len(hashes), dtype=np.int64)
    # Cut to a byte first: a remainder of whole numbers would be as large as the answer.
    slice_of = hashes[:, 0].astype(np.uint8) % np.uint8(_SLICES)
    for number in range(_SLICES):
        places = np.flatnonzero(slice_of == number)
        if len(places) > 1:
            order, opens = grouped(hashes[places])
            # The sort is stable: the first in input order leads its group.
            leaders = order[opens][np.cumsum(opens) - 1]
            first[places[order]] = places[leaders]
    return first


def grouped(rows: Hashes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sort rows, those that are equal in input order, and mark where each group of them begins.

    Args:
        rows: uint64 [N, K], N > 0.

    Returns:
        The order [N] and, in that order, whether a row differs from the one before [N].
    """
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    differs = np.any(ordered[1:] != ordered[:-1], axis=1)
    return order, np.concatenate([[True], differs])


def united(first: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join groups of documents by pairs that count as the same.

    Args:
        first: int64 [N], each document's first equal one; its own number for the first.
        pairs: int64 [E, 2], any two documents.

    Returns:
        int64 [N]: the smallest number of each document's group.
    """
    root = first.copy()
    while len(pairs):
        ends = root[pairs]
        low, high = ends.min(axis=1), ends.max(axis=1)
        apart = low != high
        pairs, low, high = pairs[apart], low[apart], high[apart]
        np.minimum.at(root, high, low)
        # Let every document point at the end of its chain.
        while np.any((shorter := root[root]) != root):
            root = shorter
    return root
