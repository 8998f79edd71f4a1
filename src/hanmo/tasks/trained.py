"""Models that were fine-tuned on a task, with the head they got: teachers, and heads to keep.

model = load_trained(Path("work/runs/…/model"), prepared)
"""

import json
import re
from pathlib import Path
from typing import Any

from torch import nn

from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.config import read_config
from hanmo.tasks.prepared import Prepared

_NUMBERED = re.compile(r"LABEL_\d+")  # transformers' names of labels that nobody named
_SHOWN = 3


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
    longest = prepared.task.settings.max_length
    if longest > encoder.config.max_position_embeddings:
        raise UserError(
            f"{folder}: takes up to {encoder.config.max_position_embeddings} pieces, the task's "
            f"sequences have up to {longest}; lower --max-length"
        )
    weights = checkpoint.read_weights(folder)
    model, _ = prepared.kind.build(encoder, prepared.task, weights=weights, seed=0)
    keep_head(model, folder, prepared, whose=whose)
    return model


def keep_head(model: Any, folder: Path, prepared: Prepared, *, whose: str = "the model") -> None:
    """Give a model that the kind built the head that a folder has for the same task.

    Raises:
        UserError: as `load_trained`.
    """
    _check_labels(folder, prepared, whose)
    try:
        loaded = checkpoint.load_into(model, folder)
    except UserError as error:
        raise UserError(f"{error}; {_expected(prepared, whose)}") from None
    if loaded.fresh:
        shown = ", ".join(loaded.fresh[:_SHOWN])
        raise UserError(f"{folder}: lacks a head ({shown}); {_expected(prepared, whose)}")


def _expected(prepared: Prepared, whose: str) -> str:
    return (
        f"expected {whose} fine-tuned on {prepared.task.name}: hanmo finetune MODEL --task "
        f"{prepared.task.name} --save-model, whose run has it in the folder model"
    )


def _check_labels(folder: Path, prepared: Prepared, whose: str) -> None:
    """Refuse labels that are others or in another order."""
    read_config(folder / checkpoint.CONFIG)
    raw = json.loads((folder / checkpoint.CONFIG).read_text(encoding="utf-8"))
    extra = raw.get("hanmo", {})
    if extra.get("kind", prepared.task.kind) != prepared.task.kind:
        raise UserError(
            f"{folder}: was fine-tuned on {extra.get('task')}, a task of kind {extra['kind']}; "
            f"{_expected(prepared, whose)}"
        )
    names = raw.get("id2label", {})
    theirs = tuple(names[str(i)] for i in range(len(names)) if str(i) in names)
    ours = prepared.task.labels
    if not ours or not theirs or all(_NUMBERED.fullmatch(one) for one in theirs):
        return  # nothing is said; the shape of the head decides
    if theirs != ours:
        raise UserError(
            f"{folder}: its labels are {_listed(theirs)}; the task's are {_listed(ours)}; "
            f"{_expected(prepared, whose)}"
        )


def _listed(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:8])
    return f"{shown}, … ({len(labels)})" if len(labels) > 8 else shown
