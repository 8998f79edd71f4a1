"""Plan training sequences for a length, as index ranges into the shards.

In: a `ShardSet`. Out: a `SequencePlan`, a few integers a sequence and nothing else, so that one
set of shards serves every length. Whole sentences of one document are taken while they fit into
`max_length - 2` pieces ([CLS] and [SEP] take two); a longer sentence is cut at a word start.
Every piece is in exactly one sequence (of the "single" pairing).

    plan = plan_sequences(shards, max_length=128)
    plan.sequence(0).input_ids  # [CLS] … [SEP]

Followed: google-research/bert `create_pretraining_data.py`, with two deviations: documents are
not repeated with other masks (the loader masks anew in each epoch), and the short length is drawn
for each sequence, not for each document.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.tagsets import MISSING
from hanmo.core.errors import UserError
from hanmo.core.seeds import generator
from hanmo.data.batches import EncodedSequence
from hanmo.data.documents import Documents
from hanmo.data.shards import ShardSet

__all__ = ["EncodedSequence", "SequencePlan", "build_sequence", "plan_sequences"]

SHORTEST = 2  # shortest target of a short sequence, as in create_pretraining_data.py


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """N sequences of K segments each: K = 1 for "single"; a pairing of sentences has K = 2.

    Attributes:
        shards: where the pieces are.
        max_length: longest sequence, specials included.
        shard: int32 [N, K], the shard of each segment.
        start: int64 [N, K], its first piece in that shard.
        stop: int64 [N, K], one after its last piece.
    """

    shards: ShardSet
    max_length: int
    shard: NDArray[np.int32]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [N], pieces of each sequence, specials included."""
        pieces = np.asarray(self.stop - self.start, dtype=np.int64).sum(axis=1)
        return np.asarray(pieces + self.shard.shape[1] + 1, dtype=np.int64)

    def ranges(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n, K, 3]: shard, start and stop of the sequences `index`."""
        shard = self.shard[index].astype(np.int64)
        return np.stack([shard, self.start[index], self.stop[index]], axis=-1)

    def sequence(self, index: int) -> EncodedSequence:
        """Read one sequence: [CLS] segment [SEP], and a further segment [SEP] for each pair."""
        return build_sequence(self.shards, self.ranges(np.array([index]))[0].tolist())


def plan_sequences(
    shards: ShardSet, *, max_length: int, short_sequence_rate: float = 0.0, seed: int = 0
) -> SequencePlan:
    """Plan sequences of at most `max_length` pieces; the same arguments give the same plan.

    Another pairing (next sentence, sentence order) is another function beside `_single`: from a
    shard to the bounds of its segments, with two columns instead of one.

    Args:
        shards: documents to take the sequences from.
        max_length: longest sequence, [CLS] and [SEP] included.
        short_sequence_rate: share of sequences that stop at a random shorter length (BERT's
            `short_seq_prob`), so that short inputs are seen in training too.
        seed: decides which sequences are short; unused when the rate is 0.

    Raises:
        UserError: `max_length` leaves no room, or a rate outside 0 … 1.
    """
    budget = max_length - 2
    if budget < SHORTEST:
        raise UserError(f"max_length: got {max_length}; expected {SHORTEST + 2} or more")
    if not 0 <= short_sequence_rate <= 1:
        raise UserError(f"short_sequence_rate: got {short_sequence_rate}; expected 0 to 1")
    bounds = [
        _single(
            documents,
            budget,
            short_sequence_rate,
            generator(seed, "short sequences", number),
        )
        for number, documents in enumerate(shards.shards)
    ]
    numbers = np.repeat(
        np.arange(len(bounds), dtype=np.int32), [len(starts) for starts, _ in bounds]
    )
    start = np.concatenate([starts for starts, _ in bounds])
    stop = np.concatenate([stops for _, stops in bounds])
    return SequencePlan(shards, max_length, numbers[:, None], start[:, None], stop[:, None])


def build_sequence(shards: ShardSet, segments: list[list[int]]) -> EncodedSequence:
    """Read segments (shard, start, stop) into one sequence with its specials."""
    n = sum(stop - start for _, start, stop in segments) + len(segments) + 1
    input_ids = np.empty(n, dtype=np.int32)
    word_starts = np.ones(n, dtype=np.bool_)
    maskable = np.ones(n, dtype=np.bool_)
    token_type_ids = np.zeros(n, dtype=np.int8)
    layers = {name: np.full(n, MISSING, dtype=np.int8) for name in shards.legend.layers}
    special_ids = shards.legend.special_ids
    input_ids[0] = special_ids["cls"]
    maskable[0] = False
    begin = 1
    for number, (shard, start, stop) in enumerate(segments):
        part = shards.shards[shard]
        end = begin + stop - start
        input_ids[begin:end] = part.ids[start:stop]
        word_starts[begin:end] = part.word_starts[start:stop]
        # A word longer than a whole sequence is cut: its rest is a word of its own.
        word_starts[begin] = True
        for name, labels in layers.items():
            labels[begin:end] = part.layers[name][start:stop]
        input_ids[end] = special_ids["sep"]
        maskable[end] = False
        if number:
            token_type_ids[begin : end + 1] = number
        begin = end + 1
    return EncodedSequence(input_ids, word_starts, maskable, token_type_ids, layers)


def _single(
    documents: Documents, budget: int, short_rate: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and stops of one shard's sequences: whole sentences while they fit."""
    units = _units(documents, budget)  # [U + 1] piece offsets nothing is cut between
    n_units = len(units) - 1
    limit = np.full(n_units, budget, dtype=np.int64)
    if short_rate > 0:
        short = rng.random(n_units) < short_rate
        limit[short] = rng.integers(SHORTEST, budget + 1, n_units)[short]
    # The sequence that would start at unit u ends before unit following[u]: one search for all.
    following = np.searchsorted(units, units[:-1] + limit, side="right") - 1
    following = np.maximum(following, np.arange(1, n_units + 1))
    document_ends = np.searchsorted(units, documents.piece_offsets[1:])
    ends = document_ends[np.searchsorted(document_ends, np.arange(n_units), side="right")]
    chain = np.fromiter(_follow(np.minimum(following, ends)), dtype=np.int64)
    bounds = units[chain]
    return bounds[:-1], bounds[1:]


