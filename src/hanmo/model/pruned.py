"""Padding of pruned layers: uniform tensors in a folder, compact ones in the model.

transformers' configurations have one number of heads and one feed-forward width for all layers, and
since version 5 no record of pruned heads. So a folder fills up what was taken away with zeros: rows
of query, key and value and columns of attention.output.dense; rows of intermediate.dense and
columns of output.dense. A head of zeros gives zeros whatever it attends to, and so does a neuron
(GELU and ReLU of 0 are 0), so that transformers computes what hanmo computes without them.
What is kept comes first in each layer; `config.json` has the counts ("hanmo": {"pruned": …}).

    state = strip(pad(state, config), config, folder)     # the same tensors

Shapes: H hidden, A heads of the padded shape, a of the layer, D a head's width, F and f likewise.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hanmo.core.errors import UserError
from hanmo.model.config import EncoderConfig

_LAYER = "bert.encoder.layer."
# End of a tensor's name → (axis that pruning shortens, whether its entries belong to heads).
PRUNED_AXES: Mapping[str, tuple[int, bool]] = {
    **{
        f"attention.self.{part}.{slot}": (0, True)
        for part in ("query", "key", "value")
        for slot in ("weight", "bias")
    },
    "attention.output.dense.weight": (1, True),
    "intermediate.dense.weight": (0, False),
    "intermediate.dense.bias": (0, False),
    "output.dense.weight": (1, False),
}


def pad(state: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    """Fill the layers up with zeros: names under "bert." → tensors of the padded shape."""
    return dict(state) | {
        name: _filled(state[name], axis, wanted)
        for name, axis, _, wanted in _of_layers(state, config)
    }


def strip(state: Mapping[str, Tensor], config: EncoderConfig, source: Path) -> dict[str, Tensor]:
    """Take the padding away.

    Args:
        state: names under "bert." → tensors as they lie in a folder.
        config: says how much of each layer is real.
        source: the folder, for messages.

    Raises:
        UserError: what should be padding is not zero: the folder was trained on elsewhere.
    """
    made = dict(state)
    for name, axis, size, _ in _of_layers(state, config):
        tensor = state[name]
        if tensor.ndim <= axis or tensor.shape[axis] <= size:
            continue  # compact already, or of a wrong shape, which is said where it is loaded
        if tensor.narrow(axis, size, tensor.shape[axis] - size).count_nonzero():
            raise UserError(
                f"{source}: {name} is not zero behind the {size} entries that config.json says are "
                'left ("hanmo": {"pruned": …}): another program trained on what hanmo had pruned; '
                "remove that key from config.json to use the folder as it is"
            )
        made[name] = tensor.narrow(axis, 0, size).contiguous()
    return made


def _of_layers(
    state: Mapping[str, Tensor], config: EncoderConfig
) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, axis, real size and padded size of the tensors that pruning shortens."""
    if config.heads is None and config.intermediates is None:
        return
    width = config.head_size
    for number in range(config.num_distinct_layers):
        for ending, (axis, of_heads) in PRUNED_AXES.items():
            name = f"{_LAYER}{number}.{ending}"
            if name not in state:
                continue
            if of_heads:
                yield name, axis, config.heads_of(number) * width, config.hidden_size
            else:
                yield name, axis, config.intermediate_of(number), config.intermediate_size


def _filled(tensor: Tensor, axis: int, size: int) -> Tensor:
    shape = list(tensor.shape)
    have, shape[axis] = shape[axis], size
    filled = tensor.new_zeros(shape)
    filled.narrow(axis, 0, have).copy_(tensor)
    return filled


def with_layers(state: Mapping[str, Tensor], layers: Sequence[int]) -> dict[str, Tensor]:
    """Keep the encoder's layers `layers`, numbered anew; a layer may be taken twice."""
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(_LAYER)}
    for new, old in enumerate(layers):
        prefix = f"{_LAYER}{old}."
        kept |= {
            f"{_LAYER}{new}.{name.removeprefix(prefix)}": tensor
            for name, tensor in state.items()
            if name.startswith(prefix)
        }
    return kept


def equal_layers(
    copies: Mapping[str, Tensor], originals: Mapping[str, Tensor], layers: Sequence[int]
) -> int:
    """Compare copied layers with those that they were copied from.

    Args:
        copies: weights of a model of `len(layers)` layers, in the precision that it has.
        originals: weights of the model where they came from.
        layers: layer i of the copies is layer `layers[i]` of the originals.

    Returns:
        How many tensors were compared.

    Raises:
        UserError: one differs, or is not there.
    """
    n = 0
    for new, old in enumerate(layers):
        prefix = f"{_LAYER}{old}."
        for name, tensor in originals.items():
            if not name.startswith(prefix):
                continue
            copy = copies.get(f"{_LAYER}{new}.{name.removeprefix(prefix)}")
            if copy is None or not torch.equal(copy, tensor.to(copy.dtype)):
                raise UserError(f"layer {new} is no copy of layer {old}: {name} differs")
            n += 1
    return n
