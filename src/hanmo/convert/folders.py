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
from hanmo.convert.forms import PARTS
from hanmo.convert.git_lfs import refuse_pointer
from hanmo.convert.shapes import part_of
from hanmo.convert.vocabulary import read_flags, read_vocabulary, write_tokenizer
from hanmo.convert.weights_file import read_weights, write_weights
from hanmo.core.errors import UserError
from hanmo.core.files import write_json
from hanmo.model.checkpoint import (
    CONFIG,
    HEADS,
    WEIGHTS,
    names_on_disk,
    original_of,
    our_names,
    untied,
    weights_file,
)
from hanmo.model.config import EncoderConfig, config_of, hugging_face_config, read_raw_config

OPTIMIZER = "optimizer.safetensors"


def read_folder(folder: Path, *, file: Path | None = None, config: Path | None = None) -> Contents:
    """Read a model folder, hanmo's or transformers', with all its heads.

    Args:
        folder: the folder.
        file: the file of its weights; by default the one in it.
        config: its configuration; by default the one in it.

    Raises:
        UserError: not a model folder, damaged, or an output matrix of its own where hanmo's heads
            use the embeddings.
    """
    path = config or config_beside(folder)
    refuse_pointer(path)
    raw = read_raw_config(path)
    shape = config_of(raw, path)
    layers, step = own_entries(raw, path)
    tensors = _read_one(folder, shape, file)
    notes: list[str] = []
    if layers and not any(part_of(name) == "label_heads" for name in tensors):
        # Opened and saved by another program, which has no place for them.
        notes.append(f"its configuration lists label heads ({', '.join(layers)}); none is there")
        raw["hanmo"] = {key: value for key, value in raw["hanmo"].items() if key != "layers"}
        layers = {}
    if raw.get("is_decoder"):
        notes.append("its configuration says is_decoder; other programs will see both sides")
    contents = Contents(
        shape,
        tensors,
        layers=layers,
        raw=raw,
        step=None if step is None else Stored.of(np.array(step)),
        vocabulary=read_vocabulary(folder),
        flags=read_flags(folder),
        notes=tuple(notes),
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
    return dataclasses.replace(contents, slots=slots, notes=(*contents.notes, *notes))


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
        write_weights(folder / OPTIMIZER, contents.slots)
    if contents.vocabulary is not None:
        write_tokenizer(
            folder,
            contents.vocabulary,
            contents.flags,
            max_length=one.config.max_position_embeddings,
        )
    if contents.generator is not None:
        write_folder(contents.half("generator"), folder / "generator")
    write_json(folder / CONFIG, hub_config(one))


def hub_config(one: Contents) -> dict[str, Any]:
    """Return `config.json`: the one the model came with, and what it lacks.

    transformers chooses the model by `architectures` and `model_type`, and the tokenizer by
    `tokenizer_class`: BERT's always, whatever the folder is called (facts/09 no. 6).
    """
    parts = {part_of(name) for name in one.tensors.keys() - set(_own_heads(one))}
    layers = {name: list(labels) for name, labels in one.layers.items()}
    own: dict[str, Any] = {"layers": layers} if layers else {}
    if one.step is not None:  # LERT's loss depends on it
        own |= {"step": int(one.step.read())}
    extra: dict[str, Any] = {"hanmo": own} if own else {}
    for part, head in (("classifier", "classifier"), ("span_head", "qa_outputs")):
        if part in parts and not one.raw:
            extra["num_labels"] = one.tensors[f"{head}.bias"].shape[0]
    made = hugging_face_config(one.config, architecture(parts), **extra)
    made["torch_dtype"] = one.tensors["bert.embeddings.word_embeddings.weight"].dtype.name
    if "dtype" in one.raw:  # what transformers 5 writes instead
        del made["torch_dtype"]
    made |= one.raw
    if own and isinstance(one.raw.get("hanmo"), dict):
        made["hanmo"] = {**one.raw["hanmo"], **own}
    if "tie_word_embeddings" in made:  # hanmo's heads always are
        made["tie_word_embeddings"] = True
    # Some of HFL's first files name RoBERTa's classes, as the model's name does.
    return {**made, "tokenizer_class": "BertTokenizer"}


def named_class(raw: Mapping[str, Any]) -> str:
    """Return the class that a configuration names first, or ""."""
    named = raw.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


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


def own_parts(contents: Contents) -> str:
    """Name the parts that lie in a file of their own, for messages; "" if there are none."""
    parts = {part_of(name) for name in _own_heads(contents.half("discriminator"))}
    return ", ".join(title for part, title in PARTS.items() if part in parts)


def _own_heads(one: Contents) -> list[str]:
    """Return the tensors that transformers has no place for, which lie in a file of their own."""
    parts = {name: part_of(name) for name in one.tensors}
    own = {"own", "label_heads"}
    if "replaced_head" in parts.values():
        # transformers' ELECTRA has a pooler with its classifier alone, and no pair head.
        own |= {"pooler", "pair_head"}
    return [name for name, part in parts.items() if part in own]


def _read_one(folder: Path, config: EncoderConfig, file: Path | None) -> dict[str, Stored]:
    path, stored = _weights(folder, file)
    repeated = {name: original_of(name) for name in stored if original_of(name) is not None}
    ours = our_names((name for name in stored if name not in repeated), config.family)
    tensors = {own: stored[name] for name, own in ours.items()}
    for name, original in sorted(repeated.items(), key=lambda item: item[0].endswith("bias")):
        assert original is not None
        wanted = tensors.get(original)
        if original and not (wanted is not None and stored[name].same(wanted)):
            raise UserError(untied(path, name))
    if (folder / HEADS).is_file():
        tensors |= read_weights(folder / HEADS)
    return tensors


def own_entries(
    raw: Mapping[str, Any], path: Path
) -> tuple[dict[str, tuple[str, ...]], int | None]:
    """Return what hanmo wrote of its own into a configuration: label layers, and the step.

    Raises:
        UserError: entries of another shape.
    """
    own = raw.get("hanmo")
    if not isinstance(own, dict):
        return {}, None
    layers, step = own.get("layers", {}), own.get("step")
    sound = isinstance(layers, dict) and all(
        isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        for labels in layers.values()
    )
    if not sound or not isinstance(step, int | None) or not 0 <= (step or 0) < 1 << 63:
        raise UserError(
            f'{path}: "hanmo" holds {json.dumps(own, ensure_ascii=False)[:200]}; expected '
            '"layers": {"pos": ["n", …], …} and "step": a number'
        )
    return {name: tuple(labels) for name, labels in layers.items()}, step


def _weights(folder: Path, file: Path | None) -> tuple[Path, dict[str, Stored]]:
    """Read a folder's weights: one file, or the parts that an index lists."""
    index = folder / f"{WEIGHTS}.index.json"
    if file is not None or not index.is_file():
        path = file or weights_file(folder)
        return path, read_weights(path)
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        parts = {folder / Path(str(part)).name for part in places.values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: not an index of weights ({error!r})") from None
    stored: dict[str, Stored] = {}
    for part in sorted(parts):
        if not part.is_file():
            raise UserError(f"{part}: missing, though {index.name} lists it")
        stored |= read_weights(part)
    absent = sorted(places.keys() - stored.keys())
    if absent:
        raise UserError(f"{index}: lists {absent[0]}, which none of its files holds")
    return index, stored
