"""The records that the original pre-training scripts read: which features, and how they are filled.

In: `Corrupted` sequences. Out: the bytes of one tf.train.Example a sequence (L = longest sequence,
P = most predictions; int64 unless it says otherwise):

    input_ids, input_mask, segment_ids     [L]   all formats; 0 behind the sequence
    masked_lm_positions, masked_lm_ids     [P]   bert, lert; 0 behind the chosen places
    masked_lm_weights            float32   [P]   1 at chosen places, 0 behind them
    next_sentence_labels                   [1]   bert
    pos_labels, ner_labels, dep_labels     [P]   lert; of the same places

bert is google-research/bert's run_pretraining.py (and ALBERT's), lert ymcui/LERT's, electra
Chinese-ELECTRA's, which masks by itself. Sources: facts/01, 04, 05.

    corruptor = Limited(objective, layers=FORMATS["lert"].layers, most=75)
    examples(corrupted, FORMATS["lert"], max_length=512, most=75, pad_id=0)
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hanmo.data.draws import Draws
from hanmo.data.example import float_feature, int64_features, write_example
from hanmo.data.ragged import Array, Corrupted, IntArray, Sequences, ranges

PIECES = "pieces"  # the target of an objective that predicts pieces
INPUTS = ("input_ids", "input_mask", "segment_ids")
MASKED = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
ANSWER = "next_sentence_labels"
LABELS = "_labels"  # layer pos → feature pos_labels


@dataclass(frozen=True, slots=True)
class Format:
    """What the records of one script hold.

    Attributes:
        masked: chosen places and their pieces; else the script chooses by itself.
        layers: label layers at the chosen places.
        answers: next_sentence_labels.
        partner: the question about two segments that upstream asks: none, nsp, sop.
        short_sequence_rate: upstream's share of sequences with a random shorter length.
        dupe_factor: upstream's number of passes over the text.
    """

    masked: bool
    layers: tuple[str, ...]
    answers: bool
    partner: str
    short_sequence_rate: float
    dupe_factor: int

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets that an objective must give."""
        return (PIECES, *self.layers) if self.masked else ()


# LERT's number of passes is not published: 5 is what its sister BERT-wwm had (facts/02).
FORMATS = {
    "bert": Format(True, (), True, "nsp", 0.1, 10),
    "lert": Format(True, ("pos", "ner", "dep"), False, "none", 0.0, 5),
    "electra": Format(False, (), False, "none", 0.05, 1),
}


class Corruptor(Protocol):
    """The half of an objective that is needed here."""

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        """Corrupt sequences."""
        ...


class Limited:
    """An objective whose choice fits into records.

    Pieces without a label in one of `layers` are never chosen: upstream has one weight for the
    piece and its labels, and no id for "unknown". Where more than `most` places of a sequence are
    chosen, whole words of them, drawn at random, are as they were again.

    Attributes:
        layers: label layers that are read.
        counts: unlabelled_pieces, over_budget_positions; added up.
    """

    def __init__(self, objective: Corruptor, *, layers: tuple[str, ...], most: int) -> None:
        self.layers = tuple(dict.fromkeys([*getattr(objective, "layers", ()), *layers]))
        self.counts: Counter[str] = Counter(over_budget_positions=0)
        self._objective, self._needed, self._most = objective, layers, most

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        """Corrupt sequences; positions are ascending."""
        if self._needed:
            labelled = np.all([sequences.layers[name] >= 0 for name in self._needed], axis=0)
            self.counts["unlabelled_pieces"] += int((sequences.maskable & ~labelled).sum())
            sequences = replace(sequences, maskable=sequences.maskable & labelled)
        corrupted = _ascending(self._objective.corrupt(sequences, draws))
        over = over_budget(corrupted.positions, sequences, draws, self._most)
        if not over.any():
            return corrupted
        self.counts["over_budget_positions"] += int(over.sum())
        ids = corrupted.inputs["input_ids"].copy()
        back = corrupted.positions[over]
        ids[back] = sequences.input_ids[back]
        return _chosen(
            replace(corrupted, inputs={**corrupted.inputs, "input_ids": ids}), np.flatnonzero(~over)
        )


class Unchanged:
    """The objective of records that are masked elsewhere: nothing is changed or predicted."""

    layers: tuple[str, ...] = ()

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        """Return the sequences as they are."""
        nowhere = np.zeros(0, dtype=np.int64)
        return Corrupted({"input_ids": sequences.input_ids}, nowhere, {}, sequences.offsets)


