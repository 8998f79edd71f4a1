"""Chance for many sequences at once, each with a stream of its own.

A corrupted sequence must depend neither on its batch nor on the number of workers, so its numbers
are hashes of (seed, purpose, epoch, index, place) and not a generator's next ones. The hash is the
finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"),
at about 5 ns a number.

    draws = Draws(keys(seed, "corrupt", epochs, indices), sequences.offsets)
    draws.uniform("replace", positions)   # float64 [m] in [0, 1), one for each place
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from hanmo.data.ragged import Array, IntArray

Bits = NDArray[np.uint64]
STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)
_ROUNDS = 6


def keys(seed: int, purpose: str, *indices: Array) -> Bits:
    """Return a key for each tuple of `indices`, arrays of one length: uint64 [S]."""
    mixed = mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64) + _hash(purpose))
    for values in indices:
        mixed = mix(mixed + STEP * (values.astype(np.uint64) + np.uint64(1)))
    return mixed


class Draws:
    """Numbers for the pieces of S sequences, from the key of each.

    A purpose names an independent stream: the same purpose gives the same numbers again.

    Args:
        keys: uint64 [S].
        offsets: int64 [S + 1], where each sequence begins.
    """

    def __init__(self, keys: Bits, offsets: IntArray) -> None:
        self.keys = keys
        self.offsets = offsets
        # Piece i of a sequence has the state key + i · step.
        begins = keys - STEP * offsets[:-1].astype(np.uint64)
        self._states = np.repeat(begins, np.diff(offsets))
        self._states += np.arange(offsets[-1], dtype=np.uint64) * STEP

    @classmethod
    def of(cls, seed: int, offsets: IntArray) -> "Draws":
        """Make draws of sequences 0, 1, 2 … of a seed."""
        return cls(keys(seed, "draws", np.arange(len(offsets) - 1)), offsets)

    @staticmethod
    def once(keys: Bits, purpose: str) -> NDArray[np.float64]:
        """float64 in [0, 1) for each sequence."""
        bits = mix(keys + _hash(purpose))
        return np.asarray((bits >> np.uint64(11)) * 2.0**-53, dtype=np.float64)

    def bits(self, purpose: str, at: IntArray | None = None) -> Bits:
        """uint64 for each piece, or for the pieces `at`."""
        states = self._states if at is None else self._states[at]
        return mix(states + _hash(purpose))

    def uniform(self, purpose: str, at: IntArray | None = None) -> NDArray[np.float64]:
        """float64 in [0, 1) for each piece, or for the pieces `at`."""
        return np.asarray((self.bits(purpose, at) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)

    def integers(self, purpose: str, stop: int | IntArray, at: IntArray | None = None) -> IntArray:
        """int64 in [0, stop), stop < 2^32 (one or one each), for each piece or the pieces `at`."""
        high = self.bits(purpose, at) >> _HALF
        return ((high * np.asarray(stop).astype(np.uint64)) >> _HALF).astype(np.int64)

    def generator(self, index: int) -> np.random.Generator:
        """A generator of sequence `index`, for rules that go through it piece by piece."""
        return np.random.Generator(np.random.Philox(key=int(self.keys[index])))


def shuffled(places: IntArray, n: int, key: np.uint64) -> IntArray:
    """Say which of `n` things stands at each of some places of a shuffled order: int64, as given.

    A permutation that is computed where it is asked for: an order of all sequences of a large
    corpus would be gigabytes. A Feistel network of `_ROUNDS` rounds over the next power of four,
    walked on until the result is below n (Black and Rogaway 2002, "Ciphers with arbitrary finite
    domains").

    Args:
        places: int64, each in [0, n).
        n: number of things.
        key: decides the order.
    """
    half = np.uint64(((n - 1).bit_length() + 1) // 2)
    mask = (np.uint64(1) << half) - np.uint64(1)
    rounds = mix(key + STEP * np.arange(1, _ROUNDS + 1, dtype=np.uint64))
    found = places.astype(np.uint64)
    walking = np.arange(len(found))
    while len(walking):
        here = found[walking]
        left, right = here >> half, here & mask
        for one in rounds:
            left, right = right, left ^ (mix(right + one) & mask)
        found[walking] = left << half | right
        walking = walking[found[walking] >= n]
    return found.astype(np.int64)


def _hash(purpose: str) -> np.uint64:
    return mix(np.array([zlib.crc32(purpose.encode())], dtype=np.uint64))[0]


def mix(x: Bits) -> Bits:
    """Scramble 64 bits each, in place: callers pass an array that is nobody else's."""
    spare = x >> np.uint64(30)
    x ^= spare
    x *= _FIRST
    np.right_shift(x, np.uint64(27), out=spare)
    x ^= spare
    x *= _SECOND
    np.right_shift(x, np.uint64(31), out=spare)
    x ^= spare
    return x
