"""The stages of one fine-tuning run: train, predict, say what was done.

`finetune.py` composes them and owns the folder; here is nothing that writes but `save`.
"""

import copy
import dataclasses
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from hanmo.core.errors import UserError
from hanmo.core.log import Progress, RunLog
from hanmo.core.seeds import generator
from hanmo.model import checkpoint
from hanmo.model.config import read_config
from hanmo.tasks import batches
from hanmo.tasks.method import Method, Trainee
from hanmo.tasks.metrics import score
from hanmo.tasks.prepared import Prepared
from hanmo.tasks.splits import Split
from hanmo.tasks.task import LABEL, Prediction
from hanmo.tasks.trained import keep_head
from hanmo.train.devices import Device
from hanmo.train.devices import prepare as prepare_device
from hanmo.train.loop import Record, train_steps
from hanmo.train.optim import build_optimizer, schedule_named


class Options(Protocol):
    """The settings that the stages read (`finetune.Config`)."""

    @property
    def model(self) -> Path: ...
    @property
    def seed(self) -> int: ...
    @property
    def init(self) -> str: ...
    @property
    def keep_head(self) -> bool: ...
    @property
    def dropout(self) -> float | None: ...
    @property
    def select(self) -> str: ...
    @property
    def limit_train(self) -> int | None: ...
    @property
    def precision(self) -> str: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def name(self) -> str | None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Trained:
    """What training gave.

    Attributes:
        model: with the weights that were scored.
        notes: what the kind says of its head.
        device: where it ran.
        epochs: one record an epoch.
        selected: the epoch whose weights were scored, from 1.
        predictions: split → answers.
        train_seconds: of the steps alone.
    """

    model: Any
    notes: dict[str, Any]
    device: Device
    epochs: list[dict[str, Any]]
    selected: int
    predictions: dict[str, list[Prediction]]
    train_seconds: float


def train(
    config: Options, prepared: Prepared, log: RunLog, method: Method | None = None
) -> Trained:
    """Train, score dev after every epoch, predict the splits with the selected weights.

    Raises:
        UserError: the loss is not finite, or the weights do not fit.
    """
    device = prepare_device(config.precision, threads=config.threads)
    model, notes = _build(config, prepared)
    model.to(device.name)
    epochs: list[_Epoch] = []
    selected, best, weights = prepared.task.settings.epochs, -1.0, None
    metric = prepared.task.metrics[0]
    sequences = [s for one in prepared.features["train"] for s in one.sequences]
    trainee = Trainee(model, sequences)
    if method is not None:
        seed = _torch_seed(config.seed, "method")
        trainee = method.trainee(model, prepared, sequences, device=device, seed=seed)
        notes |= trainee.notes
    for epoch in _epochs(config, prepared, model, trainee, device, log):
        epochs.append(epoch)
        if config.select == "best" and epoch.record["dev"][metric] > best:
            best, selected = epoch.record["dev"][metric], len(epochs)
            weights = copy.deepcopy(model.state_dict())
    if weights is not None:
        model.load_state_dict(weights)
    known = {"dev": epochs[selected - 1].dev}
    predictions = {
        name: known.get(name) or _predict(prepared, model, device, name)
        for name in prepared.splits
        if name != "train"
    }
    records = [epoch.record for epoch in epochs]
    seconds = sum(epoch.seconds for epoch in epochs)
    return Trained(model, notes, device, records, selected, predictions, seconds)


@dataclasses.dataclass(frozen=True, slots=True)
class _Epoch:
    """What is to be said of an epoch, the seconds of its steps, and its answers on dev."""

    record: dict[str, Any]
    seconds: float
    dev: list[Prediction] | None


