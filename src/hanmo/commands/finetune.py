"""Fine-tune a model on one task with one seed, and score it.

In: a model folder (hanmo's, or any BERT from elsewhere) and a task. Out: a folder of kind "run":

    metrics.json             scores of the splits, epochs, settings, seconds, rows left out
    predictions-dev.jsonl    one line an example: id, gold, predicted, scores
    predictions-dev.json     answers as texts: {id: text}, as official scorers read them
    log.jsonl                one line a step, and one an epoch
    config.toml              the resolved settings; `hanmo finetune --config` repeats the run
    model/                   with --save-model: a folder that transformers opens

A run is the unit: an interrupted one starts again. The recipe is BERT's: AdamW, linear warm-up and
decay, the last epoch's weights.

    hanmo finetune work/lert --task chnsenticorp --data data --seed 1 --out work/runs/seed-1

Chinese-ELECTRA's interface (docs/electra.md) takes the model, the data and all settings from its
directory and its JSON; the runs lie in D/models/M/finetuning_models, results in D/models/M/results.

    hanmo finetune --data-dir D --model-name M --hparams params_cmrc2018.json
"""

import dataclasses
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hanmo.commands import _finetune_settings
from hanmo.core import config as configuration
from hanmo.core.artifact import MANIFEST, building
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.core.identity import plain
from hanmo.core.log import run_log, say
from hanmo.tasks.suite import find_task
from hanmo.tasks.task import TUNABLE, Task, with_settings
from hanmo.text.vocab import vocab_file

if TYPE_CHECKING:
    from hanmo.commands._electra_layout import Planned
    from hanmo.commands._finetuning import Trained
    from hanmo.tasks.method import Method
    from hanmo.tasks.prepared import Prepared

