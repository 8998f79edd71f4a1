"""What lies between the passes of `hanmo prepare`, and the first of them.

1. `clean_group`: read, clean and filter the documents of a group of files; write them to chunks
   (`000003-000000.jsonl.zst`) and what the later passes decide by to an index (`000003.npz`:
   hashes and lengths; on request bands for near duplicates, paragraphs, ids).
2. `corpus/choosing.py`: over all indexes, find duplicates and cut what stays into parts.
3. `corpus/writing.py`: copy the kept lines of the chunks that a part covers.

A line is `{"id": "wiki-0", "text": "…", "source": "wiki.txt.xz"}`. Chunks and parts depend on the
inputs and options only, never on the number of workers. Memory: a chunk, 28 bytes for each document
of the group that is read, and then, of all of them, 24 bytes a document for the hashes plus 21 for
length, decision and the first equal one.

    groups = group_files(find_inputs([Path("raw")]))
"""

import hashlib
import io
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core import remote
from hanmo.core.files import MEBIBYTE, open_bytes, replacing, write_atomic
from hanmo.core.remote import fetched, read_bytes
from hanmo.corpus.dedup import as_hashes, text_digest
from hanmo.corpus.documents import Document
from hanmo.corpus.inputs import InputFile
from hanmo.corpus.near import BandWriter, NearOptions
from hanmo.corpus.paragraphs import ParagraphOptions, Paragraphs
from hanmo.corpus.treating import Dropped, Missing, TreatOptions, treated

GROUP_BYTES = 2 * MEBIBYTE
GROUP_FILES = 1000
CHUNK_CHARS = 500_000
ZSTD_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that decides what a corpus holds, besides its inputs."""

    treat: TreatOptions = field(default_factory=TreatOptions)
    keep_duplicates: bool = False
    near: NearOptions = field(default_factory=NearOptions)
    paragraphs: ParagraphOptions = field(default_factory=ParagraphOptions)
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
        size += remote.size(file.path)
    return groups


def clean_group(
    groups: Sequence[Sequence[InputFile]],
    options: Options,
    folder: Path,
    dropped: Path | None,
    rank: int,
) -> dict[str, int]:
    """Read, clean and filter one group of files into chunks and an index.

    Args:
        groups: All groups.
        options: What to keep.
        folder: For chunks and indexes.
        dropped: Folder for the documents that are dropped.
        rank: Number of the group.
    """
    counts: Counter[str] = Counter()
    chunks = Chunks(folder, f"{rank:06d}")
    aside = Chunks(dropped, f"filtered-{rank:06d}") if dropped is not None else None
    missing: list[bytes] = []
    with _IndexWriter(options, folder, rank, ids=dropped is not None) as index:
        for item in treated(groups[rank], options.treat, counts):
            if isinstance(item, Missing):
                missing.append(line_of(item.record()))
            elif not isinstance(item, Dropped):
                index.add(item)
                chunks.add(record_of(item), len(item.text))
            elif aside is not None:
                record = record_of(item.document) | {"reason": item.reason}
                aside.add(record, len(item.document.text))
    if aside is not None:
        aside.close()
    if missing:
        write_atomic(missing_path(folder, rank), b"".join(missing))
    index.save(chunks.close())
    return dict(counts)


class Chunks:
    """Lines written in files of about `CHUNK_CHARS` characters, compressed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._lines: list[bytes] = []
        self._pending = 0
        self._sizes: list[int] = []

    def add(self, record: Mapping[str, Any], chars: int) -> None:
        """Add a line that counts for so many characters."""
        self._lines.append(line_of(record))
        self._pending += chars
        if self._pending >= CHUNK_CHARS:
            self._write()

    def close(self) -> list[int]:
        """Write what is left and return the number of lines of each chunk."""
        if self._lines:
            self._write()
        return self._sizes

    def _write(self) -> None:
        name = f"{self._name}-{len(self._sizes):06d}.jsonl.zst"
        write_atomic(self._folder / name, compress(self._lines))
        self._sizes.append(len(self._lines))
        self._lines, self._pending = [], 0


