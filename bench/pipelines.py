"""Prediction from text to answer: hanmo's engines beside transformers' pipelines in fp32 and bf16.

A model of `--size` with random weights and a classifier, and one with a masked-LM head, saved once
and opened by both sides. Texts are real, cut to `--length` pieces; each carries one [MASK] for
fill-mask. Batches of 1 and 32, all sides in turns, medians compared. Then `--file` short texts as a
file: `hanmo predict --file --out` (batches by pieces), beside the pipeline as its documentation has
it (a list of texts), and at its best: texts sorted by length, in batches of 8 to 256.

    python bench/pipelines.py VOCAB TEXTS [--size base] [--threads 1 2] [--file 10000]

Sides in bf16 are left out where the processor has no products in it (`--precision auto`): one side
would take a hundred times as long as all others.
"""

import argparse
import itertools
import os
import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_BATCHES = (8, 32, 128, 256)  # of the peer
_HALVED = ("transformers-bf16", "torch-bf16")
ENGINES = {
    "torch-fp32": ("torch", "fp32"),
    "torch-bf16": ("torch", "bf16"),
    "onnx-fp32": ("onnx", "fp32"),
    "onnx-int8": ("onnx", "fp32"),
}


def main() -> None:
    """Measure and print RESULT lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("vocab", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--size", default="base")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--short", type=int, default=16, help="characters of the short texts")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file", type=int, default=10_000)
    parser.add_argument("--whole-rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{options.size}, length {options.length}, load before {os.getloadavg()[0]:.2f}")
    long, short = _texts(options.texts, options.length - 2), _short(options.texts, options)
    if len(long) < max(options.batch) or len(short) < min(100, options.file):
        raise SystemExit(f"{options.texts}: too few Chinese characters")
    with tempfile.TemporaryDirectory() as made:
        folders = _write(Path(made), options.vocab, options.size)
        for threads in options.threads:
            for task in ("classify", "fill-mask"):
                sides = _sides(folders, task, threads)
                for batch in options.batch:
                    _case(sides, task, threads, batch, texts=long, rounds=options.rounds)
            if options.file:
                sides = _sides(folders, "classify", threads)
                _whole(sides, folders, threads, short, rounds=options.whole_rounds, made=Path(made))
    print(f"load after {os.getloadavg()[0]:.2f}")


def _write(made: Path, vocab: Path, size: str) -> dict[str, dict[str, Path]]:
    """Write a classifier and a masked LM, each plain and exported in both ways."""
    import shutil

    import torch

    from hanmo.commands.export import Config, run
    from hanmo.model.checkpoint import random_encoder, save_model
    from hanmo.model.config import size_named
    from hanmo.model.masked_lm import MaskedLm
    from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
    from hanmo.text.tokenizer import Tokenizer

    shape, tokens = size_named(size), Tokenizer.load(vocab)
    torch.manual_seed(1)
    classifier = Pooled(random_encoder(shape, seed=1), 3, cross_entropy)
    masked = MaskedLm(shape)
    masked.bert.load_state_dict(random_encoder(shape, seed=1).state_dict())
    torch.nn.init.normal_(masked.cls.predictions.bias, std=0.02)
    labels = {str(n): f"class-{n}" for n in range(3)}
    extra = {"kind": "classification", "task": "bench", "fields": ["text_a"]}
    folders: dict[str, dict[str, Path]] = {}
    for task, model, more in (
        ("classify", classifier, {"extra": extra, "id2label": labels}),
        ("fill-mask", masked, {}),
    ):
        plain = made / f"{task}-plain"
        save_model(plain, model, tokenizer=tokens, **more)
        both = made / f"{task}-onnx"
        run(Config(model=plain, out=both, int8=True, without_weights=True))
        alone = made / f"{task}-onnx-fp32"
        shutil.copytree(both, alone)
        (alone / "model.int8.onnx").unlink()
        folders[task] = {
            "torch-fp32": plain,
            "torch-bf16": plain,
            "onnx-fp32": alone,
            "onnx-int8": both,
        }
    return folders


def _texts(path: Path, characters: int) -> list[str]:
    """Texts of so many characters, made of lines that follow each other."""
    from hanmo.core.files import read_lines

    lines = (line.strip() for _, line in read_lines(path))
    whole = "".join(line for line in lines if line)[: 2000 * characters]
    # A Chinese character is a piece; other signs make a few more or fewer.
    kept = "".join(one for one in whole if "\u4e00" <= one <= "\u9fff" or one in "，。；：")
    return [kept[n : n + characters] for n in range(0, len(kept) - characters, characters)]


def _short(path: Path, options: argparse.Namespace) -> list[str]:
    cut = _texts(path, options.short)
    # Short texts differ in length.
    return [text[: 4 + n % (options.short - 3)] for n, text in enumerate(cut * 20)][: options.file]


def _sides(folders: Any, task: str, threads: int) -> dict[str, Callable[[Sequence[str]], Any]]:
    import torch
    from transformers import AutoTokenizer, pipeline

    from hanmo.core import registry
    from hanmo.predict._how import How
    from hanmo.train.devices import prepare

    torch.set_num_threads(threads)
    plain = folders[task]["torch-fp32"]
    name = {"classify": "text-classification", "fill-mask": "fill-mask"}[task]
    pipe = pipeline(
        name, model=str(plain), tokenizer=AutoTokenizer.from_pretrained(plain), dtype=torch.float32
    )
    options = {"top_k": 3} if task == "classify" else {"top_k": 5}

    def peer(texts: Sequence[str]) -> Any:
        return pipe(list(texts), batch_size=len(texts), **options)

    sides: dict[str, Callable[[Sequence[str]], Any]] = {"transformers": peer}
    sides["transformers-1"] = lambda texts: pipe(list(texts), **options)
    halved = pipeline(
        name, model=str(plain), tokenizer=AutoTokenizer.from_pretrained(plain), dtype=torch.bfloat16
    )
    sides["transformers-bf16"] = lambda texts: halved(list(texts), batch_size=len(texts), **options)
    for size, (kind, one) in itertools.product(_BATCHES, (("", pipe), ("-bf16", halved))):
        sides[f"transformers{kind}-{size}"] = lambda texts, size=size, one=one: one(
            sorted(texts, key=len), batch_size=size, **options
        )
    made = registry.load("hanmo.predict", task).Predict
    for engine, (kind, precision) in ENGINES.items():
        how = How(engine=kind, precision=precision)
        sides[engine] = made().load(folders[task][engine], top_k=5, how=how)
    if prepare("auto", threads=threads).precision == "fp32":
        for name in list(sides):
            if name.startswith(_HALVED):
                del sides[name]
    return sides


def _case(sides: Any, task: str, threads: int, batch: int, *, texts: Any, rounds: int) -> None:
    names = [one for one in ("transformers", "transformers-bf16", *ENGINES) if one in sides]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        chosen = [texts[(turn * batch + n) % len(texts)] for n in range(batch)]
        if task == "fill-mask":
            chosen = [f"{one[:60]}[MASK]{one[61:]}" for one in chosen]
        for name in names:
            begin = time.perf_counter()
            sides[name](chosen)
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    told = " ".join(f"{name}={median['transformers'] / median[name]:.2f}x" for name in names[1:])
    print(
        f"RESULT task={task} threads={threads} batch={batch} "
        f"transformers_ms={1000 * median['transformers']:.1f} {told}",
        flush=True,
    )


def _whole(
    sides: Any, folders: Any, threads: int, texts: Sequence[str], *, rounds: int, made: Path
) -> None:
    """Many short texts as a file has them: medians of `rounds`, all sides in turns."""
    peers = [name for name in sides if re.fullmatch(r"transformers(-bf16)?-\d+", name)]
    engines = {name: how for name, how in ENGINES.items() if name in sides}
    file = made / "short.txt"
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    times: dict[str, list[float]] = {name: [] for name in (*peers, *engines)}
    for name in times:
        sides[name](texts[:64])
    for _ in range(rounds):
        for name, taken in times.items():
            # The peer takes minutes; a tenth of the texts, evenly taken, tells its speed.
            part = texts[::10] if name in peers else texts
            begin = time.perf_counter()
            if name in peers:
                sides[name](part)
            else:
                _command(folders["classify"][name], engines[name], file, made / "answers.jsonl")
            taken.append((time.perf_counter() - begin) * len(texts) / len(part))
    seconds = {name: statistics.median(values) for name, values in times.items()}
    best = min(seconds[name] for name in peers)
    told = " ".join(f"{name}={seconds['transformers-1'] / seconds[name]:.2f}x" for name in seconds)
    over = " ".join(f"{name}_over_best={best / seconds[name]:.2f}x" for name in engines)
    print(
        f"RESULT task=file threads={threads} texts={len(texts)} "
        f"transformers_s={seconds['transformers-1']:.1f} {told} {over}",
        flush=True,
    )


def _command(folder: Path, engine: tuple[str, str], file: Path, out: Path) -> None:
    """Answer a file as `hanmo predict` does, loading the model included."""
    from hanmo.commands.predict import Config, run

    kind, precision = engine
    run(
        Config(
            model=folder,
            kind="classify",
            file=file,
            out=out,
            overwrite=True,
            engine=kind,
            precision=precision,
        )
    )


if __name__ == "__main__":
    main()
