"""Near duplicates by MinHash: documents whose texts share most of their character n-grams.

The signature is datatrove's (Broder 1997; parameters, bands and the permutations of
`MinhashDedupSignature`): for each of `buckets` bands the least values of some hash functions over
the n-grams of a text. Two documents are candidates, and count as the same, when they agree in a
whole band: with b bands of r hashes two texts of Jaccard similarity s do so with the probability
1 - (1 - s^r)^b. `rows_for` chooses r so that this rises steeply at the similarity asked for.

Ours are the n-grams, of characters where datatrove has words (its Chinese words need jieba, and
each n-gram a Python call), and the matching, in numpy: datatrove opens the files of all tasks at
once and keeps a dictionary of all pairs.

    bands("黄河是中国第二长河，发源于青藏高原。", NearOptions(similarity=0.8))    # uint64 [14]
"""

import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.files import replacing
from hanmo.core.remote import fetched
from hanmo.corpus.dedup import first_equal

NO_BAND = np.uint64(2**64 - 1)  # of a text that is shorter than an n-gram: like no other
_CHUNK = 2048  # n-grams at a time: a long document needs no more memory than a short one
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SEED = 1
_BLOCK = 1 << 16  # documents whose bands are held


@dataclass(frozen=True, slots=True, kw_only=True)
class NearOptions:
    """What counts as nearly the same.

    Attributes:
        similarity: Jaccard similarity of the n-grams at which documents begin to count as the
            same; 0 looks for none.
        ngram: Characters of an n-gram.
        buckets: Bands of the signature: more make the edge at `similarity` sharper.
    """

    similarity: float = 0.0
    ngram: int = 5
    buckets: int = 14


def rows_for(options: NearOptions) -> int:
    """Return the hashes of a band: the r with (1 / b)^(1 / r) nearest to the similarity."""
    return max(1, round(math.log(1 / options.buckets) / math.log(options.similarity)))


def bands(text: str, options: NearOptions) -> NDArray[np.uint64]:
    """Return a number for each band of a text's signature: uint64 [buckets].

    The text is compared without its white space, punctuation and case.
    """
    grams = shingles(text, options.ngram)
    if len(grams) == 0:
        return np.full(options.buckets, NO_BAND)
    signature = minimum_hashes(grams, options)
    packed = (
        hashlib.blake2b(np.asarray(band, dtype="<u8").tobytes(), digest_size=8).digest()
        for band in signature
    )
    return np.frombuffer(b"".join(packed), dtype="<u8")


def minimum_hashes(grams: NDArray[np.uint64], options: NearOptions) -> NDArray[np.uint64]:
    """Return datatrove's signature of n-gram hashes [N, 1], as uint64 [buckets, rows]."""
    signer = _signer(options)
    parts = [
        np.array(signer.get_signature(grams[start : start + _CHUNK]), dtype=np.uint64)
        for start in range(0, len(grams), _CHUNK)
    ]
    return np.minimum.reduce(parts)


def shingles(text: str, ngram: int) -> NDArray[np.uint64]:
    """Hash the n-grams of a text's letters, Chinese characters and digits: uint64 [N, 1]."""
    letters = "".join(filter(str.isalnum, text.lower()))
    codes = np.frombuffer(letters.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    n = len(codes) - ngram + 1
    if n < 1:
        return np.empty((0, 1), dtype=np.uint64)
    grams = np.zeros(n, dtype=np.uint64)
    for place in range(ngram):
        grams = grams * _MULTIPLIER + codes[place : place + n]
    return _mixed(np.unique(grams)).reshape(-1, 1)


class BandWriter:
    """Writes the bands of a group's documents, block by block: `000003.bands`.

    A block is uint64 [buckets, n] for `_BLOCK` documents, or the rest, so that one band is read
    alone and only a block is held in memory.
    """

    def __init__(self, folder: Path, group: int, options: NearOptions) -> None:
        self._options = options
        self._rows: list[NDArray[np.uint64]] = []
        self._finish = ExitStack()
        path = self._finish.enter_context(replacing(_bands_path(folder, group)))
        self._stream = self._finish.enter_context(path.open("wb"))

    def add(self, text: str) -> None:
        """Add a document."""
        self._rows.append(bands(text, self._options))
        if len(self._rows) == _BLOCK:
            self._write()

    def _write(self) -> None:
        self._stream.write(np.ascontiguousarray(np.array(self._rows, dtype="<u8").T).tobytes())
        self._rows = []

    def __enter__(self) -> "BandWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None and self._rows:
            self._write()
        self._finish.__exit__(*error)


def read_band(folder: Path, group: int, band: int, buckets: int) -> NDArray[np.uint64]:
    """Return one band of the documents of a group: uint64 [N]."""
    path = fetched(_bands_path(folder, group))
    n = path.stat().st_size // (8 * buckets)
    found = np.empty(n, dtype="<u8")
    with path.open("rb") as stream:
        for first in range(0, n, _BLOCK):
            size = min(_BLOCK, n - first)
            stream.seek(8 * (first * buckets + band * size))
            found[first : first + size] = np.frombuffer(stream.read(8 * size), dtype="<u8")
    return found


def _bands_path(folder: Path, group: int) -> Path:
    return folder / f"{group:06d}.bands"


def matches(columns: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """Pair the documents that agree in one band.

    Args:
        columns: That band of each group of documents, in input order: uint64 [N].

    Returns:
        int64 [E, 2]: a document and the first one that agrees with it.
    """
    column = np.concatenate(columns).reshape(-1, 1)
    first = first_equal(column)
    places = np.flatnonzero((first != np.arange(len(first))) & (column[:, 0] != NO_BAND))
    return np.stack([places, first[places]], axis=1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each value (the finaliser of SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=4)
def _signer(options: NearOptions) -> Any:
    """Return a step of datatrove that computes signatures, made without its word tokenizer."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    rows = rows_for(options)
    signer = MinhashDedupSignature.__new__(MinhashDedupSignature)
    # Its constructor also makes a folder and loads a tokenizer; these are what signatures need.
    signer.config = MinhashConfig(
        num_buckets=options.buckets,
        hashes_per_bucket=rows,
        seed=_SEED,
        hash_config=HashConfig(precision=64, hash_fc="sha1"),
    )
    signer.num_hashes = options.buckets * rows
    signer._parameters = None
    return signer
