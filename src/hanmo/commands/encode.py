"""Turn annotated sentences into training shards: ids, word starts and labels by piece.

In: a folder of kind "sentences" and a vocabulary. Out: a folder of kind "shards" (see
`hanmo.data.shards`), the same bytes for any number of workers. Each part is encoded by itself and
kept until the shards are written, so an interrupted run continues where it was.

    hanmo encode work/sentences/zhwiki --vocab vocab.txt --out work/shards/zhwiki --workers 8

With --to tfrecord the masked records that the original pre-training scripts of BERT, LERT and
Chinese-ELECTRA read are written, from shards or sentences; --format lert --help lists the
objective's options too. And files of such records are turned back into shards.

    hanmo encode work/shards --to tfrecord --format lert --max-length 512 --out work/records
    hanmo encode old/pretrain_data.tfrecord* --vocab vocab.txt --out work/shards-old
"""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hanmo.annotate.column_store import read_columns
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import remote
from hanmo.core.artifact import building, is_ours, read_manifest
from hanmo.core.config import following
from hanmo.core.errors import UserError
from hanmo.core.execute import run_tasks
from hanmo.core.executor import make_executor
from hanmo.core.flags import hyphens
from hanmo.core.local_copies import with_local_copies
from hanmo.core.log import Progress, say
from hanmo.core.parts import parts_of
from hanmo.core.remote import borrowed
from hanmo.core.urls import is_remote
from hanmo.data.encode import NerLevel, encode_columns
from hanmo.data.pairing import PARTNERS
from hanmo.data.shard_file import Legend, read_legend, read_shard, write_shard
from hanmo.data.shards import KIND, SHARD_PIECES, ShardWriter
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import vocab_file

REMOTE = ("sentences", "vocab", "out", "more")  # settings that may be URLs
PLUGIN = {"objective": ("hanmo.objectives", "Objective")}
FOLLOWS = {"objective": ("format", {"bert": "mlm", "lert": "lert"})}
MANY_UNKNOWN = 0.1  # share of [UNK]; with BERT's vocabulary real Chinese text has below 0.01

