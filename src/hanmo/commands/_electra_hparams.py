"""Chinese-ELECTRA's fine-tuning settings: its JSON keys, their types, its defaults.

In: the text of `--hparams`, a file or inline JSON; trailing commas are allowed, for upstream's
README has one. Out: the keys that were given, and all settings as upstream's configuration step
resolves them: defaults, rules for the task and the model's size, then what was given (facts/04
"configure_finetuning.py"; ymcui/Chinese-ELECTRA configure_finetuning.py).

    given = read_hparams('{"task_names": ["cmrc2018"], "max_seq_length": 512,}')
    resolve(given).num_train_epochs     # 3.0
"""

import dataclasses
import json
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from hanmo.core.conform import conform
from hanmo.core.errors import UserError, nearest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hparams:
    """All keys, in upstream's order, with its defaults."""

    debug: bool = False
    log_examples: bool = False
    num_trials: int = 1
    do_train: bool = True
    do_eval: bool = True
    do_test: bool = True
    keep_all_models: bool = True
    model_size: Literal["small", "base", "large"] = "small"
    task_names: list[str] = dataclasses.field(default_factory=lambda: ["chunk"])
    model_hparam_overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    embedding_size: int | None = None
    vocab_size: int = 30522
    do_lower_case: bool = True
    learning_rate: float = 1e-4
    weight_decay_rate: float = 0.01
    layerwise_lr_decay: float = 0.8
    num_train_epochs: float = 3.0
    warmup_proportion: float = 0.1
    save_checkpoints_steps: int = 1000000
    iterations_per_loop: int = 1000
    use_tfrecords_if_existing: bool = True
    write_test_outputs: bool = False
    n_writes_test: int = 5
    max_seq_length: int = 128
    train_batch_size: int = 32
    eval_batch_size: int = 32
    predict_batch_size: int = 32
    double_unordered: bool = True
    max_query_length: int = 64
    doc_stride: int = 128
    n_best_size: int = 20
    max_answer_length: int = 30
    answerable_classifier: bool = True
    answerable_uses_start_logits: bool = True
    answerable_weight: float = 0.5
    joint_prediction: bool = True
    beam_size: int = 20
    qa_na_threshold: float = -2.75
    use_tpu: bool = False
    num_tpu_cores: int = 1
    tpu_job_name: str | None = None
    tpu_name: str | None = None
    tpu_zone: str | None = None
    gcp_project: str | None = None


WITHOUT_EFFECT = (
    "debug",
    "log_examples",
    "save_checkpoints_steps",
    "iterations_per_loop",
    "use_tfrecords_if_existing",
    "eval_batch_size",
    "predict_batch_size",
    "double_unordered",
    "use_tpu",
    "num_tpu_cores",
    "tpu_job_name",
    "tpu_name",
    "tpu_zone",
    "gcp_project",
)
# Of upstream's head for questions, which hanmo does not have.
OTHER_READER = (
    "joint_prediction",
    "answerable_classifier",
    "answerable_uses_start_logits",
    "answerable_weight",
    "qa_na_threshold",
    "beam_size",
    "n_best_size",
)
# Attributes of upstream's configuration that are places: --data-dir and --model-name say them.
PLACES = (
    "model_name",
    "data_dir",
    "raw_data_dir",
    "vocab_file",
    "init_checkpoint",
    "model_dir",
    "results_txt",
    "results_pkl",
    "qa_eval_file",
    "qa_preds_file",
    "qa_na_file",
    "preprocessed_data_dir",
    "test_predictions",
)
_ONE_OR_MORE = "expected 1 or more"
_RANGES: Mapping[str, tuple[Any, str]] = {
    "num_trials": (lambda value: value >= 1, _ONE_OR_MORE),
    "learning_rate": (lambda value: 0 < value < 1, "expected more than 0, below 1"),
    "weight_decay_rate": (lambda value: 0 <= value < 1, "expected 0 or more, below 1"),
    "layerwise_lr_decay": (lambda value: value <= 1, "expected up to 1; 0 is no decay"),
    "num_train_epochs": (
        lambda value: value >= 1 and value == int(value),
        "expected a whole number, 1 or more: hanmo's runs end with a pass over the data",
    ),
    "warmup_proportion": (lambda value: 0 <= value < 1, "expected 0 or more, below 1"),
    "max_seq_length": (lambda value: value >= 4, "expected 4 or more"),
    "train_batch_size": (lambda value: value >= 1, _ONE_OR_MORE),
    "max_query_length": (lambda value: value >= 1, _ONE_OR_MORE),
    "doc_stride": (lambda value: value >= 1, _ONE_OR_MORE),
    "max_answer_length": (lambda value: value >= 1, _ONE_OR_MORE),
    "do_lower_case": (
        lambda value: value,
        "expected true: hanmo's tokenizer is that of the uncased Chinese models",
    ),
}
# A string, which is kept as it is, or a comma after a value and before a closing bracket.
_TRAILING = re.compile(r'("(?:\\.|[^"\\])*")|(?<=[^\[{,:\s])\s*,(?=\s*[\]}])')


