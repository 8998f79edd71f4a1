"""The numbers that describe an encoder, and the published sizes.

Field names are those of Hugging Face's `config.json` for BERT, so that reading and writing it is
the identity. Sizes: facts/01 (LERT), facts/02 (BERT-wwm, RBT), each with its parameter count.

    SIZES["small"].parameters(pooler=True)  # 15_083_776
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError, nearest

# Names of activations in the outside world → the form of GELU that is meant. "gelu" is the exact
# erf form in LERT, ELECTRA and Hugging Face; Google's TF1 BERT means tanh by it (facts/11 trap 5).
ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Shape of a BERT encoder.

    Attributes:
        vocab_size: number of pieces.
        hidden_size: width `H`.
        num_hidden_layers: number of layers.
        num_attention_heads: heads per layer; must divide `hidden_size`.
        intermediate_size: width of the feed-forward layer.
        hidden_act: "gelu" (exact, erf) or "gelu_new" (tanh approximation).
        hidden_dropout_prob: dropout after embeddings and each sublayer, in training.
        attention_probs_dropout_prob: dropout of attention weights, in training.
        max_position_embeddings: longest sequence, with [CLS] and [SEP].
        type_vocab_size: number of segments.
        initializer_range: standard deviation of the truncated normal initialisation.
        layer_norm_eps: epsilon of layer normalisation.
        pad_token_id: id of [PAD].
    """

    vocab_size: int = 21128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"num_attention_heads: got {self.num_attention_heads}; expected a divisor of "
                f"hidden_size {self.hidden_size}"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise UserError(
                f"hidden_act: no {self.hidden_act!r}{nearest(self.hidden_act, ACTIVATIONS)}"
            )

    def parameters(self, *, pooler: bool = True) -> int:
        """Return the number of parameters of the encoder, without task heads."""
        h, f = self.hidden_size, self.intermediate_size
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        layer = 4 * (h * h + h) + 2 * h * f + f + h + 4 * h
        return rows * h + 2 * h + self.num_hidden_layers * layer + (h * h + h if pooler else 0)


def _size(layers: int, hidden: int, heads: int, intermediate: int) -> EncoderConfig:
    return EncoderConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
    )


# name → shape; parameter counts with pooler in tests/unit/model/test_config.py.
SIZES: Mapping[str, EncoderConfig] = {
    "tiny": _size(4, 256, 4, 1024),  # this project's own: minutes on two CPU cores
    "small": _size(12, 256, 4, 1024),  # LERT-small (facts/01)
    "base": _size(12, 768, 12, 3072),  # BERT-wwm, RoBERTa-wwm-ext, LERT-base
    "large": _size(24, 1024, 16, 4096),  # RoBERTa-wwm-ext-large, LERT-large
    "rbt3": _size(3, 768, 12, 3072),  # facts/02
    "rbt4": _size(4, 768, 12, 3072),
    "rbt6": _size(6, 768, 12, 3072),
    "rbtl3": _size(3, 1024, 16, 4096),
}


def size_named(name: str) -> EncoderConfig:
    """Return the shape of a size, or of the `config.json` that `name` is the path of.

    Raises:
        UserError: no such size or file.
    """
    if name in SIZES:
        return SIZES[name]
    if name.endswith(".json"):
        return read_config(Path(name))
    raise UserError(f"size: no {name!r}{nearest(name, SIZES)}; a path to a config.json works too")


def read_config(path: Path) -> EncoderConfig:
    """Read the encoder's numbers from a Hugging Face or Google `config.json`.

    Raises:
        UserError: no such file, not JSON, or a required number is absent.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a model folder with config.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    required = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    missing = [key for key in (*required, "intermediate_size") if key not in raw]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; expected a BERT configuration")
    kind = raw.get("model_type", "bert")
    if kind != "bert" or raw.get("embedding_size", raw["hidden_size"]) != raw["hidden_size"]:
        raise UserError(f"{path}: model_type {kind!r}; expected a BERT encoder (model_type 'bert')")
    fields = {field.name for field in dataclasses.fields(EncoderConfig)}
    return EncoderConfig(**{key: value for key, value in raw.items() if key in fields})


def hugging_face_config(config: EncoderConfig, architecture: str, **extra: Any) -> dict[str, Any]:
    """Return what `config.json` holds, so that transformers chooses BERT and its tokenizer."""
    return {
        **dataclasses.asdict(config),
        "architectures": [architecture],
        "model_type": "bert",
        "position_embedding_type": "absolute",
        "tokenizer_class": "BertTokenizer",
        "torch_dtype": "float32",
        **extra,
    }
