"""Activations by the names that configurations give them.

    activation("gelu_new")(x)

"gelu" is the exact erf form in LERT, ELECTRA and Hugging Face; Google's TF1 BERT and ALBERT mean
the tanh form by it (facts/11 trap 5; `hanmo convert` translates).
"""

import functools
from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F

_TANH = functools.partial(F.gelu, approximate="tanh")
_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _TANH,
    "gelu_pytorch_tanh": _TANH,
    "relu": F.relu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the function of a name out of `config.ACTIVATIONS`; shapes stay."""
    return _FUNCTIONS[name]
