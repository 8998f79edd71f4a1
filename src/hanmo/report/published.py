"""Published results, as printed in the READMEs and papers of the models.

Two files of the same columns: source, model, task, split, metric, and max and mean over the runs in
percent (one of the two is empty where the source prints one number).

- `published_results.csv`: "BERT-wwm" is the README of Chinese-BERT-wwm, "LERT" that of LERT,
  "Chinese-ELECTRA" that of Chinese-ELECTRA; "LUB" is Language_Understanding_based_BERT.
- `published_results_extra.csv`: READMEs of MacBERT, MiniRBT (means of several runs), TextBrewer and
  albert_zh, the baseline of CMRC 2018, and figures of PERT and Chinese-BERT-wwm that are printed as
  pictures (the latter's was withdrawn; PERT's "BERT-base" has the numbers of BERT-wwm-ext). Figures
  whose split the source leaves open are not in it; names of models are in English.

Where two sources differ, both are here.

    rows("CMRC2018", ("em", "f1"))[0].figures["dev"]["em"]    # Figure(best=…, mean=…, source=…)
    scores_of(find("lert-base"))[0]    # Score(task="CMRC2018", split="dev", metric="EM", …)
"""

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources

from hanmo.model import zoo
from hanmo.report.sizes import named_size, size_of

