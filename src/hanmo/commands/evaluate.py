"""Fine-tune several models on several tasks with several seeds: what a row of a table needs.

In: model folders and tasks. Out: OUT/MODEL/TASK/seed-K, each a folder made by `hanmo finetune`,
whose metrics.json holds the command that repeats it. Finished runs are kept; the same command
continues after a kill, runs what failed again, and adds models, tasks and seeds to an OUT.

With --learning-rates, every rate is a row of its own (OUT/MODEL/TASK/lr-3e-05/seed-K), and the
report marks the best one on dev. Scores are shown as they come, with the mean so far.

A model is PATH, or NAME=PATH for its name in tables. random:PATH (or NAME=random:PATH) is the
baseline: new random weights in the shape of that model, with its vocabulary.

    hanmo evaluate --models work/lert random:work/lert --tasks chnsenticorp --data d --out work/runs
    hanmo report work/runs
"""

import contextlib
import dataclasses
import itertools
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hanmo.commands import _evaluated_models, _model_names
from hanmo.core import config as configuration
from hanmo.core import registry
from hanmo.core.artifact import MANIFEST
from hanmo.core.errors import UserError, nearest
from hanmo.core.execute import run_tasks
from hanmo.core.files import write_json
from hanmo.core.lock import exclusive
from hanmo.core.log import say
from hanmo.report.runs import FAILED, PLAN, read_run
from hanmo.tasks.task import TUNABLE, Task, with_settings

PLUGIN = {"method": ("hanmo.tasks.methods", "Method")}

