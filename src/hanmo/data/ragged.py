"""Many sequences of different lengths as flat arrays, one after the other, with their offsets.

What an objective reads (`Sequences`) and what it makes of it (`Corrupted`). Flat arrays let a rule
run over a whole batch in a few numpy calls; one sequence is the case S = 1.

    sequences.offsets      # int64 [S + 1]: sequence s is offsets[s] : offsets[s + 1]
    join([one, two])       # Corrupted sequences one after the other
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
IntArray: TypeAlias = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Sequences:
    """S training sequences of N pieces in all, [CLS] … [SEP] included.

    Attributes:
        input_ids: int32 [N].
        word_starts: bool [N], True at the first piece of a word; a special is its own word.
        maskable: bool [N], False at specials.
        token_type_ids: int8 [N], the segment's number.
        layers: layer → int8 [N], the label id of the piece's word, -1 where it is missing.
        offsets: int64 [S + 1], where each sequence begins; the last is N. Default: one sequence.
    """

    input_ids: NDArray[np.int32]
    word_starts: NDArray[np.bool_]
    maskable: NDArray[np.bool_]
    token_type_ids: NDArray[np.int8]
    layers: Mapping[str, NDArray[np.int8]]
    offsets: IntArray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.offsets):
            object.__setattr__(self, "offsets", whole(self.input_ids))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """int64 [S], pieces of each sequence."""
        return np.diff(self.offsets)

    def __getitem__(self, index: int) -> "Sequences":
        """Sequence `index` alone, as views."""
        here = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Sequences(
            self.input_ids[here],
            self.word_starts[here],
            self.maskable[here],
            self.token_type_ids[here],
            {name: labels[here] for name, labels in self.layers.items()},
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Corrupted:
    """What an objective makes of S sequences of N pieces in all.

    Attributes:
        inputs: name → array [N]; "input_ids" is always there.
        positions: int64 [M], where something is to be predicted, as indices into the N pieces;
            positions of one sequence stand together, in the order of the sequences.
        targets: name → array [M], what is to be predicted there; -1 where it is missing.
        offsets: int64 [S + 1], as in `Sequences`. Default: one sequence.
        partners: int8 [S], the answer to a question about each pair of segments (see
            `data/pairing.py`); None where nothing is asked.
        counts: name → number of cases to report, such as words without a synonym.
    """

    inputs: Mapping[str, Array]
    positions: Array
    targets: Mapping[str, Array]
    offsets: IntArray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    partners: NDArray[np.int8] | None = None
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.offsets):
            object.__setattr__(self, "offsets", whole(self.inputs["input_ids"]))

    def __len__(self) -> int:
        return len(self.offsets) - 1


def whole(pieces: Array) -> IntArray:
    """Return the offsets of one sequence."""
    return np.array([0, len(pieces)], dtype=np.int64)


def ranges(lengths: IntArray) -> IntArray:
    """`[2, 3]` → `[0, 1, 0, 1, 2]`."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0, dtype=np.int64) - np.repeat(
        ends - lengths, lengths
    )


def none_of(corrupted: Corrupted) -> Corrupted:
    """No sequences, with the names of these."""
    return Corrupted(
        {name: values[:0] for name, values in corrupted.inputs.items()},
        corrupted.positions[:0],
        {name: values[:0] for name, values in corrupted.targets.items()},
        np.zeros(1, dtype=np.int64),
        None if corrupted.partners is None else corrupted.partners[:0],
        dict.fromkeys(corrupted.counts, 0),
    )


def join(parts: Sequence[Corrupted]) -> Corrupted:
    """Put corrupted sequences (at least one) after each other; all have the same names."""
    if len(parts) == 1:
        return parts[0]
    n_pieces = [int(part.offsets[-1]) for part in parts]
    begins = np.cumsum([0, *n_pieces])
    counts: dict[str, int] = {}
    for part in parts:
        for name, n in part.counts.items():
            counts[name] = counts.get(name, 0) + n
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    partners = [part.partners for part in parts if part.partners is not None]
    return Corrupted(
        {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs},
        np.concatenate(
            [
                part.positions.astype(np.int64) + begin
                for part, begin in zip(parts, begins[:-1], strict=True)
            ]
        ),
        {name: np.concatenate([part.targets[name] for part in parts]) for name in parts[0].targets},
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(partners) if partners else None,
        counts,
    )
