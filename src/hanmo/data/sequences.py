"""Plan training sequences for a length, as index ranges into the shards.

In: a `ShardSet`. Out: a `SequencePlan`, a few integers a sequence and nothing else, so that one
set of shards serves every length. Whole sentences of one document are taken while they fit into
`max_length - 2` pieces ([CLS] and [SEP] take two); a longer sentence is cut at a word start.
Every piece is in exactly one sequence. With a question about sentences, sequences are pairs of
segments: see `pairing.py`.

    plan = plan_sequences(shards, max_length=128)
    plan.sequences(np.array([0])).input_ids  # [CLS] … [SEP]

Followed: google-research/bert `create_pretraining_data.py`, with two deviations: documents are
not repeated with other masks (the loader masks anew in each epoch), and the short length is drawn
for each sequence, not for each document.
"""

import contextlib
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hanmo.annotate.tagsets import MISSING
from hanmo.core.errors import UserError, nearest
from hanmo.core.log import Progress
from hanmo.core.seeds import generator
from hanmo.data.documents import Documents
from hanmo.data.pairing import NO_ANSWER, PARTNERS, SHORTEST, Pairs, pairs
from hanmo.data.ragged import Array, Sequences
from hanmo.data.shard_file import let_go
from hanmo.data.shards import ShardSet


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """N sequences of K segments each: K = 1 for "single"; a pairing of sentences has K = 2.

    Attributes:
        shards: where the pieces are.
        max_length: longest sequence, specials included.
        shard: int32 [N, K], the shard of each segment.
        start: int64 [N, K], its first piece in that shard.
        stop: int64 [N, K], one after its last piece; an empty segment is left out.
        answers: int8 [N], about the pair (see `pairing.py`); None without a question.
        swaps: the order of a pair is drawn when it is read, and is the question.
        n_cut: pieces left out because their pair was too long.
    """

    shards: ShardSet
    max_length: int
    shard: NDArray[np.int32]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    answers: NDArray[np.int8] | None = None
    swaps: bool = False
    n_cut: int = 0

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [N], pieces of each sequence, specials included."""
        return sequence_lengths(np.asarray(self.stop - self.start, dtype=np.int64))

    def ranges(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n, K, 3]: shard, start and stop of the sequences `index`."""
        shard = self.shard[index].astype(np.int64)
        return np.stack([shard, self.start[index], self.stop[index]], axis=-1)

    def sequences(self, index: NDArray[np.int64]) -> Sequences:
        """Read sequences: [CLS] segment [SEP], and a further segment [SEP] for each pair."""
        return read_sequences(self.shards, self.ranges(index))


def plan_sequences(
    shards: ShardSet,
    *,
    max_length: int,
    partner: str = "none",
    short_sequence_rate: float = 0.0,
    seed: int = 0,
    scratch: Path | None = None,
) -> SequencePlan:
    """Plan sequences of at most `max_length` pieces; the same arguments give the same plan.

    Args:
        shards: documents to take the sequences from.
        max_length: longest sequence, [CLS] and [SEP] included.
        partner: "none" for single segments; "nsp" or "sop" for pairs.
        short_sequence_rate: share of sequences that stop at a random shorter length (BERT's
            `short_seq_prob`), so that short inputs are seen in training too.
        seed: decides which sequences are short, and the pairs; unused for single ones at rate 0.
        scratch: folder on a disk for the plan, in a file without a name; default: the system's.

    Raises:
        UserError: `max_length` leaves no room, a rate outside 0 … 1, or no such partner.
    """
    if partner not in PARTNERS:
        raise UserError(f"partner: no {partner!r}{nearest(partner, PARTNERS)}")
    least = SHORTEST + (2 if partner == "none" else 4)
    if max_length < least:
        raise UserError(f"max_length: got {max_length}; expected {least} or more")
    if not 0 <= short_sequence_rate <= 1:
        raise UserError(f"short_sequence_rate: got {short_sequence_rate}; expected 0 to 1")
    parts = (
        _plan_shard(
            documents,
            max_length,
            partner,
            short_sequence_rate,
            generator(seed, "short sequences", number),
        )
        for number, documents in enumerate(shards.shards)
    )
    return _joined(shards, max_length, parts, partner, scratch)


