"""Made-up runs for the tests of reports: as values, and as folders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.core.artifact import building
from hanmo.report.runs import Run

BASE = 102_000_000  # parameters of a base model
SMALL = 12_000_000


def make_run(seed: int = 1, *, model: str = "ours", dev: float = 0.5, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "folder": Path(f"{model}/{seed}"),
        "model": model,
        "task": "toy",
        "metrics": ("accuracy",),
        "published": "",
        "seed": seed,
        "settings": {"epochs": 3, "learning_rate": 1e-5},
        "changed": {},
        "scores": {"dev": {"accuracy": dev}},
        "parameters": BASE,
    }
    return Run(**(values | changed))


def write_run(
    folder: Path,
    seed: int,
    *,
    answers: Mapping[str, Sequence[tuple[Any, Any]]] | None = None,
    gold: str = "gold",
    **changed: Any,
) -> Path:
    """Write a finished run.

    `answers` (split → (gold, predicted) of every example) become predictions files; without
    `splits` the accuracy follows from them.
    """
    scores = {"dev": {"accuracy": seed / 10}}
    for split, pairs in (answers or {}).items():
        scores[split] = {"accuracy": sum(a == b for a, b in pairs) / len(pairs)}
    metrics = {
        "model": {"name": "ours", "parameters": BASE},
        "task": "toy",
        "metric": "accuracy",
        "published": "ChnSentiCorp",
        "seed": seed,
        "settings": {},
        "changed": {},
        "labels": ["0", "1"],
        "splits": {"train": {}, **{split: {"scores": one} for split, one in scores.items()}},
    }
    with building(folder, kind="run", config={}) as build:
        (build.dir / "metrics.json").write_text(json.dumps(metrics | changed))
        for split, pairs in (answers or {}).items():
            lines = [
                json.dumps({"id": place, gold: right, "predicted": answer})
                for place, (right, answer) in enumerate(pairs)
            ]
            text = "".join(line + "\n" for line in lines)
            (build.dir / f"predictions-{split}.jsonl").write_text(text)
    return folder
