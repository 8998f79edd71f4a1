"""A folder of shards (kind "shards"): written document by document, read memory-mapped.

The folder holds `vocab.txt`, and `00000.bin` with `00000.idx` for each shard (their format is in
`shard_file.py`). A document lies in one shard; a shard is closed once it has enough pieces.

    with ShardWriter(folder, vocab=tokenizer.vocab, layers={"pos": POS}) as writer:
        writer.add(documents)
    shards = ShardSet.open(Path("work/shards/zhwiki"))
    shards.shards[0].ids[:126]
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from hanmo.core.artifact import Manifest, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import sha256
from hanmo.core.log import Progress
from hanmo.data.documents import Documents, join
from hanmo.data.shard_file import Legend, damage, read_shard, stored_digest, write_shard
from hanmo.text.vocab import SPECIALS, VOCAB_FILE, write_vocab

KIND = "shards"
SHARD_PIECES = 16_000_000
_MOST_WAITING = 256  # parts that a shard is put together of
_SPECIAL_NAMES = ("pad", "unk", "cls", "sep", "mask")  # in the order of SPECIALS


class ShardWriter:
    """Write documents to numbered shards; what goes where depends on the documents only.

    Args:
        folder: where to write, usually `Build.dir` of a stage of kind "shards".
        vocab: entries of the vocabulary in the order of their ids; written to `vocab.txt`.
        layers: layer → its labels in the order of their ids.
        shard_pieces: a shard is closed after the document that reaches this many pieces.
    """

    def __init__(
        self,
        folder: Path,
        *,
        vocab: Sequence[str],
        layers: Mapping[str, Sequence[str]],
        shard_pieces: int = SHARD_PIECES,
    ) -> None:
        self._folder = folder
        self._shard_pieces = shard_pieces
        self._waiting: list[Documents] = []
        self._n_waiting = 0
        self.n_shards = 0
        write_vocab(folder / VOCAB_FILE, vocab)
        self._legend = Legend(
            {name: tuple(labels) for name, labels in layers.items()},
            {
                name: vocab.index(piece)
                for name, piece in zip(_SPECIAL_NAMES, SPECIALS, strict=True)
            },
            len(vocab),
            sha256(folder / VOCAB_FILE),
        )

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._n_waiting:
            self._close_shard()

    def add(self, documents: Documents) -> None:
        """Append whole documents; full shards are written at once."""
        ends = documents.piece_offsets
        n_documents = len(ends) - 1
        done = 0
        while done < n_documents:
            wanted = self._shard_pieces - self._n_waiting + int(ends[done])
            stop = min(int(np.searchsorted(ends[1:], wanted)) + 1, n_documents)
            self._waiting.append(documents.cut(done, stop))
            if len(self._waiting) == _MOST_WAITING:
                # A copy: views keep the file of each part open.
                self._waiting = [join(self._waiting, list(self._legend.layers))]
            self._n_waiting += int(ends[stop] - ends[done])
            done = stop
            if self._n_waiting >= self._shard_pieces:
                self._close_shard()

    def _close_shard(self) -> None:
        documents = join(self._waiting, list(self._legend.layers))
        write_shard(self._folder / f"{self.n_shards:05d}.bin", documents, self._legend)
        self._waiting, self._n_waiting = [], 0
        self.n_shards += 1


@dataclass(frozen=True, slots=True)
class ShardSet:
    """All shards of a folder, memory-mapped; cheap to pickle (a worker maps them again).

    Attributes:
        folder: where they lie.
        shards: the documents of each shard.
        legend: label lists, special ids and vocabulary digest, equal in all shards.
    """

    folder: Path
    shards: tuple[Documents, ...]
    legend: Legend

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> "ShardSet":
        """Open a finished folder of shards.

        Args:
            folder: kind "shards".
            verify: compare every file with its digest as well as its size.

        Raises:
            UserError: not a finished folder of shards, or a file that is missing, cut short or
                changed; names the file.
        """
        manifest = read_manifest(folder, KIND)
        paths = [folder / name for name in sorted(manifest.files) if name.endswith(".bin")]
        read = [read_shard(path) for path in paths]
        if not read:
            raise UserError(f"{folder}: no shards in it; make it again with `hanmo encode`")
        legend = read[0][1]
        for path, (_, other) in zip(paths, read, strict=True):
            if other != legend:
                raise UserError(
                    f"{path}: other labels or another vocabulary than {paths[0].name}; "
                    "the folder mixes two runs: make it again with `hanmo encode`"
                )
        if verify:
            _verify(folder, manifest)
        return cls(folder, tuple(documents for documents, _ in read), legend)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder,)

    @property
    def n_pieces(self) -> int:
        """Number of pieces."""
        return sum(len(shard.ids) for shard in self.shards)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return sum(len(shard.document_starts) - 1 for shard in self.shards)

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """Layer → its labels in the order of their ids."""
        return dict(self.legend.layers)

    @property
    def special_ids(self) -> dict[str, int]:
        """Ids of "pad", "unk", "cls", "sep" and "mask"."""
        return dict(self.legend.special_ids)


def _reopen(folder: Path) -> ShardSet:
    return ShardSet.open(folder, verify=False)


def _verify(folder: Path, manifest: Manifest) -> None:
    """Compare a shard with the digest in its index, and the other files with the manifest's."""

    def check(name: str) -> None:
        path = folder / name
        expected = manifest.files[name]["sha256"]
        if path.suffix == ".bin":
            expected = stored_digest(path)
        got = sha256(path) if path.is_file() else "no file"
        if got != expected:
            where = damage(path) if path.suffix == ".bin" else ""
            raise UserError(
                f"{path}: damaged{where}: SHA-256 {got[:12]}…; expected {expected[:12]}…; copy it "
                "again, or make the shards again with `hanmo encode`"
            )

    workers = min(4, os.cpu_count() or 1)
    names = sorted(manifest.files)
    with Progress("check shards", len(names), "files") as bar, ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(check, names):
            bar.advance()
