"""Keep some layers of an encoder: the start of RBT3, of DistilBERT, of any shallower student.

keep_layers(whole, [0, 2, 4])     # three layers; each tensor as it was
"""

import dataclasses
from collections.abc import Sequence

from hanmo.core.errors import UserError
from hanmo.model.pruned import with_layers
from hanmo.pruning.model_folder import ModelFolder


def chosen_layers(text: str, model: ModelFolder, source: str) -> list[int]:
    """Read a list of layers, as in "0,2,4"; a layer may be taken twice.

    Raises:
        UserError: no numbers, a layer that is not there, or layers that share their weights.
    """
    n = model.config.num_hidden_layers
    if model.config.family.shares_layers:
        raise UserError(
            f"--layers: got {text!r}; the layers of {source} share their weights (ALBERT), "
            "so there is none to choose"
        )
    try:
        layers = [int(word) for word in text.split(",")]
    except ValueError:
        layers = []
    if not layers or not all(0 <= layer < n for layer in layers):
        raise UserError(
            f"--layers: got {text!r}; expected numbers from 0 to {n - 1} with commas between "
            f"them, as in 0,{n - 1}: the layers of {source} to keep"
        )
    return layers


def keep_layers(model: ModelFolder, layers: Sequence[int]) -> ModelFolder:
    """Return the model with these layers alone, numbered anew; a generator is left out."""
    # Copies: a layer that is taken twice must not share its memory in a file.
    weights = {name: one.clone() for name, one in with_layers(model.weights, layers).items()}
    return dataclasses.replace(
        model,
        config=model.config.with_layers(layers),
        weights=weights,
        generator=None,
    )
