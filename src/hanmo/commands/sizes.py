"""Compare a teacher with its students: parameters, file, speed, and the share of its scores kept.

In: model folders, the teacher first, and with --runs folders that `hanmo evaluate` filled. Out: a
Markdown table on the console; with --out also as files, with a .csv and a picture. --json has all.

Speed is that of the encoder, from ids to the hidden states of all pieces, at batch 1 and 32 on
this machine, models in turn, medians. The ids are random ones of the vocabulary, --length pieces
each; --texts measures real lengths: 32 texts of the file, by each model's own vocabulary, cut to
--length.

A model is PATH, or NAME=PATH for its name in tables and runs: runs belong to the model of the same
name, so NAME pairs a folder with runs that were made under that name.

    hanmo sizes base=models/roberta rbt3=work/rbt3 --runs work/table --out work/sizes.md
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanmo.commands import _model_names
from hanmo.core.errors import UserError
from hanmo.core.files import read_lines, write_atomic
from hanmo.core.log import Progress
from hanmo.report import shrinking_text
from hanmo.report.own_files import PNG_HEAD, refuse_other
from hanmo.report.runs import Collected, collect
from hanmo.report.shrinking import Measured, Shrinking, compare
from hanmo.report.shrinking_plot import MARK, shrinking_png

if TYPE_CHECKING:
    from hanmo.model.encoder import Encoder
    from hanmo.train.devices import Device

_MAKER = "hanmo sizes"
_BATCHES = (1, 32)
_TEXTS = max(_BATCHES)  # texts of a file that are measured
_RANDOM = {1: 4, 32: 32}  # batch size → random sequences of a pass


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo sizes`.

    Attributes:
        models: PATH or NAME=PATH of model folders: the teacher, then students.
        runs: Folders with runs below, such as the --out of `hanmo evaluate`, for the scores.
        out: Markdown file to write, with a .csv and, where there are scores, a picture beside it.
        length: Pieces of a sequence; with --texts, of the longest.
        texts: File with one text a line, to measure real lengths instead of random pieces.
        precision: "auto", "fp32" or "bf16"; in bf16 the weights are bf16 too.
        threads: CPU threads; default: all cores.
        device: "cpu" or "cuda"; by default CUDA when there is one.
        repeats: Measurements of each model and batch size; the median counts.
        overwrite: Replace files that are not hanmo's.
    """

    models: list[str] = field(metadata={"positional": True})
    runs: list[Path] | None = None
    out: Path | None = field(default=None, metadata={"output": True})
    length: int = 128
    texts: Path | None = None
    precision: str = "auto"
    threads: int | None = None
    device: str | None = None
    repeats: int = 7
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class _Sample:
    """Texts to measure on; `said` tells which."""

    texts: tuple[str, ...]
    said: str


def run(config: Config) -> dict[str, Any]:
    """Measure, compare, write.

    Returns:
        "text": the Markdown and the names of the files; "models": everything of each; "notes";
        "settings": machine and settings; with `out`, "out" and "files".

    Raises:
        UserError: before anything is measured: no model folder, a name given twice, bad settings,
            no finished run below the folders, or another file at `out`.
    """
    for flag, value, least in (("length", config.length, 3), ("repeats", config.repeats, 1)):
        if value < least:
            raise UserError(f"--{flag}: got {value}; expected {least} or more")
    folders = _folders(config.models)
    collected = _collected(config.runs)
    if config.out is not None:
        _check_out(config.out, overwrite=config.overwrite)
    sample = None if config.texts is None else _sample(config.texts)
    # Only now torch: what is wrong above is told at once.
    from hanmo.train import devices

    load = os.getloadavg()[0]
    device = devices.prepare(config.precision, threads=config.threads, name=config.device)
    measured, told = _measure(folders, sample, device, config)
    made = compare(measured, None if collected is None else collected.runs)
    settings = _settings(device, config, load)
    conditions = [*_conditions(settings, config), *([sample.said] if sample else []), *told]
    text = shrinking_text.markdown(made, conditions + _absent(collected))
    result: dict[str, Any] = {
        "text": text,
        "models": shrinking_text.plain(made),
        "notes": [*made.notes, *_absent(collected)],
        "settings": settings,
    }
    if config.out is None:
        return result
    files = _write(config.out, text, made)
    written = f"{text}\nWritten: {', '.join(files)}\n"
    return result | {"text": written, "out": str(config.out), "files": files}


