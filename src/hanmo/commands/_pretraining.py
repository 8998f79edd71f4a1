"""What `hanmo pretrain` composes: the model, its batches, and the rules of its folder."""

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from hanmo.commands._answers import seed_of_data, stored_answers
from hanmo.commands._starting import check_teachers, shape_of, start_from
from hanmo.core import artifact
from hanmo.core import config as configuration
from hanmo.core.errors import UserError
from hanmo.core.files import sha256
from hanmo.core.identity import default_settings
from hanmo.core.log import say
from hanmo.core.seeds import generator
from hanmo.data.loader import Loader, Selection
from hanmo.data.ragged import Array
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.model import checkpoint
from hanmo.model.config import read_config
from hanmo.model.encoder import Layers, compile_between_products, initialise
from hanmo.model.partner import add_partner
from hanmo.objectives._objective import Objective
from hanmo.text.tokenizer import Tokenizer
from hanmo.train.cluster import Cluster
from hanmo.train.devices import Device
from hanmo.train.loop import NotFiniteError
from hanmo.train.phases import Phase, Phases, parse, single

# Settings that may differ between a run and its continuation: they do not change the result.
_FREE = frozenset(
    {"out", "resume", "overwrite", "workers", "save_every", "keep", "log_every", "tensorboard"}
    | {"stop_at", "threads", "shards", "strategy", "recompute"}
)

SHORTEST_LENGTH = 8
LARGEST_BATCH = 1 << 20  # sixteen times the largest of LAMB's paper

# `pretrain.Config`; importing it here would be a cycle.
Options: TypeAlias = Any


def build_model(
    config: Options, objective: Objective, shards: ShardSet, tokenizer: Tokenizer, device: Device
) -> Any:
    """Build what is trained, from random weights or from `init`."""
    lacking = [layer for layer in objective.layers if layer not in shards.layers]
    if lacking:
        raise UserError(
            f"{config.shards}: lacks the layers {', '.join(lacking)} that objective "
            f"{config.objective!r} needs (it has: {', '.join(shards.layers) or 'none'}); annotate "
            "with a backend that gives them, such as crf"
        )
    shape = checkpoint.with_dropout(shape_of(config, tokenizer), config.dropout)
    longest = phases_of(config).max_length
    if longest > shape.max_position_embeddings:
        raise UserError(
            f"--max-length: got {longest}; the model has {shape.max_position_embeddings} positions"
        )
    model: Any = objective.build(shape, shards.layers)
    check_teachers(model, config, longest)
    if config.partner != "none":
        add_partner(model)
    generator = torch.Generator().manual_seed(config.seed)
    initialise(model, shape.initializer_range, generator)
    if config.init is not None:
        start_from(model, config)
    if config.recompute:
        for part in model.modules():
            if isinstance(part, Layers):
                part.recompute = True
    if config.compile:
        if device.name == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
            raise UserError(
                "--compile: needs a C++ compiler on CPUs (Debian: apt install g++), or the "
                "environment's CXX to name one"
            )
        compile_between_products(model)
    return model.to(device.name)


def published_dropout(config: Options, tokenizer: Tokenizer) -> dict[str, float]:
    """Return the shape's own dropouts: `--dropout` is for this training, not for what follows."""
    shape = shape_of(config, tokenizer)
    return {
        "hidden_dropout_prob": shape.hidden_dropout_prob,
        "attention_probs_dropout_prob": shape.attention_probs_dropout_prob,
    }


def phases_of(config: Options) -> Phases:
    """Return the run's phases; one, where none are stated.

    Raises:
        UserError: phases of another form, or of another number of steps than `steps`.
    """
    phases = _phases_of(config)
    shortest = min(phase.max_length for phase in phases)
    if shortest < SHORTEST_LENGTH:
        raise UserError(f"--max-length: got {shortest}; expected {SHORTEST_LENGTH} or more")
    largest = max(phase.batch_size for phase in phases)
    if largest > LARGEST_BATCH:
        raise UserError(f"--batch-size: got {largest:,}; expected {LARGEST_BATCH:,} at most")
    return phases


