"""The numbers that describe an encoder, and the published sizes.

Field names are those of Hugging Face's `config.json` for BERT, so that reading and writing it is
the identity. Sizes: facts/01 (LERT), facts/02 (BERT-wwm, RBT), each with its parameter count.

    SIZES["small"].parameters(pooler=True)  # 15_083_776
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError, nearest
from hanmo.model.families import FAMILIES, Family

# Names as Hugging Face has them; what they do: `activations.py`. ReLU: Google's Chinese ALBERT.
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
# Sizes that layers may have of their own → what they are at most.
_PRUNED = {"heads": "num_attention_heads", "intermediates": "intermediate_size"}
# The same in `config.json`, under "hanmo" and there under "pruned".
PRUNED = "pruned"
_PRUNED_KEYS = {"heads": "heads", "intermediates": "intermediate"}


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Shape of a BERT encoder.

    Attributes:
        vocab_size: number of pieces.
        hidden_size: width `H`.
        num_hidden_layers: number of layers.
        num_attention_heads: heads per layer; must divide `hidden_size`.
        intermediate_size: width of the feed-forward layer.
        hidden_act: "gelu" (exact, erf), "gelu_new" (tanh approximation) or "relu".
        hidden_dropout_prob: dropout after embeddings and each sublayer, in training.
        attention_probs_dropout_prob: dropout of attention weights, in training.
        max_position_embeddings: longest sequence, with [CLS] and [SEP].
        type_vocab_size: number of segments; 0: a DistilBERT, which does not tell them apart.
        initializer_range: standard deviation of the truncated normal initialisation.
        layer_norm_eps: epsilon of layer normalisation.
        pad_token_id: id of [PAD].
        embedding_size: width `E` of the embeddings where it is not `hidden_size` (factorised
            embeddings: a projection leads to the layers); None for the same.
        model_type: the family: "bert", "electra", "albert" or "distilbert"; all layers of an ALBERT
            share their weights.
        heads: heads that each layer with weights of its own has left; None: all. A head's width
            stays `hidden_size / num_attention_heads`.
        intermediates: width of each layer's feed-forward block; None: `intermediate_size`, which
            is otherwise the widest.
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
    embedding_size: int | None = None
    model_type: str = "bert"
    heads: tuple[int, ...] | None = None
    intermediates: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"num_attention_heads: got {self.num_attention_heads}; expected a divisor of "
                f"hidden_size {self.hidden_size}"
            )
        if self.model_type not in FAMILIES:
            raise UserError(
                f"model_type: no {self.model_type!r}{nearest(self.model_type, FAMILIES)}; expected "
                f"one of {', '.join(FAMILIES)}"
            )
        if (self.type_vocab_size > 0) != self.family.segments:
            raise UserError(
                f"type_vocab_size: got {self.type_vocab_size}; a {self.family.title} has "
                + ("1 or more" if self.family.segments else "0: it does not tell segments apart")
            )
        if self.embedding_width != self.hidden_size and not self.family.factorised:
            raise UserError(
                f"embedding_size: got {self.embedding_size}, hidden_size {self.hidden_size}; a "
                "BERT's are the same: embeddings of another width are ELECTRA's and ALBERT's"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: got {getattr(self, name)}; expected a share in [0, 1)")
        if self.hidden_act not in ACTIVATIONS:
            raise UserError(
                f"hidden_act: no {self.hidden_act!r}{nearest(self.hidden_act, ACTIVATIONS)}"
            )
        for name, most in _PRUNED.items():
            sizes, limit = getattr(self, name), getattr(self, most)
            if sizes is None:
                continue
            if len(sizes) != self.num_distinct_layers or not all(1 <= n <= limit for n in sizes):
                raise UserError(
                    f"{name}: got {list(sizes)}; expected a number from 1 to {limit} ({most}) for "
                    f"each of {self.num_distinct_layers} layers"
                )

    @property
    def family(self) -> Family:
        """What is particular to the model's family."""
        return FAMILIES[self.model_type]

    @property
    def embedding_width(self) -> int:
        """Width of the embeddings, E."""
        return self.embedding_size or self.hidden_size

    @property
    def projects(self) -> bool:
        """Whether a projection leads from the embeddings to the layers; ALBERT always has one."""
        return self.embedding_width != self.hidden_size or self.family.shares_layers

    @property
    def num_distinct_layers(self) -> int:
        """Layers with weights of their own."""
        return 1 if self.family.shares_layers else self.num_hidden_layers

    @property
    def head_size(self) -> int:
        """Width of a head, D."""
        return self.hidden_size // self.num_attention_heads

    def heads_of(self, layer: int) -> int:
        """Heads of a layer with weights of its own."""
        return self.num_attention_heads if self.heads is None else self.heads[layer]

    def intermediate_of(self, layer: int) -> int:
        """Width of the feed-forward block of a layer with weights of its own."""
        return self.intermediate_size if self.intermediates is None else self.intermediates[layer]

    @property
    def padded(self) -> "EncoderConfig":
        """The shape of the folder's tensors: all layers alike (see `pruned.py`)."""
        return dataclasses.replace(self, heads=None, intermediates=None)

    def with_layers(self, layers: Sequence[int]) -> "EncoderConfig":
        """Return the shape with these layers alone, in this order."""
        return dataclasses.replace(
            self,
            num_hidden_layers=len(layers),
            heads=self.heads and tuple(self.heads[n] for n in layers),
            intermediates=self.intermediates and tuple(self.intermediates[n] for n in layers),
        )

    def parameters(self, *, pooler: bool = True) -> int:
        """Return the number of parameters of the encoder, without task heads."""
        h, e = self.hidden_size, self.embedding_width
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        layers = 0
        for number in range(self.num_distinct_layers):
            a, f = self.heads_of(number) * self.head_size, self.intermediate_of(number)
            layers += 3 * (h * a + a) + a * h + h + 2 * h * f + f + h + 4 * h
        projection = e * h + h if self.projects else 0
        pooled = h * h + h if pooler else 0
        return rows * e + 2 * e + projection + layers + pooled


