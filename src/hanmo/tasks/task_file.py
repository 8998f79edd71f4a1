"""A user's own task, described by a TOML file; nothing in the package changes.

    name = "my-reviews"              # default: the file's name
    kind = "classification"          # the default
    labels = ["差评", "好评"]        # default: those of the training split, sorted
    metrics = ["accuracy"]
    [splits]                         # beside this file, or under --data
    train = "train.csv"
    dev = "dev.csv.gz"
    [columns]                        # names of the header, JSON keys, or numbers from 0
    label = "stars"
    text_a = "review"                # and text_b for a pair of texts
    [settings]
    max_length = 128

    [options]                        # of the kind: `hanmo tasks show NAME` lists them
    doc_stride = 128

The other keys are `Task`'s: reader, quoted, delimiter, header, drop_labels, tabled, source,
citation, licence, published, corpus, and the tables keep and renamed_labels.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError, nearest
from hanmo.tasks.metrics import check_metric
from hanmo.tasks.task import LABEL, SPLITS, Settings, Task

KINDS = "hanmo.tasks.kinds"
# What a task is scored by when it does not say, by what its kind answers.
_METRICS = {
    "label": ("accuracy",),
    "number": ("pearson", "spearman"),
    "text": ("em", "f1"),
    "tags": ("entity_f1",),
}
_NAME = re.compile(r"[\w.+-]+")
_LISTS = ("labels", "drop_labels", "metrics")
_TEXTS = (
    *("name", "kind", "reader", "delimiter", "header"),
    *("source", "citation", "licence", "published", "corpus"),
)
_TABLES = ("options", "keep", "renamed_labels")
_NOT_IN_FILES = frozenset(
    {
        *("folder", "embedded", "folders", "layouts", "downloads", "request", "rows"),
        *("small_learning_rate", "electra_learning_rates", "stated"),
    }
)


def read_task(path: Path) -> Task:
    """Read a task file.

    Raises:
        UserError: no such file, not TOML, an unknown key (names the nearest), or a value of a
            wrong type.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such task file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    known = [field.name for field in dataclasses.fields(Task)]
    _check_keys(path, "", raw, [name for name in known if name not in _NOT_IN_FILES])
    values: dict[str, Any] = {"name": path.stem, "kind": "classification", **raw}
    for key in _TEXTS:
        _check_type(path, key, values.get(key, ""), str, "text")
    if values["kind"].endswith(".py"):
        # Beside the task file like its data, or from the current folder; a model that is saved
        # names it wherever it is opened from.
        beside = path.parent / values["kind"]
        values["kind"] = str((beside if beside.is_file() else Path(values["kind"])).resolve())
    _check_type(path, "quoted", values.get("quoted", False), bool, "true or false")
    _check_type(path, "tabled", values.get("tabled", 1), int, "a number of metrics")
    for key in _TABLES:
        _check_type(path, key, values.get(key, {}), dict, f"a table [{key}]")
    for key in ("keep", "renamed_labels"):
        for name, item in values.get(key, {}).items():
            _check_type(path, f"{key}.{name}", item, str, "text")
    if values.get("header", "auto") not in ("auto", "no", "yes"):
        raise UserError(f"{path}: header: got {values['header']!r}; expected auto, no or yes")
    for key in _LISTS:
        values[key] = _texts(path, key, values.get(key, []))
    kind = _kind(path, values["kind"], values.get("options", {}))
    usual = getattr(kind, "metrics", _METRICS[kind.answers])
    values["metrics"] = values["metrics"] or usual
    values["splits"] = _splits(path, values.get("splits"))
    suffix = Path(values["splits"]["train"][0]).suffix
    values["reader"] = values.get("reader") or getattr(kind, "readers", {}).get(suffix, "")
    values["columns"] = _columns(path, values.get("columns"), kind)
    values["stated"] = tuple(values.get("settings", {}))
    values["settings"] = _settings(path, values.get("settings", {}))
    if not _NAME.fullmatch(values["name"]):
        raise UserError(
            f"{path}: name: got {values['name']!r}; expected letters, digits, '.', '+', '-', '_' "
            "(it names folders)"
        )
    for metric in values["metrics"]:
        check_metric(metric, kind.answers)
        if metric in getattr(kind, "unfit_metrics", ()):
            raise UserError(
                f"{path}: metrics: {metric} gives nothing for a right answer of none, yes or no; "
                f"expected {', '.join(usual)}"
            )
    return Task(**values, folder=str(path.parent))


def _splits(path: Path, value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or "train" not in value:
        raise UserError(f'{path}: no training file; expected [splits] with train = "train.tsv"')
    _check_keys(path, "splits.", value, SPLITS)
    return {
        split: _texts(path, f"splits.{split}", [names] if isinstance(names, str) else names)
        for split, names in value.items()
    }


def _kind(path: Path, name: str, options: Mapping[str, Any]) -> Any:
    # Imported here, for a kind is described in terms of tasks.
    from hanmo.tasks.kind import load_kind

    try:
        return load_kind(name, options)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _columns(path: Path, value: Any, made: Any) -> dict[str, str | int]:
    needed = (*made.fields, LABEL)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a table [columns] that names {', '.join(needed)}")
    _check_keys(path, "columns.", value, (*needed, *made.optional_fields))
    missing = [field for field in needed if field not in value]
    if missing:
        raise UserError(f"{path}: columns: lacks {', '.join(missing)}")
    for field, column in value.items():
        _check_type(path, f"columns.{field}", column, (str, int), "a name or a number from 0")
    return dict(value)


def _settings(path: Path, value: Any) -> Settings:
    _check_type(path, "settings", value, dict, "a table [settings]")
    fields = {field.name: type(field.default) for field in dataclasses.fields(Settings)}
    _check_keys(path, "settings.", value, fields)
    for key, given in value.items():
        wanted: Any = (int, float) if fields[key] is float else fields[key]
        _check_type(path, f"settings.{key}", given, wanted, fields[key].__name__)
    try:
        return Settings(**{"source": str(path), **value})
    except UserError as error:
        raise UserError(f"{path}: settings.{error}") from None


def _texts(path: Path, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UserError(f'{path}: {key}: got {value!r}; expected a list of texts, as in ["0", "1"]')
    if len(set(value)) != len(value):
        raise UserError(f"{path}: {key}: got {value!r}; one of them is there twice")
    return tuple(value)


def _check_keys(path: Path, prefix: str, given: Mapping[str, Any], known: Any) -> None:
    for key in given:
        if key not in known:
            raise UserError(f"{path}: no key {prefix}{key}{nearest(key, known)}")


def _check_type(path: Path, key: str, value: Any, wanted: Any, what: str) -> None:
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise UserError(f"{path}: {key}: got {value!r}; expected {what}")
