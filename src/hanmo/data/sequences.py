"""Plan training sequences for a length, as index ranges into the shards.

In: a `ShardSet`. Out: a `SequencePlan`, a few integers a sequence and nothing else, so that one
set of shards serves every length. Whole sentences of one document are taken while they fit into
`max_length - 2` pieces ([CLS] and [SEP] take two); a longer sentence is cut at a word start.
Every piece is in exactly one sequence (of the "single" pairing).

    plan = plan_sequences(shards, max_length=128)
    plan.sequences(np.array([0])).input_ids  # [CLS] … [SEP]

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
from hanmo.data.documents import Documents
from hanmo.data.ragged import Sequences, ranges
from hanmo.data.shards import ShardSet

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

    def sequences(self, index: NDArray[np.int64]) -> Sequences:
        """Read sequences: [CLS] segment [SEP], and a further segment [SEP] for each pair."""
        return read_sequences(self.shards, self.ranges(index))


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


def read_sequences(shards: ShardSet, segments: NDArray[np.int64]) -> Sequences:
    """Read S sequences of K segments from the shards, with their specials.

    Args:
        shards: where the pieces are.
        segments: int64 [S, K, 3], shard, start and stop of each; see `SequencePlan.ranges`.
    """
    n_segments = segments.shape[1]
    sizes = segments[:, :, 2] - segments[:, :, 1]  # [S, K]
    offsets = np.concatenate([[0], np.cumsum(sizes.sum(axis=1) + n_segments + 1)])
    # Each segment goes behind [CLS], the segments before it, and their [SEP]s.
    before = np.cumsum(sizes + 1, axis=1) - sizes
    begins = (offsets[:-1, None] + before).reshape(-1)  # [S · K]
    sizes = sizes.reshape(-1)
    n = int(offsets[-1])
    special_ids = shards.legend.special_ids
    specials = np.concatenate([offsets[:-1], begins + sizes])
    input_ids = np.empty(n, dtype=np.int32)
    input_ids[offsets[:-1]] = special_ids["cls"]
    input_ids[begins + sizes] = special_ids["sep"]
    maskable = np.ones(n, dtype=np.bool_)
    maskable[specials] = False
    word_starts = np.empty(n, dtype=np.bool_)
    word_starts[specials] = True
    layers = {name: np.full(n, MISSING, dtype=np.int8) for name in shards.legend.layers}
    homes = segments[:, :, 0].reshape(-1)
    starts = segments[:, :, 1].reshape(-1)
    for number in np.unique(homes).tolist():
        part, here = shards.shards[number], homes == number
        within = ranges(sizes[here])
        source = within + np.repeat(starts[here], sizes[here])
        goal = within + np.repeat(begins[here], sizes[here])
        input_ids[goal] = part.ids[source]
        word_starts[goal] = part.word_starts[source]
        for name, labels in layers.items():
            labels[goal] = part.layers[name][source]
    # A word longer than a whole sequence is cut: its rest is a word of its own.
    word_starts[begins[sizes > 0]] = True
    token_type_ids = np.zeros(n, dtype=np.int8)
    if n_segments > 1:
        numbers = np.tile(np.arange(n_segments), len(segments))
        extents = sizes + 1 + (numbers == 0)  # the first has [CLS] too
        token_type_ids[:] = np.repeat(numbers, extents)
    return Sequences(input_ids, word_starts, maskable, token_type_ids, layers, offsets)


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