def _size(
    layers: int,
    hidden: int,
    heads: int,
    intermediate: int,
    *,
    embedding: int | None = None,
    positions: int = 512,
    family: str = "bert",
    act: str = "gelu",
    dropout: float = 0.1,
) -> EncoderConfig:
    return EncoderConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        embedding_size=embedding,
        max_position_embeddings=positions,
        model_type=family,
        hidden_act=act,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


# Google's layout: no dropout, GELU by tanh (facts/05).
_albert = functools.partial(_size, embedding=128, family="albert", act="gelu_new", dropout=0.0)


# name → shape; parameter counts with pooler in tests/unit/model/test_config.py.
SIZES: Mapping[str, EncoderConfig] = {
    "tiny": _size(4, 256, 4, 1024),  # this project's own: minutes on two CPU cores
    # This project's own, to be passed on; ELECTRA's layout has embeddings narrower than layers.
    "lert-tiny": _size(4, 256, 4, 1024, embedding=128, positions=128, family="electra"),
    "small": _size(12, 256, 4, 1024),  # LERT-small (facts/01)
    "base": _size(12, 768, 12, 3072),  # BERT-wwm, RoBERTa-wwm-ext, LERT-base
    "large": _size(24, 1024, 16, 4096),  # RoBERTa-wwm-ext-large, LERT-large
    "rbt3": _size(3, 768, 12, 3072),  # facts/02
    "rbt4": _size(4, 768, 12, 3072),
    "rbt6": _size(6, 768, 12, 3072),
    "rbtl3": _size(3, 1024, 16, 4096),
    "rbt4-h312": _size(4, 312, 12, 1200),  # iflytek/MiniRBT (facts/07), as the two that follow
    "minirbt-h256": _size(6, 256, 8, 1024),
    "minirbt-h288": _size(6, 288, 12, 1152),  # its config file
    "minirbt-h288-8heads": _size(6, 288, 8, 1152),  # its README (facts/11, trap 6)
    # Discriminators; the objective makes the generator (facts/04).
    "electra-tiny": _size(4, 256, 4, 1024, embedding=128, family="electra"),  # this project's own
    "electra-small": _size(12, 256, 4, 1024, embedding=128, family="electra"),
    "electra-small-ex": _size(24, 256, 4, 1024, family="electra"),
    "electra-base": _size(12, 768, 12, 3072, family="electra"),
    "electra-large": _size(24, 1024, 16, 4096, family="electra"),
    # Google's layout, brightmart/albert_zh's shapes (facts/05).
    "albert-tiny": _albert(4, 312, 12, 1248),
    "albert-small": _albert(6, 384, 12, 1536),
    "albert-base": _albert(12, 768, 12, 3072),
    "albert-large": _albert(24, 1024, 16, 4096),
    "albert-xlarge": _albert(24, 2048, 32, 8192),
    "albert-xxlarge": _albert(12, 4096, 64, 16384),
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
    return config_of(read_raw_config(path), path)


def read_raw_config(path: Path) -> dict[str, Any]:
    """Read all that a `config.json` holds.

    Raises:
        UserError: no such file, or not a JSON object.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; expected a model folder with config.json{_other_form(path)}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds {type(raw).__name__}, expected an object")
    return raw


def _other_form(path: Path) -> str:
    """Say so if the folder holds another program's checkpoint, or is an archive or a run."""
    folder = path.parent
    others = ("*.index", "*.data-?????-of-?????", "*.pdparams")
    if folder.suffix.lower() == ".zip" or any(any(folder.glob(other)) for other in others):
        return f"; make one of it first: hanmo convert {folder} OUT --to hf"
    if (folder / "model" / path.name).is_file():
        return f"; this is a run, whose model is {folder / 'model'}"
    return ""


def config_of(raw: Mapping[str, Any], path: Path) -> EncoderConfig:
    """Take the encoder's numbers out of what a `config.json` holds.

    Args:
        raw: the file's content.
        path: the file, for messages.

    Raises:
        UserError: a required number is absent, or another family's model.
    """
    # Google's files do not say; only ALBERT's have groups of layers.
    family = raw.get("model_type", "albert" if "num_hidden_groups" in raw else "bert")
    if not isinstance(family, str) or family not in FAMILIES:
        expected = ", ".join(FAMILIES)
        raise UserError(f"{path}: model_type {family!r}; expected one of {expected}")
    keys = FAMILIES[family].keys
    required = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    wanted = [keys.get(key, key) for key in (*required, "intermediate_size")]
    missing = [key for key in wanted if key not in raw]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; expected a BERT configuration")
    groups = (raw.get("num_hidden_groups", 1), raw.get("inner_group_num", 1))
    if groups != (1, 1):
        raise UserError(f"{path}: {groups} groups of layers; hanmo has ALBERTs of one group")
    fields = {field.name for field in dataclasses.fields(EncoderConfig)} - _PRUNED.keys()
    numbers = {key: raw[keys.get(key, key)] for key in fields if keys.get(key, key) in raw}
    if not FAMILIES[family].segments:
        numbers["type_vocab_size"] = 0
    if raw.get("position_embedding_type", "absolute") != "absolute":
        raise UserError(
            f"{path}: position_embedding_type {raw['position_embedding_type']!r}; hanmo's encoders "
            "have absolute positions"
        )
    for key, value in numbers.items():
        _check_type(key, value, path)
    numbers |= _pruned_sizes(raw, path)
    try:
        return EncoderConfig(**{**numbers, "model_type": family})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _pruned_sizes(raw: Mapping[str, Any], path: Path) -> dict[str, tuple[int, ...]]:
    """Take out what hanmo wrote of layers that differ in size.

    Raises:
        UserError: no lists of numbers.
    """
    own = raw.get("hanmo")
    sizes = own.get(PRUNED, {}) if isinstance(own, dict) else {}
    found: dict[str, tuple[int, ...]] = {}
    for name, key in _PRUNED_KEYS.items():
        value = sizes.get(key) if isinstance(sizes, dict) else sizes
        if value is None:
            continue
        if not isinstance(value, list) or not all(type(n) is int for n in value):
            raise UserError(
                f"{path}: hanmo.{PRUNED}: {json.dumps(sizes)[:200]}; expected {key!r}: a list of "
                "whole numbers, one a layer"
            )
        found[name] = tuple(value)
    return found


def _check_type(key: str, value: Any, path: Path) -> None:
    """Refuse numbers that are texts and the like.

    Raises:
        UserError: of another type than the field's, or not positive.
    """
    kind = EncoderConfig.__dataclass_fields__[key].type
    if kind in {int, "int"} or (key == "embedding_size" and value is not None):
        least = 0 if key in {"type_vocab_size", "pad_token_id"} else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{path}: {key} {value!r}; expected a whole number from {least} on")
    elif kind in {float, "float"}:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{path}: {key} {value!r}; expected a number")
    elif kind in {str, "str"} and not isinstance(value, str):
        raise UserError(f"{path}: {key} {value!r}; expected a text")


def hugging_face_config(config: EncoderConfig, architecture: str, **extra: Any) -> dict[str, Any]:
    """Return what `config.json` holds, so that transformers chooses the model and the tokenizer.

    Args:
        config: the encoder's numbers.
        architecture: class name of transformers' BERT; the family's own is derived from it.
        extra: further entries.
    """
    family = FAMILIES[config.model_type]
    numbers = dataclasses.asdict(config)
    sizes = {key: numbers.pop(name) for name, key in _PRUNED_KEYS.items()}
    if pruned := {key: list(value) for key, value in sizes.items() if value is not None}:
        extra["hanmo"] = {**extra.get("hanmo", {}), PRUNED: pruned}
    numbers["embedding_size"] = config.embedding_width
    if not family.factorised:
        del numbers["embedding_size"]
    return {
        **{family.keys.get(key, key): value for key, value in numbers.items()},
        **family.config,
        "architectures": [architecture.replace("Bert", family.title, 1)],
        "tokenizer_class": "BertTokenizer",
        "torch_dtype": "float32",
        **extra,
    }
