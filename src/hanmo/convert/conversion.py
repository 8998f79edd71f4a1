"""One conversion: read, check, write, read back, and say what the checkpoint holds.

report = convert(source, Path("out"), to="hf")
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.convert.contents import GENERATOR, Contents, Stored
from hanmo.convert.folders import hub_config, named_class, own_parts, read_folder, write_folder
from hanmo.convert.forms import FORMS
from hanmo.convert.paddle import class_of, read_paddle, write_paddle
from hanmo.convert.shapes import check, held
from hanmo.convert.sources import Source
from hanmo.convert.tf1_reading import read_tf1
from hanmo.convert.tf1_writing import write_tf1
from hanmo.convert.vocabulary import n_pieces
from hanmo.core.errors import UserError
from hanmo.core.log import Progress
from hanmo.model.mlm_head import judge

_PIECE = 1 << 22
_PREDICTIONS = "cls.predictions."


def convert(
    source: Source, folder: Path, *, to: str, where: str, optimizer: bool = False
) -> dict[str, Any]:
    """Write a checkpoint in another form, and read it back.

    Args:
        source: as `sources.opened` gives it.
        folder: where to write.
        to: one of `forms.FORMS`.
        where: what the user called the source, for messages.
        optimizer: write Adam's moments too, where the form has a place for them.

    Returns:
        What the report says, for JSON.

    Raises:
        UserError: tensors that do not fit, a family that the form has no names for.
        RuntimeError: what was written reads back otherwise: a fault of hanmo's.
    """
    contents = source.contents
    check(contents, where)
    _about_vocabulary(contents)  # refuses one that is too long before anything is written
    notes = list(contents.notes)
    tensors = len(contents.tensors)
    with Progress(
        "convert", 2 * sum(_bytes(one) for one in contents.tensors.values()), "bytes"
    ) as bar:
        watched = dataclasses.replace(
            contents,
            tensors={name: _watched(one, bar.advance) for name, one in contents.tensors.items()},
        )
        written, program = _write(watched, folder, to, optimizer)
        notes += written
        back = _back(folder, to)
        not_finite = _compare(contents, back, bar.advance)
        _compare_others(contents, back, with_slots=optimizer and to != "paddle")
    if not_finite:
        notes.append(f"values that are no numbers or infinite: {', '.join(not_finite)}")
    report = describe(contents, to)
    if contents.slots and (not optimizer or to == "paddle"):
        notes.append(
            f"Adam's moments of {len(contents.slots) // 2:,} tensors left out"
            + ("" if to == "paddle" else "; keep them with --keep-optimizer")
        )
    notes += _about_vocabulary(contents)
    notes += _about_types(contents, to)
    return {
        "source": source.title,
        "to": to,
        "form": FORMS[to],
        **program,
        **report,
        "tensors": tensors,
        "notes": notes,
    }


def describe(contents: Contents, to: str) -> dict[str, Any]:
    """Say what a checkpoint holds: family, size, parameters, heads, and whether those are trained.

    Args:
        contents: the checkpoint.
        to: the form that it was written in, whose class opens it.

    Returns:
        For JSON.
    """
    config = contents.config
    named = class_of if to == "paddle" else class_name
    report: dict[str, Any] = {
        "family": config.model_type,
        "size": _size(contents),
        "parameters": held(contents),
        "labels": {name: len(labels) for name, labels in contents.layers.items()},
        "masked_lm_head": _judged(contents, ""),
        "step": None if contents.step is None else int(contents.step.read()),
        "class": named(contents),
        "hidden_act": config.hidden_act,
        "vocabulary": None if contents.vocabulary is None else n_pieces(contents.vocabulary),
    }
    if contents.generator is not None:
        half = contents.half("generator")
        report["generator"] = {
            "size": _size(half),
            "masked_lm_head": _judged(contents, GENERATOR),
            "class": named(half),
        }
    return report


def class_name(contents: Contents) -> str:
    """Return the class of transformers that opens the model with its heads."""
    one = contents.half("discriminator")
    return named_class(hub_config(one)) or "BertModel"


def _size(contents: Contents) -> dict[str, int]:
    config = contents.config
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "embedding": config.embedding_width,
        "vocabulary": config.vocab_size,
    }


def _judged(contents: Contents, prefix: str) -> dict[str, Any] | None:
    start = f"{prefix}{_PREDICTIONS}"
    head = {
        name.removeprefix(prefix): tensor.read()
        for name, tensor in contents.tensors.items()
        if name.startswith(start)
    }
    if not head:
        return None
    found = judge(head)
    return {"trained": found.trained, "reasons": list(found.reasons)}


def _about_vocabulary(contents: Contents) -> list[str]:
    """Compare the vocabulary's length with the model's.

    Raises:
        UserError: more pieces than the model knows.
    """
    if contents.vocabulary is None:
        return ["no vocab.txt beside it; give one with --vocab, or put it into the new folder"]
    found, expected = n_pieces(contents.vocabulary), contents.config.vocab_size
    if found > expected:
        raise UserError(
            f"its vocabulary has {found:,} pieces, the model {expected:,}; expected the vocabulary "
            "that it was trained with; give it with --vocab"
        )
    if found < expected:
        return [f"its vocabulary has {found:,} pieces, fewer than the model's {expected:,}"]
    return []


def _about_types(contents: Contents, to: str) -> list[str]:
    types = sorted({tensor.dtype.name for tensor in contents.tensors.values()} - {"float32"})
    if to != "tf1" or not types:
        return []
    return [f"weights are {', '.join(types)}; upstream's graphs are float32: --dtype float32"]


def _write(
    contents: Contents, folder: Path, to: str, optimizer: bool
) -> tuple[list[str], dict[str, str]]:
    """Write; returns notes, and of a TensorFlow checkpoint whose program reads it."""
    if to == "tf1":
        layout, notes = write_tf1(contents, folder, optimizer=optimizer)
        return notes, {"program": layout.title, "program_source": layout.source}
    if to == "paddle":
        warning = write_paddle(contents, folder)
        return [warning] if warning else [], {}
    if to in FORMS:
        write_folder(contents, folder, optimizer=optimizer)
        apart = own_parts(contents)
        return [f"{apart}: in heads.safetensors, which transformers passes over"] * bool(apart), {}
    raise UserError(f"--to: got {to!r}; expected one of {', '.join(FORMS)}")


def _back(folder: Path, to: str) -> Contents:
    """Read what was written; a refusal is hanmo's mistake here, not the user's."""
    try:
        if to == "tf1":
            return read_tf1(folder)[0]
        return read_paddle(folder) if to == "paddle" else read_folder(folder)
    except UserError as error:
        raise RuntimeError(f"what was written cannot be read back: {error}") from error


def _compare(one: Contents, two: Contents, advance: Callable[[float], None]) -> list[str]:
    """Compare what was written with what was read, bit for bit.

    Returns:
        Names of tensors whose values are not all finite.
    """
    problems = sorted(one.tensors.keys() ^ two.tensors.keys())
    not_finite = []
    for name in one.tensors.keys() & two.tensors.keys():
        first, second = one.tensors[name].read(), two.tensors[name].read()
        if (first.dtype, first.shape) != (second.dtype, second.shape) or not _same(first, second):
            problems.append(name)
        if not _is_finite(first):
            not_finite.append(name)
        advance(first.nbytes)
    if (one.config, one.generator, dict(one.layers)) != (
        two.config,
        two.generator,
        dict(two.layers),
    ):
        problems.append("the configuration")
    if problems:
        raise RuntimeError(
            f"what was written reads back otherwise: {', '.join(problems)}; nothing was kept; "
            "please report it"
        )
    return sorted(not_finite)


def _compare_others(one: Contents, two: Contents, *, with_slots: bool) -> None:
    """Compare vocabulary, step and, where they are kept, Adam's moments."""
    problems = []
    if with_slots:
        problems += sorted(one.slots.keys() ^ two.slots.keys())
        both = one.slots.keys() & two.slots.keys()
        problems += [name for name in both if not one.slots[name].same(two.slots[name])]
    if one.vocabulary != two.vocabulary:
        problems.append("the vocabulary")
    steps = [None if c.step is None else int(c.step.read()) for c in (one, two)]
    if steps[0] != steps[1]:
        problems.append(f"the step ({steps[0]}, read back {steps[1]})")
    if problems:
        raise RuntimeError(
            f"what was written reads back otherwise: {', '.join(problems)}; nothing was kept; "
            "please report it"
        )


def _is_finite(array: NDArray) -> bool:
    flat = np.ascontiguousarray(array).reshape(-1)
    pieces = (flat[start : start + _PIECE] for start in range(0, len(flat), _PIECE))
    return all(bool(np.isfinite(piece).all()) for piece in pieces)


def _same(one: NDArray, two: NDArray) -> bool:
    """Compare the bits, some at a time: a comparison makes an array as long as what it compares."""
    first, second = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (one, two))
    return all(
        np.array_equal(first[start : start + _PIECE], second[start : start + _PIECE])
        for start in range(0, len(first), _PIECE)
    )


def _bytes(one: Stored) -> int:
    return one.size * one.dtype.itemsize


def _watched(one: Stored, advance: Callable[[float], None]) -> Stored:
    def read() -> NDArray:
        array = one.read()
        advance(array.nbytes)
        return array

    return Stored(one.shape, one.dtype, read)
