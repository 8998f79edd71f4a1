"""Ask a model: fill masks, label masked words, or classify texts.

In: a model folder, the kind of prediction, and one text or a file with a text a line. Out: for a
text, a table (or JSON with --json); for a file, one JSON object a line on standard output as the
answers come, in constant memory (or tables with --table), and progress on standard error.

    hanmo predict work/lert fill-mask "我在[MASK][MASK]工作。"
    hanmo predict work/lert fill-mask "我在[WORD]工作。" --mask-length 1-3
    hanmo predict work/lert tags "他去[MASK][MASK]旅游。"
    hanmo predict work/lert tags --mask-words --file texts.txt > tags.jsonl
    hanmo predict work/runs/reviews/seed-1/model classify "味道很好，下次还来。"

Each kind has options of its own; hanmo predict MODEL KIND --help lists them after the others.
"""

import dataclasses
import io
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanmo.core import registry
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import read_lines
from hanmo.core.log import Progress, say
from hanmo.predict._predictor import Answer, Predictor

KINDS = "hanmo.predict"
PLUGIN = {"kind": (KINDS, "Predict")}
PREFIX = ""  # a kind's options are flags like the others: --mask-words, not --tags.mask-words
BLANK = "blank"  # key of a blank line's answer, so that answers stay line for line
_BATCHES_AHEAD = 4  # inputs of similar length are run together, chosen among this many batches


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo predict`.

    Attributes:
        model: Model folder, made by `hanmo pretrain` or `hanmo finetune`, or Hugging Face's.
        kind: What to ask: fill-mask, tags, classify, a dotted module or a path to a .py file.
        text: The text. fill-mask and tags: [MASK] for each missing piece; fill-mask: or one [WORD].
        file: Instead of a text: a file with one text a line, plain or compressed.
        table: For a file, print tables instead of JSON lines.
        top_k: Answers to give for each mask, word or text.
        batch_size: Inputs of one forward pass.
        options: Options of the kind by name.
    """

    model: Path = field(metadata={"positional": True})
    kind: str = field(metadata={"positional": True})
    text: str | None = field(default=None, metadata={"positional": True})
    file: Path | None = None
    table: bool = False
    top_k: int = 5
    batch_size: int = 32
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run(config: Config) -> dict[str, Any] | None:
    """Answer a text, or print the answers to a file's lines.

    Returns:
        For a text, the answer (also what --json prints) and, under "text", its table; for a file,
        nothing.

    Raises:
        UserError: bad settings, a folder that cannot answer, or a text that cannot be answered.
    """
    _check(config)
    predictor = _load(config)
    if config.text is not None:
        [answer] = predictor([config.text])
        return {"answer": answer, "json": answer, "text": render(predictor, [answer])}
    assert config.file is not None
    blank = 0
    for _, answer in answers(predictor, config.file, config.batch_size):
        line = json.dumps(answer, ensure_ascii=False) + "\n"
        if BLANK not in answer:
            sys.stdout.write(render(predictor, [answer]) if config.table else line)
        elif not config.table:
            sys.stdout.write(line)
        blank += BLANK in answer
    sys.stdout.flush()
    if blank:
        say(f"predict: {blank:,} blank lines, not asked of the model")
    return None


def answers(predictor: Predictor, path: Path, batch_size: int) -> Iterator[tuple[int, Answer]]:
    """Yield (line number, answer) of every line of a file; a blank one's is `{"blank": true}`.

    Raises:
        UserError: a line that cannot be answered (file:line); those before it are yielded first.
    """
    # A pipe can be read only once, so it has no total and no time left.
    total = sum(1 for _ in read_lines(path)) if path.is_file() else None
    lines = read_lines(path)
    with Progress("predict", total, "texts") as bar:
        while chunk := list(itertools.islice(lines, batch_size * _BATCHES_AHEAD)):
            queries: list[Any] = []
            failure: UserError | None = None
            for number, line in chunk:
                if not line.strip():
                    continue
                try:
                    queries.append(predictor.read(line))
                except UserError as error:
                    failure = UserError(f"{path}:{number}: {error}")
                    break
            given = iter(predictor.answer(queries))
            for number, line in chunk:
                answer = next(given, None) if line.strip() else {"text": line, BLANK: True}
                if answer is None:  # this is the line that failed
                    break
                bar.advance()
                yield number, answer
            if failure is not None:
                raise failure


def render(predictor: Predictor, given: Sequence[Answer]) -> str:
    """Write answers as tables for people; as wide as the terminal, or 100 columns."""
    from rich.console import Console
    from rich.table import Table

    stream = io.StringIO()
    width = None if sys.stdout.isatty() else 100
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    for answer in given:
        table = Table(box=None, pad_edge=False, header_style="")
        for column in predictor.columns:
            table.add_column(column)
        for row in predictor.rows(answer):
            table.add_row(*row)
        console.print(answer.get("filled", answer["text"]))
        console.print(table)
    return stream.getvalue()


def _check(config: Config) -> None:
    if (config.text is None) == (config.file is None):
        raise UserError("predict: expected either a TEXT or --file FILE, one of the two")
    for name in ("top_k", "batch_size"):
        if getattr(config, name) < 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag}: got {getattr(config, name)}, expected 1 or more")
    if config.file is not None and not config.file.exists():
        raise UserError(f"{config.file}: no such file")


def _load(config: Config) -> Predictor:
    made = registry.member(KINDS, config.kind, "Predict")
    known = [option.name for option in dataclasses.fields(made)]
    for option in config.options:
        if option not in known:
            raise UserError(f"{config.kind}: no option {option!r}{nearest(option, known)}")
    predictor: Predictor = made(**config.options).load(
        config.model, top_k=config.top_k, batch_size=config.batch_size
    )
    return predictor
