"""From corrupted sequences to the arrays of one batch: packed rows or one sequence a row.

In: `Corrupted` values, one a sequence, as an objective's `corrupt` returns them. Out: a dict of
arrays. R rows of L pieces, M predicted positions in all:

    input_ids, token_type_ids, position_ids   int64 [R, L]   (and whatever else `inputs` names)
    sequence_ids                              int32 [R, L]   0 = padding, k = k-th of its row
    positions                                 int64 [M]      row * L + column
    one array for each name in `targets`      int64 [M]      (floating point stays as it is)

`sequence_ids` says who may attend to whom (Krell et al. 2021, "Efficient sequence packing without
cross-contamination"): pieces of one row attend to each other only where the ids are equal.

    arrays = collate(samples, max_length=512, pad_id=0, pack=True)
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
IntArray: TypeAlias = NDArray[np.int64]
Spread: TypeAlias = Callable[[ArrayLike, int, DTypeLike], Array]

# Row lengths are rounded up to this when each sequence has its own row: fewer distinct shapes.
ROW_STEP = 8
_OWN_NAMES = frozenset({"position_ids", "sequence_ids", "positions"})


@dataclass(frozen=True, slots=True)
class EncodedSequence:
    """One training sequence of n pieces, [CLS] … [SEP] included.

    Attributes:
        input_ids: int32 [n].
        word_starts: bool [n], True at the first piece of a word; a special is its own word.
        maskable: bool [n], False at specials.
        token_type_ids: int8 [n], the segment's number.
        layers: layer → int8 [n], the label id of the piece's word, -1 where it is missing.
    """

    input_ids: NDArray[np.int32]
    word_starts: NDArray[np.bool_]
    maskable: NDArray[np.bool_]
    token_type_ids: NDArray[np.int8]
    layers: Mapping[str, NDArray[np.int8]]


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What an objective makes of one sequence.

    Attributes:
        inputs: name → array [n]; "input_ids" is always there.
        positions: int64 [m], where something is to be predicted, within the sequence.
        targets: name → array [m], what is to be predicted there; -1 where it is missing.
    """

    inputs: Mapping[str, Array]
    positions: Array
    targets: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each sequence goes: sequences in the order of their places, and those places."""

    order: IntArray  # [N] sequence at the i-th place
    rows: IntArray  # [N] its row
    columns: IntArray  # [N] column of its first piece
    ranks: IntArray  # [N] 1 for the first sequence of a row, 2 for the second, …
    n_rows: int
    row_length: int


def collate(
    samples: Sequence[Corrupted], *, max_length: int, pad_id: int, pack: bool
) -> dict[str, Array]:
    """Lay the sequences out in rows and return the batch's arrays (see the module docstring).

    Args:
        samples: at least one sequence, none longer than `max_length`; all with the same names.
        max_length: length of a packed row.
        pad_id: what fills the rest of `input_ids`; every other array is filled with 0.
        pack: several sequences a row of `max_length` pieces, by first-fit-decreasing; else one
            sequence a row, rows as long as the longest sequence rounded up to a multiple of 8.

    Raises:
        ValueError: no sequences, one longer than `max_length`, or names that clash.
    """
    if not samples:
        raise ValueError("no sequences to make a batch of")
    lengths = np.array([len(sample.inputs["input_ids"]) for sample in samples], dtype=np.int64)
    if lengths.max() > max_length:
        raise ValueError(f"a sequence of {lengths.max()} pieces; max_length is {max_length}")
    _check_names(samples[0])
    place = _pack(lengths, max_length) if pack else _one_a_row(lengths, max_length)
    placed = [samples[i] for i in place.order.tolist()]
    lengths = lengths[place.order]
    offsets = place.rows * place.row_length + place.columns  # [N] flat index of the first piece
    within = _ranges(lengths)  # [sum n] 0 … n-1 for each sequence
    flat = np.repeat(offsets, lengths) + within
    shape = (place.n_rows, place.row_length)

    def spread(values: ArrayLike, fill: int, dtype: DTypeLike) -> Array:
        out = np.full(shape, fill, dtype=dtype)
        out.reshape(-1)[flat] = values
        return out

    arrays = {
        name: _spread_input(name, placed, spread, pad_id)
        for name in {"input_ids": 0, "token_type_ids": 0, **samples[0].inputs}
    }
    arrays["position_ids"] = spread(within, 0, np.int64)
    arrays["sequence_ids"] = spread(np.repeat(place.ranks, lengths), 0, np.int32)
    n_positions = np.array([len(sample.positions) for sample in placed], dtype=np.int64)
    local = np.concatenate([sample.positions for sample in placed]).astype(np.int64)
    arrays["positions"] = local + np.repeat(offsets, n_positions)
    for name in samples[0].targets:
        arrays[name] = _widen(np.concatenate([sample.targets[name] for sample in placed]))
    return arrays


def split(arrays: Mapping[str, Array], n: int) -> list[dict[str, Array]]:
    """Cut a batch between rows into at most `n` parts of nearly the same number of rows.

    Every row, and every predicted position with its targets, is in exactly one part; a part without
    positions keeps its rows.

    Args:
        arrays: as `collate` returns them.
        n: number of parts; fewer when there are fewer rows.
    """
    n_rows, length = arrays["sequence_ids"].shape
    n = min(n, n_rows)
    if n <= 1:
        return [dict(arrays)]
    bounds = [n_rows * part // n for part in range(n + 1)]
    rows = arrays["positions"] // length
    parts = []
    for begin, end in itertools.pairwise(bounds):
        here = (begin <= rows) & (rows < end)
        part = {
            name: array[begin:end] if array.ndim > 1 else array[here]
            for name, array in arrays.items()
        }
        part["positions"] = part["positions"] - begin * length
        parts.append(part)
    return parts


def first_fit_decreasing(lengths: IntArray, capacity: int) -> tuple[IntArray, int]:
    """Assign each length to the first row with room, longest first; ties by index.

    Returns:
        The row of each length, int64 [N], and the number of rows.
    """
    order = np.argsort(-lengths, kind="stable")
    room = np.full(len(lengths), capacity, dtype=np.int64)
    rows = np.empty(len(lengths), dtype=np.int64)
    used = first = 0
    previous = -1
    for index, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        # Lengths only fall, so a row too full for one length is looked at again only for a
        # shorter one: equal lengths go on from the row that took the last.
        start = first if length == previous else 0
        row = start + int(np.argmax(room[start : used + 1] >= length))
        rows[index] = row
        room[row] -= length
        first, previous, used = row, length, max(used, row + 1)
    return rows, used


def _pack(lengths: IntArray, max_length: int) -> Placement:
    rows, n_rows = first_fit_decreasing(lengths, max_length)
    # Within a row the longest comes first, as it was put there.
    order = np.lexsort((np.arange(len(lengths)), -lengths, rows))
    rows = rows[order]
    counts = np.bincount(rows, minlength=n_rows)
    ranks = _ranges(counts)
    ends = np.cumsum(lengths[order])
    begins = ends - lengths[order]
    first = np.cumsum(counts) - counts  # [R] place of the first sequence of each row
    columns = begins - np.repeat(begins[first], counts)
    return Placement(order, rows, columns, ranks + 1, n_rows, max_length)


def _one_a_row(lengths: IntArray, max_length: int) -> Placement:
    n = len(lengths)
    longest = int(lengths.max())
    row_length = min(-(-longest // ROW_STEP) * ROW_STEP, max_length)
    every = np.arange(n, dtype=np.int64)
    zeros = np.zeros(n, dtype=np.int64)
    return Placement(every, every, zeros, zeros + 1, n, row_length)


def _ranges(lengths: IntArray) -> IntArray:
    """`[2, 3]` → `[0, 1, 0, 1, 2]`."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1], dtype=np.int64) - np.repeat(ends - lengths, lengths)


def _spread_input(name: str, placed: Sequence[Corrupted], spread: Spread, pad_id: int) -> Array:
    fill = pad_id if name == "input_ids" else 0
    if name not in placed[0].inputs:  # token types that the objective left out: one segment
        return spread(0, fill, np.int64)
    values = _widen(np.concatenate([sample.inputs[name] for sample in placed]))
    return spread(values, fill, values.dtype)


def _widen(values: Array) -> Array:
    return values if values.dtype.kind == "f" else values.astype(np.int64)


def _check_names(sample: Corrupted) -> None:
    clash = sorted(
        (sample.inputs.keys() & sample.targets.keys())
        | (_OWN_NAMES & (sample.inputs.keys() | sample.targets.keys()))
    )
    if clash:
        raise ValueError(f"names used twice in a batch: {', '.join(clash)}; rename the targets")
