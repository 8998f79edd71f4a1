"""Models that were fine-tuned on a task, with the head they got: teachers, and heads to keep.

model = load_trained(Path("work/runs/…/model"), prepared)
"""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.config import read_config
from hanmo.tasks.prepared import Prepared
from hanmo.tasks.task import Task

_NUMBERED = re.compile(r"LABEL_\d+")  # transformers' names of labels that nobody named
# Ends of transformers' names of models that have no task's head.
_HEADLESS = ("Model", "ForMaskedLM", "ForPreTraining")
_SHOWN = 3


def check_trained(folder: Path, task: Task, *, whose: str = "the model") -> None:
    """Refuse what a folder shows to be no model of a task; of its weights the names are read.

    Args:
        folder: as in `load_trained`.
        task: its labels are compared where it names them; else they are known with the data alone.
        whose: for messages.

    Raises:
        UserError: as `load_trained`.
    """
    shape = read_config(folder / checkpoint.CONFIG)
    longest = task.settings.max_length
    if longest > shape.max_position_embeddings:
        raise UserError(
            f"{folder}: takes up to {shape.max_position_embeddings} pieces, the task's "
            f"sequences have up to {longest}; lower --max-length"
        )
    raw = json.loads((folder / checkpoint.CONFIG).read_text(encoding="utf-8"))
    architectures = raw.get("architectures") or [""]
    if "kind" not in raw.get("hanmo", {}) and str(architectures[0]).endswith(_HEADLESS):
        raise UserError(
            f"{folder}: lacks a head (it is a {architectures[0]}); {_expected(task, whose)}"
        )
    _check_labels(folder, raw, task, whose)
    weights = checkpoint.weights_file(folder)
    if weights.suffix == ".safetensors":
        try:
            with safe_open(weights, "pt"):
                pass
        except SafetensorError as error:
            raise UserError(f"{weights}: damaged weights ({error}); make it again") from None


def load_trained(folder: Path, prepared: Prepared, *, whose: str = "the model") -> nn.Module:
    """Load a fine-tuned model with its head, without dropout.

    Args:
        folder: made by `hanmo finetune --save-model`, or any folder whose head the task's kind has.
        prepared: the task.
        whose: for messages.

    Raises:
        UserError: another task's labels, no head, or too few positions.
    """
    encoder = checkpoint.load_encoder(folder, dropout=0.0)
    weights = checkpoint.read_weights(folder)
    model, _ = prepared.kind.build(encoder, prepared.task, weights=weights, seed=0)
    keep_head(model, folder, prepared, whose=whose)
    return model


def keep_head(model: Any, folder: Path, prepared: Prepared, *, whose: str = "the model") -> None:
    """Give a model that the kind built the head that a folder has for the same task.

    Raises:
        UserError: as `load_trained`.
    """
    check_trained(folder, prepared.task, whose=whose)
    try:
        loaded = checkpoint.load_into(model, folder)
    except UserError as error:
        raise UserError(f"{error}; {_expected(prepared.task, whose)}") from None
    if loaded.fresh:
        shown = ", ".join(loaded.fresh[:_SHOWN])
        raise UserError(f"{folder}: lacks a head ({shown}); {_expected(prepared.task, whose)}")


def _expected(task: Task, whose: str) -> str:
    return (
        f"expected {whose} fine-tuned on {task.name}: hanmo finetune MODEL --task {task.name} "
        "--save-model, whose run has it in the folder model"
    )


def _check_labels(folder: Path, raw: dict[str, Any], task: Task, whose: str) -> None:
    """Refuse labels that are others or in another order."""
    extra = raw.get("hanmo", {})
    if extra.get("kind", task.kind) != task.kind:
        raise UserError(
            f"{folder}: was fine-tuned on {extra.get('task')}, a task of kind {extra['kind']}; "
            f"{_expected(task, whose)}"
        )
    names = raw.get("id2label", {})
    theirs = tuple(names[str(i)] for i in range(len(names)) if str(i) in names)
    ours = task.labels
    if not ours or not theirs or all(_NUMBERED.fullmatch(one) for one in theirs):
        return  # nothing is said; the shape of the head decides
    if theirs != ours:
        raise UserError(
            f"{folder}: its labels are {_listed(theirs)}; the task's are {_listed(ours)}; "
            f"{_expected(task, whose)}"
        )


def _listed(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:8])
    return f"{shown}, … ({len(labels)})" if len(labels) > 8 else shown