def _phases_of(config: Options) -> Phases:
    if not config.phases:
        return single(
            config.steps,
            config.max_length,
            config.batch_size,
            config.learning_rate,
            config.warmup_steps,
        )
    for name in ("max_length", "batch_size"):
        value, default = getattr(config, name), type(config).__dataclass_fields__[name].default
        if value != default:
            raise UserError(
                f"--{name.replace('_', '-')}: got {value}, but --phases state lengths and batches "
                f"({' '.join(config.phases)}); give other --phases, or --phases none"
            )
    phases = parse(config.phases, learning_rate=config.learning_rate, warmup=config.warmup_steps)
    if phases.steps != config.steps:
        raise UserError(
            f"--phases: have {phases.steps} steps in all ({' '.join(config.phases)}); --steps says "
            f"{config.steps}; give --phases for that many"
        )
    return phases


class Batches:
    """The batches of a run: those of each phase's loader, planned when the phase begins."""

    def __init__(
        self,
        config: Options,
        shards: ShardSet,
        corruptor: Any,
        phases: Phases,
        cluster: Cluster,
    ) -> None:
        self._config, self._shards, self._corruptor = config, shards, corruptor
        self._cluster = cluster
        self._phases = phases
        self._answers = stored_answers(
            config, phases, artifact.digest(config.shards), verified=cluster.first
        )
        self._made: tuple[int, Loader] | None = None

    def between(self, start: int, stop: int) -> Iterator[dict[str, Array]]:
        """Yield the arrays of steps `start` to `stop`."""
        for phase in self._phases:
            begin, end = max(start, phase.begin), min(stop, phase.end)
            if begin < end:
                yield from self._loader(phase).batches(begin - phase.begin, end - phase.begin)

    def plan(self, start: int, stop: int) -> None:
        """Plan the sequences of step `start` now, which takes a while with a large corpus."""
        if start < stop:
            self._loader(self._phases.at(start))

    def select(self, step: int) -> Selection:
        """Which samples the batch of a step is made of."""
        phase = self._phases.at(step)
        return self._loader(phase).select(step - phase.begin)

    def _loader(self, phase: Phase) -> Loader:
        if self._made is None or self._made[0] != phase.number:
            self._made = (phase.number, self._make_loader(phase))
        return self._made[1]

    def _make_loader(self, phase: Phase) -> Loader:
        config = self._config
        seed = phase_seed(seed_of_data(config), phase.number)
        plan = plan_sequences(
            self._shards,
            max_length=phase.max_length,
            partner=config.partner,
            short_sequence_rate=config.short_sequence_rate,
            seed=seed,
            scratch=config.out,
        )
        epochs = phase.steps * phase.batch_size / max(1, len(plan))
        title = "pretrain" if len(self._phases) == 1 else f"pretrain, phase {phase.number + 1}"
        cut = ""
        if plan.n_cut:
            share = plan.n_cut / self._shards.n_pieces
            cut = f", {plan.n_cut:,} of them ({share:.1%}) cut off pairs that were too long"
        say(
            f"{title}: {len(plan):,} sequences, {self._shards.n_pieces:,} pieces{cut}; "
            f"{phase.steps:,} steps of {phase.batch_size} are {epochs:.2f} epochs"
        )
        if phase.warmup >= phase.steps:
            say(
                f"{title}: warm-up takes {phase.warmup:,} steps, so the learning rate stays below "
                f"its peak, {phase.learning_rate:g}; lower --warmup-steps"
            )
        return Loader(
            plan,
            self._corruptor,
            batch_size=phase.batch_size,
            max_length=phase.max_length,
            seed=seed,
            pack=config.pack,
            dupe_factor=config.dupe_factor,
            part=self._cluster.rank,
            n_parts=self._cluster.world,
            # Every process must have something to do in every part of a step.
            least_rows=config.accumulate * self._cluster.world if self._cluster.world > 1 else 1,
            beside=tuple(answers.of_phase(phase.number) for answers in self._answers),
            workers=config.workers,
        )


def phase_seed(seed: int, number: int) -> int:
    """Return the seed of a phase: phases must not repeat each other's order and masks."""
    return int(generator(seed, "phase", number).integers(2**63)) if number else seed


def not_finite(config: Options, batches: Batches, error: NotFiniteError) -> str:
    """Say which sequences were in the batch whose loss is no number."""
    chosen = batches.select(error.step - 1)
    places = [f"{e}/{i}" for e, i in zip(chosen.epochs, chosen.indices, strict=True)]
    saved = "nothing had been saved yet"
    if _has_checkpoint(config.out):
        saved = f"the checkpoints in {config.out} are whole"
    return (
        f"{error}; sequences of the batch (epoch/index): {' '.join(places)}; {saved}; "
        "lower --learning-rate, or look at these sequences, each with the run's settings: "
        f"hanmo inspect {config.shards} --sequence INDEX --epoch EPOCH"
    )