def _folders(given: Sequence[str]) -> dict[str, Path]:
    """Return name → folder, the teacher first."""
    found = []
    for text in given:
        name, value = _model_names.named(text)
        path = Path(value)
        if not (path / "config.json").is_file():
            raise UserError(
                f"models: {text!r}: no config.json in {path}; expected PATH or NAME=PATH of a "
                "model folder"
            )
        name = _model_names.checked(name or path.resolve().name, value, "models")
        found.append((name, path))
    _model_names.refuse_twice([name for name, _ in found], "models", "NAME=PATH names a model")
    return dict(found)


def _collected(folders: Sequence[Path] | None) -> Collected | None:
    if folders is None:
        return None
    collected = collect(folders)
    if not collected.runs:
        absent = len(collected.failed) + len(collected.unfinished) + len(collected.missing)
        raise UserError(
            f"--runs {' '.join(map(str, folders))}: no finished run below ({absent} failed, "
            "unfinished or missing); expected a folder made by hanmo finetune or hanmo evaluate"
        )
    return collected


def _absent(collected: Collected | None) -> list[str]:
    if collected is None:
        return []
    counts = {
        "failed": len(collected.failed),
        "unfinished": len(collected.unfinished),
        "missing": len(collected.missing),
    }
    if not any(counts.values()):
        return []
    said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return [f"Runs that are not in the table: {said}."]


def _check_out(out: Path, *, overwrite: bool) -> None:
    if out.suffix != ".md":
        raise UserError(
            f"--out {out}: names the Markdown file; expected for example {out.with_suffix('.md')} "
            "(a .csv and perhaps a .png are written beside it)"
        )
    if not overwrite:
        refuse_other(out, f"{shrinking_text.TITLE}\n", _MAKER)
        refuse_other(out.with_suffix(".csv"), shrinking_text.BEGINNING, _MAKER)
        refuse_other(out.with_suffix(".png"), MARK, _MAKER, within=PNG_HEAD)


def _write(out: Path, text: str, made: Shrinking) -> list[str]:
    files: dict[Path, str | bytes] = {out: text}
    files[out.with_suffix(".csv")] = shrinking_text.csv_text(made)
    drawn = shrinking_png(made)
    if drawn is not None:
        files[out.with_suffix(".png")] = drawn
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_atomic(path, content)
    return [str(path) for path in files]


