"""What `hanmo prune` measures importance on: a task's training split, or masked text.

    measured = open_measured(config, read_folder(config.model), layers=None)
    measured.loss(0, measured.batches[0])

The model comes with its head from the folder: without the trained head a loss says nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hanmo.core.errors import UserError
from hanmo.core.seeds import generator
from hanmo.data.batches import collate
from hanmo.data.loader import Loader
from hanmo.data.ragged import join
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.model import checkpoint
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.mlm_head import judge
from hanmo.model.trainable import Batch
from hanmo.objectives._objective import Corruptor, Vocabulary
from hanmo.pruning.importance import Loss
from hanmo.pruning.model_folder import GENERATOR, ModelFolder
from hanmo.pruning.own_answers import (
    class_loss,
    draw_classes,
    draw_places,
    place_loss,
    sequences_of,
)
from hanmo.tasks.kind import Kind
from hanmo.tasks.prepared import prepare
from hanmo.tasks.splits import locate
from hanmo.tasks.suite import find_task
from hanmo.tasks.task import LABEL, Task, with_settings
from hanmo.text.tokenizer import Tokenizer
from hanmo.train.devices import Device
from hanmo.train.devices import prepare as prepare_device

Options: TypeAlias = Any
_OBJECTIVE = "mlm"
_PIECES = "pieces"
_LENGTH = 128  # of sequences of shards, unless the model takes less


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What importance is measured on.

    Attributes:
        model: with its head; its encoder has the layers that stay.
        batches: on the device.
        loss: number of a batch and the batch → loss.
        n_examples: sequences in all batches.
        what: in words.
        device: where, and in which precision.
    """

    model: Any
    batches: Sequence[Batch]
    loss: Loss
    n_examples: int
    what: str
    device: Device

    @property
    def encoder(self) -> Encoder:
        """Of the model."""
        encoder: Encoder = self.model.encoder
        return encoder


def open_measured(config: Options, source: ModelFolder, layers: list[int] | None) -> Measured:
    """Load the model and make the batches.

    Args:
        config: `prune.Config`, with `task` or `shards`.
        source: what its model folder holds.
        layers: those that stay; None: all.

    Raises:
        UserError: no head, another task or vocabulary than the model's, or bad data.
    """
    device = prepare_device(config.precision, threads=config.threads)
    opened = _of_task if config.task is not None else _of_shards
    return opened(config, source, layers, device)


def _of_task(
    config: Options, source: ModelFolder, layers: list[int] | None, device: Device
) -> Measured:
    task = _as_fine_tuned(config, source)
    train = locate(task, config.data)["train"]
    prepared = prepare(
        task, {"train": train}, config.model, limit=config.examples, seed=config.seed
    )
    task, kind = prepared.task, prepared.kind
    _check_labels(config, source, task)
    sequences = [one for features in prepared.features["train"] for one in features.sequences]
    batches = [
        Batch.from_arrays(
            collate(
                join(sequences[begin : begin + config.batch_size]),
                max_length=task.settings.max_length,
                pad_id=prepared.tokenizer.pad_id,
                pack=True,
            ),
            device.name,
        )
        for begin in range(0, len(sequences), config.batch_size)
    ]

    def built(shape: EncoderConfig) -> Any:
        return kind.build(Encoder(shape), task, weights={}, seed=0)[0]

    model, original = _loaded(config, source, layers, built, device)

    def by_labels(number: int, batch: Batch) -> Tensor:
        return model.losses(model.outputs(batch), batch, progress=1.0).total

    loss: Loss = by_labels
    if config.by == "logits":
        loss = _by_own_answers((model, original), batches, kind, seed=config.seed, device=device)
    return Measured(model, batches, loss, len(sequences), f"{task.name}, by {config.by}", device)


def _as_fine_tuned(config: Options, source: ModelFolder) -> Task:
    """Return the task with the options and the length that the model was fine-tuned with."""
    task = find_task(config.task)
    own = source.raw.get("hanmo", {})
    if "kind" in own and own["kind"] != task.kind:
        raise UserError(
            f"{config.model}: was fine-tuned on {own.get('task')}, a task of kind {own['kind']}; "
            f"--task {task.name} is of kind {task.kind}"
        )
    if "kind" not in own:
        raise UserError(
            f"{config.model}: has no task head of hanmo's; --task needs a fine-tuned model: make "
            f"one with hanmo finetune {config.model} --task {config.task} --save-model"
        )
    task = dataclasses.replace(task, options=own.get("options", task.options))
    length = config.max_length or own.get("max_length") or task.settings.max_length
    return with_settings(task, max_length=length)


def _check_labels(config: Options, source: ModelFolder, task: Task) -> None:
    names: Mapping[str, str] = source.raw.get("id2label") or {}
    known = tuple(str(names[key]) for key in sorted(names, key=int))
    if task.labels and known != tuple(task.labels):
        raise UserError(
            f"--task {task.name}: its labels are {_listed(task.labels)}; those of {config.model} "
            f"are {_listed(known)}; expected a model that was fine-tuned on this task"
        )


def _listed(labels: Sequence[str]) -> str:
    return (", ".join(labels[:8]) + (" …" if len(labels) > 8 else "")) or "none"


