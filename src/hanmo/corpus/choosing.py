"""The passes over all indexes: which documents stay, without which paragraphs, in which part.

Each is a step for `run_tasks`; they leave arrays in the folder of the chunks:

- `match_bucket` (one task a band): `near-00.npy`, pairs of near duplicates;
- `choose` (one task): `reasons.npy`, uint8 [N], a place in `REASONS`; `roots.npy`, the document
  kept for each;
- `find_repeated` (one task a slice): `seen-00.npy`, `frequent-00.npy`, paragraphs to remove;
- `divide` (one task): `starts.npy`, the first document of each part; `ends.npy` and `chunks.npy`,
  where chunks end; `removed.npy` and `paragraph_starts.npy`; `again.npy`, documents whose id an
  earlier one has; `kept_ids.jsonl`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanmo.core.files import open_bytes, write_atomic
from hanmo.core.remote import fetched
from hanmo.corpus.dedup import first_equal, grouped, united
from hanmo.corpus.near import matches, read_band
from hanmo.corpus.paragraphs import SLICES, repeated_in_slice, shortened
from hanmo.corpus.spool import (
    Index,
    Options,
    ids_path,
    lines_at,
    name_hash,
    numbered,
    save_array,
)

# Why a document that passed the filters is not in the corpus; the number is stored.
REASONS = ("", "duplicate", "near-duplicate", "repeated-elsewhere")
DUPLICATE, NEAR, REPEATED = 1, 2, 3


def match_bucket(n_groups: int, buckets: int, folder: Path, rank: int) -> dict[str, int]:
    """Pair the documents that agree in one band."""
    columns = [read_band(folder, group, rank, buckets) for group in range(n_groups)]
    save_array(folder / f"near-{rank:02d}.npy", matches(columns))
    return {}


def choose(n_groups: int, options: Options, folder: Path, rank: int) -> dict[str, int]:
    """Choose the first of all documents that count as the same."""
    hashes = np.concatenate([Index.load(folder, group).hashes for group in range(n_groups)])
    own = np.arange(len(hashes), dtype=np.int64)
    roots = own if options.keep_duplicates else first_equal(hashes)
    reasons = np.where(roots != own, DUPLICATE, 0).astype(np.uint8)
    if options.near.similarity:
        pairs = [
            np.load(fetched(folder / f"near-{b:02d}.npy")) for b in range(options.near.buckets)
        ]
        roots = united(roots, np.concatenate(pairs))
        reasons[(roots != own) & (reasons == 0)] = NEAR
    save_array(folder / "roots.npy", roots)
    save_array(folder / "reasons.npy", reasons)
    return {f"dropped_{REASONS[n]}": int((reasons == n).sum()) for n in (DUPLICATE, NEAR)}


def find_repeated(n_groups: int, options: Options, folder: Path, rank: int) -> dict[str, int]:
    """Find the paragraphs of one slice that are removed from the documents that stay."""
    keep = np.load(fetched(folder / "reasons.npy")) == 0
    found = repeated_in_slice(folder, n_groups, keep, options.paragraphs, rank)
    save_array(folder / f"seen-{rank:02d}.npy", found.seen)
    save_array(folder / f"frequent-{rank:02d}.npy", found.frequent)
    return {
        "paragraphs_dropped_seen": len(found.seen),
        "paragraphs_dropped_frequent": len(found.frequent),
    }


def divide(
    n_groups: int, options: Options, folder: Path, with_ids: bool, rank: int
) -> dict[str, int]:
    """Cut what stays into parts of about equal length; say where everything lies."""
    indexes = [Index.load(folder, group) for group in range(n_groups)]
    lengths = np.concatenate([index.lengths for index in indexes]).astype(np.int64)
    reasons = np.load(fetched(folder / "reasons.npy"))
    if options.paragraphs.any:
        lengths = _without_repeated(n_groups, options, folder, lengths, reasons)
    keep = reasons == 0
    kept_lengths = lengths[keep]
    part = (np.cumsum(kept_lengths) - kept_lengths) // options.part_chars
    opens_part = np.concatenate([[True], part[1:] != part[:-1]])[: len(part)]
    # What is dropped before the first kept document belongs to the first part.
    starts = np.append(np.flatnonzero(keep)[opens_part], len(keep))
    starts[: min(1, len(starts) - 1)] = 0
    _save_chunk_places(folder, indexes)
    save_array(folder / "starts.npy", starts)
    names = np.concatenate([index.names for index in indexes])
    again = repeated_ids(names, keep)
    save_array(folder / "again.npy", with_free_numbers(folder, again, names))
    if with_ids:
        _save_kept_ids(n_groups, folder, indexes)
    return {
        "repeated_ids": len(again),
        f"dropped_{REASONS[REPEATED]}": int((reasons == REPEATED).sum()),
        "kept": int(keep.sum()),
        "characters": int(kept_lengths.sum()),
        "parts": len(starts) - 1,
    }


def repeated_ids(names: NDArray[np.uint64], keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the documents whose id an earlier one of those that stay has.

    Args:
        names: uint64 [N], hashes of the ids.
        keep: bool [N].

    Returns:
        int64 [A], ascending: numbers of documents.
    """
    places = np.flatnonzero(keep)
    if not len(places):
        return places
    order, opens = grouped(names[places].reshape(-1, 1))
    return np.sort(places[order[~opens]])


