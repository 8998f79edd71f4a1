"""From corrupted sequences to the arrays of one batch: packed rows or one sequence a row.

In: `Corrupted` sequences. Out: a dict of arrays. R rows of L pieces, M predicted positions and S
sequences in all:

    input_ids, token_type_ids, position_ids   int64 [R, L]   (and whatever else `inputs` names)
    sequence_ids                              int32 [R, L]   0 = padding, k = k-th of its row
    positions                                 int64 [M]      row * L + column
    one array for each name in `targets`      int64 [M]      (floating point stays as it is;
                                                             those that begin with "asked/" have
                                                             several numbers a position: [M, …])
    firsts, partners                          int64 [S]      place of the first piece of a sequence
                                                             and its `partners`, where there are any
    count/<name>                              int64 []       what the objective counted

`sequence_ids` says who may attend to whom (Krell et al. 2021, "Efficient sequence packing without
cross-contamination"): pieces of one row attend to each other only where the ids are equal.

    arrays = collate(corrupted, max_length=512, pad_id=0, pack=True)
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from hanmo.data.ragged import Array, Corrupted, IntArray, ranges

# Row lengths are rounded up to this when each sequence has its own row: fewer distinct shapes.
ROW_STEP = 8
_OWN_NAMES = frozenset({"position_ids", "sequence_ids", "positions", "firsts", "partners"})
COUNT = "count/"
ASKED = "asked/"
_OF_SEQUENCES = ("firsts", "partners")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each of S sequences goes.

    Attributes:
        rows: int64 [S], its row.
        columns: int64 [S], column of its first piece.
        ranks: int64 [S], 1 for the first sequence of a row, 2 for the second …
        n_rows: R.
        row_length: L.
    """

    rows: IntArray
    columns: IntArray
    ranks: IntArray
    n_rows: int
    row_length: int

    def part(self, number: int, n_parts: int) -> tuple[IntArray, "Placement"]:
        """Rows of part `number` of `n_parts` of nearly equal size.

        Returns:
            Which sequences lie there, int64, and their placement in the part's own rows.
        """
        begin = self.n_rows * number // n_parts
        end = self.n_rows * (number + 1) // n_parts
        here = np.flatnonzero((begin <= self.rows) & (self.rows < end))
        return here, Placement(
            self.rows[here] - begin,
            self.columns[here],
            self.ranks[here],
            end - begin,
            self.row_length,
        )


def place(lengths: IntArray, *, max_length: int, pack: bool, least_rows: int = 1) -> Placement:
    """Find a place for each sequence.

    Args:
        lengths: int64 [S], pieces of each, at least one sequence, none longer than `max_length`.
        max_length: length of a packed row.
        pack: several sequences a row of `max_length` pieces, by best-fit-decreasing; else one
            sequence a row, rows as long as the longest sequence rounded up to a multiple of 8.
        least_rows: where there are fewer, empty ones follow.

    Raises:
        ValueError: no sequences, or one longer than `max_length`.
    """
    if not len(lengths):
        raise ValueError("no sequences to make a batch of")
    if lengths.max() > max_length:
        raise ValueError(f"a sequence of {lengths.max()} pieces; max_length is {max_length}")
    made = _pack(lengths, max_length) if pack else _one_a_row(lengths, max_length)
    return replace(made, n_rows=max(made.n_rows, least_rows))


def collate(
    corrupted: Corrupted,
    *,
    max_length: int,
    pad_id: int,
    pack: bool,
    placement: Placement | None = None,
) -> dict[str, Array]:
    """Lay the sequences out in rows and return the batch's arrays (see the module docstring).

    Args:
        corrupted: the sequences.
        max_length: see `place`.
        pad_id: what fills the rest of `input_ids`; every other array is filled with 0.
        pack: see `place`.
        placement: where they go, if that is decided already.

    Raises:
        ValueError: as `place`, or names that clash.
    """
    lengths = np.diff(corrupted.offsets)
    places = placement or place(lengths, max_length=max_length, pack=pack)
    _check_names(corrupted)
    # The flat index of each sequence's first piece.
    offsets = places.rows * places.row_length + places.columns
    within = ranges(lengths)  # [N] 0 … n-1 for each sequence
    flat = within + np.repeat(offsets, lengths)
    shape = (places.n_rows, places.row_length)

    def spread(values: Array, fill: int, dtype: DTypeLike) -> Array:
        out = np.full((*shape, *values.shape[1:]), fill, dtype=dtype)
        out.reshape(-1, *values.shape[1:])[flat] = values
        return out

    arrays = {
        name: spread(values, pad_id if name == "input_ids" else 0, _wide(values))
        for name, values in corrupted.inputs.items()
    }
    if "token_type_ids" not in arrays:  # left out: one segment
        arrays["token_type_ids"] = np.zeros(shape, dtype=np.int64)
    arrays["position_ids"] = spread(within, 0, np.int64)
    arrays["sequence_ids"] = spread(np.repeat(places.ranks, lengths), 0, np.int32)
    arrays["positions"] = flat[corrupted.positions]
    for name, values in corrupted.targets.items():
        arrays[name] = values.astype(_wide(values))
    if corrupted.partners is not None:
        arrays["firsts"] = offsets
        arrays["partners"] = corrupted.partners.astype(np.int64)
    for name, n in corrupted.counts.items():
        arrays[f"{COUNT}{name}"] = np.array(n, dtype=np.int64)
    return arrays


