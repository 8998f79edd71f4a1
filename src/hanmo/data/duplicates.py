"""Documents that are there several times: kept once, with what each of the copies knows.

Static masking writes the same text several times, masked elsewhere each time (BERT's
`dupe_factor`). Labels and word continuations are known at masked places alone, so the copies
together know most of them.

    for documents in without_duplicates([first, second], keys): ...
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hanmo.data.documents import Documents
from hanmo.data.ragged import Array, IntArray, ranges


def firsts(keys: NDArray[np.void]) -> IntArray:
    """Return for each key the place of the first one that equals it: int64 [D].

    Args:
        keys: structured with the fields "high" and "low".
    """
    order = np.lexsort((keys["low"], keys["high"]))  # stable: equal ones stay in their order
    ordered = keys[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    found = np.empty(len(keys), dtype=np.int64)
    found[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return found


def without_duplicates(
    parts: Sequence[Documents], keys: Sequence[NDArray[np.void]]
) -> Iterator[Documents]:
    """Yield each part without the documents that an earlier place has.

    Of copies the first one stays. A piece of it begins a word where none of the copies says that
    it continues one, and has the label that any of them has.

    Args:
        parts: documents.
        keys: for each part, one key a document; equal ones have the same pieces and sentences.
    """
    bounds = np.cumsum([0, *map(len, keys)])
    every = np.concatenate(keys)
    first = firsts(every)
    again = np.flatnonzero(first != np.arange(len(first)))
    homes = np.searchsorted(bounds[1:], first[again], side="right")  # part of the one that stays
    again, homes = again[np.argsort(homes, kind="stable")], np.sort(homes)
    for number, part in enumerate(parts):
        mine = again[slice(*np.searchsorted(homes, [number, number + 1]))]
        whole = part
        if len(mine):
            whole = _enriched(part, parts, mine, first[mine] - bounds[number], bounds)
        kept = first[bounds[number] : bounds[number + 1]]
        yield whole.chosen(kept == np.arange(bounds[number], bounds[number + 1]))


def _enriched(
    part: Documents,
    parts: Sequence[Documents],
    copies: IntArray,
    targets: IntArray,
    bounds: IntArray,
) -> Documents:
    """Add to documents `targets` of a part what their copies know, documents of all parts."""
    word_starts = part.word_starts.copy()
    layers = {name: labels.copy() for name, labels in part.layers.items()}
    numbers = np.searchsorted(bounds[1:], copies, side="right")
    for number in np.unique(numbers):
        here, other = numbers == number, parts[number]
        lengths = np.diff(other.piece_offsets)[copies[here] - bounds[number]]
        source = _pieces(other, copies[here] - bounds[number], lengths)
        target = _pieces(part, targets[here], lengths)
        np.minimum.at(word_starts, target, other.word_starts[source])
        for name, labels in layers.items():
            np.maximum.at(labels, target, other.layers[name][source])
    return Documents(part.ids, word_starts, part.sentence_starts, part.document_starts, layers)


def _pieces(documents: Documents, which: IntArray, lengths: IntArray) -> Array:
    """Places of all pieces of some documents, one document after the other."""
    return np.repeat(documents.piece_offsets[which], lengths) + ranges(lengths)
