"""Random generators derived from (seed, purpose, indices): no global state anywhere.

A masked sequence must not depend on the batch size, the number of workers or a restart, so each
draws from its own generator: `generator(seed, "corrupt", epoch, index)`.
"""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return the generator of one purpose and place; the same arguments give the same stream.

    Philox is counter-based: independent keys cost about 10 µs and need no warm-up.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, such as "order" or "corrupt".
        indices: whatever singles out the place, such as epoch and sequence number, each ≥ 0; a
            purpose has always the same number of them (none and a single 0 are one stream).
    """
    entropy = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, zlib.crc32(purpose.encode()), *indices]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
