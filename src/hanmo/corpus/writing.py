"""The last pass: the parts of the corpus, and aside what other documents stood for.

`part-00000.jsonl.zst` has the lines of the chunks that stay, without the paragraphs to remove. With
a folder for dropped documents, `repeated-00000.jsonl.zst` there has the others of the same stretch,
with `reason` and, of duplicates, the id `kept` instead.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.core.files import write_atomic
from hanmo.core.parts import part_name
from hanmo.core.remote import fetched
from hanmo.corpus.choosing import DUPLICATE, NEAR, REASONS
from hanmo.corpus.spool import Options, compress, line_of, lines_between

PART_SUFFIX = ".jsonl.zst"


def write_part(
    folder: Path, options: Options, out: Path, dropped: Path | None, rank: int
) -> dict[str, int]:
    """Write one part of the corpus from the chunks that it covers."""
    first, end = (int(place) for place in np.load(fetched(folder / "starts.npy"))[rank : rank + 2])
    paragraphs = options.paragraphs.any
    name = "final_reasons.npy" if paragraphs else "reasons.npy"
    reasons = np.load(fetched(folder / name), mmap_mode="r")[first:end]
    shorten = _shortener(folder, first) if paragraphs else None
    kept_id = _kept_ids(folder, first) if dropped is not None else None
    kept, aside = [], []
    lines = zip(lines_between(folder, first, end), reasons.tolist(), strict=True)
    for place, (line, reason) in enumerate(lines):
        if reason == 0:
            kept.append(shorten(place, line) if shorten else line)
        elif kept_id is not None:
            record = json.loads(line) | {"reason": REASONS[reason]}
            if reason in (DUPLICATE, NEAR):
                record["kept"] = kept_id(place)
            aside.append(line_of(record))
    if aside and dropped is not None:
        write_atomic(dropped / f"repeated-{rank:05d}.jsonl.zst", compress(aside))
    write_atomic(out / part_name(rank, PART_SUFFIX), compress(kept))
    return {"kept": len(kept)}


def _shortener(folder: Path, first: int) -> Callable[[int, bytes], bytes]:
    """Return a function that takes the removed paragraphs from the line at a place."""
    starts = np.load(fetched(folder / "paragraph_starts.npy"), mmap_mode="r")
    removed = np.load(fetched(folder / "removed.npy"), mmap_mode="r")

    def shorten(place: int, line: bytes) -> bytes:
        begin, end = (int(n) for n in starts[first + place : first + place + 2])
        low, high = np.searchsorted(removed, (begin, end))
        if low == high:
            return line
        gone = set((removed[low:high] - begin).tolist())
        record = json.loads(line)
        paragraphs = enumerate(record["text"].split("\n"))
        record["text"] = "\n".join(text for number, text in paragraphs if number not in gone)
        return line_of(record)

    return shorten


def _kept_ids(folder: Path, first: int) -> Callable[[int], Any]:
    """Return a function that gives the id of the document kept for the one at a place."""
    roots = np.load(fetched(folder / "roots.npy"), mmap_mode="r")
    numbers = np.load(fetched(folder / "kept_numbers.npy"))
    ends = np.load(fetched(folder / "kept_ends.npy"))
    path = folder / "kept_ids.jsonl"

    def kept_id(place: int) -> Any:
        at = int(np.searchsorted(numbers, roots[first + place]))
        begin = int(ends[at - 1]) if at else 0
        with fetched(path).open("rb") as stream:
            stream.seek(begin)
            return json.loads(stream.read(int(ends[at]) - begin))

    return kept_id
