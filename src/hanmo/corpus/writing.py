"""The last passes: the parts of the corpus, and aside what other documents stood for.

`part-00000.jsonl.zst` has the lines of the chunks that stay, without the paragraphs to remove; a
document whose id an earlier one has gets another. With a folder for dropped documents,
`repeated-000000-000000.jsonl.zst` there has the others of a group, with `reason` and, of
duplicates, the id `kept` instead.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hanmo.core.files import write_atomic
from hanmo.core.parts import part_name
from hanmo.core.remote import fetched
from hanmo.corpus.choosing import DUPLICATE, NEAR, REASONS
from hanmo.corpus.spool import Chunks, Options, compress, line_of, lines_at, numbered

PART_SUFFIX = ".jsonl.zst"
Change: TypeAlias = Callable[[int, bytes], bytes]  # number of a document, its line → its line


def write_part(folder: Path, options: Options, out: Path, rank: int) -> dict[str, int]:
    """Write one part of the corpus from the chunks that it covers."""
    starts = np.load(fetched(folder / "starts.npy"), mmap_mode="r")
    first, end = starts[rank : rank + 2].tolist()
    kept = np.flatnonzero(_reasons(folder, options)[first:end] == 0) + first
    changes = [_renamer(folder)]
    if options.paragraphs.any:
        changes.append(_shortener(folder))
    lines: list[bytes] = []
    for place, line in lines_at(folder, kept):
        for change in changes:
            line = change(place, line)  # noqa: PLW2901
        lines.append(line)
    write_atomic(out / part_name(rank, PART_SUFFIX), compress(lines))
    return {"kept": len(lines)}


def write_aside(
    n_before: Sequence[int], folder: Path, options: Options, dropped: Path, group: int
) -> dict[str, int]:
    """Write the documents of a group that others stand for.

    Args:
        n_before: Number of the first document of each group, and of all.
        folder: Where the chunks are.
        options: What was kept.
        dropped: Folder for the documents.
        group: Number of the group.
    """
    first, end = n_before[group : group + 2]
    reasons = _reasons(folder, options)[first:end]
    places = np.flatnonzero(reasons) + first
    chunks = Chunks(dropped, f"repeated-{group:06d}")
    with _KeptIds(folder) as kept_ids:
        for place, line in lines_at(folder, places):
            reason = int(reasons[place - first])
            record = json.loads(line)
            n_chars = len(record["text"])
            record["reason"] = REASONS[reason]
            if reason in (DUPLICATE, NEAR):
                record["kept"] = kept_ids.of(place)
            chunks.add(record, n_chars)
    chunks.close()
    return {"dropped": len(places)}


def _reasons(folder: Path, options: Options) -> Any:
    name = "final_reasons.npy" if options.paragraphs.any else "reasons.npy"
    return np.load(fetched(folder / name), mmap_mode="r")


def _renamer(folder: Path) -> Change:
    """Return a function that tells a document from earlier ones of its id: `x` → `x#2`."""
    again = np.load(fetched(folder / "again.npy"), mmap_mode="r")
    numbers = dict(again.tolist())

    def rename(place: int, line: bytes) -> bytes:
        if place not in numbers:
            return line
        record = json.loads(line)
        record["id"] = numbered(record["id"], numbers[place])
        return line_of(record)

    return rename


def _shortener(folder: Path) -> Change:
    """Return a function that takes the removed paragraphs from the line at a place."""
    starts = np.load(fetched(folder / "paragraph_starts.npy"), mmap_mode="r")
    removed = np.load(fetched(folder / "removed.npy"), mmap_mode="r")

    def shorten(place: int, line: bytes) -> bytes:
        begin, end = starts[place : place + 2].tolist()
        low, high = np.searchsorted(removed, (begin, end))
        if low == high:
            return line
        gone = set((removed[low:high] - begin).tolist())
        record = json.loads(line)
        paragraphs = enumerate(record["text"].split("\n"))
        record["text"] = "\n".join(text for number, text in paragraphs if number not in gone)
        return line_of(record)

    return shorten


class _KeptIds:
    """The ids of the documents that are kept for others."""

    def __init__(self, folder: Path) -> None:
        self._roots = np.load(fetched(folder / "roots.npy"), mmap_mode="r")
        self._numbers = np.load(fetched(folder / "kept_numbers.npy"), mmap_mode="r")
        self._ends = np.load(fetched(folder / "kept_ends.npy"), mmap_mode="r")
        self._again = dict(np.load(fetched(folder / "again.npy")).tolist())
        self._stream = fetched(folder / "kept_ids.jsonl").open("rb")

    def __enter__(self) -> "_KeptIds":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def of(self, place: int) -> Any:
        """Return the id of the document kept for the one at a place."""
        root = int(self._roots[place])
        at = int(np.searchsorted(self._numbers, root))
        begin = int(self._ends[at - 1]) if at else 0
        self._stream.seek(begin)
        name = json.loads(self._stream.read(int(self._ends[at]) - begin))
        return numbered(name, self._again[root]) if root in self._again else name
