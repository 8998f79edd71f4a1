"""One shard on disk: memory-mapped columns in a `.bin`, what they mean in an `.idx`.

00000.bin   little-endian columns one after another, each aligned to 64 bytes:
            ids               uint16 (uint32 if the vocabulary has 65,536 entries or more)
            word_starts       uint8, 1 at the first piece of a word
            sentence_starts   int64 piece offsets, and the number of pieces at the end
            document_starts   int64 sentence indices, and the number of sentences at the end
            layer.NAME        int8 a piece, the label id of its word, -1 = missing
00000.idx   JSON: version, bytes and sha256 of the .bin and a CRC-32 of each 64 KiB of it (so that
            damage is found at its offset), dtype/offset/count of each column,
            the label list of each layer (so that ids keep their meaning), special ids,
            sha256 of the vocabulary

documents, legend = read_shard(Path("work/shards/zhwiki/00000.bin"))
"""

import hashlib
import json
import mmap
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.core.files import replacing, write_atomic
from hanmo.core.remote import fetched, read_bytes
from hanmo.data.documents import Documents

FORMAT_VERSION = 1
_ALIGNMENT = 64
_LAYER = "layer."
_BLOCK = 1 << 16
_AGAIN = "make the shards again with `hanmo encode`"


@dataclass(frozen=True, slots=True)
class Legend:
    """What the numbers of a shard mean; the same for every shard of a folder.

    Attributes:
        layers: layer → its labels, in the order of their ids.
        special_ids: "pad", "unk", "cls", "sep", "mask" → piece id.
        vocabulary_size: entries of the vocabulary.
        vocab_sha256: digest of `vocab.txt`.
    """

    layers: Mapping[str, tuple[str, ...]]
    special_ids: Mapping[str, int]
    vocabulary_size: int
    vocab_sha256: str

    @property
    def id_dtype(self) -> str:
        """Two bytes a piece id while they suffice."""
        return "<u2" if self.vocabulary_size < 1 << 16 else "<u4"


def write_shard(path: Path, documents: Documents, legend: Legend) -> None:
    """Write `path` (a .bin) and then the .idx beside it, both atomically."""
    columns: dict[str, NDArray[Any]] = {
        "ids": documents.ids.astype(legend.id_dtype, copy=False),
        "word_starts": documents.word_starts.astype("|u1", copy=False),
        "sentence_starts": documents.sentence_starts.astype("<i8", copy=False),
        "document_starts": documents.document_starts.astype("<i8", copy=False),
    }
    for name in legend.layers:
        columns[_LAYER + name] = documents.layers[name].astype("|i1", copy=False)
    table: dict[str, dict[str, Any]] = {}
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            for name, column in columns.items():
                table[name] = {
                    "dtype": column.dtype.str,
                    "offset": stream.tell(),
                    "count": len(column),
                }
                stream.write(np.ascontiguousarray(column).data)
                stream.write(bytes(-column.nbytes % _ALIGNMENT))
        facts = _facts(temporary)
    index = {
        "version": FORMAT_VERSION,
        **facts,
        "columns": table,
        "layers": {name: list(labels) for name, labels in legend.layers.items()},
        "special_ids": dict(legend.special_ids),
        "vocabulary_size": legend.vocabulary_size,
        "vocab_sha256": legend.vocab_sha256,
    }
    write_atomic(path.with_suffix(".idx"), json.dumps(index, ensure_ascii=False, indent=1) + "\n")


def _facts(path: Path) -> dict[str, Any]:
    """Return size and digests of the bytes of a shard; read back, for they would need memory."""
    digest, crcs = hashlib.sha256(), []
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            crcs.append(f"{zlib.crc32(block):08x}")
        return {"bytes": stream.tell(), "sha256": digest.hexdigest(), "crc32": "".join(crcs)}