_COMMANDS, _FINETUNE = "hanmo.commands", "finetune"
_PASSED_ON = (
    *TUNABLE,
    "dropout",
    "select",
    "limit_train",
    "precision",
    "threads",
    "save_model",
    "cache",
    "set",
    "keep_head",
    "method",
    "options",
    "overwrite",
)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo evaluate`.

    Attributes:
        models: PATH, NAME=PATH, random:PATH or NAME=random:PATH, one or more.
        tasks: Names of tasks, or paths of task.toml files.
        out: Folder of the runs; may hold some already.
        seeds: Number of seeds a model and task, 1 to N; the published tables have ten.
        data: Folder that holds the tasks' files.
        max_length: Pieces of a sequence, for all tasks; default: each task's.
        batch_size: Sequences a step, for all tasks; default: each task's.
        learning_rate: Peak learning rate, for all tasks; default: each task's.
        learning_rates: Try each of these peak learning rates.
        epochs: Passes over the training split, for all tasks; default: each task's.
        warmup_rate: Share of warm-up steps, for all tasks; default: each task's.
        layer_decay: Decay of the rate from layer to layer, downwards; default: each model's.
        schedule: Of the rate: "bert" or "electra"; default: each model's.
        clip_norm: Gradients are clipped to this norm; default: each model's.
        weight_decay: Decoupled decay of the weights; default: each task's.
        set: Options of the kind of task, as doc_stride=64, for all tasks; span.doc_stride=64 for
            those of a kind, cmrc2018.doc_stride=64 for one.
        dropout: Replaces the dropout of the models' config.json.
        select: Weights that are scored: of the "last" epoch, or of the "best" on dev.
        keep_head: Start from the heads that the models got on the tasks, not from new ones.
        method: How else to learn than from labels: distill; {task} and {seed} in the paths of its
            teachers stand for the run's (docs/small-models.md).
        limit_train: Use so many training examples, drawn by the seed.
        precision: "auto", "fp32" or "bf16".
        threads: CPU threads of a run; default: all cores, shared among the workers.
        workers: Runs at a time, each a process; several with a thread each use the cores best.
        save_model: Keep every fine-tuned model.
        cache: Keep encoded examples for other runs.
        overwrite: Make runs again that were made with other settings.
        options: Options of the method by name.
    """

    models: list[str]
    tasks: list[str]
    out: Path = field(metadata={"output": True})
    seeds: int = 10
    data: Path | None = None
    max_length: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    learning_rates: list[float] | None = None
    epochs: int | None = None
    warmup_rate: float | None = None
    layer_decay: float | None = None
    schedule: str | None = None
    clip_norm: float | None = None
    weight_decay: float | None = None
    set: list[str] | None = None
    dropout: float | None = None
    select: str = "last"
    keep_head: bool = False
    method: str | None = None
    limit_train: int | None = None
    precision: str = "auto"
    threads: int | None = None
    workers: int = 1
    save_model: bool = False
    cache: bool = True
    overwrite: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def run(config: Config) -> dict[str, Any]:
    """Make the runs that are missing.

    Returns:
        Counts "runs" (finished now), "made" (by this call) and "failed"; when some failed, what
        went wrong under "failures", and "exit_code" 1.

    Raises:
        UserError: bad settings, a model, task or file that is not there (before any run), or
            another evaluation that fills `out`.
    """
    planned = _plan(config, registry.load(_COMMANDS, _FINETUNE))
    with exclusive(config.out):
        _write_plan(config.out, [folder for folder, _ in planned])
        settings = configuration.resolved(config, sys.modules[__name__])
        configuration.write(config.out / configuration.CONFIG_FILE, settings)
        return _run_all(config, planned)


def _run_all(config: Config, planned: list[tuple[str, Any]]) -> dict[str, Any]:
    missing = [n for n, (_, one) in enumerate(planned) if not (one.out / MANIFEST).is_file()]
    if len(missing) < len(planned):
        say(f"{len(planned) - len(missing)} of {len(planned)} runs are there already")
    if config.workers > 1:
        made = _run_side_by_side(config, planned)
    else:
        made, began, done = 0, time.perf_counter(), 0
        for n in range(len(planned)):
            left = ""
            if done:
                each = (time.perf_counter() - began) / done
                left = f"; {_clock(each * (len(missing) - done))} left"
            made += _run_one(planned, n, f"run {n + 1} of {len(planned)}{left}")
            done += n in missing
    failures = {}
    for folder, _ in planned:
        failed = _failed(config.out / folder)
        if failed.is_file():
            failures[folder] = json.loads(failed.read_text(encoding="utf-8"))["error"]
    summary: dict[str, Any] = {"out": str(config.out), "runs": len(planned) - len(failures)}
    summary |= {"made": made, "failed": len(failures)}
    return summary | ({"failures": failures, "exit_code": 1} if failures else {})


def _run_side_by_side(config: Config, planned: list[tuple[str, Any]]) -> int:
    """Make the runs in several processes; returns how many were made."""
    threads = config.threads or max(1, (os.cpu_count() or 1) // config.workers)
    shared = [(folder, dataclasses.replace(one, threads=threads)) for folder, one in planned]
    # Finished runs say so themselves, so the markers of the tasks are not kept.
    with tempfile.TemporaryDirectory(prefix="hanmo-evaluate-") as markers:
        counts = run_tasks(
            partial(_run_quietly, shared),
            len(shared),
            workers=config.workers,
            state_dir=Path(markers),
            title="evaluate",
        )
    return sum(count["made"] for count in counts)


def _run_quietly(planned: list[tuple[str, Any]], number: int) -> dict[str, int]:
    """Make one run in a worker, whose progress would garble the others'."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        made = _run_one(planned, number, "")
    folder, settings = planned[number]
    if made:
        say(_told(planned, number))
    elif _failed(settings.out).is_file():
        reason = json.loads(_failed(settings.out).read_text(encoding="utf-8"))["error"]
        say(f"failed: {folder}: {reason}")
    return {"made": int(made)}


def _run_one(planned: list[tuple[str, Any]], number: int, title: str) -> bool:
    """Make a run unless it is there; returns whether it was made. A failure is written aside."""
    folder, settings = planned[number]
    out: Path = settings.out
    before = _stamp(out)
    if before and not settings.overwrite and not _sound(out):
        say(f"{folder}: its metrics.json was changed or damaged; made again")
        settings = dataclasses.replace(settings, overwrite=True)
    if not before or settings.overwrite:
        say(f"{title}: {folder}" if title else folder)
    try:
        registry.load(_COMMANDS, _FINETUNE).run(settings)
    except (UserError, RuntimeError, MemoryError) as error:
        # One run that diverges or needs too much memory does not stop the others.
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        say(f"failed: {folder}: {reason}")
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(_failed(out), {"error": reason, "traceback": traceback.format_exc()})
        return False
    _failed(out).unlink(missing_ok=True)
    new = _stamp(out) != before
    if new:
        say(_told(planned, number))
    return new


def _stamp(out: Path) -> int:
    """Return when a run was finished, 0 where it is not."""
    path = out / MANIFEST
    return path.stat().st_mtime_ns if path.is_file() else 0


def _sound(out: Path) -> bool:
    try:
        read_run(out)
    except UserError:
        return False
    return True


def _told(planned: list[tuple[str, Any]], number: int) -> str:
    """Say a run's score, and the maximum and mean of the seeds that are there."""
    folder, settings = planned[number]
    own = read_run(settings.out)
    split = next((name for name in ("dev", "test") if name in own.scores), "")
    if not split:
        return f"{folder}: done, without scores"
    siblings = [one.out for _, one in planned if one.out.parent == settings.out.parent]
    runs = [read_run(out) for out in siblings if (out / MANIFEST).is_file()]
    texts = []
    for metric in own.metrics:
        values = [100 * run.scores[split][metric] for run in runs if split in run.scores]
        best, mean = max(values), sum(values) / len(values)
        texts.append(
            f"{metric} {100 * own.scores[split][metric]:.1f}, so far {best:.1f} ({mean:.1f}) of "
            f"{len(values)}"
        )
    return f"{folder}: {split} {'; '.join(texts)}"


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes else "under a minute"


def _failed(out: Path) -> Path:
    return out.with_name(out.name + FAILED)


def _plan(config: Config, finetune: Any) -> list[tuple[str, Any]]:
    """Return each run's folder below OUT and its settings, seed by seed; checks what it can."""
    from hanmo.tasks.protocol import with_options
    from hanmo.tasks.splits import locate
    from hanmo.tasks.suite import find_task

    if config.workers < 1:
        raise UserError(f"--workers: got {config.workers}; expected 1 or more")
    if config.seeds < 1:
        raise UserError(f"--seeds: got {config.seeds}; expected 1 or more")
    models = [_evaluated_models.parse_model(text) for text in config.models]
    tasks = {name: find_task(name) for name in config.tasks}
    for what, names in (
        ("models", [model.name for model in models]),
        ("tasks", [task.name for task in tasks.values()]),
    ):
        advice = "NAME=PATH of a model, name = of a task file"
        _model_names.refuse_twice(names, f"--{what}", advice)
    changed = {key: getattr(config, key) for key in TUNABLE}
    for task in tasks.values():
        locate(task, config.data)
        with_options(task, config.set)
        for rate in _rates(config):
            with_settings(task, **{**changed, "learning_rate": rate})
    _check_prefixes(config.set or [], tasks.values())
    passed = {key: getattr(config, key) for key in _PASSED_ON}
    planned = []
    for seed, rate, model, (given, task) in itertools.product(
        range(1, config.seeds + 1), _rates(config), models, tasks.items()
    ):
        swept = f"lr-{rate:g}/" if config.learning_rates else ""
        folder = f"{model.name}/{task.name}/{swept}seed-{seed}"
        settings = finetune.Config(
            model=model.path,
            task=given,
            out=config.out / folder,
            data=config.data,
            seed=seed,
            init=model.init,
            name=model.name,
            **{**passed, "learning_rate": rate},
        )
        planned.append((folder, settings))
    _evaluated_models.check(config, models, tasks.values())
    return planned


def _check_prefixes(given: list[str], tasks: Iterable[Task]) -> None:
    """Refuse an option for a kind or task that is none of these."""
    known = {name for task in tasks for name in (task.name, task.kind)}
    for text in given:
        prefix, dot, _ = text.partition("=")[0].rpartition(".")
        if dot and prefix not in known:
            raise UserError(f"--set {text}: no task or kind {prefix!r}{nearest(prefix, known)}")


def _rates(config: Config) -> list[float | None]:
    """Return the learning rates to try; None is the task's."""
    if config.learning_rates is None:
        return [config.learning_rate]
    if config.learning_rate is not None:
        raise UserError("--learning-rate and --learning-rates: expected one of them")
    if len(set(config.learning_rates)) < len(config.learning_rates):
        raise UserError(f"--learning-rates: got {config.learning_rates}; one is there twice")
    return [*config.learning_rates]


def _write_plan(out: Path, folders: list[str]) -> None:
    """Add to what should be there, so that `hanmo report` knows what is missing."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / PLAN
    before = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    write_json(path, {"runs": sorted({*before, *folders})})