def _follow(following: NDArray[np.int64]) -> Iterator[int]:
    """Follow the chain from unit 0; one step a sequence, the only Python loop of the plan."""
    steps: list[int] = following.tolist()
    unit = 0
    while unit < len(steps):
        yield unit
        unit = steps[unit]
    yield unit


def _units(documents: Documents, budget: int) -> NDArray[np.int64]:
    """Sentence offsets, and for a sentence over `budget` the word starts that it is cut at."""
    starts = documents.sentence_starts
    cuts: list[NDArray[np.int64]] = [starts]
    for sentence in np.flatnonzero(np.diff(starts) > budget).tolist():
        begin, end = int(starts[sentence]), int(starts[sentence + 1])
        cuts.append(_cut_sentence(documents.word_starts[begin:end], budget) + begin)
    return np.unique(np.concatenate(cuts))  # unique: an empty sentence is no unit


def _cut_sentence(word_starts: NDArray[np.uint8], budget: int) -> NDArray[np.int64]:
    """Offsets to cut one long sentence at: as far as fits, before a word where there is one."""
    words = np.flatnonzero(word_starts)
    cuts: list[int] = []
    begin = 0
    while len(word_starts) - begin > budget:
        last = int(np.searchsorted(words, begin + budget, side="right")) - 1
        cut = int(words[last]) if last >= 0 else 0
        begin = cut if cut > begin else begin + budget
        cuts.append(begin)
    return np.array(cuts, dtype=np.int64)
