"""A model folder as values: all its tensors, its configuration, its vocabulary.

Cutting works on names and tensors, not on a module, so that nothing in a folder is lost that no
module asks for: poolers, task heads, label heads, and every key of `config.json`.

    whole = read_folder(Path("work/lert"))
    write_folder(keep_layers(whole, [0, 2]), Path("work/two"), entry={"layers": [0, 2]})
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from hanmo.core.artifact import checked
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.model import checkpoint
from hanmo.model.config import (
    PRUNED,
    EncoderConfig,
    config_of,
    hugging_face_config,
    read_raw_config,
)
from hanmo.model.pruned import pad
from hanmo.text.tokenizer import Tokenizer

WORDS = "bert.embeddings.word_embeddings.weight"
HISTORY = "pruning"  # key under "hanmo": what was done to the model, first things first
GENERATOR = "generator"
_SPECIAL_IDS = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a model folder holds.

    Attributes:
        config: the encoder's numbers.
        weights: of model.safetensors, under our names, without padding.
        heads: of heads.safetensors.
        raw: all of config.json.
        pieces: the vocabulary.
        dtype: of the weights.
        generator: an ELECTRA's, a folder of its own.
    """

    config: EncoderConfig
    weights: Mapping[str, Tensor]
    heads: Mapping[str, Tensor]
    raw: Mapping[str, Any]
    pieces: tuple[str, ...]
    generator: "ModelFolder | None" = None

    @property
    def n_parameters(self) -> int:
        """Numbers in all tensors, heads included, padding and generator not."""
        return sum(t.numel() for part in (self.weights, self.heads) for t in part.values())


def read_folder(folder: Path) -> ModelFolder:
    """Read a model folder, hanmo's or Hugging Face's.

    Raises:
        UserError: not a model folder, damaged weights, more pieces than embeddings, or an output
            matrix that is not the embeddings.
    """
    raw = read_raw_config(folder / checkpoint.CONFIG)
    config = config_of(raw, folder / checkpoint.CONFIG)
    weights = checkpoint.read_weights(folder)
    for name in sorted(weights):
        original = checkpoint.original_of(name)
        if original is None:
            continue
        if original and not torch.equal(weights[name], weights.get(original, weights[name])):
            raise UserError(checkpoint.untied(folder, name))
        del weights[name]  # transformers ties it again
    _check_shapes(weights, config, folder)
    heads = folder / checkpoint.HEADS
    tokenizer = Tokenizer.load(folder)
    if tokenizer.size > config.vocab_size:
        raise UserError(
            f"{folder}: its vocabulary has {tokenizer.size:,} pieces, config.json says "
            f"{config.vocab_size:,}; the files are of different models"
        )
    beside = folder / GENERATOR
    return ModelFolder(
        config,
        weights,
        load_file(checked(heads)) if heads.is_file() else {},
        raw,
        tuple(tokenizer.vocab),
        read_folder(beside) if (beside / checkpoint.CONFIG).is_file() else None,
    )


def write_folder(model: ModelFolder, folder: Path, entry: Mapping[str, Any]) -> None:
    """Write a model folder: all keys of its `config.json` that did not change stay.

    Args:
        model: what to write.
        folder: made if absent.
        entry: what was done, for the history under "hanmo".
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, family = model.config, model.config.family
    padded = pad(model.weights, config)
    there = checkpoint.names_on_disk(padded, family)
    known = {there[name]: tensor.contiguous() for name, tensor in padded.items()}
    write_atomic(folder / checkpoint.WEIGHTS, save(known, metadata={"format": "pt"}))
    if model.heads:
        heads = dict(model.heads)
        write_atomic(folder / checkpoint.HEADS, save(heads, metadata={"format": "pt"}))
    made = hugging_face_config(config, "BertModel")
    sizes = ("vocab_size", "num_hidden_layers", "intermediate_size", "pad_token_id")
    changed = {family.keys.get(key, key): made[family.keys.get(key, key)] for key in sizes}
    own = {**_own(model.raw), HISTORY: [*_own(model.raw).get(HISTORY, []), dict(entry)]}
    own.pop(PRUNED, None)
    own |= made.get("hanmo", {})
    write_json(folder / checkpoint.CONFIG, {**model.raw, **changed, "hanmo": own})
    Tokenizer(model.pieces).save(folder, max_length=config.max_position_embeddings)
    if model.generator is not None:
        write_folder(model.generator, folder / GENERATOR, entry)


def check_written(model: ModelFolder, folder: Path) -> None:
    """Read a folder that was written, and compare it with what was meant, bit for bit.

    Raises:
        UserError: it differs: the disk is not to be trusted.
    """
    found = read_folder(folder)
    for part in ("weights", "heads"):
        wanted, got = getattr(model, part), getattr(found, part)
        wrong = [n for n in wanted if n not in got or not torch.equal(wanted[n], got[n])]
        if wrong or wanted.keys() != got.keys():
            raise UserError(f"{folder}: was not read back as it was written ({wrong[:1]})")
    if model.generator is not None:
        check_written(model.generator, folder / GENERATOR)


def special_id_keys(raw: Mapping[str, Any]) -> list[str]:
    """Return the keys of a `config.json` that are ids of pieces."""
    return [f"{name}_token_id" for name in _SPECIAL_IDS if type(raw.get(f"{name}_token_id")) is int]


def _own(raw: Mapping[str, Any]) -> dict[str, Any]:
    own = raw.get("hanmo")
    return dict(own) if isinstance(own, dict) else {}


def _check_shapes(weights: Mapping[str, Tensor], config: EncoderConfig, folder: Path) -> None:
    """Refuse weights that are not of the shape that the configuration states."""
    from hanmo.model.encoder import Encoder

    with torch.device("meta"):
        expected = Encoder(config).state_dict()
    for name, tensor in expected.items():
        given = weights.get(f"bert.{name}")
        if given is None or given.shape != tensor.shape:
            got = "not there" if given is None else list(given.shape)
            raise UserError(
                f"{folder}: weights do not fit config.json: bert.{name}: {got}, expected "
                f"{list(tensor.shape)}"
            )