def read_shard(path: Path) -> tuple[Documents, Legend]:
    """Map a shard into memory; sizes are checked, the digest is not (see `ShardSet.open`).

    Raises:
        UserError: a file is missing, damaged, of a newer format, or not of its size.
    """
    index = _read_index(path.with_suffix(".idx"))
    if not fetched(path).is_file():
        raise UserError(f"{path}: missing, though {path.stem}.idx is there; {_AGAIN}")
    size, expected = path.stat().st_size, index["bytes"]
    if size != expected:
        raise UserError(
            f"{path}: {size:,} bytes; expected {expected:,}: cut short or overwritten; copy it "
            f"again, or {_AGAIN}"
        )
    # Plain arrays on the map: slicing an np.memmap costs ten times as much.
    with path.open("rb") as file:
        raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    try:
        return _documents(raw, index), _legend(index)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path.with_suffix('.idx')}: damaged index ({error}); {_AGAIN}") from None


def read_legend(path: Path) -> Legend:
    """Return what the numbers of a shard mean, without its columns.

    Raises:
        UserError: the index is missing, damaged or of a newer format.
    """
    try:
        return _legend(_read_index(path.with_suffix(".idx")))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path.with_suffix('.idx')}: damaged index ({error}); {_AGAIN}") from None


def let_go(array: NDArray[Any]) -> None:
    """Let the system take back the pages that were read of the file that an array is mapped from.

    They stay in its cache while it has room, and are mapped again when they are asked for: so a
    process that reads all over a large corpus does not seem, and come to be, as large as that.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.obj if isinstance(owner, memoryview) else owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def stored_digest(path: Path) -> str:
    """SHA-256 that the index of a shard states."""
    digest: str = _read_index(path.with_suffix(".idx"))["sha256"]
    return digest


def damage(path: Path) -> str:
    """Say between which bytes a shard is not what was written; nothing where that is unknown.

    Args:
        path: a .bin whose digest differs from the one that its index states.
    """
    index = _read_index(path.with_suffix(".idx"))
    sums = index.get("crc32", "")
    wrong = []
    with path.open("rb") as file:
        for number in range(len(sums) // 8):
            if f"{zlib.crc32(file.read(_BLOCK)):08x}" != sums[8 * number : 8 * number + 8]:
                wrong.append(number * _BLOCK)
    if not wrong:
        return ""
    last = min(wrong[0] + _BLOCK, index["bytes"])
    more = f" and {len(wrong) - 1:,} more blocks of 64 KiB" if len(wrong) > 1 else ""
    return f" from offset {wrong[0]:,} to {last:,}{_column_at(index, wrong[0], last)}{more}"


def _column_at(index: Mapping[str, Any], begin: int, end: int) -> str:
    names = [
        name
        for name, facts in index["columns"].items()
        if facts["offset"] < end
        and begin < facts["offset"] + facts["count"] * np.dtype(facts["dtype"]).itemsize
    ]
    return f" ({', '.join(names)})" if names else ""


def _documents(raw: mmap.mmap | bytes, index: Mapping[str, Any]) -> Documents:
    def column(name: str) -> NDArray[Any]:
        facts = index["columns"][name]
        return np.frombuffer(raw, facts["dtype"], facts["count"], facts["offset"])

    return Documents(
        column("ids"),
        column("word_starts"),
        column("sentence_starts"),
        column("document_starts"),
        {name: column(_LAYER + name) for name in index["layers"]},
    )


def _legend(index: Mapping[str, Any]) -> Legend:
    return Legend(
        {name: tuple(labels) for name, labels in index["layers"].items()},
        index["special_ids"],
        index["vocabulary_size"],
        index["vocab_sha256"],
    )


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(read_bytes(path))
        version, missing = index["version"], {"bytes", "sha256"} - index.keys()
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {_AGAIN}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged index ({error}); {_AGAIN}") from None
    if missing:
        raise UserError(f"{path}: damaged index (no {', '.join(sorted(missing))}); {_AGAIN}")
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path}: shard format {version}; this hanmo reads up to {FORMAT_VERSION}; "
            "upgrade hanmo"
        )
    return index
