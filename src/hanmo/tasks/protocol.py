"""The published fine-tuning settings for a task and a model: what the tables were made with.

A task's own settings are those of BERT-wwm's tables (facts/02). They are for models of BERT's size;
smaller models learn with a higher rate (facts/07), and ELECTRAs with a rate of their size, a decay
over the layers and their own schedule, the same for every task (facts/04).

    published(task, read_config(Path("work/electra-small/config.json"))).learning_rate   # 3e-4
"""

import dataclasses
import json
import tomllib
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.model.config import EncoderConfig, read_config
from hanmo.tasks.kind import load_kind
from hanmo.tasks.task import Settings, Task

# Twelve layers of 768: anything narrower or shallower is a small model in MiniRBT's tables.
_BASE_WIDTH, _BASE_LAYERS, _LARGE_WIDTH = 768, 12, 1024
_SMALL_RATE = 1e-4
_SMALL = "rate: MiniRBT README, all small models 1e-4 but OCNLI 5e-5 (facts/07)"
# (rate, decay over layers). Chinese-ELECTRA README: 3e-4 for small, 1e-4 for base; its issue 60:
# 5e-5 for large, and 5e-4 for small, where the README is taken (facts/04).
_ELECTRA = {"small": (3e-4, 0.8), "base": (1e-4, 0.8), "large": (5e-5, 0.9)}


def published(task: Task, shape: EncoderConfig, *, masked_lm: bool = False) -> Settings:
    """Return the settings to fine-tune a model of this shape with.

    What a user's task file states stays as it is; the sample states all of its settings.

    Args:
        task: the task with its own settings.
        shape: of the encoder.
        masked_lm: a model of ELECTRA's layout predicts pieces: it is no discriminator, so its
            settings are not those of Chinese-ELECTRA (docs/log.md, 2026-11-27).
    """
    settings = task.settings
    if task.embedded:
        return settings
    if task.folder:
        free = dataclasses.replace(settings, source="BERT's usual ones")
        free_task = dataclasses.replace(task, folder="", settings=free)
        usual = published(free_task, shape, masked_lm=masked_lm)
        kept = {name: getattr(settings, name) for name in task.stated}
        stated = f"{settings.source}: {', '.join(kept) or 'none'}"
        return dataclasses.replace(
            usual, **{**kept, "source": f"{stated}; the others: {usual.source}"}
        )
    if shape.family.discriminates and not masked_lm:
        return _electra(task, shape)
    if shape.hidden_size < _BASE_WIDTH or shape.num_hidden_layers < _BASE_LAYERS:
        rate = task.small_learning_rate or max(_SMALL_RATE, settings.learning_rate)
        source = f"{_SMALL}; the rest: {settings.source}"
        return dataclasses.replace(settings, learning_rate=rate, source=source)
    return settings


def _electra(task: Task, shape: EncoderConfig) -> Settings:
    size = "small" if shape.hidden_size < _BASE_WIDTH else "base"
    size = "large" if shape.hidden_size >= _LARGE_WIDTH else size
    rate, decay = _ELECTRA[size]
    rate = task.electra_learning_rates.get(size, rate)
    answers = load_kind(task.kind, task.options).answers
    epochs = {"text": 2, "number": 10}.get(answers, 3)
    return dataclasses.replace(
        task.settings,
        batch_size=32,
        learning_rate=rate,
        epochs=epochs,
        warmup_rate=0.1,
        layer_decay=decay,
        schedule="electra",
        # Its loss is the sum over a batch, so that its norm of 1 is 1/32 of ours (facts/04).
        clip_norm=1 / 32,
        source="Chinese-ELECTRA README and configure_finetuning.py (facts/04); length: "
        + task.settings.source,
    )


def as_published(task: Task, model: Path) -> Task:
    """Return the task with the published settings for a model's family, size and head."""
    path = model / "config.json"
    shape = read_config(path)
    stated = json.loads(path.read_text(encoding="utf-8")).get("architectures") or [""]
    masked_lm = str(stated[0]).endswith("ForMaskedLM")
    return dataclasses.replace(task, settings=published(task, shape, masked_lm=masked_lm))


def with_options(task: Task, given: list[str] | None) -> Task:
    """Return the task with options of its kind, as "doc_stride=64".

    "span.doc_stride=64" is for tasks of that kind alone, "cmrc2018.doc_stride=64" for that task.

    Raises:
        UserError: not NAME=VALUE, no such option, or a value of a wrong type.
    """
    options = dict(task.options)
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set: got {text!r}; expected NAME=VALUE, as doc_stride=64")
        prefix, _, name = name.rpartition(".")
        if prefix and prefix not in {task.name, task.kind}:
            continue  # for another task
        try:
            options[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:  # a text without quotation marks
            options[name] = value
    load_kind(task.kind, options)
    return dataclasses.replace(task, options=options)
