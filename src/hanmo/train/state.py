"""Checkpoints of a running training: atomic on disk, exact on resume.

    OUT/step-000001000/   a model folder (see model/checkpoint.py) and
        optimizer.safetensors   moments, `<parameter>/<slot>`
        training.json           step, and sums of the log interval in progress
        manifest.json           written last: SHA-256 of every file

What a run needs to go on exactly is the step, the weights and the moments: batches, masks and
dropout are pure functions of (seed, step). A folder without a valid manifest does not count.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from hanmo.core import artifact
from hanmo.core.errors import UserError
from hanmo.core.files import sync_folder, write_atomic, write_json
from hanmo.core.identity import plain
from hanmo.core.log import say
from hanmo.model import checkpoint
from hanmo.train.cluster import ALONE, Cluster, whole
from hanmo.train.optim import moments, restore_moments

KIND = "checkpoint"
_MOMENTS, _TRAINING = "optimizer.safetensors", "training.json"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingState:
    """Where a run is: finished steps, and what its log has summed since its last line."""

    step: int
    pending: Mapping[str, float]


def step_folder(out: Path, step: int) -> Path:
    """Return the folder of the checkpoint after `step` steps."""
    return out / f"step-{step:09d}"


def step_of(folder: Path) -> int:
    """Return how many steps a checkpoint's folder has behind it."""
    return int(folder.name.removeprefix("step-"))


def save_state(
    out: Path,
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    tokenizer: Any,
    config: Mapping[str, Any],
    extra: Mapping[str, Any],
    shape: Mapping[str, Any],
    cluster: Cluster = ALONE,
) -> Path:
    """Write a checkpoint and return its folder; a kill at any moment leaves the older ones whole.

    Of several processes all must call it; the first writes.

    Args:
        out: the run's folder.
        state: step and pending log sums.
        model: a Trainable.
        optimizer: over its parameters.
        tokenizer: writes its files into the folder.
        config: resolved configuration, for the manifest.
        extra: goes to config.json's "hanmo".
        shape: numbers of config.json that training overrode, such as dropouts.
        cluster: the processes of the run.
    """
    folder = step_folder(out, state.step)
    slots = {name: t.contiguous().cpu() for name, t in moments(model, optimizer).items()}
    weights = {name: whole(tensor) for name, tensor in model.state_dict().items()}
    if not cluster.first:
        cluster.wait()
        return folder
    with artifact.building(folder, kind=KIND, config=config, overwrite=True) as build:
        checkpoint.save_model(
            build.dir, model, weights=weights, tokenizer=tokenizer, extra=extra, **shape
        )
        write_atomic(build.dir / _MOMENTS, save(slots))
        write_json(build.dir / _TRAINING, dataclasses.asdict(state))
        build.counts["step"] = state.step
    cluster.wait()
    return folder


def latest(out: Path) -> Path | None:
    """Return the newest checkpoint whose every file has its recorded digest, or None.

    Damaged ones are named on stderr and passed over.
    """
    for folder in sorted(out.glob("step-*[0-9]"), reverse=True):
        try:
            artifact.read_manifest(folder, KIND)
            artifact.verify(folder)
        except (UserError, KeyError, TypeError) as error:  # the last two: a damaged manifest
            say(f"resume: passing over a damaged checkpoint: {error}")
            continue
        return folder
    return None


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Put a checkpoint's moments back, bit for bit; returns where the run is.

    Its weights must be back already (`checkpoint.restore_weights`): shares are cut from them.
    """
    restore_moments(model, optimizer, load_file(folder / _MOMENTS))
    return TrainingState(**json.loads((folder / _TRAINING).read_text(encoding="utf-8")))


def prune(out: Path, keep: int, *, newest: Path) -> None:
    """Remove all but `newest` and the `keep` - 1 before it.

    Checkpoints after `newest` are those that resuming passed over as damaged.
    """
    folders = sorted(out.glob("step-*[0-9]"))
    end = folders.index(newest) + 1
    for folder in folders[end:] + folders[: max(0, end - keep)]:
        shutil.rmtree(folder)


def sweep(out: Path) -> None:
    """Remove what killed saves left; before the first save of a run."""
    for pattern in ("step-*.partial", "step-*.replaced"):
        for folder in out.glob(pattern):
            shutil.rmtree(folder)


def publish(
    out: Path,
    folder: Path,
    *,
    config: Mapping[str, Any],
    counts: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> None:
    """Make the run's folder itself the finished model: its last checkpoint's files, manifest last.

    Files are hard links where the file system has them, so nothing is stored twice.
    """
    files = {}
    folders = {out}  # a model of several networks has folders in its folder
    manifest = artifact.read_manifest(folder, KIND)
    for name, facts in manifest.files.items():
        if name in (_MOMENTS, _TRAINING):
            continue
        target = out / name
        target.parent.mkdir(exist_ok=True)
        folders.add(target.parent)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(folder / name)
        except OSError:
            shutil.copyfile(folder / name, target)
            with target.open("rb") as copied:
                os.fsync(copied.fileno())
        files[name] = dict(facts)
    for each in folders:
        sync_folder(each)
    write_json(
        out / artifact.MANIFEST,
        {
            "kind": KIND,
            "version": artifact.FORMAT_VERSION,
            "config": plain(config),
            "inputs": dict(inputs),
            "counts": dict(counts),
            "files": files,
        },
    )
    sync_folder(out)