def _joined(
    shards: ShardSet, max_length: int, parts: Iterable[Pairs], partner: str, scratch: Path | None
) -> SequencePlan:
    """Write the parts' bounds to an unnamed file and map it: a plan may be larger than memory."""
    width = 1 if partner == "none" else 2
    row = np.dtype(
        [
            ("shard", np.int32, (width,)),
            ("start", np.int64, (width,)),
            ("stop", np.int64, (width,)),
            ("answer", np.int8),
        ]
    )
    n_rows = n_cut = 0
    with (
        _named(scratch),
        tempfile.TemporaryFile(dir=scratch) as file,
        Progress("plan sequences", len(shards.shards), "shards") as bar,
    ):
        for number, part in enumerate(parts):
            let_go(shards.shards[number].ids)
            rows = np.empty(len(part.answers), dtype=row)
            rows["shard"] = number
            rows["start"], rows["stop"], rows["answer"] = part.starts, part.stops, part.answers
            file.write(rows.tobytes())
            n_rows, n_cut = n_rows + len(rows), n_cut + part.n_cut
            bar.advance()
        file.flush()
        table: NDArray[Any] = (
            np.memmap(file, row, "r", shape=(n_rows,)) if n_rows else np.empty(0, dtype=row)
        )
    answers = None if partner == "none" else table["answer"]
    return SequencePlan(
        shards,
        max_length,
        table["shard"],
        table["start"],
        table["stop"],
        answers,
        swaps=partner == "sop",
        n_cut=n_cut,
    )


@contextlib.contextmanager
def _named(scratch: Path | None) -> Iterator[None]:
    """Give errors of a file without a name the folder that it was to lie in."""
    try:
        yield
    except OSError as error:
        folder = error.filename or str(scratch or tempfile.gettempdir())
        raise OSError(error.errno, error.strerror, folder) from None


def _plan_shard(
    documents: Documents, max_length: int, partner: str, rate: float, rng: np.random.Generator
) -> Pairs:
    if partner == "none":
        starts, stops = _single(documents, max_length - 2, rate, rng)
        answers = np.full(len(starts), NO_ANSWER, dtype=np.int8)
        return Pairs(starts[:, None], stops[:, None], answers, 0)
    units = _units(documents, max_length - 3)
    if len(units) == 1:
        nothing = np.zeros((0, 2), dtype=np.int64)
        return Pairs(nothing, nothing, np.zeros(0, dtype=np.int8), 0)
    return pairs(
        documents, units, max_length, partner=partner, short_rate=rate, rng=rng, follow=_chain
    )


def sequence_lengths(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pieces of sequences with [CLS] and [SEP]s, from the sizes of their segments [S, K]."""
    return np.asarray(sizes.sum(axis=1) + (sizes > 0).sum(axis=1) + 1, dtype=np.int64)


def read_sequences(
    shards: ShardSet, segments: NDArray[np.int64], *, layers: Collection[str] | None = None
) -> Sequences:
    """Read S sequences of K segments from the shards, with their specials.

    Args:
        shards: where the pieces are.
        segments: int64 [S, K, 3], shard, start and stop of each; see `SequencePlan.ranges`.
        layers: label layers to read; default: all.
    """
    names = [name for name in shards.legend.layers if layers is None or name in layers]
    sizes = segments[:, :, 2] - segments[:, :, 1]  # [S, K]
    extents = sizes + (sizes > 0)  # with [SEP]; an empty segment has none
    offsets = np.concatenate([[0], np.cumsum(extents.sum(axis=1) + 1)])
    # Each segment goes behind [CLS], the segments before it, and their [SEP]s.
    begins = offsets[:-1, None] + 1 + np.cumsum(extents, axis=1) - extents  # [S, K]
    there = sizes > 0
    numbers = np.broadcast_to(np.arange(sizes.shape[1]), sizes.shape)[there]
    segments, begins, sizes = segments[there], begins[there], sizes[there]  # [T, 3], [T], [T]
    n = int(offsets[-1])
    special_ids = shards.legend.special_ids
    specials = np.concatenate([offsets[:-1], begins + sizes])
    maskable = np.ones(n, dtype=np.bool_)
    maskable[specials] = False
    places = segments.tolist()

    def lay_out(arrays: Sequence[Array], special: Any, dtype: DTypeLike) -> Array:
        """Copy each segment as a whole: an index for each piece takes up to 2.8 times as long."""
        out = np.full(n, special, dtype=dtype)
        if places:
            out[maskable] = np.concatenate([arrays[home][a:b] for home, a, b in places])
        return out

    parts = shards.shards
    input_ids = lay_out([part.ids for part in parts], special_ids["cls"], np.int32)
    input_ids[begins + sizes] = special_ids["sep"]
    word_starts = lay_out([part.word_starts for part in parts], True, np.bool_)
    labels = {
        name: lay_out([part.layers[name] for part in parts], MISSING, np.int8) for name in names
    }
    # A word longer than a whole sequence is cut: its rest is a word of its own.
    word_starts[begins] = True
    # The first segment has [CLS] too.
    token_type_ids = np.repeat(numbers.astype(np.int8), sizes + 1 + (numbers == 0))
    return Sequences(input_ids, word_starts, maskable, token_type_ids, labels, offsets)


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
    bounds = units[_chain(np.minimum(following, ends))]
    return bounds[:-1], bounds[1:]


def _chain(following: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.fromiter(_follow(following), dtype=np.int64)


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
