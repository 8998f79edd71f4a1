"""Turn annotated sentences into training shards: ids, word starts and labels by piece.

In: a folder of kind "sentences" and a vocabulary. Out: a folder of kind "shards" (see
`hanmo.data.shards`), the same bytes for any number of workers. Each part is encoded by itself and
kept until the shards are written, so an interrupted run continues where it was.

    hanmo encode work/sentences/zhwiki --vocab vocab.txt --out work/shards/zhwiki --workers 8
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hanmo.annotate.store import read_part
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import building, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.execute import run_tasks
from hanmo.core.log import Progress, say
from hanmo.data.encode import NerLevel, encode_documents
from hanmo.data.shard_file import Legend, read_shard, write_shard
from hanmo.data.shards import KIND, SHARD_PIECES, ShardWriter
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import vocab_file

MANY_UNKNOWN = 0.1  # share of [UNK]; with BERT's vocabulary real Chinese text has below 0.01


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo encode`.

    Attributes:
        sentences: finished folder of annotated sentences, as `hanmo annotate` makes it.
        vocab: a vocab.txt with one piece a line, or a folder that holds one.
        out: folder to make.
        ner_level: what entity labels refer to: "word" copies a word's label to all its pieces,
            "char" spreads an entity over its pieces (B at the first, E at the last).
        shard_pieces: a shard is closed after the document that reaches this many pieces.
        workers: processes that encode.
        overwrite: replace a folder made with other settings.
    """

    sentences: Path = field(metadata={"positional": True})
    vocab: Path
    out: Path
    ner_level: NerLevel = "word"
    shard_pieces: int = SHARD_PIECES
    workers: int = 1
    overwrite: bool = False


def run(config: Config) -> dict[str, int | float]:
    """Encode all parts, write the shards and return the counts.

    Raises:
        UserError: no finished sentences, a bad vocabulary, or nothing to encode.
    """
    if config.shard_pieces < 1:
        raise UserError(f"shard_pieces: got {config.shard_pieces}; expected 1 or more")
    manifest = read_manifest(config.sentences, "sentences")
    parts = [config.sentences / name for name in sorted(manifest.files) if _is_part(name)]
    tokenizer = Tokenizer.load(config.vocab)
    inputs = {"sentences": config.sentences, "vocab": vocab_file(config.vocab)}
    with building(
        config.out, kind=KIND, config=config, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if build.finished:
            return build.counts
        work = build.state_dir
        step = partial(_encode_part, parts, work, tokenizer, config.ner_level)
        counts = run_tasks(
            step, len(parts), workers=config.workers, state_dir=work / "tasks", title="encode"
        )
        total: Counter[str] = Counter()
        for part_counts in counts:
            total.update(part_counts)
        if not total["pieces"]:
            raise UserError(f"{config.sentences}: no sentences with text in it; nothing to encode")
        total["shards"] = _write_shards(build.dir, work, len(parts), tokenizer, config.shard_pieces)
        build.counts.update(total)
    share = build.counts["unknown_pieces"] / build.counts["pieces"]
    if share > MANY_UNKNOWN:
        say(
            f"encode: {share:.0%} of the pieces are [UNK]: this vocabulary does not fit the text; "
            "give the one made for it (hanmo train-vocab makes one from a corpus)"
        )
    return build.counts


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")


def _encode_part(
    parts: list[Path], work: Path, tokenizer: Tokenizer, ner_level: NerLevel, number: int
) -> dict[str, int]:
    """Encode one part into a shard file of its own."""
    documents, counts = encode_documents(read_part(parts[number]), tokenizer, ner_level=ner_level)
    layers = {name: TAGSETS[name] for name in documents.layers}
    write_shard(_part_path(work, number), documents, Legend(layers, {}, tokenizer.size, ""))
    return dict(counts)


def _write_shards(
    folder: Path, work: Path, n_parts: int, tokenizer: Tokenizer, shard_pieces: int
) -> int:
    """Join the parts, in their order, into shards of the wanted size; returns how many."""
    encoded = [read_shard(_part_path(work, number))[0] for number in range(n_parts)]
    found = {name for documents in encoded for name in documents.layers}
    layers = {name: TAGSETS[name] for name in TAGSETS if name in found}
    writer = ShardWriter(folder, vocab=tokenizer.vocab, layers=layers, shard_pieces=shard_pieces)
    with Progress("write shards", n_parts, "parts") as bar, writer:
        for documents in encoded:
            writer.add(documents)
            bar.advance()
    return writer.n_shards


def _part_path(work: Path, number: int) -> Path:
    return work / f"part-{number:05d}.bin"
