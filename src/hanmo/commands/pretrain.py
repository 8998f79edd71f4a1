"""Pre-train an encoder on shards with an objective, or go on training a checkpoint.

In: a folder of kind "shards". Out: a model folder that transformers opens, with its log, its
resolved configuration and its last checkpoints. Ctrl-C or SIGTERM finishes the step, saves and
exits with 130 or 143; `--resume` goes on exactly where the run was, also after kill -9.

    hanmo pretrain work/shards --objective lert --size small --steps 100000 --out work/lert-small
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanmo.commands import _pretrain_settings
from hanmo.core import artifact
from hanmo.core import config as configuration
from hanmo.core.errors import UserError
from hanmo.core.lock import exclusive
from hanmo.core.log import Progress, RunLog, run_log, say
from hanmo.core.memory import release_freed_memory

if TYPE_CHECKING:
    from hanmo.objectives._objective import Objective
    from hanmo.text.tokenizer import Tokenizer
    from hanmo.train.cluster import Cluster
    from hanmo.train.devices import Device
    from hanmo.train.loop import Record
    from hanmo.train.state import TrainingState

PLUGIN = {"objective": ("hanmo.objectives", "Objective")}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `hanmo pretrain`.

    Attributes:
        shards: Folder made by `hanmo encode`.
        out: Folder of the run; the model at the end, checkpoints and log meanwhile.
        steps: Length of training in optimiser steps; schedules refer to it.
        objective: Name of an objective, a dotted module, or a path to a .py file.
        size: Shape: tiny, lert-tiny, small, base, large, rbt3, rbt4, rbt6, rbtl3, rbt4-h312,
            minirbt-h256, minirbt-h288, minirbt-h288-8heads, electra-tiny, electra-small,
            electra-small-ex, electra-base, electra-large, albert-tiny, albert-small, albert-base,
            albert-large, albert-xlarge, albert-xxlarge, or a path to a config.json.
        init: Model folder to start from (continued pre-training) instead of random weights.
        layers: Layers of `init` to start from, as in 0,1,2 (RBT3); by default all.
        dupe_factor: Corrupt each sequence in so many ways, in turn (static masking); by default
            anew in every epoch.
        batch_size: Sequences a step.
        accumulate: Parts of a step that run one after the other, for batches too big for memory.
        recompute: Run layers again in the backward pass instead of keeping what they computed
            (activation checkpointing): the same numbers, less memory, a third more time.
        compile: Fuse the small operations of layers by torch.compile: faster on GPUs; needs a C++
            compiler on CPUs, and a minute at the start.
        max_length: Longest sequence in pieces, [CLS] and [SEP] included.
        phases: Lengths and batches one after the other, each STEPSxLENGTHxBATCH (@LEARNING_RATE),
            as in 100000x128x2560 100000x512x384; instead of `max_length` and `batch_size`.
        partner: Question about pairs of segments beside the objective: none, nsp (BERT's next
            sentence) or sop (ALBERT's sentence order).
        short_sequence_rate: Share of sequences that stop at a random shorter length; BERT's is 0.1.
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up; by default a tenth of all.
        weight_decay: Decoupled weight decay, not on biases and layer normalisation.
        layer_decay: Layer-wise decay of the learning rate, as ELECTRA's; 1 is none.
        schedule: "bert" (linear warm-up, then linear decay) or "electra" (decay during both).
        optimizer: "adamw" (BERT's: no bias correction, epsilon 1e-6), "adamw-torch" (corrected,
            epsilon 1e-8: in short runs from random weights it learns sooner) or "lamb".
        clip_norm: Gradients are clipped to this global norm.
        dropout: Overrides the dropout of the shape; 0 is usual for short runs on small data.
        pack: Several sequences share a row (exact; saves padding).
        seed: Decides initial weights, order, masks and dropout.
        data_seed: Decides order and masks instead: so may students of one `hanmo teach` differ.
        precision: "auto" (bf16 where it is faster: GPUs, many CPUs), "fp32" or "bf16".
        device: "cpu" or "cuda"; by default CUDA when there is one.
        strategy: How processes started by torchrun share the work: "ddp" (each has the whole
            model) or "fsdp" (each has a share of it).
        threads: CPU threads; by default all cores.
        workers: Processes that make batches ahead; 0 makes them between steps.
        save_every: Steps between checkpoints.
        keep: Checkpoints to keep.
        log_every: Steps between lines of the log.
        stop_at: Save and stop after this step (of `steps`); --resume goes on.
        tensorboard: Write TensorBoard events as well.
        resume: Go on with the run in `out`.
        overwrite: Throw away what is in `out`.
        options: Options of the objective by name.
    """

    shards: Path = dataclasses.field(metadata={"positional": True})
    out: Path = dataclasses.field(metadata={"output": True})
    steps: int
    objective: str = "lert"
    size: str | None = None
    init: Path | None = None
    layers: str | None = None
    dupe_factor: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    recompute: bool = False
    compile: bool = False
    max_length: int = 512
    phases: tuple[str, ...] = ()
    partner: str = "none"
    short_sequence_rate: float = 0.0
    learning_rate: float = 1e-4
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    schedule: str = "bert"
    optimizer: str = "adamw"
    clip_norm: float = 1.0
    dropout: float | None = None
    pack: bool = True
    seed: int = 1
    data_seed: int | None = None
    precision: str = "auto"
    device: str | None = None
    strategy: str = "ddp"
    threads: int | None = None
    workers: int = 0
    save_every: int = 1000
    keep: int = 2
    log_every: int = 10
    stop_at: int | None = None
    tensorboard: bool = False
    resume: bool = False
    overwrite: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_OUT_OF_MEMORY = (
    "lower --batch-size or --max-length, cut the batch with --accumulate, or pass --recompute"
)


