"""Make a WordPiece vocabulary from text, in the layout of BERT's Chinese one.

In: text files (one paragraph a line, plain or compressed), JSON lines with a "text" field, or
folders of such files, for example of kind "corpus". Out: a vocab.txt, and beside it its settings in
vocab.config.toml. The same text gives the same bytes, whatever the order of the files and the
number of processes.

    hanmo train-vocab work/corpus/zhwiki --out vocab.txt --size 8000
"""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hanmo.core import config as configuration

_SETTINGS = ".config.toml"  # vocab.txt's settings lie in vocab.config.toml


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo train-vocab`.

    Attributes:
        inputs: Text files, .jsonl files, or folders that hold some (compressed ones as well).
        out: Vocabulary file to write.
        size: Most entries; 104 of them are BERT's special and reserved pieces.
        min_frequency: Least count of a character, and of a pair of pieces that is merged.
        workers: Processes that count words; one file is counted by one process.
        twins: Add a "##" twin of every Chinese character, as Google's vocabulary has.
        overwrite: Replace a file that holds something else.
    """

    inputs: list[Path] = field(metadata={"positional": True})
    out: Path = field(metadata={"output": True})
    size: int = 21128
    min_frequency: int = 2
    workers: int = 1
    twins: bool = False
    overwrite: bool = False


def run(config: Config) -> dict[str, int]:
    """Count words, choose pieces, write the file.

    Returns:
        `files`, `words` (all occurrences), `entries` and `bytes` of the vocabulary.

    Raises:
        UserError: no input file, an unreadable one, a size without room for characters, or
            another file in the place of `out`.
    """
    from hanmo.core.log import Progress
    from hanmo.text.vocab import write_vocab
    from hanmo.text.vocab_training import train_vocab

    files = _files(config.inputs)
    _check_out(config)
    words: Counter[str] = Counter()
    with Progress("count words", total=len(files), unit="files") as bar:
        for counts in _counts(files, config.workers):
            words.update(counts)
            bar.advance(1, words=f"{words.total():,}")
    vocab = train_vocab(
        words, size=config.size, min_frequency=config.min_frequency, twins=config.twins
    )
    _check_out(config, vocab)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_vocab(config.out, vocab)
    settings = configuration.resolved(config, sys.modules[__name__])
    configuration.write(config.out.with_suffix(_SETTINGS), settings)
    return {
        "files": len(files),
        "words": words.total(),
        "entries": len(vocab),
        "bytes": config.out.stat().st_size,
    }


def _check_out(config: Config, vocab: list[str] | None = None) -> None:
    """Refuse to replace what is no vocabulary, or, once `vocab` is made, another vocabulary."""
    from hanmo.core.errors import UserError
    from hanmo.text.vocab import read_vocab

    if config.overwrite or not config.out.exists():
        return
    advice = "choose another --out, or pass --overwrite to replace it"
    try:
        there = read_vocab(config.out)
    except UserError:
        raise UserError(f"{config.out}: exists and is no vocabulary; {advice}") from None
    if vocab is not None and vocab != there:
        raise UserError(
            f"{config.out}: holds another vocabulary of {len(there):,} pieces; {advice}"
        )


def _files(inputs: list[Path]) -> list[Path]:
    from hanmo.core.artifact import STATE, is_ours
    from hanmo.core.errors import UserError
    from hanmo.core.files import format_suffix
    from hanmo.core.parts import parts_of

    files: list[Path] = []
    for path in inputs:
        if is_ours(path):
            files += parts_of(path, "corpus")
        elif (path / STATE).is_dir():
            raise UserError(f"{path}: not finished; run its command again to continue")
        elif path.is_dir():
            found = sorted(p for p in path.iterdir() if format_suffix(p) in (".txt", ".jsonl"))
            if not found:
                raise UserError(f"{path}: no .txt or .jsonl files (compressed or not) in it")
            files.extend(found)
        else:
            files.append(path)
    if not files:
        raise UserError("no input; expected text files or folders of them")
    return files


def _counts(files: list[Path], workers: int) -> Iterator[Counter[str]]:
    if workers <= 1 or len(files) == 1:
        yield from map(count_file, files)
        return
    from multiprocessing import get_context

    # "spawn": the tokenizers crate has threads, and a fork of them can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(count_file, files)


def count_file(path: Path) -> Counter[str]:
    """Count the words of one file (a task of a worker process)."""
    from hanmo.core.artifact import checked
    from hanmo.text.vocab_training import count_words

    return count_words(_texts(checked(path) if path.is_file() else path))


def _texts(path: Path) -> Iterator[str]:
    from hanmo.core.errors import UserError
    from hanmo.core.files import format_suffix, json_lines, read_lines

    if format_suffix(path) != ".jsonl":
        yield from (line for _, line in read_lines(path))
        return
    for number, record in json_lines(path):
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise UserError(f'{path}:{number}: no "text" string; expected {{"text": "…", …}}')
        yield record["text"]