def with_free_numbers(
    folder: Path, again: NDArray[np.int64], names: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the documents that `repeated_ids` found, each with a number for its id: int64 [A, 2].

    It is 2, 3, … for those of one id, without the numbers of ids such as `x#2` that are there.
    """
    taken = np.sort(names)
    given: set[int] = set()
    following: dict[str, int] = {}
    chosen = np.stack([again, np.zeros_like(again)], axis=1)
    for row, (_, line) in enumerate(lines_at(folder, again)):
        name = json.loads(line)["id"]
        number = following.get(name, 2)
        while (found := name_hash(numbered(name, number))) in given or _is_in(taken, found):
            number += 1
        given.add(found)
        following[name] = number + 1
        chosen[row, 1] = number
    return chosen


def _is_in(ascending: NDArray[np.uint64], value: int) -> bool:
    at = int(np.searchsorted(ascending, np.uint64(value)))
    return at < len(ascending) and int(ascending[at]) == value


def _without_repeated(
    n_groups: int,
    options: Options,
    folder: Path,
    lengths: NDArray[np.int64],
    reasons: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Return the new lengths; documents of which too little is left get their reason."""
    names = [f"{kind}-{n:02d}.npy" for kind in ("seen", "frequent") for n in range(SLICES)]
    removed = np.sort(np.concatenate([np.load(fetched(folder / name)) for name in names]))
    shorter, paragraph_starts = shortened(folder, n_groups, removed)
    least = max(1, options.treat.filters.min_chars)
    reasons[(reasons == 0) & (shorter != lengths) & (shorter < least)] = REPEATED
    save_array(folder / "removed.npy", removed)
    save_array(folder / "paragraph_starts.npy", paragraph_starts)
    save_array(folder / "final_reasons.npy", reasons)
    return shorter


def _save_chunk_places(folder: Path, indexes: Sequence[Index]) -> None:
    counts = [len(index.chunks) for index in indexes]
    numbers = np.concatenate([np.arange(n, dtype=np.int64) for n in counts])
    groups = np.repeat(np.arange(len(indexes), dtype=np.int64), counts)
    ends = np.cumsum(np.concatenate([index.chunks for index in indexes]), dtype=np.int64)
    save_array(folder / "chunks.npy", np.stack([groups, numbers], axis=1))
    save_array(folder / "ends.npy", ends)


def _save_kept_ids(n_groups: int, folder: Path, indexes: Sequence[Index]) -> None:
    """Write the ids of the documents for which others are dropped, to be found by number."""
    roots = np.load(fetched(folder / "roots.npy"))
    wanted = np.unique(roots[roots != np.arange(len(roots))])
    ids = bytearray()
    ends = []
    begin = 0
    for group in range(n_groups):
        end = begin + len(indexes[group].lengths)
        here = wanted[np.searchsorted(wanted, begin) : np.searchsorted(wanted, end)] - begin
        if len(here):
            ahead = iter(here.tolist())
            place = next(ahead)
            with open_bytes(ids_path(folder, group)) as lines:
                for number, line in enumerate(lines):
                    if number == place:
                        ids += line
                        ends.append(len(ids))
                        place = next(ahead, -1)
        begin = end
    save_array(folder / "kept_numbers.npy", wanted)
    save_array(folder / "kept_ends.npy", np.array(ends, dtype=np.int64))
    write_atomic(folder / "kept_ids.jsonl", bytes(ids))
