"""What `hanmo encode --to tfrecord` composes: shards → passes → masks → files of records.

In: a folder of kind "shards", or one of sentences, from which shards are made first. Out: a folder
of kind "tfrecord": `pretrain_data.tfrecord-00000-of-00010` … and the vocabulary. Each file is a
task of its own, so an interrupted run continues with those that are missing.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.core.execute import run_tasks
from hanmo.core.log import say
from hanmo.data.loader import Assembler
from hanmo.data.passes import Passes, plan_passes
from hanmo.data.record_formats import FORMATS, Format, Limited, Unchanged, examples
from hanmo.data.shard_file import let_go
from hanmo.data.shards import ShardSet
from hanmo.data.tfrecord import write_records
from hanmo.objectives._objective import Corruptor, Vocabulary, make_objective
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import VOCAB_FILE, vocab_file, write_vocab

KIND = "tfrecord"
MANY_UNLABELLED = 0.02  # share of pieces without a label; the shipped annotator leaves 0.0001
MANY_OVER = 0.05  # share of chosen places given up: LERT's 75 of 512 give up 0.004
SHORTEST_LENGTH = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How records are made: settings of `hanmo encode`, those left open filled in.

    Attributes:
        format: name of the format.
        objective: name of the objective, None where the format masks by itself.
        options: all of the objective's options.
        partner, max_length, max_predictions, short_sequence_rate, dupe_factor, files, seed: as in
            `encode.Config`; `max_predictions` is None where nothing is masked.
    """

    format: str
    objective: str | None
    options: Mapping[str, Any]
    partner: str
    max_length: int
    max_predictions: int | None
    short_sequence_rate: float
    dupe_factor: int
    files: int
    seed: int

    @property
    def layout(self) -> Format:
        """What the records hold."""
        return FORMATS[self.format]


def recipe_of(config: Any) -> Recipe:
    """Fill in what the settings of `hanmo encode` leave open, and refuse what does not fit.

    Raises:
        UserError: names the setting.
    """
    layout = FORMATS[config.format]
    for name, least in (("max_length", SHORTEST_LENGTH), ("files", 1), ("seed", 0)):
        _at_least(name, getattr(config, name), least)
    for name in ("dupe_factor", "max_predictions"):
        if getattr(config, name) is not None:
            _at_least(name, getattr(config, name), 1)
    objective, options = _objective_of(config, layout)
    most = config.max_predictions
    if layout.masked and most is None:
        most = max(1, math.ceil(options.get("rate", 0.15) * config.max_length - 1e-9))
    if not layout.masked and most is not None:
        raise UserError(f"--max-predictions: format {config.format} has no masks: leave it out")
    dupe_factor = config.dupe_factor or layout.dupe_factor
    if not layout.masked and dupe_factor > 1:
        raise UserError(
            f"--dupe-factor: got {dupe_factor}; format {config.format} is masked as it is trained "
            "on, so every pass would be the same: leave it out"
        )
    rate = config.short_sequence_rate
    rate = layout.short_sequence_rate if rate is None else rate
    return Recipe(
        config.format,
        objective,
        options,
        _partner_of(config, layout),
        config.max_length,
        most,
        rate,
        dupe_factor,
        config.files,
        config.seed,
    )


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UserError(f"--{name.replace('_', '-')}: got {value}; expected {least} or more")


def _partner_of(config: Any, layout: Format) -> str:
    partner: str = layout.partner if config.partner is None else config.partner
    if partner != "none" and not layout.answers:
        raise UserError(
            f"--partner: got {partner}; the records of format {config.format} have no "
            "next_sentence_labels: leave it out"
        )
    return partner


def _objective_of(config: Any, layout: Format) -> tuple[str | None, dict[str, Any]]:
    if not layout.masked:
        if config.objective is not None:
            raise UserError(
                f"--objective: got {config.objective}; format {config.format} is masked as it is "
                "trained on: leave it out"
            )
        return None, {}
    objective = make_objective(config.objective, config.options)
    lacking = [layer for layer in layout.layers if layer not in objective.layers]
    if lacking:
        raise UserError(
            f"--objective {config.objective}: gives no {', '.join(lacking)}, which format "
            f"{config.format} has; expected one with the layers {', '.join(layout.layers)}"
        )
    names = [field.name for field in dataclasses.fields(objective)]  # type: ignore[arg-type]
    return config.objective, {name: getattr(objective, name) for name in names}