def run(config: Config) -> dict[str, Any]:
    """Pre-train; returns the steps done, the last losses, the speed and the folder.

    Raises:
        UserError: bad settings, shards that lack a layer, an unfinished run in `out` without
            `resume`, a run that was made with other settings, or one that is going on.
    """
    _pretrain_settings.check(config)
    from hanmo.commands import _pretraining as parts
    from hanmo.objectives._objective import make_objective
    from hanmo.train import devices
    from hanmo.train.cluster import joined

    parts.phases_of(config)  # refused before anything is loaded
    device = devices.prepare(config.precision, threads=config.threads, name=config.device)
    objective = make_objective(config.objective, config.options)
    options = {name: getattr(objective, name) for name in _field_names(objective)}
    # What "auto" and the defaults came to is what a continuation must repeat.
    config = dataclasses.replace(
        config,
        options=options,
        precision=device.precision,
        device=device.name,
        threads=devices.n_threads(),
    )
    values = configuration.resolved(
        dataclasses.replace(config, stop_at=None), sys.modules[__name__]
    )
    with joined(config.strategy, device=device.name) as cluster:
        if not config.overwrite and (config.out / artifact.MANIFEST).is_file():
            return parts.already_finished(config, objective, values)
        with exclusive(config.out) if cluster.first else contextlib.nullcontext():
            if cluster.first:
                parts.check_folder(config, values)
            cluster.wait()
            return _train(config, values, objective, device, cluster)


def _field_names(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value)]


def _train(
    config: Config,
    values: Mapping[str, Any],
    objective: "Objective",
    device: "Device",
    cluster: "Cluster",
) -> dict[str, Any]:
    from hanmo.commands import _pretraining as parts
    from hanmo.data.shards import ShardSet
    from hanmo.model import checkpoint
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer
    from hanmo.train import devices, loop, optim, state
    from hanmo.train.history import LOG

    multiplier = optim.schedule_named(config.schedule)
    shards = ShardSet.open(config.shards)
    tokenizer = Tokenizer.load(config.shards)
    model = parts.build_model(config, objective, shards, tokenizer, device)
    corruptor = Corruptor(config.objective, config.options, Vocabulary.of(tokenizer))
    phases = parts.phases_of(config)
    batches = parts.Batches(config, shards, corruptor, phases, cluster)
    if cluster.first:
        parts.begin_folder(config, values)
    folder = _resumed(config, objective, tokenizer, cluster)
    if folder is not None:
        checkpoint.restore_weights(model, folder)
    step_module = cluster.wrap(model)
    optimizer = optim.build_optimizer(
        model,
        name=config.optimizer,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
    )
    at = state.TrainingState(0, {}) if folder is None else state.restore(folder, model, optimizer)
    stop = min(config.steps, config.stop_at or config.steps)
    batches.plan(at.step, stop)  # before signals wait for the end of a step
    records = loop.train_steps(
        model,
        optimizer,
        (
            loop.parts_of(arrays, config.accumulate, device.name, cluster)
            for arrays in batches.between(at.step, stop)
        ),
        start=at.step,
        stop=stop,
        total=config.steps,
        learning_rate=lambda step: phases.learning_rate(step, multiplier),
        device=device,
        clip_norm=config.clip_norm,
        seed=config.seed,
        cluster=cluster,
        step_module=step_module,
    )
    extra: dict[str, Any] = {
        "objective": config.objective,
        "max_length": phases.at(config.steps - 1).max_length,
        "shards": artifact.digest(config.shards),
        "files": parts.digests(objective),
    }

    def save(step: int, pending: Mapping[str, float]) -> Path:
        folder = state.save_state(
            config.out,
            state.TrainingState(step, pending),
            model,
            optimizer,
            tokenizer=tokenizer,
            config=values,
            extra={**extra, "step": step},
            shape=parts.published_dropout(config, tokenizer),
            cluster=cluster,
        )
        if cluster.first:
            state.prune(config.out, config.keep, newest=folder)
        release_freed_memory()
        return folder

    board = config.out / "tensorboard" if config.tensorboard and cluster.first else None
    log_file = config.out / LOG if cluster.first else Path(os.devnull)
    with run_log(log_file, board) as log:
        try:
            with devices.explained(_OUT_OF_MEMORY):
                last = _consume(config, records, at, log, save, cluster=cluster)
        except loop.NotFiniteError as error:
            raise UserError(parts.not_finite(config, batches, error)) from None
    counts = {"steps": last.step, **last.summary}
    finished = last.step == config.steps
    if finished and cluster.first:
        folder = state.step_folder(config.out, last.step)
        inputs = {"shards": extra["shards"]}
        state.publish(config.out, folder, config=values, counts=counts, inputs=inputs)
    return {**counts, "finished": finished, "out": str(config.out), "exit_code": last.exit_code}