def _has_checkpoint(out: Path) -> bool:
    return any(out.glob("step-*[0-9]"))


def _changed(config: Options, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say which settings differ; one that an older hanmo did not have was at its default."""
    defaults = default_settings(config)
    old = {**{key: defaults[key] for key in new if key in defaults}, **old}
    return configuration.differences(
        {key: value for key, value in old.items() if key not in _FREE},
        {key: value for key, value in new.items() if key not in _FREE},
    )


def already_finished(
    config: Options, objective: Objective, values: Mapping[str, Any]
) -> dict[str, Any]:
    manifest = artifact.read_manifest(config.out, "checkpoint")
    changed = _changed(config, manifest.config, values)
    if changed:
        raise UserError(
            f"{config.out}: already finished with other settings ({'; '.join(changed)}); "
            "choose another --out, or pass --overwrite"
        )
    artifact.check_whole(config.out)
    check_inputs(config, objective, config.out)
    if config.init is None:  # a model that a finished run began from may be gone
        check_shape(config, Tokenizer.load(config.shards), config.out)
    done = {"finished": True, "already_finished": True}
    return {**manifest.counts, **done, "out": str(config.out)}


def check_folder(config: Options, values: Mapping[str, Any]) -> None:
    """Refuse an `out` that may neither be filled nor continued."""
    out, stored = config.out, config.out / configuration.CONFIG_FILE
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; expected a folder to make; choose another --out")
    if not stored.is_file():
        # A kill in the first moment leaves a temporary file of the configuration.
        mine = f".{configuration.CONFIG_FILE}."
        if out.exists() and not all(path.name.startswith(mine) for path in out.iterdir()):
            raise UserError(f"{out}: exists and is no run of hanmo pretrain; choose another --out")
        return
    if config.overwrite or not _has_checkpoint(out):  # nothing is lost by beginning anew
        return
    if not config.resume:
        raise UserError(
            f"{out}: holds an unfinished run; pass --resume to go on with it, or --overwrite"
        )
    before = configuration.read(stored)
    changed = _changed(config, before, values)
    if before.get("threads", values["threads"]) != values["threads"]:
        say(
            f"resume: {values['threads']} threads, {before['threads']} before: sums are taken in "
            f"another order, so the last bits may differ; --threads {before['threads']} is exact"
        )
    if changed:
        raise UserError(
            f"{out}: --resume with other settings: {'; '.join(changed)}; "
            "repeat the run's settings, or choose another --out"
        )


def begin_folder(config: Options, values: Mapping[str, Any]) -> None:
    """Make `out`, empty but for a run that is continued; only when nothing can be refused."""
    stored = config.out / configuration.CONFIG_FILE
    if config.overwrite and config.out.exists():
        shutil.rmtree(config.out)
    if not stored.is_file() or not _has_checkpoint(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
        configuration.write(stored, values)


def digests(objective: Objective) -> dict[str, str]:
    """Return the digest of each file that the objective reads."""
    return {str(path): sha256(path) for path in getattr(objective, "files", ()) if path.is_file()}


def check_shape(config: Options, tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse to go on where the file that describes the model says something else now."""
    before, now = read_config(folder / "config.json"), shape_of(config, tokenizer)
    changed = [
        f"{name} was {getattr(before, name)}, now {getattr(now, name)}"
        for name in (field.name for field in dataclasses.fields(now))
        if getattr(before, name) != getattr(now, name)
    ]
    if changed:
        raise UserError(
            f"{config.size or config.init}: another model than {folder} has: {'; '.join(changed)}; "
            "give the same, or choose another --out"
        )


def check_inputs(config: Options, objective: Objective, folder: Path) -> None:
    """Refuse to go on with other inputs than those that a checkpoint was trained on."""
    extra = checkpoint.read_extra(folder)
    if extra.get("shards") != artifact.digest(config.shards):
        raise UserError(
            f"{config.shards}: other shards than those that {folder} was trained on; "
            "give those, or choose another --out"
        )
    for path, digest in digests(objective).items():
        if extra.get("files", {}).get(path, digest) != digest:
            raise UserError(
                f"{path}: changed since {folder} was trained on it; give the same file, or choose "
                "another --out"
            )
