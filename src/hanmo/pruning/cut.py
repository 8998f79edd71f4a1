"""Take heads and neurons out: for a while, by zeros in a module, and for good, from a model folder.

What is kept of a layer comes first in its tensors, in its old order, so that counts say all.

Shapes: A heads of a layer, D a head's width, F neurons.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hanmo.model.encoder import Encoder
from hanmo.model.pruned import PRUNED_AXES
from hanmo.pruning.choose import Kept
from hanmo.pruning.model_folder import ModelFolder

_START = "bert.encoder.layer."


def whole(sizes: list[int]) -> Kept:
    """Keep all of layers of these sizes."""
    return tuple(np.ones(n, dtype=np.bool_) for n in sizes)


def silence(encoder: Encoder, heads: Kept, neurons: Kept) -> None:
    """Zero what the output layers read of heads and neurons that are gone: as if they were cut."""
    with torch.no_grad():
        layers: list[Any] = list(encoder.encoder.layer)
        for layer, some, few in zip(layers, heads, neurons, strict=True):
            gone = np.repeat(~some, encoder.config.head_size)
            for weight, lost in (
                (layer.attention.output.dense.weight, gone),
                (layer.output.dense.weight, ~few),
            ):
                weight[:, torch.from_numpy(lost).to(weight.device)] = 0


def cut(model: ModelFolder, heads: Kept, neurons: Kept) -> ModelFolder:
    """Return the model with these heads and neurons alone; a generator is left out.

    Args:
        model: what to cut.
        heads: a layer's [A], of those that it has.
        neurons: a layer's [F].
    """
    config, weights = model.config, dict(model.weights)
    for number, (some, few) in enumerate(zip(heads, neurons, strict=True)):
        for ending, (axis, of_heads) in PRUNED_AXES.items():
            name = f"{_START}{number}.{ending}"
            stays = np.repeat(some, config.head_size) if of_heads else few
            index = torch.from_numpy(np.flatnonzero(stays))
            weights[name] = weights[name].index_select(axis, index)
    sizes = _counts(neurons)
    left = _counts(heads)
    shape = dataclasses.replace(
        config,
        heads=None if set(left) == {config.num_attention_heads} else left,
        intermediate_size=max(sizes),
        intermediates=None if len(set(sizes)) == 1 else sizes,
    )
    return dataclasses.replace(model, config=shape, weights=weights, generator=None)


def _counts(kept: tuple[NDArray[np.bool_], ...]) -> tuple[int, ...]:
    return tuple(int(one.sum()) for one in kept)