def read_hparams(text: str | None) -> dict[str, Any]:
    """Return the keys that `--hparams` gives, each checked against its type and range.

    Args:
        text: name of a file, JSON itself (it begins with a brace), or None for no keys.

    Raises:
        UserError: no such file, not JSON, an unknown key (names the nearest), or a wrong value.
    """
    if text is None:
        return {}
    inline = text.lstrip().startswith("{")
    where = "--hparams" if inline else f"--hparams {text}"
    raw = _object(text if inline else _file(Path(text)), where)
    hints, given = typing.get_type_hints(Hparams), {}
    for key, value in raw.items():
        if key in PLACES:
            raise UserError(
                f"{where}: {key}: places follow from --data-dir and --model-name; leave it out and "
                "put the files there (docs/electra.md)"
            )
        if key not in hints:
            raise UserError(f"{where}: unknown key {key!r}{nearest(key, hints)}")
        given[key] = _value(key, value, hints[key], where)
    return given


def resolve(given: Mapping[str, Any]) -> Hparams:
    """Return all settings: defaults, the rules for a single task and for a size, what was given."""
    first = Hparams(**given)
    rules = {**_of_tasks(first.task_names), **_of_size(first.model_size)}
    return Hparams(**{**rules, **given})


def remarks(hparams: Hparams) -> list[str]:
    """Say in a line each which settings have no effect, and which are of a head not found here."""
    usual, lines = Hparams(), []
    for names, text in (
        (WITHOUT_EFFECT, "no effect here: {}"),
        (
            OTHER_READER,
            "no effect here, for hanmo reads passages with BERT's head (beginnings and ends, each "
            "by itself, no classifier of answerable questions): {}",
        ),
    ):
        changed = [name for name in names if getattr(hparams, name) != getattr(usual, name)]
        if changed:
            lines.append(text.format(", ".join(changed)))
    return lines


def _of_tasks(names: list[str]) -> dict[str, Any]:
    if len(names) != 1:
        return {}
    [name] = names
    if name in ("rte", "sts"):
        return {"num_train_epochs": 10.0}
    if "squad" in name or "qa" in name:
        return {"max_seq_length": 512, "num_train_epochs": 2.0, "write_test_outputs": False}
    return {"max_seq_length": 256} if name == "chunk" else {}


def _of_size(size: str) -> dict[str, Any]:
    rules: dict[str, dict[str, Any]] = {
        "large": {"learning_rate": 5e-5, "layerwise_lr_decay": 0.9},
        "small": {"embedding_size": 128},
    }
    return rules.get(size, {})


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"--hparams {path}: no such file; expected a JSON file, or JSON itself that begins "
            "with a brace"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"--hparams {path}: not UTF-8: {error}; save it as UTF-8") from None


def _object(text: str, where: str) -> dict[str, Any]:
    """Parse JSON in which a comma may follow the last entry; nothing else is added to JSON."""
    plain = _TRAILING.sub(lambda match: match[1] or match[0].replace(",", " "), text)
    try:
        raw = json.loads(plain, parse_constant=_no_number, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{where}: a JSON {type(raw).__name__}; expected an object of settings")
    return raw


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name} is no number; expected one in digits")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)}: given twice; expected each key once")
    return dict(pairs)


def _value(key: str, value: Any, annotation: Any, where: str) -> Any:
    try:
        if isinstance(value, str) and annotation == list[str]:
            raise TypeError('expected a list of texts, as ["cmrc2018"]')
        typed = conform(value, annotation)
    except TypeError as error:
        raise UserError(f"{where}: {key}: got {value!r}; {error}") from None
    good, expected = _RANGES.get(key, (None, ""))
    if good is not None and not good(typed):
        raise UserError(f"{where}: {key}: got {value!r}; {expected}")
    return typed