def write(config: Any, shards_folder: Path | None, make_shards: Any) -> dict[str, int | float]:
    """Write a folder of records and return its counts.

    Args:
        config: an `encode.Config`.
        shards_folder: finished shards; None where they are made of sentences.
        make_shards: makes shards in a folder that it is given.

    Raises:
        UserError: settings that do not fit, shards that lack a layer, or too little text.
    """
    recipe = recipe_of(config)
    settings = {name: getattr(config, name) for name in ("sentences", "out", "to", "workers")}
    settings |= {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    settings["overwrite"] = config.overwrite
    inputs = {"sentences" if shards_folder is None else "shards": config.sentences}
    if shards_folder is None:
        names = ("vocab", "ner_level", "shard_pieces")
        settings |= {name: getattr(config, name) for name in names}
        inputs["vocab"] = vocab_file(config.vocab)
    if recipe.objective is not None:
        read = getattr(make_objective(recipe.objective, recipe.options), "files", ())
        inputs |= {f"file {number} of the objective": path for number, path in enumerate(read)}
    with building(
        config.out, kind=KIND, config=settings, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if build.finished:
            return build.counts
        work = build.state_dir
        if shards_folder is None:
            shards_folder = work / "shards"
            make_shards(shards_folder)
        shards = ShardSet.open(shards_folder)
        build.counts.update(_write_all(config, recipe, shards, build.dir, work))
    return build.counts


def _write_all(
    config: Any, recipe: Recipe, shards: ShardSet, out: Path, work: Path
) -> dict[str, int]:
    tokenizer = Tokenizer.load(shards.folder)
    writer = Writer(
        recipe, _corruptor(config, recipe, shards, tokenizer), _plan(recipe, shards, work)
    )
    if len(writer.passes) < recipe.files:
        raise UserError(
            f"--files: got {recipe.files}; {config.sentences} makes {len(writer.passes)} records; "
            "give fewer files or more text"
        )
    write_vocab(out / VOCAB_FILE, tokenizer.vocab)
    step = partial(_write_file, writer, out)
    made = run_tasks(
        step,
        recipe.files,
        workers=config.workers,
        state_dir=work / "tasks",
        title="write records",
    )
    total: Counter[str] = Counter()
    for counts in made:
        total.update(counts)
    total["left_out_pieces"] = writer.passes.n_left_out
    total["cut_pieces"] = writer.passes.n_cut
    total["files"] = recipe.files
    _tell(recipe, total)
    return dict(total)


def _corruptor(config: Any, recipe: Recipe, shards: ShardSet, tokenizer: Tokenizer) -> Any:
    if recipe.objective is None:
        return None
    corruptor = Corruptor(recipe.objective, recipe.options, Vocabulary.of(tokenizer))
    lacking = [name for name in corruptor.layers if name not in shards.layers]
    if lacking:
        raise UserError(
            f"{config.sentences}: lacks the layers {', '.join(lacking)} that format "
            f"{recipe.format} needs (it has: {', '.join(shards.layers) or 'none'}); annotate with "
            "a backend that gives them, such as crf"
        )
    return corruptor


def _plan(recipe: Recipe, shards: ShardSet, work: Path) -> Passes:
    passes = plan_passes(
        shards,
        work / "plans",
        max_length=recipe.max_length,
        partner=recipe.partner,
        short_sequence_rate=recipe.short_sequence_rate,
        dupe_factor=recipe.dupe_factor,
        seed=recipe.seed,
    )
    if not len(passes):
        raise UserError(
            f"{shards.folder}: no pairs for --partner {recipe.partner}: every sequence is one "
            "segment (a sentence, or a single document); give more text, or --partner none"
        )
    most = recipe.max_predictions
    masks = "" if most is None else f" and max_predictions_per_seq {most}"
    say(
        f"encode: {len(passes):,} records of {recipe.dupe_factor} "
        f"{'passes' if recipe.dupe_factor > 1 else 'pass'} over {shards.n_pieces:,} pieces; the "
        f"script wants to be told max_seq_length {recipe.max_length}{masks}"
    )
    return passes


@dataclasses.dataclass(slots=True)
class Writer:
    """Makes the records of any one file; pickles as what it needs for that."""

    recipe: Recipe
    corruptor: Any
    passes: Passes

    def records(self, file: int, counts: Counter[str]) -> Iterator[bytes]:
        """Yield the records of file `file`, counted."""
        recipe, shards = self.recipe, self.passes.shards
        most = recipe.max_predictions or 0
        objective: Any = Unchanged()
        if self.corruptor is not None:
            objective = Limited(self.corruptor, layers=recipe.layout.layers, most=most)
        assembler = Assembler(
            shards,
            objective,
            recipe.max_length,
            recipe.seed,
            pack=False,
            swaps=self.passes.swaps,
        )
        for selection in self.passes.samples(file, recipe.files):
            for documents in shards.shards:
                let_go(documents.ids)
            corrupted = assembler.corrupted(selection, np.arange(len(selection.indices)))
            missing = [name for name in recipe.layout.targets if name not in corrupted.targets]
            if missing:
                raise UserError(
                    f"--objective {recipe.objective}: does not predict {', '.join(missing)}, as "
                    f"format {recipe.format} wants it; choose another, such as mlm"
                )
            counts.update(corrupted.counts)
            counts["records"] += len(corrupted)
            counts["pieces"] += int(corrupted.offsets[-1])
            if recipe.layout.masked:
                chosen = np.searchsorted(corrupted.positions, corrupted.offsets)
                counts["masked_positions"] += len(corrupted.positions)
                counts["unmasked_records"] += int((np.diff(chosen) == 0).sum())
            yield from examples(
                corrupted,
                recipe.layout,
                max_length=recipe.max_length,
                most=most,
                pad_id=shards.legend.special_ids["pad"],
            )
        counts.update(getattr(objective, "counts", {}))


def _write_file(writer: Writer, folder: Path, number: int) -> dict[str, int]:
    counts: Counter[str] = Counter()
    files = writer.recipe.files
    path = folder / f"pretrain_data.tfrecord-{number:05d}-of-{files:05d}"
    write_records(path, writer.records(number, counts))
    return dict(counts)


def _tell(recipe: Recipe, total: Mapping[str, int]) -> None:
    """Say what a user may want to change, and refuse records that teach nothing."""
    if recipe.layout.masked and not total["masked_positions"]:
        raise UserError("encode: nothing was masked: no piece has a label in every layer")
    share = total.get("unlabelled_pieces", 0) / total["pieces"]
    if share > MANY_UNLABELLED:
        say(
            f"encode: {share:.0%} of the pieces lack a label and were never chosen; masks are "
            "drawn from the others alone: annotate with a backend that knows more"
        )
    over = total.get("over_budget_positions", 0)
    if over > MANY_OVER * total.get("masked_positions", 0):
        say(
            f"encode: {over:,} chosen places were given up, being over --max-predictions "
            f"{recipe.max_predictions} of a record; raise it, or lower the objective's rate"
        )
