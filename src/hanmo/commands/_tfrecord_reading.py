"""What `hanmo encode FILE.tfrecord …` composes: records → restored documents → shards.

Each file is restored by itself, into parts that are kept until the shards are written, so an
interrupted run continues where it was. The same bytes for any number of workers.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.annotate.tagsets import MISSING, TAGSETS
from hanmo.core.artifact import building, is_ours, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.execute import run_tasks
from hanmo.core.files import write_atomic
from hanmo.core.log import Progress
from hanmo.core.wire import WireError
from hanmo.data.documents import Documents
from hanmo.data.duplicates import without_duplicates
from hanmo.data.example import read_example
from hanmo.data.record_restoring import RecordError, Restorer
from hanmo.data.shard_file import Legend, read_shard, write_shard
from hanmo.data.shards import KIND, SHARD_PIECES, ShardWriter
from hanmo.data.tfrecord import read_records
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import vocab_file

RECORDS = "tfrecord"  # the kind of folder that `--to tfrecord` makes
_MARKS = ("tfrecord", "tf_record")  # in the names of files of records


def record_files(paths: Sequence[Path]) -> list[Path] | None:
    """List the files of records that some paths mean; None where the first is something else.

    A folder of records is one that `--to tfrecord` made, or a folder not of hanmo's that holds
    files named so.

    Raises:
        UserError: a path that does not exist, or a folder without records among several paths.
    """
    found: list[Path] = []
    for path in paths:
        files = [path] if path.is_file() else _below(path)
        if not files:
            if path is paths[0] and len(paths) == 1 and not _named(path):
                return None
            raise UserError(f"{path}: no such file, and no folder with files of records in it")
        found += files
    times = Counter(path.resolve() for path in found)
    for path in found:
        if times[path.resolve()] > 1:
            raise UserError(f"{path}: named more than once; name it once")
    return found


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    if is_ours(folder) and read_manifest(folder).kind != RECORDS:
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and _named(path))


def _named(path: Path) -> bool:
    return not path.name.startswith(".") and any(mark in path.name for mark in _MARKS)


def restore(config: Any, files: Sequence[Path]) -> dict[str, int | float]:
    """Make shards of records and return the counts.

    Args:
        config: an `encode.Config`.
        files: what `record_files` returned.

    Raises:
        UserError: a file that is no TFRecord file or is damaged, an Example that is no record of
            pre-training, or another vocabulary; names the file, the record and its offset.
    """
    tokenizer = Tokenizer.load(config.vocab)
    inputs = {"vocab": vocab_file(config.vocab)}
    inputs |= {f"records {number:05d}": path for number, path in enumerate(files)}
    names = ("sentences", "more", "vocab", "out", "partner", "shard_pieces", "workers", "overwrite")
    settings = {name: getattr(config, name) for name in names}
    with building(
        config.out, kind=KIND, config=settings, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if build.finished:
            return build.counts
        work = build.state_dir
        step = partial(_restore_file, files, work, tokenizer, config.partner == "sop")
        made = run_tasks(
            step,
            len(files),
            workers=config.workers,
            state_dir=work / "tasks",
            title="restore records",
        )
        total: Counter[str] = Counter()
        for counts in made:
            total.update(counts)
        if not total["pieces"]:
            raise UserError(f"{config.sentences}: no records with text in it; nothing to encode")
        parts = [(file, n) for file, counts in enumerate(made) for n in range(counts["parts"])]
        del total["parts"], total["pieces"]
        paths = [_part_path(work, file, n) for file, n in parts]
        total.update(_write_shards(build.dir, paths, tokenizer, config.shard_pieces))
        build.counts.update(total)
    return build.counts


def _restore_file(
    files: Sequence[Path], work: Path, tokenizer: Tokenizer, swapped: bool, number: int
) -> dict[str, int]:
    """Restore one file into parts of a bounded size."""
    path = files[number]
    restorer = Restorer(tokenizer, swapped=swapped)
    total: Counter[str] = Counter(parts=0, pieces=0)

    def close() -> None:
        _write_part(_part_path(work, number, total["parts"]), restorer, tokenizer)
        total.update(restorer.counts)
        total.update(parts=1, pieces=restorer.n_pieces)

    for record in read_records(path):
        try:
            restorer.add(read_example(record.data))
        except (RecordError, WireError) as error:
            kind = "" if isinstance(error, RecordError) else "not a tf.train.Example: "
            raise UserError(
                f"{path}: record {record.number:,} at offset {record.offset:,}: {kind}{error}"
            ) from None
        if restorer.n_pieces >= SHARD_PIECES:
            close()
            restorer = Restorer(tokenizer, swapped=swapped)
    close()
    return dict(total)


def _write_part(path: Path, restorer: Restorer, tokenizer: Tokenizer) -> None:
    documents, keys = restorer.documents()
    layers = {name: TAGSETS[name] for name in documents.layers}
    write_shard(path, documents, Legend(layers, {}, tokenizer.size, ""))
    content = io.BytesIO()
    np.save(content, keys)
    write_atomic(path.with_suffix(".npy"), content.getvalue())


def _write_shards(
    folder: Path, paths: Sequence[Path], tokenizer: Tokenizer, shard_pieces: int
) -> dict[str, int]:
    """Join the parts, in their order, without the documents that are there again."""
    read = [read_shard(path)[0] for path in paths]
    found = {name for documents in read for name in documents.layers}
    layers = {name: TAGSETS[name] for name in TAGSETS if name in found}
    parts = [_with_layers(documents, layers) for documents in read]
    keys = [np.load(path.with_suffix(".npy"), mmap_mode="r") for path in paths]
    counts: Counter[str] = Counter()
    writer = ShardWriter(folder, vocab=tokenizer.vocab, layers=layers, shard_pieces=shard_pieces)
    with Progress("write shards", len(parts), "parts") as bar, writer:
        for documents in without_duplicates(parts, keys):
            writer.add(documents)
            counts.update(_counted(documents, tokenizer))
            bar.advance()
    counts["duplicates"] = sum(map(len, keys)) - counts["documents"]
    counts["shards"] = writer.n_shards
    return dict(counts)


def _with_layers(documents: Documents, layers: Mapping[str, Any]) -> Documents:
    """Give a part the layers that other parts have."""
    unknown = np.full(len(documents.ids), MISSING, dtype=np.int8)
    return Documents(
        documents.ids,
        documents.word_starts,
        documents.sentence_starts,
        documents.document_starts,
        {name: documents.layers.get(name, unknown) for name in layers},
    )


def _counted(documents: Documents, tokenizer: Tokenizer) -> dict[str, int]:
    labelled = {
        f"labelled_pieces_{name}": int((labels != MISSING).sum())
        for name, labels in documents.layers.items()
    }
    return {
        "documents": len(documents.document_starts) - 1,
        "sentences": len(documents.sentence_starts) - 1,
        "words": int(documents.word_starts.sum()),
        "pieces": len(documents.ids),
        "unknown_pieces": int((documents.ids == tokenizer.unk_id).sum()),
        **labelled,
    }


def _part_path(work: Path, file: int, number: int) -> Path:
    return work / f"part-{file:05d}-{number:03d}.bin"