def _epochs(  # noqa: PLR0917 - what `train` has made
    config: Options,
    prepared: Prepared,
    model: Any,
    trainee: Trainee,
    device: Device,
    log: RunLog,
) -> Iterator[_Epoch]:
    """Train epoch by epoch."""
    settings, sequences = prepared.task.settings, trainee.sequences
    per_epoch = batches.steps_per_epoch(len(sequences), settings)
    total = per_epoch * settings.epochs
    warmup = int(total * settings.warmup_rate)
    schedule = schedule_named(settings.schedule)
    source = batches.training_batches(
        sequences,
        settings,
        pad_id=prepared.tokenizer.pad_id,
        seed=config.seed,
        device=device.name,
    )
    optimizer = build_optimizer(
        trainee.module,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )

    def learning_rate(step: int) -> float:
        return settings.learning_rate * schedule(step, total=total, warmup=warmup)

    with Progress(f"{prepared.task.name} seed {config.seed}", total, "steps") as bar:
        for epoch in range(settings.epochs):
            clock, losses = time.perf_counter(), []
            for step in _explained(
                train_steps(
                    trainee.module,
                    optimizer,
                    source,
                    start=epoch * per_epoch,
                    stop=(epoch + 1) * per_epoch,
                    total=total,
                    learning_rate=learning_rate,
                    device=device,
                    clip_norm=settings.clip_norm,
                    seed=config.seed,
                )
            ):
                losses.append(step.loss)
                log.write(**dataclasses.asdict(step))
                bar.advance(1, loss=f"{step.loss:.3f}")
            spent = time.perf_counter() - clock
            record: dict[str, Any] = {"epoch": epoch + 1, "loss": sum(losses) / len(losses)}
            dev = None
            if "dev" in prepared.splits and prepared.splits["dev"].labelled:
                dev = _predict(prepared, model, device, "dev")
                record["dev"] = _scores(prepared, "dev", dev)
            log.write(**record, seconds=round(spent, 2))
            yield _Epoch(record, spent, dev)


def _explained(steps: Iterator[Record]) -> Iterator[Record]:
    try:
        yield from steps
    except FloatingPointError as error:
        raise UserError(f"{error}; try a lower --learning-rate, or --precision fp32") from None


def record(config: Options, prepared: Prepared, trained: Trained) -> dict[str, Any]:
    """Return the contents of metrics.json."""
    task = prepared.task
    return {
        "task": task.name,
        "kind": task.kind,
        "options": dict(task.options),
        "metric": task.metrics[0],
        "metrics": list(task.metrics),
        "tabled": task.tabled,
        "published": task.published,
        "labels": list(task.labels),
        "model": {
            "name": config.name,
            "path": str(config.model),
            "init": config.init,
            "parameters": sum(p.numel() for p in trained.model.parameters()),
            **trained.notes,
        },
        "seed": config.seed,
        "settings": {
            **{k: v for k, v in dataclasses.asdict(task.settings).items() if k != "source"},
            "dropout": config.dropout,
            "select": config.select,
            "limit_train": config.limit_train,
        },
        "splits": {name: _split_record(prepared, trained, name) for name in prepared.splits},
        "epochs": trained.epochs,
        "selected_epoch": trained.selected,
        "seconds": {"train": round(trained.train_seconds, 2)},
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": trained.device.name,
            "precision": trained.device.precision,
            "threads": torch.get_num_threads(),
        },
    }


def prediction_lines(split: Split, predictions: Sequence[Prediction]) -> str:
    """Return the lines of a predictions file."""
    return "".join(
        json.dumps(
            {"id": one.id, "gold": example.gold, "predicted": one.answer}
            | ({"scores": one.scores} if one.scores else {}),
            ensure_ascii=False,
        )
        + "\n"
        for example, one in zip(split.examples, predictions, strict=True)
    )


