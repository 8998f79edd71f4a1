"""Write a model for ONNX Runtime, with int8 products if asked, and say how far it is from torch.

In: a model folder: pre-trained, fine-tuned on any kind of task, or an encoder alone. Out: a model
folder that also has `model.onnx` (and `model.int8.onnx` with --int8), which predict and serve open
with --engine onnx. Every head is compared with torch on sample texts before the folder is finished.

    hanmo export work/runs/reviews/seed-1/model --int8 --out work/reviews-onnx
    hanmo predict work/reviews-onnx classify "味道很好，下次还来。" --engine onnx

The graph's inputs and outputs are described in docs/export.md.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hanmo import samples
from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.core.files import parsed, read_lines, write_json
from hanmo.core.log import say
from hanmo.predict._how import INT8, ONNX, REPORT

KIND = "exported model"
AFTER_STOP = "the same command begins anew"
_TEXTS = 64  # of the comparison
_LONGEST = 128  # pieces of one
_FP32_LIMIT = 1e-3  # of the scores' deviation: more is a mistake of the export, not of rounding


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo export`.

    Attributes:
        model: Model folder.
        out: Folder to make.
        to: Format.
        int8: Also write a graph whose products are in int8: a third of the size, and faster.
        without_weights: Leave torch's weights out of the folder: --engine onnx alone opens it.
        overwrite: Replace a folder that was made with other settings.
    """

    model: Path = field(metadata={"positional": True})
    out: Path = field(metadata={"output": True})
    to: Literal["onnx"] = "onnx"
    int8: bool = False
    without_weights: bool = False
    overwrite: bool = False


def run(config: Config) -> dict[str, Any]:
    """Export; a finished folder made with the same settings is left as it is.

    Returns:
        The folder, sizes of its files in MB, and for each file and head the differences from torch.

    Raises:
        UserError: no model folder, or an export that does not agree with torch.
        MissingLibraryError: the libraries of the extra `onnx` are not installed.
    """
    settings = {"to": config.to, "int8": config.int8, "without_weights": config.without_weights}
    with building(
        config.out,
        kind=KIND,
        config=settings,
        inputs={"model": config.model},
        overwrite=config.overwrite,
        resumes=False,
    ) as build:
        if build.finished:
            report = parsed(config.out / REPORT)
        else:
            report = _export(config, build.dir)
            write_json(build.dir / REPORT, report)
    return {"out": str(config.out), "json": report, "text": _text(config.out, report)}


def _export(config: Config, folder: Path) -> dict[str, Any]:
    from hanmo.export import onnx
    from hanmo.model.checkpoint import CONFIG, HEADS, weights_file
    from hanmo.model.config import read_config
    from hanmo.predict import _onnx
    from hanmo.predict._engine import N_ASKED, Torch, layer_head
    from hanmo.predict._how import DEFAULT
    from hanmo.predict._networks import network_of
    from hanmo.text.tokenizer import Tokenizer

    network, asked_by = network_of(config.model)
    tokenizer = Tokenizer.load(config.model)
    say(f"export: {config.model}: {', '.join(network.heads) or 'an encoder alone'}")
    onnx.write(network, folder / ONNX)
    if config.int8:
        onnx.quantize(folder / ONNX, folder / INT8)
    shutil.copyfile(config.model / CONFIG, folder / CONFIG)
    tokenizer.save(folder, max_length=read_config(config.model / CONFIG).max_position_embeddings)
    if not config.without_weights:
        for path in (weights_file(config.model), config.model / HEADS):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
    # Last, on what is there to stay: what was written is what is compared.
    reference = Torch(network, DEFAULT, tokenizer.pad_id)
    sequences = _sequences(tokenizer, N_ASKED, reference.max_length)
    heads = network.heads or (layer_head(network.depth),)
    compared = {}
    for path in sorted(folder.glob("*.onnx"), reverse=True):
        engine = _onnx.Onnx(path, DEFAULT, tokenizer.pad_id)
        found = onnx.compare(reference, engine, sequences, heads)
        if path.name == ONNX:
            _check(found, config.model)
        compared[path.name] = {name: onnx.told(one) for name, one in found.items()}
    return {
        "heads": list(network.heads),
        "asked_by": list(asked_by),
        "megabytes": {path.name: round(path.stat().st_size / 1e6, 1) for path in _files(folder)},
        "compared": compared,
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix in (".onnx", ".safetensors")]


def _sequences(tokenizer: Any, shortest: int, longest: int) -> list[Any]:
    """Turn lines of the package's own texts into inputs."""
    room = min(longest, _LONGEST) - 2
    lines = [line for path in samples.text_files() for _, line in read_lines(path) if line.strip()]
    step = max(1, len(lines) // _TEXTS)
    found = []
    for line in lines[::step][:_TEXTS]:
        pieces = tokenizer.encode(line).ids[:room]
        ids = np.array([tokenizer.cls_id, *pieces, tokenizer.sep_id], np.int32)
        lacking = max(0, shortest - len(ids))
        found.append(np.pad(ids, (0, lacking), constant_values=tokenizer.sep_id))
    return found


def _check(found: Mapping[str, Any], model: Path) -> None:
    """Refuse an export in fp32 whose scores are not torch's."""
    for name, one in found.items():
        if not one.greatest <= _FP32_LIMIT * max(one.scale, 1e-6):
            raise UserError(
                f"{model}: the exported {name} differs from torch by {one.greatest:.3g}, where "
                f"scores vary by {one.scale:.3g}; please report this, with the libraries' versions"
            )


def _text(out: Path, report: Mapping[str, Any]) -> str:
    lines = [f"{out}: {', '.join(f'{n} {mb:,.1f} MB' for n, mb in report['megabytes'].items())}"]
    for name, heads in report["compared"].items():
        for head, one in heads.items():
            lines.append(
                f"{name}  {head}: differs from torch by {one['greatest_difference']:g} at most "
                f"(scores vary by {one['scores_deviation']:g}); the same best class at "
                f"{one['same_best']:.1%} of {one['positions']:,} positions"
            )
    lines.append(f"ask it: hanmo predict {out} {' | '.join(report['asked_by'])} … --engine onnx")
    return "\n".join(lines)