def over_budget(
    positions: IntArray, sequences: Sequences, draws: Draws, most: int
) -> NDArray[np.bool_]:
    """Say which chosen positions are too many: of whole words, drawn at random.

    Args:
        positions: int64 [M], ascending.
        sequences: N pieces; their words are what is given up as a whole.
        draws: the order in which words are given up.
        most: positions of a sequence.

    Returns:
        bool [M].
    """
    owners = np.searchsorted(sequences.offsets, positions, side="right") - 1
    excess = np.bincount(owners, minlength=len(sequences)) - most
    over = np.zeros(len(positions), dtype=np.bool_)
    here = np.flatnonzero(excess[owners] > 0)
    if not len(here):
        return over
    words = np.cumsum(sequences.word_starts | ~sequences.maskable)[positions[here]]
    first = np.flatnonzero(np.diff(words, prepend=-1))  # [G] of the words, among `here`
    sizes = np.diff(np.append(first, len(here)))
    mine = owners[here[first]]
    order = np.lexsort((draws.bits("over budget", positions[here[first]]), mine))
    before = np.cumsum(sizes[order]) - sizes[order]
    new = np.flatnonzero(np.diff(mine[order], prepend=-1))  # first word of each sequence
    before -= np.repeat(before[new], np.diff(np.append(new, len(order))))
    given_up = order[before < excess[mine[order]]]
    over[here[np.repeat(first[given_up], sizes[given_up]) + ranges(sizes[given_up])]] = True
    return over


def _ascending(corrupted: Corrupted) -> Corrupted:
    positions = corrupted.positions
    if (positions[1:] >= positions[:-1]).all():
        return corrupted
    return _chosen(corrupted, np.argsort(positions, kind="stable"))


def _chosen(corrupted: Corrupted, which: IntArray) -> Corrupted:
    """Keep the positions `which`, in that order."""
    targets = {name: values[which] for name, values in corrupted.targets.items()}
    return replace(corrupted, positions=corrupted.positions[which], targets=targets)


def examples(
    corrupted: Corrupted, format: Format, *, max_length: int, most: int, pad_id: int
) -> list[bytes]:
    """Write each sequence as a tf.train.Example.

    Args:
        corrupted: S sequences with "token_type_ids", and `partners` where the format has answers
            (without them every label is 0).
        format: which features.
        max_length: L.
        most: P.
        pad_id: what fills the rest of `input_ids`.
    """
    n = len(corrupted)
    lengths = np.diff(corrupted.offsets)
    owners = np.repeat(np.arange(n), lengths)
    at = owners * max_length + ranges(lengths)

    def rows(values: Array, fill: int = 0) -> list[bytes]:
        return int64_features(_spread(values, at, (n, max_length), fill))

    columns = {
        "input_ids": rows(corrupted.inputs["input_ids"], pad_id),
        "input_mask": rows(np.ones(len(at), dtype=np.int64)),
        "segment_ids": rows(corrupted.inputs["token_type_ids"]),
    }
    if format.masked:
        owners = np.searchsorted(corrupted.offsets, corrupted.positions, side="right") - 1
        counts = np.bincount(owners, minlength=n)
        slots, shape = owners * most + ranges(counts), (n, most)
        places = corrupted.positions - corrupted.offsets[owners]
        columns["masked_lm_positions"] = int64_features(_spread(places, slots, shape, 0))
        columns["masked_lm_ids"] = int64_features(
            _spread(corrupted.targets[PIECES], slots, shape, 0)
        )
        columns["masked_lm_weights"] = [
            float_feature(row) for row in np.arange(most) < counts[:, None]
        ]
        for name in format.layers:
            labels = _spread(corrupted.targets[name], slots, shape, 0)
            columns[f"{name}{LABELS}"] = int64_features(labels)
    if format.answers:
        answers = np.zeros(n, dtype=np.int64) if corrupted.partners is None else corrupted.partners
        columns[ANSWER] = int64_features(answers[:, None])
    return [
        write_example({name: column[row] for name, column in columns.items()}) for row in range(n)
    ]


def _spread(values: Array, at: IntArray, shape: tuple[int, int], fill: int) -> NDArray[np.int64]:
    out = np.full(shape, fill, dtype=np.int64)
    out.reshape(-1)[at] = values
    return out
