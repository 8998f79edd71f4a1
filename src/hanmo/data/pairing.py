"""Pairs of segments for a question about sentences: next sentence (BERT) or their order (ALBERT).

Followed: google-research/bert `create_pretraining_data.py` and google-research/albert (facts/05).
Whole sentences of a document are taken until a target length is reached; the chunk is cut at a
random sentence into A and B; then

    nsp   with a chance of one half B is instead a run of sentences from a random other document,
          and what the chunk had behind A is taken again; answer 1 = random next
    sop   B follows A; which of the two stands first is drawn when the sequence is read, anew in
          each epoch; answer 1 = swapped

A pair that is too long loses pieces of its longer segment, at the front or the back with equal
chance. Where no pair can be made (a chunk of one sentence, with sop or in a shard of one document)
the sequence is a single segment and has no answer (-1); albert_zh leaves such text out. As for
single sequences, the short length is drawn for each sequence, not for each document.

    pairs(documents, 512, partner="nsp", short_rate=0.1, rng=rng)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanmo.data.documents import Documents
from hanmo.data.ragged import IntArray

PARTNERS = ("none", "nsp", "sop")
SHORTEST = 2  # shortest target of a short sequence, as in create_pretraining_data.py
NO_ANSWER = -1


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of one shard.

    Attributes:
        starts: int64 [n, 2], first pieces of A and B; an empty B begins where A ends.
        stops: int64 [n, 2].
        answers: int8 [n]: 0 or 1, -1 for a single segment.
        n_cut: pieces of the text that are in no pair because their pair was too long.
    """

    starts: IntArray
    stops: IntArray
    answers: NDArray[np.int8]
    n_cut: int


def pairs(
    documents: Documents,
    units: IntArray,
    max_length: int,
    *,
    partner: str,
    short_rate: float,
    rng: np.random.Generator,
    follow: Callable[[IntArray], IntArray],
) -> Pairs:
    """Plan the pairs of one shard.

    Args:
        documents: the shard.
        units: int64 [U + 1], piece offsets of its sentences (long ones cut).
        max_length: longest sequence, [CLS] and two [SEP]s included.
        partner: "nsp" or "sop".
        short_rate: share of sequences with a random shorter target.
        rng: draws everything.
        follow: goes from unit 0 along an array "the sequence after that of unit u begins at", and
            returns the units passed.
    """
    room = max_length - 3
    n = len(units) - 1
    every = np.arange(n)
    document_ends = np.searchsorted(units, documents.piece_offsets[1:])  # [D] in units
    owners = np.searchsorted(document_ends, every, side="right")
    target = np.full(n, room)
    short = rng.random(n) < short_rate
    target[short] = rng.integers(SHORTEST, room + 1, n)[short]
    # A chunk ends with the sentence that reaches the target, or with its document.
    ends = np.searchsorted(units, units[:-1] + target, side="left")
    ends = np.minimum(np.maximum(ends, every + 1), document_ends[owners])
    sizes = ends - every  # sentences
    cuts = every + 1 + (rng.random(n) * np.maximum(sizes - 1, 0)).astype(np.int64)
    cuts = np.minimum(cuts, ends)
    alone = sizes == 1
    random_next = np.zeros(n, dtype=np.bool_)
    if partner == "nsp" and len(document_ends) > 1:
        random_next = alone | (rng.random(n) < 0.5)
    begins = follow(np.where(random_next, cuts, ends))[:-1]
    cuts, ends, target, owners = cuts[begins], ends[begins], target[begins], owners[begins]
    random_next, alone = random_next[begins], alone[begins]
    starts = np.stack([units[begins], units[cuts]], axis=1)
    stops = np.stack([units[cuts], units[ends]], axis=1)
    if random_next.any():
        here = np.flatnonzero(random_next)
        others = _others(owners[here], len(document_ends), rng)
        first = np.concatenate([[0], document_ends])
        n_units = first[others + 1] - first[others]
        start = first[others] + (rng.random(len(here)) * n_units).astype(np.int64)
        wanted = np.maximum(1, target[here] - (stops[here, 0] - starts[here, 0]))
        stop = np.searchsorted(units, units[start] + wanted, side="left")
        stop = np.minimum(np.maximum(stop, start + 1), first[others + 1])
        starts[here, 1], stops[here, 1] = units[start], units[stop]
    before = int((stops - starts)[~random_next].sum() + (stops - starts)[random_next, 0].sum())
    single = alone & ~random_next
    _truncate(starts, stops, np.where(single, room + 1, room), rng)
    after = int((stops - starts)[~random_next].sum() + (stops - starts)[random_next, 0].sum())
    answers = np.where(single, NO_ANSWER, random_next).astype(np.int8)
    return Pairs(starts, stops, answers, before - after)


def _others(owners: IntArray, n_documents: int, rng: np.random.Generator) -> IntArray:
    """Draw for each a document that is not its own."""
    others = rng.integers(0, n_documents - 1, len(owners))
    return others + (others >= owners)


def _truncate(starts: IntArray, stops: IntArray, room: IntArray, rng: np.random.Generator) -> None:
    """Shorten pairs in place to `room` pieces: the longer loses first, at a tie the second."""
    a, b = (stops - starts).T
    excess = np.maximum(a + b - room, 0)
    from_longer = np.minimum(excess, np.abs(a - b))
    rest = excess - from_longer
    lost = np.stack(
        [
            np.where(a > b, from_longer, 0) + rest // 2,
            np.where(a > b, 0, from_longer) + (rest + 1) // 2,
        ],
        axis=1,
    )
    front = rng.binomial(lost, 0.5)
    starts += front
    stops -= lost - front
