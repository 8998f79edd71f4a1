"""Collect the runs below a folder: finished ones, and those that are not there.

In: folders with runs anywhere below (`hanmo finetune`, `hanmo evaluate`). A run counts when its
manifest is there and its metrics.json is the one that the manifest names. `evaluation.json`, which
`hanmo evaluate` writes, says which runs there should be; `seed-1.failed.json` why one is missing.

    collect([Path("work/runs")]).runs[0].scores["dev"]["accuracy"]
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.core.artifact import MANIFEST, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import sha256

METRICS = "metrics.json"
PREDICTIONS = "predictions-{}.jsonl"  # of a split
PLAN = "evaluation.json"
FAILED = ".failed.json"
_PARTIAL = ".partial"
_KIND = "run"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One seed of one task on one model.

    Attributes:
        folder: where it is.
        model: name of the model in tables.
        task: name of the task.
        metrics: those of the tables, the main one first.
        published: the task's name in the published results, or empty.
        seed: its seed.
        settings: learning rate, epochs …: runs of one row must agree.
        changed: those that are not what the task says, so that published rows do not compare.
        scores: split → metric → score in [0, 1].
        parameters: of encoder and head.
        labels: all labels of the task, in the order of their ids.
        predictions: split → SHA-256 of its predictions file, as the manifest has it.
        warnings: what the task has to say of scores on it.
    """

    folder: Path
    model: str
    task: str
    metrics: tuple[str, ...]
    published: str
    seed: int
    settings: Mapping[str, Any]
    changed: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, float]]
    parameters: int
    labels: tuple[str, ...] = ()
    predictions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Collected:
    """Finished runs, and the folders of those that are not.

    Attributes:
        runs: sorted by task, model and seed.
        failed: folder → what went wrong.
        unfinished: begun and not finished (interrupted, or still running).
        missing: planned and not begun.
    """

    runs: tuple[Run, ...]
    failed: Mapping[str, str]
    unfinished: tuple[str, ...]
    missing: tuple[str, ...]


def collect(folders: Sequence[Path]) -> Collected:
    """Read the runs below the folders.

    Raises:
        UserError: no such folder. A damaged run is among the failed ones.
    """
    runs: dict[Path, Run] = {}
    planned: set[Path] = set()
    failed: dict[Path, str] = {}
    unfinished: set[Path] = set()
    for top in folders:
        if not top.is_dir():
            raise UserError(f"{top}: no such folder; expected one with runs of hanmo evaluate")
        for path in sorted(top.rglob(METRICS)):
            if path.parent.name.endswith(_PARTIAL):
                continue
            if (path.parent / MANIFEST).is_file():
                try:
                    runs[path.parent.resolve()] = read_run(path.parent)
                except UserError as error:
                    failed[path.parent.resolve()] = str(error)
        for path in top.rglob(f"*{_PARTIAL}"):
            unfinished.add(path.with_name(path.name.removesuffix(_PARTIAL)).resolve())
        for path in top.rglob(f"*{FAILED}"):
            folder = path.with_name(path.name.removesuffix(FAILED))
            failed[folder.resolve()] = str(_read_json(path).get("error", "unknown"))
        for path in top.rglob(PLAN):
            planned |= {(path.parent / folder).resolve() for folder in _read_json(path)["runs"]}
    failed = {folder: why for folder, why in failed.items() if folder not in runs}
    unfinished -= runs.keys() | failed.keys()
    missing = planned - runs.keys() - failed.keys() - unfinished
    return Collected(
        tuple(sorted(runs.values(), key=lambda run: (run.task, run.model, run.seed))),
        {str(folder): why for folder, why in sorted(failed.items())},
        tuple(map(str, sorted(unfinished))),
        tuple(map(str, sorted(missing))),
    )


def read_run(folder: Path) -> Run:
    """Read one finished run.

    Raises:
        UserError: not a finished run, or a metrics.json that was changed afterwards.
    """
    manifest = read_manifest(folder, _KIND)
    path = folder / METRICS
    if manifest.files.get(METRICS, {}).get("sha256") != sha256(path):
        raise UserError(
            f"{path}: differs from the run's {MANIFEST}; make the run again: hanmo evaluate does, "
            "hanmo finetune with --overwrite"
        )
    raw = _read_json(path)
    digests = {name: str(facts["sha256"]) for name, facts in manifest.files.items()}
    try:
        metrics = _tabled(raw)
        return Run(
            folder=folder,
            model=raw["model"]["name"],
            task=raw["task"],
            metrics=metrics,
            published=raw["published"],
            seed=raw["seed"],
            settings=raw["settings"],
            changed=raw["changed"],
            scores={
                split: {metric: facts["scores"][metric] for metric in metrics}
                for split, facts in raw["splits"].items()
                if "scores" in facts
            },
            parameters=raw["model"]["parameters"],
            labels=tuple(raw.get("labels", ())),
            predictions={
                split: digests[name]
                for split in raw["splits"]
                if (name := PREDICTIONS.format(split)) in digests
            },
            warnings=tuple(raw.get("warnings", ())),
        )
    except KeyError as error:
        raise UserError(f"{path}: not the metrics of a run: lacks {error}") from None
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the metrics of a run: {error}") from None


def _tabled(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metrics that the field's tables print; runs of older versions name only one."""
    metrics = tuple(raw["metrics"]) if "metrics" in raw else (raw["metric"],)
    return metrics[: max(1, raw.get("tabled", 1))]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object")
    return value