FILES = ("published_results.csv", "published_results_extra.csv")
# Our metric → its name in the files.
_METRICS = {
    "accuracy": "Acc",
    "em": "EM",
    "f1": "F1",
    "cjrc_em": "EM",
    "cjrc_f1": "F1",
    "entity_f1": "F1",
    "entity_precision": "P",
    "entity_recall": "R",
}
_PARAMETERS = "params_M"
# Figures that are no score of a task: shares of another model's score, means over tasks.
_DERIVED_SOURCES = frozenset({"BERT-wwm:small-table-relative"})
_DERIVED_TASKS = frozenset({"average", "average(8 numbers)", "classification-average"})
# Of PERT's figures; the same name means the English model there.
_ENGLISH = frozenset({"CoLA", "MNLI", "MRPC", "SQuAD1.1", "SQuAD2.0", "SST-2"})


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A published score of one split and metric.

    Attributes:
        best: the max over runs in percent, or the only number printed; None: only a mean is.
        mean: the mean over runs in percent; None where it is not printed.
        source: who printed it, the first one when several did.
    """

    best: float | None
    mean: float | None
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """A published model's scores on a task.

    Attributes:
        model: the model's name there.
        size: its class (`sizes.py`).
        figures: split → our metric → score.
    """

    model: str
    size: str
    figures: Mapping[str, Mapping[str, Figure]]

    @property
    def source(self) -> str:
        """Who printed the figures; with more than one, which splits each printed."""
        splits: dict[str, dict[str, None]] = {}
        for split, metrics in self.figures.items():
            for figure in metrics.values():
                splits.setdefault(figure.source, {})[split] = None
        if len(splits) == 1:
            return next(iter(splits))
        return ", ".join(f"{source} ({', '.join(names)})" for source, names in splits.items())


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """One published number of a model.

    Attributes:
        task: the task's published name.
        split: as the source has it.
        metric: as the source has it.
        figure: the number.
    """

    task: str
    split: str
    metric: str
    figure: Figure


_Key = tuple[str, str]  # split, our metric


@cache
def _records() -> tuple[dict[str, str], ...]:
    folder = resources.files("hanmo.report")
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in FILES]
    return tuple(record for text in texts for record in csv.DictReader(text.splitlines()))


@cache
def _counts() -> Mapping[str, float]:
    """Published parameters of a model, whoever printed them."""
    counts: dict[str, float] = {}
    for record in _records():
        if record["metric"] == _PARAMETERS:
            counts.setdefault(record["model"], float(record["max"]) * 1e6)
    return counts


def entry(model: str, source: str, task: str) -> zoo.Model | None:
    """Return the entry of the zoo that a row of the files is about; None for models not there.

    Args:
        model: the name in the file.
        source: the file's; a name may mean something else in another's table.
        task: an English task means an English model.
    """
    language = "en" if task in _ENGLISH else "zh"
    for name in (f"{source}|{model}", model):
        for one in zoo.models().values():
            if name in one.published and one.language == language:
                return one
    return None


def scores_of(model: zoo.Model) -> list[Score]:
    """Return a model's published scores by task, each number once, the first source's.

    A single number that another source prints with its mean is left out.
    """
    scores: dict[tuple[str, str, str, float | None, float | None], Score] = {}
    for record in _records():
        task, metric = record["task"], record["metric"]
        derived = record["source"] in _DERIVED_SOURCES or task in _DERIVED_TASKS
        if metric == _PARAMETERS or derived:
            continue
        if entry(record["model"], record["source"], task) is not model:
            continue
        figure = _figure(record)
        key = (task, record["split"], metric, figure.best, figure.mean)
        scores.setdefault(key, Score(task, record["split"], metric, figure))
    whole = {key[:4] for key in scores if key[4] is not None}
    kept = [score for key, score in scores.items() if key[4] is not None or key[:4] not in whole]
    order = list(dict.fromkeys(score.task for score in kept))
    return sorted(kept, key=lambda score: order.index(score.task))


def _figure(record: Mapping[str, str]) -> Figure:
    best, mean = (float(text) if text else None for text in (record["max"], record["mean"]))
    return Figure(best, mean, record["source"])


def tasks() -> set[str]:
    """Return the names of the tasks that have published results."""
    return {record["task"] for record in _records() if record["metric"] != _PARAMETERS}


def models() -> tuple[str, ...]:
    """Return the names of all published models, in the order of the files."""
    return tuple(dict.fromkeys(record["model"] for record in _records()))


def published_size(model: str) -> str:
    """Return the class of a published model: by its published count, else by its name."""
    counts = _counts()
    return size_of(counts[model]) if model in counts else named_size(model)


def results(task: str, *, metric: str) -> list[Published]:
    """Return the published rows of a task for one metric; none for an unknown one."""
    return rows(task, (metric,))


def rows(task: str, metrics: Sequence[str]) -> list[Published]:
    """Return a task's published rows, each figure once.

    Sources copy from each other: an equal figure of the same model, split and metric counts for the
    first source, and a single number that another source prints as a max, with its mean, for the
    latter. What is left of a source joins the model's first row, unless it disagrees with it
    somewhere; then it is a row of its own.

    Args:
        task: the task's published name.
        metrics: our names of metrics; those that were never published are passed over.
    """
    by_source = _by_source(task, metrics)
    full = {
        (model, key, figure.best)
        for (_, model), figures in by_source.items()
        for key, figure in figures.items()
        if figure.mean is not None
    }
    merged: dict[str, list[dict[_Key, Figure]]] = {}
    for (_, model), figures in by_source.items():
        known = merged.setdefault(model, [])
        shown = {(key, figure.best, figure.mean) for one in known for key, figure in one.items()}
        fresh = {
            key: figure
            for key, figure in figures.items()
            if (key, figure.best, figure.mean) not in shown
            and not (figure.mean is None and (model, key, figure.best) in full)
        }
        if not fresh:
            continue
        if known and not known[0].keys() & fresh.keys():
            known[0].update(fresh)
        else:
            known.append(fresh)
    return [
        Published(model, published_size(model), _nested(figures))
        for model, known in merged.items()
        for figures in known
    ]


def _by_source(task: str, metrics: Sequence[str]) -> dict[tuple[str, str], dict[_Key, Figure]]:
    found: dict[tuple[str, str], dict[_Key, Figure]] = {}
    for record in _records():
        if record["task"] != task:
            continue
        for metric in _ours(record["metric"], metrics):
            figures = found.setdefault((record["source"], record["model"]), {})
            figures[record["split"], metric] = _figure(record)
    return found


def _ours(name: str, metrics: Sequence[str]) -> Iterator[str]:
    return (metric for metric in metrics if _METRICS.get(metric) == name)


def _nested(figures: Mapping[_Key, Figure]) -> dict[str, dict[str, Figure]]:
    nested: dict[str, dict[str, Figure]] = {}
    for (split, metric), figure in figures.items():
        nested.setdefault(split, {})[metric] = figure
    return nested