class _IndexWriter:
    """What later passes need to know of each document of a group."""

    def __init__(self, options: Options, folder: Path, group: int, *, ids: bool) -> None:
        self._folder, self._group = folder, group
        self._digests, self._names, self._lengths = bytearray(), bytearray(), array("i")
        self._paragraphs = Paragraphs() if options.paragraphs.any else None
        self._files = ExitStack()
        is_near = options.near.similarity > 0
        self._bands = BandWriter(folder, group, options.near) if is_near else None
        self._ids: Any = None
        if self._bands is not None:
            self._files.enter_context(self._bands)
        if ids:
            path = self._files.enter_context(replacing(ids_path(folder, group)))
            self._ids = self._files.enter_context(open_bytes(path, "wb"))

    def __enter__(self) -> "_IndexWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def add(self, document: Document) -> None:
        self._digests += text_digest(document.text)
        self._names += name_hash(document.id).to_bytes(8, "little")
        self._lengths.append(len(document.text))
        if self._bands is not None:
            self._bands.add(document.text)
        if self._paragraphs is not None:
            self._paragraphs.add(document.text)
        if self._ids is not None:
            self._ids.write(line_of(document.id))

    def save(self, chunks: Sequence[int]) -> None:
        if self._paragraphs is not None:
            self._paragraphs.save(self._folder, self._group)
        stream = io.BytesIO()
        np.savez(
            stream,
            hashes=as_hashes(self._digests),
            names=np.frombuffer(self._names, dtype="<u8"),
            lengths=np.array(self._lengths, dtype=np.int32),
            chunks=np.array(chunks, dtype=np.int32),
        )
        write_atomic(self._folder / f"{self._group:06d}.npz", stream.getvalue())


@dataclass(frozen=True, slots=True)
class Index:
    """What `clean_group` left of one group."""

    hashes: NDArray[np.uint64]  # [N, 2]
    names: NDArray[np.uint64]  # [N] hashes of the ids
    lengths: NDArray[np.int32]  # [N] characters of each document
    chunks: NDArray[np.int32]  # [C] documents of each chunk

    @classmethod
    def load(cls, folder: Path, group: int) -> "Index":
        """Read the index of a group."""
        with np.load(io.BytesIO(read_bytes(folder / f"{group:06d}.npz"))) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))


def name_hash(name: str) -> int:
    """Return the number of 64 bits that stands for an id."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def numbered(name: str, number: int) -> str:
    """Return the id of a document whose own an earlier one has."""
    return f"{name}#{number}"


def ids_path(folder: Path, group: int) -> Path:
    """Return where a group's document ids are, a JSON string a line."""
    return folder / f"{group:06d}.ids.zst"


def missing_path(folder: Path, group: int) -> Path:
    """Return where it says what of a group could not be read; absent when all could."""
    return folder / f"{group:06d}.missing.jsonl"


def record_of(document: Document) -> dict[str, str]:
    """Return a document as a line of a corpus has it."""
    return {"id": document.id, "text": document.text, "source": document.source}


def line_of(value: Any) -> bytes:
    """Return a value as a line of JSON."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def compress(lines: Sequence[bytes]) -> bytes:
    """Pack lines as one zstandard frame with a checksum."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    packed: bytes = compressor.compress(b"".join(lines))
    return packed


def packed_lines(path: Path) -> list[bytes]:
    r"""Return the lines of a file that `compress` packed, each with its `\n`."""
    import zstandard

    raw: bytes = zstandard.ZstdDecompressor().decompress(read_bytes(path))
    return raw.splitlines(keepends=True)


def lines_at(folder: Path, places: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """Yield documents by their numbers, ascending; chunks without one of them are not read."""
    names = np.load(fetched(folder / "chunks.npy"), mmap_mode="r")
    ends = np.load(fetched(folder / "ends.npy"), mmap_mode="r")
    chunks = np.searchsorted(ends, places, side="right")
    bounds = [*np.flatnonzero(np.diff(chunks, prepend=-1)).tolist(), len(places)]
    for first, stop in pairwise(bounds):
        chunk = int(chunks[first])
        begin = int(ends[chunk - 1]) if chunk else 0
        group, number = names[chunk].tolist()
        lines = packed_lines(folder / f"{group:06d}-{number:06d}.jsonl.zst")
        for place in places[first:stop].tolist():
            yield place, lines[place - begin]


def save_array(path: Path, values: NDArray[Any]) -> None:
    """Write a `.npy` file atomically."""
    stream = io.BytesIO()
    np.save(stream, values)
    write_atomic(path, stream.getvalue())