_HOW = ("workers", "executor", "executor_options")
_OF_SHARDS = ("sentences", "vocab", "out", "ner_level", "shard_pieces", "overwrite", *_HOW)
_OF_RECORDS = (
    *("format", "objective", "max_length", "max_predictions", "dupe_factor"),
    *("short_sequence_rate", "files", "seed", "options"),
)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo encode`.

    Attributes:
        sentences: finished folder of annotated sentences, as `hanmo annotate` makes it; with
            --to tfrecord also one of shards; or files of TFRecords, or a folder of them, to make
            shards of.
        more: further files of TFRecords.
        vocab: a vocab.txt with one piece a line, or a folder that holds one; not with shards,
            which have theirs.
        out: folder to make.
        to: what to make: "shards", or "tfrecord" for the original pre-training scripts.
        format: whose records: "bert" (run_pretraining.py of BERT and ALBERT), "lert" or "electra".
        objective: what masks the records: an objective that predicts pieces, by name; by default
            mlm for bert and lert for lert. electra's script masks by itself.
        partner: question about pairs of segments: none, nsp (BERT's next sentence) or sop
            (ALBERT's sentence order); by default nsp for bert, else none. For records that are
            read: what their next_sentence_labels mean, nsp unless sop is given.
        max_length: longest sequence in records, [CLS] and [SEP] included. Upstream's default is
            128; LERT, RoBERTa-wwm-ext and Chinese-ELECTRA had 512.
        max_predictions: masked places of a record at most; whole words above are given up, and
            counted. By default length times rate, rounded up: 20 of 128 as upstream. LERT had 75
            of 512, albert_zh 51 of 512.
        dupe_factor: passes over the text, each cut, paired and masked anew. By default 10 for
            bert as upstream (BERT-wwm had 5, ALBERT 40), 5 for lert (not published), 1 for electra.
        short_sequence_rate: share of sequences that stop at a random shorter length. By default
            0.1 for bert, 0.05 for electra as upstream, 0 for lert.
        files: files of records; ELECTRA's script has 1000.
        seed: decides sequences, pairs, order and masks of records.
        ner_level: what entity labels refer to: "word" copies a word's label to all its pieces,
            "char" spreads an entity over its pieces (B at the first, E at the last).
        shard_pieces: a shard is closed after the document that reaches this many pieces.
        workers: How many tasks run at a time.
        executor: Where tasks run: processes here, a Ray or a Slurm cluster (docs/scaling.md).
        executor_options: Options of the executor, each KEY=VALUE.
        overwrite: replace a folder made with other settings.
        options: options of the objective by name.
    """

    sentences: Path = field(metadata={"positional": True})
    vocab: Path | None = field(metadata={"unless": ("to",)})
    out: Path = field(metadata={"output": True})
    ner_level: NerLevel = "word"
    shard_pieces: int = SHARD_PIECES
    workers: int = 1
    executor: str = "local"
    executor_options: list[str] = field(default_factory=list[str])
    overwrite: bool = False
    more: tuple[Path, ...] = field(default=(), metadata={"positional": True})
    to: Literal["shards", "tfrecord"] = "shards"
    format: Literal["bert", "lert", "electra"] | None = None
    objective: str | None = None
    partner: str | None = None
    max_length: int = 128
    max_predictions: int | None = None
    dupe_factor: int | None = None
    short_sequence_rate: float | None = None
    files: int = 10
    seed: int = 12345
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run(config: Config) -> dict[str, int | float]:
    """Encode all parts, write the shards and return the counts; or write or read records.

    Raises:
        UserError: no finished sentences, a bad vocabulary, nothing to encode, settings of records
            where none are written, or whatever is wrong with records.
    """
    if config.shard_pieces < 1:
        raise UserError(f"shard_pieces: got {config.shard_pieces}; expected 1 or more")
    if config.partner not in (None, *PARTNERS):
        raise UserError(f"--partner: got {config.partner!r}; expected {', '.join(PARTNERS)}")
    is_file = remote.is_file(config.sentences)
    if config.to == "shards" and is_remote(config.out) and not is_file:
        read_manifest(config.sentences, "sentences")  # of all else nothing is written to a URL
    if config.to != "shards" or not _are_sentences(config.sentences):
        config = with_local_copies(config)
    if config.to == "tfrecord":
        return _to_records(config)
    for name in _OF_RECORDS:
        if getattr(config, name) != _default(name):
            raise UserError(f"--{hyphens(name)}: is for records; pass --to tfrecord as well")
    if config.vocab is None:
        raise UserError("encode: --vocab missing; see: hanmo encode --help")
    from hanmo.commands import _tfrecord_reading as reading

    files = reading.record_files([config.sentences, *config.more])
    if files is not None:
        return reading.restore(config, files)
    if config.partner is not None:
        raise UserError("--partner: is for records; shards serve any")
    return _to_shards(config, config.vocab)


def _are_sentences(folder: Path) -> bool:
    """Whether a folder is one of sentences, which are read by parts wherever they lie."""
    return is_ours(folder) and read_manifest(folder).kind == "sentences"


def _default(name: str) -> Any:
    one = Config.__dataclass_fields__[name]
    return one.default if one.default_factory is dataclasses.MISSING else one.default_factory()


def _to_records(config: Config) -> dict[str, int | float]:
    if config.format is None:
        raise UserError("--format: missing; whose records: bert, lert or electra")
    if config.more:
        raise UserError(f"{config.more[0]}: expected one folder of shards or sentences, not more")
    from hanmo.commands import _tfrecord_writing as writing

    usual = following(sys.modules[__name__], "objective", {"format": config.format})
    config = dataclasses.replace(config, objective=config.objective or usual)
    if read_manifest(config.sentences, (KIND, "sentences")).kind != KIND:
        if config.vocab is None:
            raise UserError(f"--vocab: missing, and {config.sentences} are sentences, not shards")
        return writing.write(config, None, lambda out: _shards_for(config, out))
    for name in ("vocab", "ner_level", "shard_pieces"):
        if getattr(config, name) != (None if name == "vocab" else _default(name)):
            raise UserError(f"--{hyphens(name)}: {config.sentences} are shards, which have theirs")
    return writing.write(config, config.sentences, None)


def _shards_for(config: Config, out: Path) -> None:
    """Make shards of the sentences of records to be."""
    settings = {name: getattr(config, name) for name in _OF_SHARDS}
    _to_shards(Config(**{**settings, "out": out, "overwrite": False}), settings["vocab"])


def _to_shards(config: Config, vocab: Path) -> dict[str, int | float]:
    parts = parts_of(config.sentences, "sentences")
    tokenizer = Tokenizer.load(vocab)
    executor = make_executor(config.executor, config.executor_options)
    inputs = {"sentences": config.sentences, "vocab": vocab_file(vocab)}
    settings = {name: getattr(config, name) for name in _OF_SHARDS}
    with building(
        config.out, kind=KIND, config=settings, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if build.finished:
            return build.counts
        work = build.state_dir
        step = partial(_encode_part, parts, work, tokenizer, config.ner_level)
        counts = run_tasks(
            step,
            len(parts),
            workers=config.workers,
            state_dir=work / "tasks",
            title="encode",
            executor=executor,
            names=parts,
        )
        total: Counter[str] = Counter()
        for part_counts in counts:
            total.update(part_counts)
        if not total["pieces"]:
            remote.remove_tree(build.dir)  # nothing to continue
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


def _encode_part(
    parts: list[Path], work: Path, tokenizer: Tokenizer, ner_level: NerLevel, number: int
) -> dict[str, int]:
    """Encode one part into a shard file of its own."""
    with borrowed(parts[number]) as part:
        documents, counts = encode_columns(read_columns(part), tokenizer, ner_level=ner_level)
    layers = {name: TAGSETS[name] for name in documents.layers}
    write_shard(_part_path(work, number), documents, Legend(layers, {}, tokenizer.size, ""))
    return dict(counts)


def _write_shards(
    folder: Path, work: Path, n_parts: int, tokenizer: Tokenizer, shard_pieces: int
) -> int:
    """Join the parts, in their order, into shards of the wanted size; returns how many."""
    paths = [_part_path(work, number) for number in range(n_parts)]
    found = {name for path in paths for name in read_legend(path).layers}
    layers = {name: TAGSETS[name] for name in TAGSETS if name in found}
    writer = ShardWriter(folder, vocab=tokenizer.vocab, layers=layers, shard_pieces=shard_pieces)
    with Progress("write shards", n_parts, "parts") as bar, writer:
        for path in paths:
            # One at a time: a part that was read stays in memory as long as it is mapped.
            with borrowed(path):
                writer.add(read_shard(path)[0])
            bar.advance()
    return writer.n_shards


def _part_path(work: Path, number: int) -> Path:
    return work / f"part-{number:05d}.bin"