def _sample(path: Path) -> _Sample:
    """Take texts evenly from a file; short files are gone through again."""
    lines = [line.strip() for _, line in read_lines(path)]
    texts = [line for line in lines if line]
    if not texts:
        raise UserError(f"{path}: no text in it; expected one a line")
    if len(texts) >= _TEXTS:
        chosen = [texts[i * len(texts) // _TEXTS] for i in range(_TEXTS)]
    else:
        chosen = [texts[i % len(texts)] for i in range(_TEXTS)]
    blank = len(lines) - len(texts)
    said = f"Texts: {min(len(texts), _TEXTS)} of the {len(texts):,} of {path.name}, evenly"
    return _Sample(tuple(chosen), said + (f" ({blank:,} blank lines left out)." if blank else "."))


def _measure(
    folders: Mapping[str, Path], sample: _Sample | None, device: "Device", config: Config
) -> tuple[list[Measured], list[str]]:
    """Return what was measured of every model, and sentences about its texts."""
    from hanmo.commands._encoder_speed import interleaved, ready
    from hanmo.model.checkpoint import load_encoder, weights_file
    from hanmo.train.devices import explained

    with explained("compare fewer models at a time, or give a smaller --length"):
        encoders = {name: load_encoder(path, dropout=0.0) for name, path in folders.items()}
        pieces, told = {}, []
        for name, encoder in encoders.items():
            pieces[name], words = _pieces(name, encoder, folders[name], sample, config.length)
            told += words
        for encoder in encoders.values():
            ready(encoder, device)
        rounds: dict[str, dict[int, list[float]]] = {name: {} for name in folders}
        total = len(_BATCHES) * len(folders) * (config.repeats + 1)
        with Progress("sizes", total=total, unit="measurements") as bar:
            for batch in _BATCHES:
                n = _TEXTS if sample else _RANDOM[batch]
                seconds = interleaved(
                    _passes(encoders, {k: v[:n] for k, v in pieces.items()}, batch, device),
                    repeats=config.repeats,
                    cuda=device.name != "cpu",
                    told=lambda: bar.advance(1),
                )
                for name, values in seconds.items():
                    rounds[name][batch] = [n / value for value in values]
    measured = []
    for name, encoder in encoders.items():
        whole = sum(part.numel() for part in encoder.parameters())
        outer = sum(part.numel() for part in encoder.embeddings.parameters())
        size = weights_file(folders[name]).stat().st_size
        measured.append(Measured(name, whole, whole - outer, size, rounds[name]))
    return measured, told


def _passes(
    encoders: Mapping[str, "Encoder"],
    pieces: Mapping[str, Sequence[Any]],
    batch: int,
    device: "Device",
) -> dict[str, Any]:
    from hanmo.commands._encoder_speed import batched, passing

    made = {}
    for name, encoder in encoders.items():
        batches = batched(pieces[name], size=batch, pad_id=encoder.config.pad_token_id)
        made[name] = passing(encoder, batches, device)
    return made


def _pieces(
    name: str, encoder: "Encoder", folder: Path, sample: _Sample | None, length: int
) -> tuple[list[Any], list[str]]:
    """Return the ids of every sequence, and a sentence about texts."""
    from hanmo.commands._encoder_speed import random_pieces
    from hanmo.predict._how import DEFAULT
    from hanmo.predict._model import open_tokenizer

    longest = encoder.config.max_position_embeddings
    if length > longest:
        raise UserError(
            f"--length: got {length}; {name} ({folder}) has {longest} positions: give {longest} or "
            "less"
        )
    if sample is None:
        return random_pieces(encoder.config, length=length, n=max(_RANDOM.values())), []
    tokenizer = open_tokenizer(folder, encoder.config.vocab_size, DEFAULT)
    encodings = tokenizer.encode_batch(list(sample.texts))
    made = [
        [tokenizer.cls_id, *encoding.ids[: length - 2].tolist(), tokenizer.sep_id]
        for encoding in encodings
    ]
    import numpy as np

    cut = sum(len(encoding) > length - 2 for encoding in encodings)
    mean = sum(map(len, made)) / len(made)
    words = f"{name}: {mean:.0f} pieces a text, {cut} of {len(made)} cut."
    return [np.array(ids, dtype=np.int64) for ids in made], [words]


def _settings(device: "Device", config: Config, load: float) -> dict[str, Any]:
    import torch

    from hanmo.train.devices import n_threads

    name = (
        torch.cuda.get_device_name()
        if device.name == "cuda"
        else str(torch.cpu.get_capabilities().get("cpu_name", "")) or "unknown"
    )
    return {
        "device": device.name,
        "machine": name.strip(),
        "precision": device.precision,
        "threads": n_threads(),
        "length": config.length,
        "texts": None if config.texts is None else str(config.texts),
        "repeats": config.repeats,
        "torch": str(torch.__version__),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": round(load, 2),
    }


def _conditions(settings: Mapping[str, Any], config: Config) -> list[str]:
    """Say what the speeds are of."""
    what = (
        f"random pieces, {config.length} a sequence"
        if config.texts is None
        else f"texts, cut to {config.length} pieces"
    )
    threads = "1 thread" if settings["threads"] == 1 else f"{settings['threads']} threads"
    return [
        f"Speed of the encoder alone, from ids to the hidden states of all pieces; {what}; "
        f"medians of {config.repeats}, models in turn. Parameters of the encoder, without pooler "
        "and heads; MB (10⁶ bytes) of the file of weights with all it holds.",
        f"Device {settings['device']} ({settings['machine']}), {settings['precision']}, "
        f"{threads}, torch {settings['torch']}, {settings['date']}; load of the machine before: "
        f"{settings['load_before']}.",
    ]
