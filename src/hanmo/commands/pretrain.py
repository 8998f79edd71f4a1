"""Pre-train an encoder on shards with an objective, or go on training a checkpoint.

In: a folder of kind "shards". Out: a model folder that transformers opens, with its log, its
resolved configuration and its last checkpoints. Ctrl-C or SIGTERM finishes the step, saves and
exits with 130 or 143; `--resume` goes on exactly where the run was, also after kill -9.

    hanmo pretrain work/shards --objective lert --size small --steps 100000 --out work/lert-small
"""

import dataclasses
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hanmo.core import artifact
from hanmo.core import config as configuration
from hanmo.core.errors import UserError
from hanmo.core.log import Progress, RunLog, run_log, say

if TYPE_CHECKING:
    from hanmo.data.shards import ShardSet
    from hanmo.model.config import EncoderConfig
    from hanmo.train.devices import Device
    from hanmo.train.loop import Record
    from hanmo.train.state import TrainingState

PLUGIN = {"objective": ("hanmo.objectives", "Objective")}
LOG = "log.jsonl"
# Settings that may differ between a run and its continuation: they do not change the result.
_FREE = frozenset(
    {"out", "resume", "overwrite", "workers", "save_every", "keep", "log_every", "tensorboard"}
    | {"stop_at", "threads", "shards"}
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `hanmo pretrain`.

    Attributes:
        shards: Folder made by `hanmo encode`.
        out: Folder of the run; the model at the end, checkpoints and log meanwhile.
        steps: Length of training in optimiser steps; schedules refer to it.
        objective: Name of an objective, a dotted module, or a path to a .py file.
        size: Shape: tiny, small, base, large, rbt3, rbt4, rbt6, rbtl3, or a path to a config.json.
        init: Model folder to start from (continued pre-training) instead of random weights.
        batch_size: Sequences a step.
        max_length: Longest sequence in pieces, [CLS] and [SEP] included.
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up; by default a tenth of all.
        weight_decay: Decoupled weight decay, not on biases and layer normalisation.
        optimizer: "adamw" (BERT's: no bias correction, epsilon 1e-6) or "adamw-torch".
        clip_norm: Gradients are clipped to this global norm.
        dropout: Overrides the dropout of the shape; 0 is usual for short runs on small data.
        pack: Several sequences share a row (exact; saves padding).
        seed: Decides initial weights, order, masks and dropout.
        precision: "auto" (bf16 where the processor has it), "fp32" or "bf16".
        device: "cpu" or "cuda"; by default CUDA when there is one.
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
    out: Path
    steps: int
    objective: str = "lert"
    size: str | None = None
    init: Path | None = None
    batch_size: int = 64
    max_length: int = 512
    learning_rate: float = 1e-4
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    optimizer: str = "adamw"
    clip_norm: float = 1.0
    dropout: float | None = None
    pack: bool = True
    seed: int = 1
    precision: str = "auto"
    device: str | None = None
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


def run(config: Config) -> dict[str, Any]:
    """Pre-train; returns the steps done, the last losses, the speed and the folder.

    Raises:
        UserError: bad settings, shards that lack a layer, an unfinished run in `out` without
            `resume`, or a run that was made with other settings.
    """
    from hanmo.objectives._objective import make_objective

    _check(config)
    objective: Any = make_objective(config.objective, config.options)
    options = {
        field.name: getattr(objective, field.name) for field in dataclasses.fields(objective)
    }
    values = configuration.resolved(dataclasses.replace(config, options=options), _this_module())
    if not config.overwrite and (config.out / artifact.MANIFEST).is_file():
        return _already_finished(config, values)
    _check_folder(config, values)
    return _train(config, values)


def _check(config: Config) -> None:
    for name in ("steps", "batch_size", "save_every", "keep", "log_every", "stop_at"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')}: got {value}; expected ≥ 1")
    if config.warmup_steps is not None and config.warmup_steps < 0:
        raise UserError(f"--warmup-steps: got {config.warmup_steps}; expected 0 or more")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed: got {config.seed}; expected 0 to 2^63 - 1")
    if config.max_length < 8:
        raise UserError(f"--max-length: got {config.max_length}; expected 8 or more")
    for name in ("learning_rate", "clip_norm"):
        if not getattr(config, name) > 0:
            got = getattr(config, name)
            raise UserError(f"--{name.replace('_', '-')}: got {got}; expected more than 0")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout: got {config.dropout}; expected a share in [0, 1)")
    if config.init is None and config.size is None:
        raise UserError("pretrain: --size or --init missing; for example --size small")


def _this_module() -> Any:
    import sys

    return sys.modules[__name__]


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return configuration.differences(
        {key: value for key, value in old.items() if key not in _FREE},
        {key: value for key, value in new.items() if key not in _FREE},
    )


def _already_finished(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    manifest = artifact.read_manifest(config.out, "checkpoint")
    changed = _changed(manifest.config, values)
    if changed:
        raise UserError(
            f"{config.out}: already finished with other settings ({'; '.join(changed)}); "
            "choose another --out, or pass --overwrite"
        )
    _check_shards(config, config.out)
    return {**manifest.counts, "out": str(config.out), "already_finished": True}


def _check_folder(config: Config, values: Mapping[str, Any]) -> None:
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
    if config.overwrite:
        return
    if not config.resume:
        raise UserError(
            f"{out}: holds an unfinished run; pass --resume to go on with it, or --overwrite"
        )
    changed = _changed(configuration.read(stored), values)
    if changed:
        raise UserError(
            f"{out}: --resume with other settings: {'; '.join(changed)}; "
            "repeat the run's settings, or choose another --out"
        )


def _begin_folder(config: Config, values: Mapping[str, Any]) -> None:
    """Make `out`, empty but for a run that is continued; only when nothing can be refused."""
    stored = config.out / configuration.CONFIG_FILE
    if config.overwrite and config.out.exists():
        shutil.rmtree(config.out)
    if not stored.is_file():
        config.out.mkdir(parents=True, exist_ok=True)
        configuration.write(stored, values)


def _content(shards: Path) -> str:
    """Digest of what the shards hold, wherever they lie."""
    import hashlib
    import json

    files = artifact.read_manifest(shards, "shards").files
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _check_shards(config: Config, folder: Path) -> None:
    """Refuse to go on with other shards than those that a checkpoint was trained on."""
    from hanmo.model.checkpoint import read_extra

    if read_extra(folder).get("shards") != _content(config.shards):
        raise UserError(
            f"{config.shards}: other shards than those that {folder} was trained on; "
            "give those, or choose another --out"
        )


def _train(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    from hanmo.data.shards import ShardSet
    from hanmo.model.trainable import Batch
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer
    from hanmo.train import devices, loop, optim, state

    shards = ShardSet.open(config.shards)
    tokenizer = Tokenizer.load(config.shards)
    device = devices.prepare(config.precision, threads=config.threads, name=config.device)
    model = _model(config, shards, tokenizer, device)
    optimizer = optim.build_optimizer(
        model,
        name=config.optimizer,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    corruptor = Corruptor(config.objective, config.options, Vocabulary.of(tokenizer))
    loader = _loader(config, shards, corruptor)
    _begin_folder(config, values)
    at = _restore(config, model, optimizer)
    stop = min(config.steps, config.stop_at or config.steps)
    batches = loader.batches(at.step, stop)
    warmup = config.steps // 10 if config.warmup_steps is None else config.warmup_steps
    records = loop.train_steps(
        model,
        optimizer,
        (Batch.from_arrays(arrays, device.name) for arrays in batches),
        start=at.step,
        stop=stop,
        total=config.steps,
        learning_rate=lambda step: (
            config.learning_rate * optim.warmup_linear(step, total=config.steps, warmup=warmup)
        ),
        device=device,
        clip_norm=config.clip_norm,
        seed=config.seed,
    )
    extra = {
        "objective": config.objective,
        "max_length": config.max_length,
        "shards": _content(config.shards),
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
        )
        state.prune(config.out, config.keep, newest=folder)
        return folder

    board = config.out / "tensorboard" if config.tensorboard else None
    with run_log(config.out / LOG, board) as log:
        last = _consume(config, records, at, log, save, device)
    counts = {"steps": last.step, **last.summary}
    if last.step == config.steps:
        folder = state.step_folder(config.out, last.step)
        state.publish(config.out, folder, config=values, counts=counts)
    return {**counts, "out": str(config.out), "exit_code": last.exit_code}


def _model(config: Config, shards: "ShardSet", tokenizer: Any, device: "Device") -> Any:
    """Build what is trained, from random weights or from `init`."""
    import torch

    from hanmo.model import checkpoint
    from hanmo.model.encoder import initialise
    from hanmo.objectives._objective import make_objective

    objective = make_objective(config.objective, config.options)
    lacking = [layer for layer in objective.layers if layer not in shards.layers]
    if lacking:
        raise UserError(
            f"{config.shards}: lacks the layers {', '.join(lacking)} that objective "
            f"{config.objective!r} needs (it has: {', '.join(shards.layers) or 'none'}); annotate "
            "with a backend that gives them, such as crf"
        )
    shape = checkpoint.with_dropout(_shape(config, tokenizer), config.dropout)
    if config.max_length > shape.max_position_embeddings:
        raise UserError(
            f"--max-length: got {config.max_length}; the model has "
            f"{shape.max_position_embeddings} positions"
        )
    model: Any = objective.build(shape, shards.layers)
    generator = torch.Generator().manual_seed(config.seed)
    initialise(model, shape.initializer_range, generator)
    if config.init is not None:
        fresh = checkpoint.load_into(model, config.init)
        if fresh:
            say(f"init: not in {config.init}, so random: {', '.join(fresh)}")
    return model.to(device.name)


def _shape(config: Config, tokenizer: Any) -> "EncoderConfig":
    from hanmo.model.config import read_config, size_named
    from hanmo.text.tokenizer import Tokenizer

    if config.init is None:
        return dataclasses.replace(size_named(config.size or ""), vocab_size=tokenizer.size)
    shape = read_config(config.init / "config.json")
    if config.size is not None:
        wanted = dataclasses.replace(size_named(config.size), vocab_size=shape.vocab_size)
        if wanted.parameters() != shape.parameters():
            raise UserError(f"--size {config.size}: {config.init} has another; leave --size out")
    if Tokenizer.load(config.init).vocab != tokenizer.vocab:
        raise UserError(
            f"{config.init}: its vocabulary is not the one that {config.shards} was encoded with; "
            f"encode with --vocab {config.init}/vocab.txt"
        )
    return shape


def _loader(config: Config, shards: "ShardSet", corruptor: Any) -> Any:
    from hanmo.data.loader import Loader
    from hanmo.data.sequences import plan_sequences

    plan = plan_sequences(shards, max_length=config.max_length)
    epochs = config.steps * config.batch_size / max(1, len(plan))
    say(
        f"pretrain: {len(plan):,} sequences, {shards.n_pieces:,} pieces; "
        f"{config.steps:,} steps of {config.batch_size} are {epochs:.2f} epochs"
    )
    return Loader(
        plan,
        corruptor,
        batch_size=config.batch_size,
        max_length=config.max_length,
        seed=config.seed,
        pack=config.pack,
        workers=config.workers,
    )


def _restore(config: Config, model: Any, optimizer: Any) -> "TrainingState":
    from hanmo.train import state

    state.sweep(config.out)
    folder = state.latest(config.out) if config.resume else None
    if folder is None:
        (config.out / LOG).unlink(missing_ok=True)
        return state.TrainingState(0, {})
    _check_shards(config, folder)
    at = state.restore(folder, model, optimizer)
    _cut_log(config.out / LOG, at.step)
    say(f"resume: from {folder.name}")
    return at


def _cut_log(path: Path, step: int) -> None:
    """Drop log lines of steps after the checkpoint, and a line that a kill cut short."""
    import json

    from hanmo.core.files import write_atomic

    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            break
    write_atomic(path, "".join(kept))


def _last_line(path: Path) -> dict[str, float]:
    """What the log of a continued run says last; empty for a new run."""
    import json

    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(json.loads(lines[-1])) if lines else {}


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """How the consuming of records ended."""

    step: int
    summary: dict[str, float]
    exit_code: int


def _consume(  # noqa: PLR0917 - the loop's surroundings, used here only
    config: Config,
    records: Iterator["Record"],
    at: "TrainingState",
    log: RunLog,
    save: Any,
    device: "Device",
) -> _End:
    """Run the loop: log, show, save; stop at the end or on a signal."""
    sums = dict(at.pending)
    line = _last_line(config.out / LOG)
    step, saved, pieces, seconds = at.step, at.step, 0, 0.0
    title = f"pretrain {config.objective} ({device.name}, {device.precision})"
    with _Signals() as signals, Progress(title, config.steps, "steps") as bar:
        bar.skip(at.step)
        for record in records:
            step = record.step
            _add(sums, record)
            pieces, seconds = pieces + record.n_pieces, seconds + record.seconds
            if step % config.log_every == 0 or step == config.steps:
                line = _line(sums, record)
                log.write(**line)
                sums = {}
            bar.advance(1, **_shown(line, pieces / seconds))
            if step % config.save_every == 0 or step == config.steps or signals.caught:
                save(step, sums)
                saved = step
            if signals.caught:
                break
    if step != saved or not (config.out / f"step-{step:09d}").is_dir():
        save(step, sums)
    losses = {key: value for key, value in line.items() if key.startswith("loss")}
    if signals.caught:
        say(f"stopped by {signals.caught.name} after step {step:,}; pass --resume to go on")
    code = 128 + signals.caught if signals.caught else 0
    speed = round(pieces / seconds) if seconds else line.get("pieces_per_second", 0)
    return _End(step, {**losses, "pieces_per_second": speed}, code)


def _add(sums: dict[str, float], record: "Record") -> None:
    new = {"loss": record.loss, "grad_norm": record.grad_norm, "n": 1.0}
    new |= {f"loss/{name}": value for name, value in record.parts.items()}
    new |= {"pieces": record.n_pieces, "seconds": record.seconds}
    for key, value in new.items():
        sums[key] = sums.get(key, 0.0) + value


def _line(sums: dict[str, float], record: "Record") -> dict[str, float]:
    """One line of the log: means over the interval, and this step's rates and weights."""
    line: dict[str, float] = {"step": record.step}
    line |= {
        key: value / sums["n"]
        for key, value in sums.items()
        if key.startswith("loss") or key == "grad_norm"
    }
    line |= {f"weight/{name}": value for name, value in record.weights.items()}
    line["learning_rate"] = record.learning_rate
    line["pieces"] = int(sums["pieces"])
    line["pieces_per_second"] = round(sums["pieces"] / sums["seconds"])
    return line


def _shown(line: Mapping[str, float], speed: float) -> dict[str, str]:
    losses = {key.removeprefix("loss/"): f"{v:.3f}" for key, v in line.items() if "loss" in key}
    return {**losses, "pieces/s": f"{speed:,.0f}"}


class _Signals:
    """Remember SIGINT and SIGTERM instead of dying, so that the step is finished and saved."""

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "_Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.caught:  # a second Ctrl-C means now
            raise KeyboardInterrupt
        self.caught = signal.Signals(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