def _resumed(
    config: Config, objective: "Objective", tokenizer: "Tokenizer", cluster: "Cluster"
) -> Path | None:
    """Return the checkpoint to go on from, the same in all processes; None to begin anew."""
    from hanmo.commands import _pretraining as parts
    from hanmo.train import history, state

    folder = None
    if cluster.first:
        state.sweep(config.out)
        folder = state.latest(config.out) if config.resume else None
        if folder is None:
            (config.out / history.LOG).unlink(missing_ok=True)
        else:
            parts.check_inputs(config, objective, folder)
            parts.check_shape(config, tokenizer, folder)
            history.cut_log(config.out / history.LOG, state.step_of(folder))
            say(f"resume: from {folder.name}")
    name = cluster.from_first(None if folder is None else folder.name)
    return None if name is None else config.out / name


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """How the consuming of records ended."""

    step: int
    summary: dict[str, float]
    exit_code: int


def _consume(
    config: Config,
    records: Iterator["Record"],
    at: "TrainingState",
    log: RunLog,
    save: Any,
    *,
    cluster: "Cluster",
) -> _End:
    """Run the loop: log, show, save; stop at the end or on a signal."""
    from hanmo.train import history
    from hanmo.train.interrupts import Interrupts

    sums = dict(at.pending)
    line = history.last_line(config.out / history.LOG)
    step, saved, pieces, seconds = at.step, None, 0, 0.0
    title = f"pretrain {config.objective} ({config.precision})"
    with Interrupts() as interrupts, Progress(title, config.steps, "steps") as bar:
        bar.skip(at.step)
        for record in _until_interrupted(records, interrupts, cluster):
            step = record.step
            history.add(sums, record)
            pieces, seconds = pieces + record.n_pieces, seconds + record.seconds
            if step % config.log_every == 0 or step == config.steps:
                line = history.line_of(sums, record)
                log.write(**line)
                sums = {}
            bar.advance(1, **history.shown(line, pieces / seconds))
            if step % config.save_every == 0 or step == config.steps:
                saved = save(step, sums)
        if saved is None or saved.name != f"step-{step:09d}":
            save(step, sums)
    losses = {key: value for key, value in line.items() if key.startswith("loss")}
    if step < config.steps:
        cause = f"by {interrupts.caught.name}" if interrupts.caught else "as --stop-at says"
        say(f"stopped {cause} after step {step:,} of {config.steps:,}; pass --resume to go on")
    code = 128 + interrupts.caught if interrupts.caught else 0
    speed = round(pieces / seconds) if seconds else line.get("pieces_per_second", 0)
    return _End(step, {**losses, "pieces_per_second": speed}, code)


def _until_interrupted(
    records: Iterator["Record"], interrupts: Any, cluster: "Cluster"
) -> Iterator["Record"]:
    """Yield records until a signal comes, which may also kill the loader's workers."""
    try:
        for record in records:
            yield record
            if cluster.any(interrupts.caught is not None):  # all stop at the same step
                return
    except UserError:
        if not interrupts.caught:
            raise