def split(arrays: Mapping[str, Array], n: int) -> list[dict[str, Array]]:
    """Cut a batch between rows into at most `n` parts of nearly the same number of rows.

    Every row, every predicted position with its targets and every sequence with its answer is in
    exactly one part; a part without positions keeps its rows.

    Args:
        arrays: as `collate` returns them.
        n: number of parts; fewer when there are fewer rows.
    """
    n_rows, length = arrays["sequence_ids"].shape
    n = min(n, n_rows)
    if n <= 1:
        return [dict(arrays)]
    bounds = [n_rows * part // n for part in range(n + 1)]
    rows = {name: arrays[name] // length for name in ("positions", "firsts") if name in arrays}
    parts: list[dict[str, Array]] = []
    for begin, end in itertools.pairwise(bounds):
        here = {name: (begin <= row) & (row < end) for name, row in rows.items()}
        part = {
            name: array
            if not array.ndim
            else array[begin:end]
            if array.ndim > 1 and not name.startswith(ASKED)
            else array[here["firsts" if name in _OF_SEQUENCES else "positions"]]
            for name, array in arrays.items()
            if array.ndim or not begin  # counts go to the first part
        }
        for name in rows:
            part[name] = part[name] - begin * length
        parts.append(part)
    return parts


def best_fit_decreasing(lengths: IntArray, capacity: int) -> tuple[IntArray, int]:
    """Assign each length, longest first, to the row that it leaves least room in.

    Rows of equal room are taken latest first; ties of length go by index. On real text it needs as
    many rows as first-fit and, for 64 sequences or more, an eighth of its time or less.

    Returns:
        The row of each length, int64 [N], and the number of rows.
    """
    order = np.argsort(-lengths, kind="stable")
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit r is set where a row has room r: the lowest one from n on is the best fit
    rows = []
    n_rows = 0
    for length in lengths[order].tolist():
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            row, room = n_rows, capacity
            n_rows += 1
        rows.append(row)
        room -= length
        if room:
            rooms |= 1 << room
            with_room[room].append(row)
    found = np.empty(len(lengths), dtype=np.int64)
    found[order] = rows
    return found, n_rows


def _pack(lengths: IntArray, max_length: int) -> Placement:
    rows, n_rows = best_fit_decreasing(lengths, max_length)
    # Within a row the longest comes first, as it was put there.
    order = np.lexsort((np.arange(len(lengths)), -lengths, rows))
    rows = rows[order]
    counts = np.bincount(rows, minlength=n_rows)
    ranks = ranges(counts)
    ends = np.cumsum(lengths[order])
    begins = ends - lengths[order]
    first = np.cumsum(counts) - counts  # [R] place of the first sequence of each row
    columns = begins - np.repeat(begins[first], counts)
    back = np.argsort(order)  # to the order of the sequences
    return Placement(rows[back], columns[back], ranks[back] + 1, n_rows, max_length)


def _one_a_row(lengths: IntArray, max_length: int) -> Placement:
    n = len(lengths)
    longest = int(lengths.max())
    row_length = min(-(-longest // ROW_STEP) * ROW_STEP, max_length)
    every = np.arange(n, dtype=np.int64)
    zeros = np.zeros(n, dtype=np.int64)
    return Placement(every, zeros, zeros + 1, n, row_length)


def _wide(values: Array) -> DTypeLike:
    return values.dtype if values.dtype.kind == "f" else np.dtype(np.int64)


def _check_names(corrupted: Corrupted) -> None:
    clash = sorted(
        (corrupted.inputs.keys() & corrupted.targets.keys())
        | (_OWN_NAMES & (corrupted.inputs.keys() | corrupted.targets.keys()))
    )
    if clash:
        raise ValueError(f"names used twice in a batch: {', '.join(clash)}; rename the targets")
