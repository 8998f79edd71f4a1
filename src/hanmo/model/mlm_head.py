"""Does a masked-LM head look trained? Published models were saved with heads as initialised.

Initialisation leaves exact marks that any training step removes: an output bias of zeros, a
normalisation of ones and zeros, a dense bias of zeros (facts/09 no. 5, facts/03 "PERT").

    judge(state).trained
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEAD = "cls.predictions."


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What was found.

    Attributes:
        trained: False: its answers would be noise.
        reasons: how that was judged.
    """

    trained: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'trained' if self.trained else 'random'} ({'; '.join(self.reasons)})"


def judge_model(head: Any) -> Judgement:
    """Judge the head of a model: its `cls`, a `model.heads.MaskedLmHead`."""
    state = head.state_dict(prefix="cls.")
    return judge({name: tensor.numpy() for name, tensor in state.items() if _HEAD in name})


def judge(head: Mapping[str, NDArray]) -> Judgement:
    """Judge a head by its values.

    Args:
        head: our name → values, of at least the output bias [V]; further tensors of the head add
            to the reasons.
    """
    bias = head[f"{_HEAD}bias"]
    trained = bool(np.any(bias))
    if trained:
        spread = float(np.std(np.asarray(bias, np.float64)))
        reasons = [f"its output bias has moved: standard deviation {spread:.2g}"]
    else:
        reasons = ["its output bias is zero everywhere"]
    gain, shift = (head.get(f"{_HEAD}transform.LayerNorm.{part}") for part in ("weight", "bias"))
    dense = head.get(f"{_HEAD}transform.dense.bias")
    if gain is not None and shift is not None:
        first = bool((gain == 1).all()) and not np.any(shift)
        reasons.append(f"normalisation {'as initialised' if first else 'moved'}")
    if dense is not None:
        reasons.append(f"dense bias {'moved' if np.any(dense) else 'zero everywhere'}")
    return Judgement(trained, tuple(reasons))
