"""Model folders as contents: transformers' form, which is hanmo's too (`model/checkpoint.py`).

    contents = read_folder(Path("chinese-lert-base"))
    write_folder(contents, Path("copy"))

What transformers does not know (linguistic heads, heads of hanmo's own) lies in
`heads.safetensors`; an ELECTRA's generator in the folder `generator/`; Adam's moments, if they are
kept, in `optimizer.safetensors`.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.convert.contents import GENERATOR, SLOTS, Contents, Stored
from hanmo.convert.shapes import part_of
from hanmo.convert.weights_file import read_metadata, read_weights, write_weights
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.model.checkpoint import (
    CONFIG,
    HEADS,
    WEIGHTS,
    names_on_disk,
    our_names,
    weights_file,
)
from hanmo.model.config import EncoderConfig, hugging_face_config, read_config
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import VOCAB_FILE, read_vocab, vocab_file

OPTIMIZER = "optimizer.safetensors"
_TRAINING = "training.json"  # of a pre-training checkpoint
# Written by transformers beside what they repeat: ending of the file's name → our name of the
# tensor that it must equal, or None for a table of numbers 0, 1, 2 …
_REPEATED: Mapping[str, str | None] = {
    "embeddings.position_ids": None,
    "embeddings.token_type_ids": None,
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "cls.predictions.bias",
    "generator_lm_head.weight": "bert.embeddings.word_embeddings.weight",
    "vocab_projector.weight": "bert.embeddings.word_embeddings.weight",
}


def read_folder(folder: Path, *, config: Path | None = None) -> Contents:
    """Read a model folder, hanmo's or transformers', with all its heads.

    Args:
        folder: the folder.
        config: its configuration; by default the one in it.

    Raises:
        UserError: not a model folder, damaged, or an output matrix of its own where hanmo's heads
            use the embeddings.
    """
    path = config or config_beside(folder)
    shape = read_config(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    own = raw.get("hanmo", {}).get("layers", {}) if isinstance(raw.get("hanmo"), dict) else {}
    found = _read_one(folder, shape)
    contents = Contents(
        shape,
        found,
        layers={name: tuple(labels) for name, labels in own.items()},
        raw=raw,
        vocabulary=_read_vocabulary(folder),
    )
    if (folder / OPTIMIZER).is_file():
        contents = _with_slots(contents, folder)
    if (folder / "generator" / CONFIG).is_file():
        second = read_folder(folder / "generator")
        tensors = {GENERATOR + name: tensor for name, tensor in second.tensors.items()}
        contents = dataclasses.replace(
            contents,
            generator=second.config,
            raw_generator=second.raw,
            tensors={**contents.tensors, **tensors},
        )
    return contents


def _with_slots(contents: Contents, folder: Path) -> Contents:
    """Add an optimiser's state: what a conversion kept, or that of a pre-training checkpoint."""
    found = read_weights(folder / OPTIMIZER)
    slots = {key: tensor for key, tensor in found.items() if key.rpartition("/")[2] in SLOTS}
    left = sorted({key.rpartition("/")[2] for key in found.keys() - slots.keys()})
    notes = (f"optimiser's state left out: {', '.join(left)}",) if left else ()
    step = read_metadata(folder / OPTIMIZER).get("step")
    if step is None and (folder / _TRAINING).is_file():
        step = json.loads((folder / _TRAINING).read_text(encoding="utf-8"))["step"]
    return dataclasses.replace(
        contents,
        slots=slots,
        step=None if step is None else Stored.of(np.array(int(step))),
        notes=(*contents.notes, *notes),
    )


