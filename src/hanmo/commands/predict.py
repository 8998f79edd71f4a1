"""Ask a model: fill masks, label words, classify, find entities, answer questions, embed.

In: a model folder, the kind of answer, and one text (two for pairs, a question and its passage), or
a file with a question a line: a text (tabs between those of a pair) or, in a .jsonl file, an object
with the fields by name and perhaps an "id". Out: for a text, a table (or JSON with --json); for a
file, one JSON object a line, on standard output or in --out FILE, as the answers come and in
constant memory (or tables with --table), and progress on standard error. A run with --out that was
interrupted goes on with --resume.

    hanmo predict work/lert fill-mask "我在[MASK][MASK]工作。"
    hanmo predict work/lert fill-mask "我在[WORD]工作。" --mask-length 1-3
    hanmo predict work/lert tags "他去[MASK][MASK]旅游。"
    hanmo predict work/lert tags --mask-words --file texts.txt > tags.jsonl
    hanmo predict work/runs/reviews/seed-1/model classify "味道很好，下次还来。"
    hanmo predict work/runs/afqmc/seed-1/model classify "花呗怎么还款" "如何还花呗"
    hanmo predict work/runs/msra-ner/seed-1/model entities --file news.txt --out entities.jsonl
    hanmo predict work/runs/cmrc2018/seed-1/model answer "谁写的？" "《呐喊》是鲁迅的小说集。"
    hanmo predict work/lert embed --pool mean --file texts.txt --out vectors.jsonl

Each kind has options of its own; hanmo predict MODEL KIND --help lists them after the others.
"""

import dataclasses
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hanmo import box
from hanmo.commands._questions import AHEAD, BLANK, ERROR, Asked
from hanmo.core import registry
from hanmo.core.artifact import digest
from hanmo.core.errors import INCOMPLETE, UserError, nearest
from hanmo.core.line_file import identity_of, line_file
from hanmo.core.log import say
from hanmo.predict._how import EngineName, How, Precision
from hanmo.predict._predictor import TEXT, Answer, Predictor