def _of_shards(
    config: Options, source: ModelFolder, layers: list[int] | None, device: Device
) -> Measured:
    shards, tokenizer = ShardSet.open(config.shards), Tokenizer.load(config.shards)
    if tuple(tokenizer.vocab) != source.pieces:
        raise UserError(
            f"--shards {config.shards}: was encoded with another vocabulary than that of "
            f"{config.model}; encode with --vocab {config.model}"
        )
    _check_masked_lm(config.model, source)
    limit = source.config.max_position_embeddings
    length = config.max_length or min(_LENGTH, limit)
    if length > limit:
        raise UserError(f"--max-length: got {length}; {config.model} takes up to {limit}")
    sequences = plan_sequences(shards, max_length=length, seed=config.seed)
    n = min(config.examples, len(sequences))
    size = min(config.batch_size, n)
    loader = Loader(
        sequences,
        Corruptor(_OBJECTIVE, {}, Vocabulary.of(tokenizer)),
        batch_size=size,
        max_length=length,
        seed=config.seed,
    )
    # Whole batches: a few examples more than asked for, where they do not divide.
    steps = range(-(-n // size))
    batches = [Batch.from_arrays(loader.batch(step), device.name) for step in steps]
    model, original = _loaded(config, source, layers, MaskedLm, device)
    if config.by == "logits":
        batches = [_with_own_pieces(original, b, config.seed, i) for i, b in enumerate(batches)]

    def loss(number: int, batch: Batch) -> Tensor:
        return model.losses(model.outputs(batch), batch, progress=1.0).total

    what = f"{config.shards}, masked, by {config.by}"
    return Measured(model, batches, loss, size * len(batches), what, device)


def _check_masked_lm(folder: Path, source: ModelFolder) -> None:
    head = {n: t.float().numpy() for n, t in source.weights.items() if "cls.predictions." in n}
    if "cls.predictions.bias" not in head:
        beside = f"; its generator has one: {folder / GENERATOR}" if source.generator else ""
        raise UserError(
            f"{folder}: has no masked-LM head, which --shards needs{beside}; expected a "
            "pre-trained model that kept its head, or --task and a fine-tuned model"
        )
    found = judge(head)
    if not found.trained:
        raise UserError(
            f"{folder}: its masked-LM head was never trained ({'; '.join(found.reasons)}), so its "
            f"loss says nothing of heads and neurons; train it: hanmo pretrain --init {folder}"
        )


def _loaded(
    config: Options,
    source: ModelFolder,
    layers: list[int] | None,
    built: Callable[[EncoderConfig], Any],
    device: Device,
) -> tuple[Any, Any]:
    """Return the model with the layers that stay, and with all of them (often the same one)."""

    def load(chosen: list[int] | None) -> Any:
        shape = source.config if chosen is None else source.config.with_layers(chosen)
        model = built(shape)
        fresh = checkpoint.load_into(model, config.model, layers=chosen).fresh
        if fresh:
            raise UserError(
                f"{config.model}: lacks {', '.join(fresh[:4])}, parts of the head that importance "
                "is measured with; expected a model with its trained head"
            )
        return model.to(device.name).eval()

    model = load(layers)
    return model, model if layers is None or config.by == "labels" else load(None)


def _generator(seed: int, number: int) -> torch.Generator:
    numbers = generator(seed, "own answers", number)
    return torch.Generator().manual_seed(int(numbers.integers(2**62)))


def _with_own_pieces(model: MaskedLm, batch: Batch, seed: int, number: int) -> Batch:
    """Let the model's own answers, drawn from its logits, be what is expected at the masks."""
    with torch.no_grad():
        logits = model.piece_logits(model.outputs(batch))  # [M, V]
    drawn = draw_classes(logits, _generator(seed, number))[:, 0].to(logits.device)
    return dataclasses.replace(batch, targets={**batch.targets, _PIECES: drawn})


def _by_own_answers(
    models: tuple[Any, Any], batches: Sequence[Batch], kind: Kind, *, seed: int, device: Device
) -> Loss:
    """Draw answers from the original model's logits; return the loss of these answers."""
    model, original = models
    places = kind.answers == "text"  # a softmax over a passage's pieces, not over classes
    drawn: list[dict[str, Tensor]] = []
    with torch.no_grad():
        for number, batch in enumerate(batches):
            with device.autocast():
                logits = original.outputs(batch).logits
            chance = _generator(seed, number)
            drawn.append(
                {
                    name: draw_places(value, batch, chance)
                    if places and name == LABEL
                    else draw_classes(value, chance)
                    for name, value in logits.items()
                }
            )

    def loss(number: int, batch: Batch) -> Tensor:
        parts = []
        for name, value in model.outputs(batch).logits.items():
            answers = drawn[number][name]
            if not places:
                parts.append(class_loss(value, answers))
            elif name == LABEL:
                parts.append(place_loss(value, answers, batch))
            else:  # of whole sequences: only their first positions count
                sequence = sequences_of(batch)
                first = torch.ones_like(sequence, dtype=torch.bool)
                first[1:] = sequence[1:] != sequence[:-1]
                parts.append(class_loss(value[first], answers[first.cpu()]))
        return torch.stack(parts).sum()

    return loss
