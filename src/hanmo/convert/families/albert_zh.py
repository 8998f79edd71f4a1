"""brightmart/albert_zh: BERT with a narrow word table times a matrix, and one layer for all.

Unlike Google's ALBERT, positions, segments and their normalisation are as wide as the layers, and
the matrix has no bias. So it is a BERT whose word embeddings are the product, and whose layers are
copies of the one: that BERT computes the same. What was shared cannot be told apart afterwards, so
this layout is read only (facts/05 "albert_zh").
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hanmo.convert.contents import Stored
from hanmo.convert.names import Layout, embeddings, heads, layer

_NARROW = "bert/embeddings/word_embeddings"
_MATRIX = "bert/embeddings/word_embeddings_2"
_SHARED = "bert/encoder/layer_shared/"


def multiplied(variables: Mapping[str, Stored]) -> dict[str, Stored]:
    """Put the product of word table and matrix in their place.

    Args:
        variables: with a table [V, E] and a matrix [E, H].
    """
    narrow, matrix = variables[_NARROW], variables[_MATRIX]

    def product() -> NDArray:
        return np.asarray(narrow.read() @ matrix.read(), narrow.dtype)

    rest = {name: tensor for name, tensor in variables.items() if name != _MATRIX}
    wide = Stored((*narrow.shape[:1], *matrix.shape[1:]), narrow.dtype, product)
    return {**rest, _NARROW: wide}


LAYOUT = Layout(
    title="albert_zh",
    family="bert",
    marks=(_NARROW, _MATRIX, f"{_SHARED}intermediate/dense/kernel"),
    rules=(
        *embeddings("bert/embeddings", "bert.embeddings"),
        *layer(_SHARED.rstrip("/"), "bert.encoder.layer.{i}"),
        *heads(),
    ),
    configs=("albert_config.json", "albert_config_tiny.json"),
    checkpoint="albert_model.ckpt",
    activations={"gelu": "gelu_new"},
    adapt=multiplied,
    source="brightmart/albert_zh, modeling.py and run_pretraining.py",
)