AFTER_STOP = "the same command begins anew"
PLUGIN = {"method": ("hanmo.tasks.methods", "Method")}

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ELECTRA = ("data_dir", "model_name", "hparams")
_BESIDE_ELECTRA = (*_ELECTRA, "precision", "threads", "cache", "name", "overwrite")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo finetune`.

    Attributes:
        model: Folder with config.json, weights and vocab.txt.
        task: Name of a task, or path of a task.toml.
        out: Folder to make.
        data: Folder that holds the task's files, itself or in a folder named after the task.
        seed: Of the batches' order, dropout and new weights.
        init: "pretrained", or "random" for new weights in the same shape, as a baseline.
        keep_head: Start from the head that the model got on this task, not from a new one.
        method: How else to learn than from labels: distill (docs/small-models.md).
        max_length: Pieces of a sequence; default: the task's.
        batch_size: Sequences a step; default: the published size.
        learning_rate: Peak learning rate; default: the published one for task, family and size.
        epochs: Passes over the training split; default: the published ones.
        warmup_rate: Share of the steps in which the rate rises; default: the task's.
        layer_decay: Decay of the rate from layer to layer, downwards; default: the model's.
        schedule: Of the rate: "bert" or "electra"; default: the model's.
        clip_norm: Gradients are clipped to this norm; default: the model's.
        weight_decay: Decoupled decay of the weights; default: the task's.
        set: Options of the kind of task, as doc_stride=64; `hanmo tasks show TASK` lists them.
        dropout: Replaces the dropout of the model's config.json.
        select: Weights that are scored: of the "last" epoch, or of the "best" on dev.
        splits: Splits to score; default: dev and test, where they are there.
        limit_train: Use so many training examples, drawn by the seed.
        precision: "auto", "fp32" or "bf16".
        threads: CPU threads; default: all cores.
        save_model: Keep the fine-tuned model.
        cache: Keep encoded examples for other runs (in $HANMO_CACHE, or the user's cache folder).
        name: Name of the model in tables; default: its folder's name.
        overwrite: Replace a run that was made with other settings.
        data_dir: Chinese-ELECTRA's data directory D; see above.
        model_name: Model M of that directory: D/models/M.
        hparams: Chinese-ELECTRA's settings: a JSON file, or JSON itself.
        options: Options of the method by name.
    """

    # None only together with the last three, which `run` looks at first.
    model: Path = field(metadata={"positional": True, "unless": _ELECTRA})
    task: str = field(metadata={"unless": _ELECTRA})
    out: Path = field(metadata={"output": True, "unless": _ELECTRA})
    data: Path | None = None
    seed: int = 1
    init: Literal["pretrained", "random"] = "pretrained"
    keep_head: bool = False
    method: str | None = None
    max_length: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    warmup_rate: float | None = None
    layer_decay: float | None = None
    schedule: str | None = None
    clip_norm: float | None = None
    weight_decay: float | None = None
    set: list[str] | None = None
    dropout: float | None = None
    select: Literal["last", "best"] = "last"
    splits: list[str] | None = None
    limit_train: int | None = None
    precision: str = "auto"
    threads: int | None = None
    save_model: bool = False
    cache: bool = True
    name: str | None = None
    overwrite: bool = False
    data_dir: Path | None = field(default=None, metadata={"output": True})  # models go there
    model_name: str | None = None
    hparams: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def run(config: Config) -> dict[str, Any]:
    """Fine-tune and score; a finished run with the same settings is left as it is.

    Returns:
        The run's folder, and the scores as "SPLIT METRIC" in [0, 1].

    Raises:
        UserError: bad settings, data or model, or a loss that is not finite.
    """
    from hanmo.tasks.protocol import as_published, with_options
    from hanmo.tasks.splits import locate

    if any(getattr(config, name) is not None for name in _ELECTRA):
        return _run_as_electra(config)
    usual = as_published(find_task(config.task), config.model)
    task = with_options(usual, config.set)
    task = with_settings(task, **{k: getattr(config, k) for k in TUNABLE})
    config = _resolved(config, task)
    _finetune_settings.check(config)
    files = locate(task, config.data)
    absent = [f"{s} ({' or '.join(names)})" for s, names in task.splits.items() if s not in files]
    if absent and config.splits is None:
        say(f"{task.name}: no file for {', '.join(absent)}")
    return _run(config, task, _finetune_settings.wanted(task, files, config.splits), usual)


def _run_as_electra(asked: Config) -> dict[str, Any]:
    """Make the runs that Chinese-ELECTRA's settings ask for."""
    from hanmo.commands import _electra_runs
    from hanmo.tasks.protocol import as_published, with_options

    for one in dataclasses.fields(Config):
        value = getattr(asked, one.name)
        usual = None if one.default is dataclasses.MISSING else one.default
        if one.name not in _BESIDE_ELECTRA and value not in (usual, {}):
            word = one.name.upper() if one.metadata.get("positional") else f"--{one.name}"
            raise UserError(
                f"finetune: {word.replace('_', '-')}: got {value}; with --data-dir it follows from "
                "the directory and from --hparams (docs/electra.md); leave it out"
            )

    def make(planned: "Planned", given: str, overwrite: bool) -> None:
        config = Config(
            planned.model,
            planned.task.name,
            planned.out,
            seed=planned.trial,
            set=planned.set,
            precision=asked.precision,
            threads=asked.threads,
            save_model=planned.keeps,
            cache=asked.cache,
            name=asked.name,
            overwrite=overwrite,
        )
        task = with_options(planned.task, planned.set)
        _run(
            _resolved(config, task),
            task,
            planned.files,
            as_published(find_task(planned.task.name), planned.model),
            vocab=planned.vocab,
            asked=dataclasses.replace(asked, hparams=given),
        )

    return _electra_runs.run(asked, make)


def _run(
    config: Config,
    task: Task,
    files: Mapping[str, Path],
    usual: Task,
    *,
    vocab: Path | None = None,
    asked: Config | None = None,
) -> dict[str, Any]:
    """Make one run.

    Args:
        config: with every setting of the task.
        task: as it is trained.
        files: split → file.
        usual: the task with the published settings.
        vocab: vocabulary that lies outside the model's folder.
        asked: the settings that repeat the run; default: `config`.
    """
    from hanmo.commands import _finetuning
    from hanmo.tasks.kind import definition

    asked = asked or config
    method = _method(config, task)
    warnings = _warnings(config, task)
    for text in warnings:
        say(f"warning: {text}")
    content = {
        k: v
        for k, v in plain(config).items()
        if k not in {"model", "data", "threads", "cache", *_ELECTRA}
    }
    content["definition"] = definition(task)
    # What a teacher holds is among the inputs, wherever it lies.
    content["options"] = {
        name: plain(value)
        for name, value in _finetune_settings.method_options(config).items()
        if not _is_path(value)
    }
    for name, usual_value in (("keep_head", False), ("method", None), ("options", {})):
        if content[name] == usual_value:  # which runs had before there were these settings
            del content[name]
    inputs = {
        **{f"model/{path.name}": path for path in _model_files(config.model, vocab)},
        **{f"{split}": path for split, path in files.items()},
        **(method.files if method else {}),
    }
    started = time.perf_counter()
    prepared = None
    if config.overwrite or not (config.out / MANIFEST).is_file():
        # Before the folder is begun, so that a mistake in the data leaves nothing behind.
        prepared = _prepare(config, task, files, vocab)
    with building(
        config.out,
        kind="run",
        config=content,
        inputs=inputs,
        overwrite=config.overwrite,
        resumes=False,
    ) as build:
        if not build.finished and prepared is not None:
            with run_log(build.dir / "log.jsonl") as log:
                trained = _finetuning.train(config, prepared, log, method)
            metrics = _finetuning.record(config, prepared, trained)
            metrics["settings"] |= _finetune_settings.beside_labels(config)
            metrics["changed"] = _finetune_settings.changed(config, usual)
            metrics["warnings"] = warnings
            metrics["command"] = _finetune_settings.command_line(asked)
            metrics["seconds"]["total"] = round(time.perf_counter() - started, 2)
            _write(build.dir, config, prepared, trained, metrics)
            settings = configuration.resolved(asked, sys.modules[__name__])
            configuration.write(build.dir / configuration.CONFIG_FILE, settings)
            build.counts.update(_counts(metrics))
        return {"run": str(config.out), **build.counts}


def _is_path(value: Any) -> bool:
    return isinstance(value, Path) or (
        isinstance(value, list | tuple) and any(isinstance(one, Path) for one in value)
    )


def _method(config: Config, task: Task) -> "Method | None":
    """Return the run's method, if it has one; checks its options, and a head that is kept."""
    from hanmo.tasks.method import make_method
    from hanmo.tasks.trained import check_trained

    if config.keep_head:
        check_trained(config.model, task)
    if config.method is None:
        return None
    method = make_method(config.method, config.options).for_run(task.name, config.seed)
    method.check_fit(task, config.model)
    return method


def _prepare(
    config: Config, task: Task, files: Mapping[str, Path], vocab: Path | None
) -> "Prepared":
    from hanmo.tasks.prepared import describe, prepare
    from hanmo.train.optim import schedule_named

    schedule_named(task.settings.schedule)
    prepared = prepare(
        task,
        files,
        config.model,
        vocab=vocab,
        limit=config.limit_train,
        seed=config.seed,
        cached=config.cache,
    )
    dev = prepared.splits.get("dev")
    if config.select == "best" and not (dev and dev.labelled):
        raise UserError(f"--select best: task {task.name} has no labelled dev split to choose by")
    for split in prepared.splits:
        say(describe(prepared, split))
    if not any(one.labelled for name, one in prepared.splits.items() if name != "train"):
        say(f"{task.name}: no dev or test split with labels: the run will have no scores")
    return prepared


def _warnings(config: Config, task: Task) -> list[str]:
    """Say what makes a score worth less: the model has seen the task's texts with their tags."""
    from hanmo.commands._finetuning import seen_tasks

    for seen in reversed(seen_tasks(config.model, config.init)):
        if seen["task"] == task.name:
            what = "the same task"
        elif task.corpus and seen["corpus"] == task.corpus:
            what = f"{seen['task']} and {task.name} are one corpus"
        else:
            continue
        return [
            f"{config.model} was fine-tuned on {seen['task']} ({what}): it has seen texts of this "
            "task, and its scores here say little of new texts"
        ]
    return []


def _model_files(folder: Path, vocab: Path | None) -> list[Path]:
    """Return the files of a model folder that a run depends on, and its vocabulary."""
    there = [vocab or vocab_file(folder), *(folder / name for name in ("config.json", *_WEIGHTS))]
    there = [path for path in there if path.is_file()]
    return there[:3]  # model.safetensors is read when both forms of the weights are there


def _resolved(config: Config, task: Task) -> Config:
    name = config.name or config.model.resolve().name + (
        "-random" if config.init == "random" else ""
    )
    settings = {key: getattr(task.settings, key) for key in TUNABLE}
    return dataclasses.replace(config, name=name, **settings)


def _write(
    folder: Path,
    config: Config,
    prepared: "Prepared",
    trained: "Trained",
    metrics: dict[str, Any],
) -> None:
    from hanmo.commands import _finetuning

    for split, predictions in trained.predictions.items():
        lines = _finetuning.prediction_lines(prepared.splits[split], predictions)
        write_atomic(folder / f"predictions-{split}.jsonl", lines)
        if prepared.kind.answers == "text":
            # As the official scorers of CMRC 2018 and SQuAD read them.
            texts = {one.id: one.answer for one in predictions}
            write_json(folder / f"predictions-{split}.json", texts)
    if config.save_model:
        seen = _finetuning.seen_tasks(config.model, config.init)
        _finetuning.save(folder / "model", prepared, trained, seen)
    write_json(folder / "metrics.json", metrics)


def _counts(metrics: dict[str, Any]) -> dict[str, int | float]:
    counts: dict[str, int | float] = {
        f"{split} {metric}": value
        for split, facts in metrics["splits"].items()
        for metric, value in facts.get("scores", {}).items()
    }
    return counts | {"seconds": metrics["seconds"]["total"]}