KINDS = "hanmo.predict"
PLUGIN = {"kind": (KINDS, "Predict")}
PREFIX = ""  # a kind's options are flags like the others: --mask-words, not --tags.mask-words
AFTER_STOP = "a run with --out goes on with --resume, any other begins anew"
_FLUSHED = 64  # answers after which those of --out are given to the system


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo predict`.

    Attributes:
        model: Model folder, made by `hanmo pretrain` or `hanmo finetune`, or Hugging Face's.
        kind: What to ask: the name of a kind, a dotted module or a path to a .py file.
        text: The text, or the texts that belong together. fill-mask and tags: [MASK] for each
            missing piece; fill-mask: or one [WORD].
        file: Instead of a text: a file with a question a line, plain or compressed.
        out: For a file, where the answers go instead of standard output.
        resume: Continue OUT where an interrupted run stopped.
        overwrite: Replace OUT.
        on_error: A line that cannot be answered: "stop", or "skip" it, answer it with what is wrong
            and end with exit code 3.
        table: For a file, print tables instead of JSON lines.
        top_k: Answers to give for each mask, word or text.
        engine: What runs the model: "torch", "onnx" (a folder of `hanmo export`), or "auto": the
            fastest here of what the folder has.
        precision: Of torch: "fp32", "bf16" (faster where the processor has it, probabilities to two
            digits), or "auto": bf16 where it is faster.
        batch_tokens: Pieces of one forward pass, padding included; default: the engine's own.
        options: Options of the kind by name.
    """

    model: Path = field(metadata={"positional": True})
    kind: str = field(metadata={"positional": True})
    text: list[str] = field(default_factory=list[str], metadata={"positional": True})
    file: Path | None = None
    out: Path | None = field(default=None, metadata={"output": True})
    resume: bool = False
    overwrite: bool = False
    on_error: Literal["stop", "skip"] = "stop"
    table: bool = False
    top_k: int = 5
    engine: EngineName = "torch"
    precision: Precision = "fp32"
    batch_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def complete(words: Sequence[str]) -> list[str]:
    """Name the model that is asked where none is named.

    Args:
        words: those of the command line without a flag.

    Returns:
        The folder of the model that comes with hanmo, if there is one and the words begin with a
        kind, unless that is the name of a model: another kind follows.
    """
    shipped, model = registry.names(KINDS), box.folder()
    kinds = [word.replace("-", "_") in shipped for word in words[:2]]
    return [str(model)] if model and kinds in ([True], [True, False]) else []


def run(config: Config) -> dict[str, Any] | None:
    """Answer a text, or print the answers to a file's lines.

    Returns:
        For a text, the answer (also what --json prints) and, under "text", its table; for a file,
        counts where it is written, and `exit_code` where a line could not be answered.

    Raises:
        UserError: bad settings, a folder that cannot answer, or a text that cannot be answered.
    """
    _check(config)
    predictor = _load(config)
    if config.file is None:
        given = config.text[0] if len(config.text) == 1 else config.text
        [answer] = predictor([given])
        return {"answer": answer, "json": answer, "text": render(predictor, [answer])}
    asked = Asked(
        predictor, config.file, config.batch_tokens or AHEAD, skip=config.on_error == "skip"
    )
    result = _print(asked, table=config.table) if config.out is None else _write(asked, config)
    if asked.blank:
        say(f"predict: {asked.blank:,} blank lines, not asked of the model")
    if asked.bad:
        say(f"predict: {asked.bad:,} lines could not be answered; their answers say why")
        return {**(result or {}), "exit_code": INCOMPLETE}
    return result


def _print(asked: Asked, *, table: bool) -> dict[str, Any] | None:
    for _, answer in asked.answers():
        told = BLANK in answer or ERROR in answer
        if not table:
            sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        elif not told:
            sys.stdout.write(render(asked.predictor, [answer]))
    sys.stdout.flush()
    return None


def _write(asked: Asked, config: Config) -> dict[str, Any]:
    assert config.out is not None and config.file is not None
    identity = _identity(config, asked.predictor.engine)
    with line_file(config.out, identity, resume=config.resume, overwrite=config.overwrite) as lines:
        n = lines.done
        asked.count(lines.earlier())
        for n, answer in asked.answers(done=lines.done):
            lines.write(json.dumps(answer, ensure_ascii=False))
            if n % _FLUSHED == 0:
                lines.flush()
    return {"out": str(config.out), "answers": n, "of_an_earlier_run": lines.done}


def _identity(config: Config, engine: str) -> dict[str, Any]:
    """Say what answers are made of: batches, paths and what becomes of bad lines are no part of it.

    Args:
        config: the settings.
        engine: what runs the model; of --engine auto, the one that it chose.
    """
    assert config.file is not None
    return {
        "model": digest(config.model),
        "kind": config.kind,
        "options": dict(config.options),
        "file": digest(config.file) if config.file.is_file() else None,  # a pipe
        "top_k": config.top_k,
        "engine": engine,
    }


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
        console.print(_title(answer))
        console.print(table)
    return stream.getvalue()


def _title(answer: Answer) -> str:
    """Say what an answer is of."""
    if TEXT in answer:
        return str(answer.get("filled", answer[TEXT]))
    return " | ".join(value for value in answer.values() if isinstance(value, str))


def _check(config: Config) -> None:
    if bool(config.text) == (config.file is not None):
        raise UserError("predict: expected either a TEXT or --file FILE, one of the two")
    if config.file is None and config.on_error != "stop":
        raise UserError("--on-error: is for the lines of --file; leave it out")
    if config.engine == "onnx" and config.precision != "fp32":
        raise UserError(
            f"--precision {config.precision}: is torch's; with --engine onnx the files of the "
            "folder decide (int8 where there is one)"
        )
    if config.top_k < 1:
        raise UserError(f"--top-k: got {config.top_k}, expected 1 or more")
    if config.out is not None and (config.file is None or config.table):
        raise UserError("--out: takes the JSON lines of --file; leave it out")
    if (config.resume or config.overwrite) and config.out is None:
        flag = "resume" if config.resume else "overwrite"
        raise UserError(f"--{flag}: nothing to {flag} without --out FILE")
    if config.file is not None and not config.file.exists():
        raise UserError(f"{config.file}: no such file")
    if config.resume and config.file is not None and not config.file.is_file():
        raise UserError(f"{config.file}: --resume needs a file that can be read again")


def _load(config: Config) -> Predictor:
    made = registry.member(KINDS, config.kind, "Predict")
    known = [option.name for option in dataclasses.fields(made)]
    for option in config.options:
        if option not in known:
            raise UserError(f"{config.kind}: no option {option!r}{nearest(option, known)}")
    # What is the fastest may change from run to run; one file has one engine.
    resumed = identity_of(config.out) if config.out is not None and config.resume else {}
    how = How(
        config.engine,
        only=resumed.get("engine"),
        precision=config.precision,
        batch_tokens=config.batch_tokens,
    )
    predictor: Predictor = made(**config.options).load(config.model, top_k=config.top_k, how=how)
    return predictor