def save(
    folder: Path, prepared: Prepared, trained: Trained, seen: Sequence[dict[str, str]]
) -> None:
    """Write the fine-tuned model as a folder that transformers opens.

    Args:
        folder: to make.
        prepared: the task.
        trained: its model.
        seen: tasks that it was fine-tuned on before.
    """
    task = prepared.task
    # Without labels the outputs are numbered: transformers counts them by their names.
    labels = task.labels or tuple(f"LABEL_{i}" for i in range(trained.model.n_outputs))
    checkpoint.save_model(
        folder,
        trained.model,
        tokenizer=prepared.tokenizer,
        extra={
            "task": task.name,
            "kind": task.kind,
            "options": dict(task.options),
            "fields": [field for field in task.columns if field != LABEL],
            "seen": [*seen, {"task": task.name, "corpus": task.corpus}],
            "max_length": task.settings.max_length,
        },
        id2label={str(i): label for i, label in enumerate(labels)},
        label2id={label: i for i, label in enumerate(labels)},
    )


def _build(config: Options, prepared: Prepared) -> tuple[nn.Module, dict[str, Any]]:
    if config.init == "random":
        shape = checkpoint.with_dropout(
            read_config(config.model / checkpoint.CONFIG), config.dropout
        )
        encoder = checkpoint.random_encoder(shape, seed=_torch_seed(config.seed, "encoder"))
        weights = {}
    else:
        encoder = checkpoint.load_encoder(config.model, dropout=config.dropout)
        weights = checkpoint.read_weights(config.model)
    # A fine-tuned model's encoder knows the head that it was trained with: of the same seed a new
    # one must be another all the same.
    seen = seen_tasks(config.model, config.init)
    seed = int(generator(config.seed, "head", len(seen)).integers(2**62)) if seen else None
    model, notes = prepared.kind.build(
        encoder,
        prepared.task,
        weights=weights,
        seed=_torch_seed(config.seed, "head") if seed is None else seed,
    )
    if config.keep_head:
        keep_head(model, config.model, prepared)
        notes["head"] = "kept"
    return model, notes


def seen_tasks(model: Path, init: str) -> list[dict[str, str]]:
    """Return the tasks that a model was fine-tuned on, each with its corpus, the first one first.

    Random weights have seen nothing, whatever folder gave their shape. Models of hanmo 0.1.0's
    first runs name the last task alone.
    """
    if init == "random":
        return []
    extra = checkpoint.read_extra(model)
    if "seen" in extra:
        return list(extra["seen"])
    last = {"task": extra.get("task", ""), "corpus": extra.get("corpus", "")}
    return [last] if last["task"] else []


def _torch_seed(seed: int, purpose: str) -> int:
    return int(generator(seed, purpose).integers(2**62))


def _predict(prepared: Prepared, model: Any, device: Device, split: str) -> list[Prediction]:
    features = prepared.features[split]
    arrays = batches.predict(
        model,
        features,
        max_length=prepared.task.settings.max_length,
        pad_id=prepared.tokenizer.pad_id,
        device=device.name,
        autocast=device.autocast,
    )
    return prepared.kind.decode(features, arrays, prepared.task)


def _scores(prepared: Prepared, split: str, predictions: Sequence[Prediction]) -> dict[str, float]:
    task = prepared.task
    expected = [example.gold for example in prepared.splits[split].examples]
    predicted = [one.answer for one in predictions]
    return score(task.metrics, expected, predicted, labels=task.labels)


def _split_record(prepared: Prepared, trained: Trained, name: str) -> dict[str, Any]:
    split = prepared.splits[name]
    facts: dict[str, Any] = {
        "file": str(split.path),
        "examples": len(split.examples),
        "skipped": dict(split.skipped),
        "noted": dict(split.noted),
        "truncated": sum(one.truncated for one in prepared.features[name]),
        "windows": sum(len(one.sequences) for one in prepared.features[name]),
    }
    if name != "train":
        facts["also_in_train"] = prepared.also_in_train[name]
    if name in trained.predictions and split.labelled:
        facts["scores"] = _scores(prepared, name, trained.predictions[name])
    return facts
