"""Make a model smaller: fewer layers, attention heads, feed-forward neurons, pieces of vocabulary.

In: a model folder. Out: a model folder that hanmo and transformers open, with all its heads. What
is asked for is done in this order: layers, heads and neurons, vocabulary (docs/pruning.md).

    hanmo prune models/chinese-lert-base --layers 0,3,6,9 --out work/four-layers
    hanmo prune work/run/model --heads 6 --ffn 1536 --iterations 4 --task ocnli --data data --out …
    hanmo prune models/chinese-lert-base --heads 6 --ffn 1536 --by logits --shards work/shards …
    hanmo prune work/lert --vocab-from work/corpus --out work/fewer-pieces

Heads and neurons go by importance: how much the loss would change without them, measured on a task
(MODEL is what `hanmo finetune --save-model` wrote) or on shards (MODEL has a masked-LM head).
"""

import dataclasses
import json
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hanmo.core import config as configuration
from hanmo.core.artifact import MANIFEST, building
from hanmo.core.errors import UserError
from hanmo.core.files import write_json
from hanmo.core.identity import plain

KIND = "pruned model"
REPORT = "pruning.json"
AFTER_STOP = "the same command begins anew"
Order: TypeAlias = Literal["together", "heads-first", "ffn-first"]
By: TypeAlias = Literal["labels", "logits"]
_HOW_MANY = ("heads", "ffn")
# Settings that mean something only beside others: name → those.
_NEEDS = {
    **dict.fromkeys(("task", "shards"), _HOW_MANY),
    "uneven_heads": ("heads",),
    **dict.fromkeys(("uneven_ffn", "multiple_of"), ("ffn",)),
    **dict.fromkeys(("iterations", "order", "by"), _HOW_MANY),
    **dict.fromkeys(("examples", "batch_size", "seed", "max_length"), _HOW_MANY),
    "data": ("task",),
    **dict.fromkeys(("min_count", "keep_pieces"), ("vocab_from",)),
}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo prune`.

    Attributes:
        model: Folder with config.json, weights and vocab.txt.
        out: Folder to make.
        layers: Layers to keep, counted from 0, as in 0,2,4.
        heads: Attention heads of a layer to keep; their mean with --uneven-heads.
        ffn: Width of a layer's feed-forward block to keep; the mean with --uneven-ffn.
        uneven_heads: Layers may keep different numbers of heads: one ranking for all.
        uneven_ffn: Layers may keep different widths.
        multiple_of: Feed-forward widths are multiples of this.
        iterations: Passes; each removes an equal share by importance measured anew.
        order: Both in each pass, or first all passes of the one: together, heads-first, ffn-first.
        by: Loss that tells importance: of the labels, or of the model's own answers (logits).
        task: Task to measure on: its training split.
        data: Folder that holds the task's files.
        shards: Shards to measure on, by masked-LM.
        examples: Sequences to measure on, drawn by the seed.
        batch_size: Sequences of a batch.
        max_length: Pieces of a sequence; default: those of the model's fine-tuning, 128 of shards.
        seed: Of the draw, the masks and the answers drawn from logits.
        vocab_from: Keep the pieces of these: folders of documents or shards, or raw text.
        min_count: Occurrences from which a piece stays.
        keep_pieces: File with further pieces to keep, one a line.
        precision: "auto", "fp32" or "bf16".
        threads: CPU threads; default: all cores.
        overwrite: Replace a model that was made with other settings.
    """

    model: Path = field(metadata={"positional": True})
    out: Path = field(metadata={"output": True})
    layers: str | None = None
    heads: int | None = None
    ffn: int | None = None
    uneven_heads: bool = False
    uneven_ffn: bool = False
    multiple_of: int = 1
    iterations: int = 1
    order: Order = "together"
    by: By = "labels"
    task: str | None = None
    data: Path | None = None
    shards: Path | None = None
    examples: int = 512
    batch_size: int = 32
    max_length: int | None = None
    seed: int = 1
    vocab_from: list[Path] | None = None
    min_count: int = 1
    keep_pieces: Path | None = None
    precision: str = "auto"
    threads: int | None = field(default=None, metadata={"content": False})
    overwrite: bool = False


def run(config: Config) -> dict[str, Any]:
    """Prune; a finished folder made with the same settings is left as it is.

    Returns:
        The folder, parameters before and after (without padding), what was taken away, and the
        command that trains the smaller model to answer as the larger one.

    Raises:
        UserError: bad settings, a model that does not fit them, or nothing to take away.
    """
    from hanmo.commands import _pruning

    _check(config)
    plan = None
    if config.overwrite or not (config.out / MANIFEST).is_file():
        # Before the folder is begun, so that a mistake leaves nothing behind.
        plan = _pruning.plan(config)
    with building(
        config.out,
        kind=KIND,
        config={k: v for k, v in plain(config).items() if k not in {"model", "data", "threads"}},
        inputs=dict(_inputs(config)),
        overwrite=config.overwrite,
        resumes=False,
    ) as build:
        if build.finished or plan is None:
            return {"out": str(config.out), **build.counts, **_said(config.out)}
        result = _pruning.make(plan, build.dir)
        settings = configuration.resolved(config, sys.modules[__name__])
        configuration.write(build.dir / configuration.CONFIG_FILE, settings)
        write_json(build.dir / REPORT, result)
        build.counts.update({k: v for k, v in result.items() if isinstance(v, int | float)})
        return {"out": str(config.out), **result}


def _said(folder: Path) -> dict[str, Any]:
    """Read what was said when a folder was made; an older hanmo kept the counts alone."""
    path = folder / REPORT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _inputs(config: Config) -> Iterator[tuple[str, Path]]:
    """Yield what the result depends on."""
    yield "model", config.model
    if config.shards is not None:
        yield "shards", config.shards
    if config.keep_pieces is not None:
        yield "keep_pieces", config.keep_pieces
    for number, path in enumerate(config.vocab_from or ()):
        yield f"vocab_from/{number}", path
    if config.task is not None:
        from hanmo.tasks.splits import locate
        from hanmo.tasks.suite import find_task

        yield "train", locate(find_task(config.task), config.data)["train"]


def _check(config: Config) -> None:
    """Refuse settings that cannot be meant, before anything is read."""
    if config.layers is None and config.heads is None is config.ffn and not config.vocab_from:
        raise UserError(
            "prune: nothing asked for; expected --layers, --heads, --ffn or --vocab-from"
        )
    for name in ("heads", "ffn", "multiple_of", "iterations", "examples", "batch_size"):
        value = getattr(config, name)
        if value is not None and value < 1:
            whole = "; a layer keeps one at least" if name in _HOW_MANY else ""
            raise UserError(f"{_flag(name)}: got {value}; expected 1 or more{whole}")
    for name, allowed in (("order", typing.get_args(Order)), ("by", typing.get_args(By))):
        if getattr(config, name) not in allowed:
            raise UserError(
                f"--{name}: got {getattr(config, name)!r}; expected {' or '.join(allowed)}"
            )
    if config.min_count < 1:
        raise UserError(f"--min-count: got {config.min_count}; expected 1 or more")
    if not 0 <= config.seed < 2**31:
        raise UserError(f"--seed: got {config.seed}; expected 0 to {2**31 - 1}")
    for one in dataclasses.fields(Config):
        needed = _NEEDS.get(one.name, ())
        unused = needed and all(getattr(config, other) is None for other in needed)
        if unused and getattr(config, one.name) != one.default:
            flags = " or ".join(map(_flag, needed))
            raise UserError(
                f"{_flag(one.name)}: got {getattr(config, one.name)}; it is for {flags}, which "
                "is not given"
            )
    asked = [name for name in _HOW_MANY if getattr(config, name) is not None]
    if asked and (config.task is None) == (config.shards is None):
        raise UserError(
            f"{_flag(asked[0])}: importance is measured on a task or on text; expected one of "
            "--task and --shards" + ("" if config.task is None else ", not both")
        )
    if config.ffn is not None and config.ffn % config.multiple_of:
        raise UserError(
            f"--ffn: got {config.ffn}; expected a multiple of --multiple-of {config.multiple_of}"
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
