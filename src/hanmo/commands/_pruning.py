"""The stages of `hanmo prune`: check all settings against the model, then cut and write.

`prune.py` owns the folder; `_pruning_data.py` has what importance is measured on.
"""

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hanmo.commands import _pruning_data
from hanmo.core.artifact import STATE, checked, is_ours, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, read_lines
from hanmo.core.log import Progress, say
from hanmo.core.parts import parts_of
from hanmo.corpus.documents import read_documents, resolve
from hanmo.corpus.inputs import find_inputs
from hanmo.corpus.reading import ReadOptions, Unreadable
from hanmo.data.shards import KIND as SHARDS
from hanmo.data.shards import ShardSet
from hanmo.model.config import EncoderConfig
from hanmo.model.pruned import equal_layers
from hanmo.pruning import vocabulary
from hanmo.pruning.choose import Kept
from hanmo.pruning.cut import cut
from hanmo.pruning.importance import Importance, measure
from hanmo.pruning.layers import chosen_layers, keep_layers
from hanmo.pruning.model_folder import ModelFolder, check_written, read_folder, write_folder
from hanmo.pruning.passes import Goal, prune
from hanmo.tasks.suite import TASKS
from hanmo.text.tokenizer import Tokenizer
from hanmo.train.devices import explained

# `prune.Config`; importing it here would be a cycle.
Options: TypeAlias = Any


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Settings that were checked, and what was read for that.

    Attributes:
        config: the settings.
        source: the model as given.
        layers: those to keep; None: all.
        goal: heads and neurons to keep; None: all.
        measured: what importance is measured on, where there is a goal.
        ids: pieces to keep; None: all.
        coverage: of the corpus that they were counted in.
    """

    config: Options
    source: ModelFolder
    layers: list[int] | None = None
    goal: Goal | None = None
    measured: _pruning_data.Measured | None = None
    ids: vocabulary.Counts | None = None
    coverage: vocabulary.Coverage | None = None


def plan(config: Options) -> Plan:
    """Read the model and all that is measured and counted.

    Raises:
        UserError: what is asked for does not fit the model, or the data do not.
    """
    source = read_folder(config.model)
    name = str(config.model)
    layers = None if config.layers is None else chosen_layers(config.layers, source, name)
    shape = source.config if layers is None else source.config.with_layers(layers)
    goal = _goal(config, shape)
    # Files of text are counted before a model runs: a bad one is found at once.
    ids, covered = None, None
    if config.vocab_from:
        ids, covered = _kept_pieces(config, source)
    measured = None
    if goal is not None:
        measured = _pruning_data.open_measured(config, source, layers)
    return Plan(config, source, layers, goal, measured, ids, covered)


def _goal(config: Options, shape: EncoderConfig) -> Goal | None:
    if config.heads is None and config.ffn is None:
        return None
    layers = range(shape.num_distinct_layers)
    sizes = {
        "heads": [shape.heads_of(n) for n in layers],
        "ffn": [
            shape.intermediate_of(n) // config.multiple_of * config.multiple_of for n in layers
        ],
    }
    left = 0
    for name, have in sizes.items():
        wanted, uneven = getattr(config, name), getattr(config, f"uneven_{name}")
        most = sum(have) / len(have) if uneven else min(have)
        if wanted is not None and wanted > most:
            raise UserError(
                f"--{name}: got {wanted}; the layers of {config.model} have "
                f"{', '.join(map(str, have))}{_of_multiples(config, name)}; expected {most:g} at "
                "most"
            )
        left += 0 if wanted is None else sum(have) - wanted * len(have)
    if not left:
        raise UserError(
            f"prune: the layers of {config.model} have as many as asked for: heads "
            f"{sizes['heads']}, ffn {sizes['ffn']}; nothing would be taken away"
        )
    return Goal(
        config.heads,
        config.ffn,
        even_heads=not config.uneven_heads,
        even_neurons=not config.uneven_ffn,
        multiple_of=config.multiple_of,
        iterations=config.iterations,
        order=config.order,
    )


def _of_multiples(config: Options, name: str) -> str:
    rounded = name == "ffn" and config.multiple_of > 1
    return f" in multiples of {config.multiple_of}" if rounded else ""


def _kept_pieces(
    config: Options, source: ModelFolder
) -> tuple[vocabulary.Counts, vocabulary.Coverage]:
    tokenizer = Tokenizer(source.pieces)
    further: list[int] = []
    if config.keep_pieces is not None:
        lines = ((number, line) for number, line in read_lines(config.keep_pieces) if line)
        further = vocabulary.listed_ids(lines, tokenizer, str(config.keep_pieces))
    counts = np.zeros(tokenizer.size, np.int64)
    with Progress("prune: counting pieces", unit="pieces") as bar:
        for path in config.vocab_from:
            for found in _counts(path, tokenizer):
                counts += found
                bar.advance(int(found.sum()))
    if not counts.any():
        raise UserError(f"--vocab-from: no text in {', '.join(map(str, config.vocab_from))}")
    most = int(np.delete(counts, sorted(tokenizer.special_ids)).max(initial=0))
    if most < config.min_count:
        raise UserError(
            f"--min-count: got {config.min_count:,}; the commonest piece occurs {most:,} times: "
            "nothing but the special pieces would stay"
        )
    ids = vocabulary.kept_ids(
        counts, tokenizer.special_ids, min_count=config.min_count, further=further
    )
    return ids, vocabulary.coverage(counts, ids, source.pieces)


def _counts(path: Path, tokenizer: Tokenizer) -> Iterator[vocabulary.Counts]:
    """Count the pieces of a folder of shards or documents, or of raw text."""
    if is_ours(path) and read_manifest(path).kind == SHARDS:
        shards = ShardSet.open(path)
        if Tokenizer.load(path).vocab != tokenizer.vocab:
            raise UserError(
                f"--vocab-from {path}: was encoded with another vocabulary than the model's; give "
                "the documents that it was made of"
            )
        yield from vocabulary.count_shards(shards, tokenizer.size)
    else:
        yield from vocabulary.count_texts(_texts(path), tokenizer)


def _texts(path: Path) -> Iterator[str]:
    if is_ours(path):
        for part in parts_of(path, "corpus"):
            for _, record in json_lines(checked(part)):
                yield record["text"]
        return
    if (path / STATE).is_dir():
        raise UserError(f"{path}: not finished; run its command again to continue")
    for file in find_inputs([path]):
        options, _ = resolve(file, ReadOptions())
        for document in read_documents(file, options):
            if isinstance(document, Unreadable):
                raise document.error
            yield document.text


def make(plan: Plan, folder: Path) -> dict[str, Any]:
    """Cut and write; returns what was done, for people and for the manifest.

    Raises:
        UserError: gradients that are not finite, no memory, or what was written cannot be read
            back.
    """
    model, said = plan.source, dict[str, Any]()
    entry: dict[str, Any] = {"from": str(plan.config.model)}
    if plan.source.generator is not None and (plan.layers or plan.goal):
        say("prune: the generator is left out: it was trained with the larger model")
    if plan.layers is not None:
        model = keep_layers(model, plan.layers)
        same = equal_layers(model.weights, plan.source.weights, plan.layers)
        said["layers"] = ",".join(map(str, plan.layers))
        said["layers_equal"] = f"{same} tensors are equal to those that they were copied from"
        entry["layers"] = plan.layers
    if plan.goal is not None and plan.measured is not None:
        heads, neurons = _chosen(plan.config, plan.goal, plan.measured)
        model = cut(model, heads, neurons)
        for name, kept in (("heads", heads), ("ffn", neurons)):
            entry[name] = [int(one.sum()) for one in kept]
            said[name] = " ".join(map(str, entry[name]))
        entry |= {key: getattr(plan.config, key) for key in ("iterations", "order", "by")}
        entry |= {"measured_on": plan.measured.what, "examples": plan.measured.n_examples}
        said["measured_on"] = f"{plan.measured.n_examples:,} sequences of {plan.measured.what}"
    if plan.ids is not None and plan.coverage is not None:
        before = len(model.pieces)
        model = vocabulary.keep_pieces(model, plan.ids)
        said |= _vocabulary(plan.coverage, before, len(plan.ids))
        entry["vocabulary"] = {"pieces": len(plan.ids), "min_count": plan.config.min_count}
    write_folder(model, folder, entry)
    check_written(model, folder)
    sizes = {
        "parameters_before": plan.source.n_parameters,
        "parameters_after": model.n_parameters,
    }
    share = {"parameters_share": round(model.n_parameters / plan.source.n_parameters, 4)}
    return {**sizes, **share, **said, **_next(plan)}


def _chosen(config: Options, goal: Goal, measured: _pruning_data.Measured) -> tuple[Kept, Kept]:
    """Measure and choose, pass by pass; returns the heads and neurons that stay."""
    passes = len([*goal.steps()])
    total = passes * len(measured.batches)
    title = f"prune: importance, {passes} {'passes' if passes > 1 else 'pass'}"
    with (
        Progress(title, total, "batches") as bar,
        explained("lower --batch-size or --max-length"),
    ):

        def once() -> Importance:
            return measure(
                measured.model,
                measured.batches,
                measured.loss,
                n_examples=measured.n_examples,
                autocast=measured.device.autocast,
                advance=bar.advance,
            )

        try:
            return prune(measured.encoder, once, goal)
        except FloatingPointError as error:
            raise UserError(f"{config.model}: {error}; try --precision fp32") from None


def _vocabulary(found: vocabulary.Coverage, before: int, after: int) -> dict[str, Any]:
    return {
        "pieces_before": before,
        "pieces_after": after,
        "corpus_pieces": found.total,
        "corpus_kept": round(found.kept / found.total, 6),
        "corpus_split": found.split,
        "corpus_unknown": found.unknown,
    }


def _next(plan: Plan) -> dict[str, str]:
    """Return the command that trains the result to answer as the model it was made of."""
    if plan.layers is None and plan.goal is None:
        return {}  # the same answers on such text: nothing to recover
    config = plan.config
    out, teacher, first = str(config.out), str(config.model), []
    if plan.ids is not None:
        # A teacher must have the student's pieces.
        teacher = f"{config.out}-teacher"
        words = ["hanmo", "prune", str(config.model), "--vocab-from", *map(str, config.vocab_from)]
        words += ["--min-count", str(config.min_count)] if config.min_count > 1 else []
        words += ["--keep-pieces", str(config.keep_pieces)] if config.keep_pieces else []
        first = [shlex.join([*words, "--out", teacher])]
    own = plan.source.raw.get("hanmo", {})
    task = config.task or own.get("task")
    if task and config.shards is None:
        if config.task is None and task not in TASKS:
            task = "TASK.toml"  # a user's own, of which the model knows the name alone
        words = ["hanmo", "finetune", out, "--task", str(task)]
        needs_data = task not in TASKS or not TASKS[task].embedded
        data = str(config.data) if config.data else "DATA" if config.task is None else None
        words += ["--data", data] if needs_data and data else []
        words += ["--max-length", str(config.max_length)] if config.max_length else []
        words += ["--method", "distill", "--distill.teacher", teacher, "--keep-head"]
        words += ["--save-model"]
    elif any(name.startswith("cls.predictions.") for name in plan.source.weights):
        shards = "SHARDS" if config.shards is None else str(config.shards)
        if plan.ids is not None:
            shards = f"{out}-shards"
            encode = ["hanmo", "encode", "SENTENCES", "--vocab", out, "--out", shards]
            first.append(shlex.join(encode))
        words = ["hanmo", "pretrain", shards, "--init", out]
        words += ["--objective", "distill", "--distill.teacher", teacher, "--steps", "10000"]
    else:
        return {}
    return {"next": " && ".join([*first, shlex.join([*words, "--out", f"{out}-trained"])])}
