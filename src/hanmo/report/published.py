"""Published results, as printed in the READMEs and papers of the models.

`published_results.csv`: source, model, task, split, metric, and max and mean over the runs in
percent (mean is empty where the source prints one number). Source "BERT-wwm" is the README of
Chinese-BERT-wwm, "LERT" that of LERT, "Chinese-ELECTRA" that of Chinese-ELECTRA; "LUB" is
Language_Understanding_based_BERT. Where two sources differ, both are here.

    results("ChnSentiCorp", metric="accuracy")[0].scores["dev"]    # (94.7, 94.3)
"""

import csv
import dataclasses
from collections.abc import Mapping
from functools import cache
from importlib import resources

FILE = "published_results.csv"
# Our metric → its name in the table.
_METRICS = {"accuracy": "Acc", "f1": "F1", "em": "EM"}


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """A published row.

    Attributes:
        source: who printed it.
        model: the model's name there.
        scores: split → (max, mean) in percent; mean is None where it is not printed.
    """

    source: str
    model: str
    scores: Mapping[str, tuple[float, float | None]]


@cache
def _rows() -> tuple[dict[str, str], ...]:
    text = resources.files("hanmo.report").joinpath(FILE).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def tasks() -> set[str]:
    """Return the names of the tasks that have published results."""
    return {row["task"] for row in _rows()}


def results(task: str, *, metric: str) -> list[Published]:
    """Return the published rows of a task, in the order of the table; none for an unknown one."""
    found: dict[tuple[str, str], dict[str, tuple[float, float | None]]] = {}
    for row in _rows():
        if row["task"] != task or row["metric"] != _METRICS.get(metric):
            continue
        mean = float(row["mean"]) if row["mean"] else None
        scores = found.setdefault((row["source"], row["model"]), {})
        scores[row["split"]] = (float(row["max"]), mean)
    return [Published(source, model, scores) for (source, model), scores in found.items()]