def write_folder(contents: Contents, folder: Path, *, optimizer: bool = False) -> None:
    """Write a model folder.

    Args:
        contents: the checkpoint.
        folder: made if absent.
        optimizer: write Adam's moments too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    one = contents.half("discriminator")
    heads = set(_own_heads(one))
    there = names_on_disk((n for n in one.tensors if n not in heads), one.config.family)
    write_weights(folder / WEIGHTS, {there[n]: one.tensors[n] for n in there})
    if heads:
        write_weights(folder / HEADS, {name: one.tensors[name] for name in heads})
    if optimizer and contents.slots:
        step = {} if contents.step is None else {"step": str(int(contents.step.read()))}
        write_weights(folder / OPTIMIZER, contents.slots, step)
    if contents.vocabulary is not None:
        write_atomic(folder / VOCAB_FILE, contents.vocabulary)
        tokenizer = Tokenizer(read_vocab(folder / VOCAB_FILE), source=str(folder / VOCAB_FILE))
        tokenizer.save(folder, max_length=one.config.max_position_embeddings)
        write_atomic(folder / VOCAB_FILE, contents.vocabulary)  # byte for byte, CR and all
    if contents.generator is not None:
        write_folder(contents.half("generator"), folder / "generator")
    write_json(folder / CONFIG, hub_config(one))


def hub_config(one: Contents) -> dict[str, Any]:
    """Return `config.json`: the one the model came with, and what it lacks.

    transformers chooses the model by `architectures` and `model_type`, and the tokenizer by
    `tokenizer_class`: BERT's always, whatever the folder is called (facts/09 no. 6).
    """
    parts = {part_of(name) for name in one.tensors.keys() - set(_own_heads(one))}
    own = {"layers": {name: list(labels) for name, labels in one.layers.items()}}
    extra: dict[str, Any] = {"hanmo": own} if one.layers else {}
    for part, head in (("classifier", "classifier"), ("span_head", "qa_outputs")):
        if part in parts and not one.raw:
            extra["num_labels"] = one.tensors[f"{head}.bias"].shape[0]
    made = {**hugging_face_config(one.config, architecture(parts), **extra), **one.raw}
    # Some of HFL's first files name RoBERTa's classes, as the model's name does.
    return {**made, "tokenizer_class": "BertTokenizer"}


def architecture(parts: set[str]) -> str:
    """Return the class of transformers that has these parts, as BERT's is called."""
    if "classifier" in parts:
        return (
            "BertForSequenceClassification" if "pooler" in parts else "BertForTokenClassification"
        )
    if "span_head" in parts:
        return "BertForQuestionAnswering"
    if "replaced_head" in parts or {"mlm_head", "pair_head"} <= parts:
        return "BertForPreTraining"
    return "BertForMaskedLM" if "mlm_head" in parts else "BertModel"


def config_beside(folder: Path) -> Path:
    """Return the configuration of a folder: config.json, or the one JSON file called …config….json.

    The PyTorch archives of HFL's first models have a bert_config.json (facts/02).
    """
    if (folder / CONFIG).is_file():
        return folder / CONFIG
    others = sorted(folder.glob("*config*.json"))
    others = [
        path for path in others if "tokenizer" not in path.name and "generation" not in path.name
    ]
    return others[0] if len(others) == 1 else folder / CONFIG


def _own_heads(one: Contents) -> list[str]:
    """Return the tensors that transformers has no place for, which lie in a file of their own."""
    parts = {name: part_of(name) for name in one.tensors}
    own = {"own", "label_heads"}
    if "replaced_head" in parts.values():
        # transformers' ELECTRA has a pooler with its classifier alone, and no pair head.
        own |= {"pooler", "pair_head"}
    return [name for name, part in parts.items() if part in own]


def _read_one(folder: Path, config: EncoderConfig) -> dict[str, Stored]:
    path = weights_file(folder)
    stored = read_weights(path)
    repeated = {name: _original(name) for name in stored if _original(name) is not None}
    ours = our_names((name for name in stored if name not in repeated), config.family)
    tensors = {own: stored[name] for name, own in ours.items()}
    for name, original in repeated.items():
        assert original is not None
        wanted = tensors.get(original)
        if original and not (wanted is not None and stored[name].same(wanted)):
            raise UserError(
                f"{path}: {name} is a matrix of its own; hanmo's heads score pieces with "
                f"{original}, as the published models do"
            )
    if (folder / HEADS).is_file():
        tensors |= read_weights(folder / HEADS)
    return tensors


def _original(name: str) -> str | None:
    """Return what a tensor repeats; "" for counted tables; None for a tensor of its own."""
    for ending, original in _REPEATED.items():
        if name == ending or name.endswith(f".{ending}"):
            return original or ""
    return None


def _read_vocabulary(folder: Path) -> bytes | None:
    """Return the bytes of vocab.txt; made of tokenizer.json where that is all there is."""
    path = vocab_file(folder)
    if not path.is_file():
        return None
    if path.name == VOCAB_FILE:
        return path.read_bytes()
    return "".join(f"{piece}\n" for piece in read_vocab(path)).encode()
