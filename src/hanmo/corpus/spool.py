"""The three passes from input files to a corpus folder, each a step for `run_tasks`.

1. `clean_group`: read, clean and filter the documents of a group of files; write them to chunks
   (`000003-000000.jsonl.zst`) and their hashes and lengths to an index (`000003.npz`).
2. `decide`: over all indexes, find duplicates and cut what stays into parts of about equal length.
3. `write_part`: copy the kept lines of the chunks that a part covers to `part-00000.jsonl.zst`.

A line is `{"id": "wiki-0", "text": "…", "source": "wiki.txt.xz"}`. Chunks and parts depend on the
inputs and options only, never on the number of workers. Memory: a chunk, and 16 bytes a document
for the hashes plus 5 for length and decision.

    groups = group_files(find_inputs([Path("raw")]))
"""

import io
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.files import MEBIBYTE, write_atomic
from hanmo.corpus.cleaning import clean
from hanmo.corpus.dedup import as_hashes, first_of_each, text_digest
from hanmo.corpus.documents import Document, ReadOptions, read_documents, resolve_layout
from hanmo.corpus.filters import FilterOptions, reason_to_drop
from hanmo.corpus.inputs import InputFile

GROUP_BYTES = 2 * MEBIBYTE
GROUP_FILES = 1000
CHUNK_CHARS = 500_000
ZSTD_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that decides what a corpus holds, besides its inputs."""

    read: ReadOptions = field(default_factory=ReadOptions)
    filters: FilterOptions = field(default_factory=FilterOptions)
    strip_html: bool = False
    keep_duplicates: bool = False
    part_chars: int = 700_000


def group_files(files: Sequence[InputFile]) -> list[list[InputFile]]:
    """Cut the files, in order, into groups worth a task each."""
    groups: list[list[InputFile]] = []
    size = 0
    for file in files:
        if not groups or size >= GROUP_BYTES or len(groups[-1]) >= GROUP_FILES:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.path.stat().st_size
    return groups


def clean_group(
    groups: Sequence[Sequence[InputFile]], options: Options, folder: Path, rank: int
) -> dict[str, int]:
    """Read, clean and filter one group of files into chunks and an index."""
    counts: Counter[str] = Counter()
    digests, lengths, chunks = bytearray(), array("i"), array("i")
    lines: list[bytes] = []
    pending = 0
    for document in _kept_documents(groups[rank], options, counts):
        digests += text_digest(document.text)
        lengths.append(len(document.text))
        lines.append(_line(document))
        pending += len(document.text)
        if pending >= CHUNK_CHARS:
            chunks.append(_write_chunk(folder, rank, len(chunks), lines))
            lines, pending = [], 0
    if lines:
        chunks.append(_write_chunk(folder, rank, len(chunks), lines))
    index = io.BytesIO()
    np.savez(index, hashes=as_hashes(digests), lengths=lengths, chunks=chunks)
    write_atomic(folder / f"{rank:06d}.npz", index.getvalue())
    return dict(counts)


def decide(n_groups: int, options: Options, folder: Path, rank: int) -> dict[str, int]:
    """Choose the documents to keep and the first document of each part; write both as arrays."""
    indexes = [_Index.load(folder, group) for group in range(n_groups)]
    lengths = np.concatenate([index.lengths for index in indexes])
    keep = np.ones(len(lengths), dtype=np.bool_)
    if not options.keep_duplicates:
        keep = first_of_each(np.concatenate([index.hashes for index in indexes]))
    kept_lengths = lengths[keep].astype(np.int64)
    part = (np.cumsum(kept_lengths) - kept_lengths) // options.part_chars
    opens_part = np.concatenate([[True], part[1:] != part[:-1]])[: len(part)]
    starts = np.append(np.flatnonzero(keep)[opens_part], len(keep))
    names = [
        f"{group:06d}-{chunk:06d}"
        for group, index in enumerate(indexes)
        for chunk in range(len(index.chunks))
    ]
    ends = np.cumsum(np.concatenate([index.chunks for index in indexes]), dtype=np.int64)
    write_atomic(folder / "chunks.json", json.dumps(names))
    for name, values in (("keep", keep), ("starts", starts), ("ends", ends)):
        _save(folder / f"{name}.npy", values)
    return {
        "dropped_duplicate": int(len(keep) - keep.sum()),
        "kept": int(keep.sum()),
        "characters": int(kept_lengths.sum()),
        "parts": len(starts) - 1,
    }


def write_part(folder: Path, out: Path, rank: int) -> dict[str, int]:
    """Write one part of the corpus from the chunks that it covers."""
    first, end = (int(place) for place in np.load(folder / "starts.npy")[rank : rank + 2])
    keep = np.load(folder / "keep.npy", mmap_mode="r")[first:end]
    documents = zip(_lines_of(folder, first, end), keep, strict=True)
    lines = [line for line, is_kept in documents if is_kept]
    write_atomic(out / f"part-{rank:05d}.jsonl.zst", _compress(lines))
    return {"kept": len(lines)}


@dataclass(frozen=True, slots=True)
class _Index:
    """What `clean_group` left of one group."""

    hashes: NDArray[np.uint64]  # [N, 2]
    lengths: NDArray[np.int32]  # [N] characters of each document
    chunks: NDArray[np.int32]  # [C] documents of each chunk

    @classmethod
    def load(cls, folder: Path, group: int) -> "_Index":
        with np.load(folder / f"{group:06d}.npz") as arrays:
            return cls(arrays["hashes"], arrays["lengths"], arrays["chunks"])


def _kept_documents(
    files: Sequence[InputFile], options: Options, counts: Counter[str]
) -> Iterator[Document]:
    for file in files:
        read = resolve_layout(file, options.read)
        counts[f"files_{read.layout if file.format == 'text' else file.format}"] += 1
        for document in read_documents(file, read):
            counts["documents_in"] += 1
            text = clean(document.text, strip_html=options.strip_html)
            reason = reason_to_drop(document.text, text, options.filters)
            if reason is None:
                yield Document(document.id, text, document.source)
            else:
                counts[f"dropped_{reason}"] += 1


def _line(document: Document) -> bytes:
    record = {"id": document.id, "text": document.text, "source": document.source}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _write_chunk(folder: Path, rank: int, number: int, lines: list[bytes]) -> int:
    write_atomic(folder / f"{rank:06d}-{number:06d}.jsonl.zst", _compress(lines))
    return len(lines)


def _lines_of(folder: Path, first: int, end: int) -> Iterator[bytes]:
    """Yield lines `first` … `end - 1` of all chunks put together."""
    import zstandard

    names = json.loads((folder / "chunks.json").read_text(encoding="utf-8"))
    ends = np.load(folder / "ends.npy")
    chunk = int(np.searchsorted(ends, first, side="right"))
    while first < end:
        begin = int(ends[chunk - 1]) if chunk else 0
        raw = (folder / f"{names[chunk]}.jsonl.zst").read_bytes()
        lines = zstandard.ZstdDecompressor().decompress(raw).splitlines(keepends=True)
        yield from lines[first - begin : end - begin]
        first = min(end, int(ends[chunk]))
        chunk += 1


def _compress(lines: Sequence[bytes]) -> bytes:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    packed: bytes = compressor.compress(b"".join(lines))
    return packed


def _save(path: Path, values: NDArray[Any]) -> None:
    stream = io.BytesIO()
    np.save(stream, values)
    write_atomic(path, stream.getvalue())
