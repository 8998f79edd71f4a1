"""A table of similar words by their pieces: looked up for many words in a few numpy calls.

A word is known by a hash of its pieces; its similar words of the same number of pieces lie one
after the other. Words or similar words with [UNK] in them are left out.

    table = build_table(source.groups(path), tokenizer)
    entries = table.find(ids, begins)      # int64 [W], -1 for a word that has none
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.data.draws import STEP, mix
from hanmo.data.ragged import IntArray, ranges

_AT_ONCE = 50_000


@dataclasses.dataclass(frozen=True, slots=True)
class SimilarWords:
    """E words and their similar ones.

    Attributes:
        hashes: uint64 [E], ascending.
        buckets: int64 [2^k + 1], entries of which hashes begin with the same k bits.
        starts: int64 [E], where in `pieces` an entry's similar words begin.
        counts: int64 [E], number of similar words.
        pieces: int32, similar words one after the other.
        of_length: number of pieces → int64 [W], where in `pieces` a word of that length begins.
    """

    hashes: NDArray[np.uint64]
    buckets: IntArray
    starts: IntArray
    counts: IntArray
    pieces: NDArray[np.int32]
    of_length: dict[int, IntArray]

    def find(self, ids: NDArray[np.int32], begins: IntArray) -> IntArray:
        """Entry of each word, -1 where there is none: int64 [W].

        Args:
            ids: pieces of the words, one word after the other.
            begins: int64 [W], where each begins.
        """
        found = np.full(len(begins), -1, dtype=np.int64)
        if not len(begins):
            return found
        hashes = hash_words(ids, begins)
        bucket = (hashes >> _shift(len(self.buckets) - 1)).astype(np.int64)
        entries, ends = self.buckets[bucket], self.buckets[bucket + 1]
        left = np.flatnonzero(entries < ends)
        while len(left):
            here = entries[left]
            hit = self.hashes[here] == hashes[left]
            found[left[hit]] = here[hit]
            entries[left] += 1
            left = left[~hit & (here + 1 < ends[left])]
        return found


def hash_words(ids: NDArray[np.int32], begins: IntArray) -> NDArray[np.uint64]:
    """Hash words given by their pieces: uint64 [W]."""
    within = ranges(np.diff(begins, append=len(ids))).astype(np.uint64)
    mixed = mix((within + np.uint64(1)) * STEP + ids.astype(np.uint64))
    return np.add.reduceat(mixed, begins)


def _buckets(hashes: NDArray[np.uint64]) -> IntArray:
    """Bounds of so many buckets of ascending hashes that few hold two: 4 times as many."""
    n = 1 << max(1, (4 * len(hashes)).bit_length())
    return np.searchsorted(hashes >> _shift(n), np.arange(n + 1, dtype=np.uint64))


def _shift(n_buckets: int) -> np.uint64:
    return np.uint64(65 - n_buckets.bit_length())


def build_table(groups: Iterable[tuple[str, list[str]]], tokenizer: Any) -> SimilarWords:
    """Put together what a source yields.

    Args:
        groups: (word, similar words, best first).
        tokenizer: a `hanmo.text.tokenizer.Tokenizer`.
    """
    similar: dict[str, dict[str, None]] = {}  # dict as an ordered set
    for word, near in groups:
        similar.setdefault(word, {}).update(dict.fromkeys(near))
    names = list(dict.fromkeys([*similar, *(o for others in similar.values() for o in others)]))
    pieces: dict[str, tuple[int, ...]] = {}
    for begin in range(0, len(names), _AT_ONCE):
        some = names[begin : begin + _AT_ONCE]
        for name, encoding in zip(some, tokenizer.encode_batch(some), strict=True):
            ids = tuple(encoding.ids.tolist())
            if ids and tokenizer.unk_id not in ids:
                pieces[name] = ids
    # By pieces, since several words may be the same for the model.
    table: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
    for word, others in similar.items():
        own = pieces.get(word)
        if own is None:
            continue
        found = (pieces[other] for other in others if other in pieces)
        fits = [ids for ids in found if len(ids) == len(own) and ids != own]
        if fits:
            table.setdefault(own, {}).update(dict.fromkeys(fits))
    return _flat(table, list(dict.fromkeys(pieces.values())))


def _flat(
    table: dict[tuple[int, ...], dict[tuple[int, ...], None]], words: list[tuple[int, ...]]
) -> SimilarWords:
    keys = list(table)
    lengths = np.array([len(key) for key in keys], dtype=np.int64)
    flat = np.array([i for key in keys for i in key], dtype=np.int32)
    begins = np.cumsum(lengths) - lengths
    hashes = hash_words(flat, begins) if keys else np.zeros(0, dtype=np.uint64)
    counts = np.array([len(table[key]) for key in keys], dtype=np.int64)
    sizes = counts * lengths
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(hashes, kind="stable")
    similar = [i for key in keys for other in table[key] for i in other]
    # Every word of the source may stand in at random; they lie behind the similar ones.
    places: dict[int, list[int]] = {}
    end = len(similar)
    for word in words:
        places.setdefault(len(word), []).append(end)
        end += len(word)
    everything = np.array([*similar, *(i for word in words for i in word)], dtype=np.int32)
    of_length = {n: np.array(begin, dtype=np.int64) for n, begin in places.items()}
    hashes = hashes[order]
    return SimilarWords(
        hashes, _buckets(hashes), starts[order], counts[order], everything, of_length
    )
