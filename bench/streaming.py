"""A file of a million lines through `hanmo predict --file --out`: memory, speed, and a kill.

Real text, cut to short lines and repeated to `--lines`, goes to a classifier of two layers (random
weights: what is measured is the road to and from the model). The first run is killed with -9 at
half of its answers and continued with --resume; its resident memory is read every second.

    python bench/streaming.py VOCAB TEXTS [--lines 1000000] [--threads 1]
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("vocab", type=Path)
    parser.add_argument("texts", type=Path, help="a text a line; its first characters are asked")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--characters", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        model, file, out = (Path(made) / name for name in ("model", "texts.txt", "out.jsonl"))
        _write_model(model, options.vocab)
        _write_texts(options.texts, file, options.lines, options.characters)
        command = [sys.executable, "-m", "hanmo", "predict", str(model), "classify"]
        command += ["--file", str(file), "--out", str(out)]
        partial = out.with_name(out.name + ".partial")
        first = _watch(command, options.threads, partial, kill_at=options.lines // 2)
        if first["rc"] != -signal.SIGKILL:
            raise SystemExit(f"ended with {first['rc']} before it was killed; take more --lines")
        second = _watch([*command, "--resume"], options.threads, partial)
        if second["rc"] != 0:
            raise SystemExit(f"the continued run ended with {second['rc']}")
        bad = _check(file, out)
    rss = [*first["rss"], *second["rss"]]
    for name, one in (("first", first), ("continued", second)):
        tenth = len(one["rss"]) // 10
        print(f"{name}: {one['seconds']:.0f} s, {one['rss'][tenth]:.0f} MB after a tenth", end="")
        print(f", {one['rss'][-1]:.0f} MB at the end")
    print(
        f"RESULT lines={options.lines} wrong_lines={bad} killed_at={first['answers']} "
        f"lines_per_second={first['answers'] / first['seconds']:.0f} "
        f"most_mb={max(rss):.0f} "
        f"mb_after_a_tenth={first['rss'][len(first['rss']) // 10]:.0f} "
        f"mb_at_end={second['rss'][-1]:.0f}"
    )


def _write_model(folder: Path, vocab: Path) -> None:
    import dataclasses

    from hanmo.model.checkpoint import random_encoder, save_model
    from hanmo.model.config import size_named
    from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
    from hanmo.text.tokenizer import Tokenizer

    shape = dataclasses.replace(
        size_named("tiny"),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
    )
    model = Pooled(random_encoder(shape, seed=1), 3, cross_entropy)
    names = {str(n): name for n, name in enumerate(("差", "中", "好"))}
    extra = {"kind": "classification", "task": "bench", "fields": ["text_a"]}
    save_model(folder, model, tokenizer=Tokenizer.load(vocab), extra=extra, id2label=names)


def _write_texts(source: Path, file: Path, lines: int, characters: int) -> None:
    from hanmo.core.files import read_lines

    cut = (line.replace("\t", " ").strip()[:characters] for _, line in read_lines(source))
    known = [line for line in cut if line]
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in itertools.islice(itertools.cycle(known), lines))


def _watch(
    command: list[str], threads: int, partial: Path, kill_at: int | None = None
) -> dict[str, Any]:
    """Run a command; its resident memory in MB each second, and its answers when it was killed."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    rss: list[float] = []
    answers = counted = 0
    while process.poll() is None:
        time.sleep(1)
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            break
        if pages:  # none are left when it ends
            rss.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        if kill_at is None or not partial.exists():
            continue
        with partial.open("rb") as stream:  # what was not counted yet
            stream.seek(counted)
            more = stream.read()
        counted += len(more)
        answers += more.count(b"\n")
        if answers >= kill_at:
            os.kill(process.pid, signal.SIGKILL)
            break
    rc = process.wait()
    return {"rc": rc, "rss": rss, "answers": answers, "seconds": time.perf_counter() - begin}


def _check(file: Path, out: Path) -> int:
    """Count lines without an answer of their own."""
    bad = 0
    with file.open(encoding="utf-8") as texts, out.open(encoding="utf-8") as answers:
        for text, answer in itertools.zip_longest(texts, answers):
            own = answer is not None and text is not None
            bad += not own or json.loads(answer).get("text") != text.rstrip("\n")
    return bad


if __name__ == "__main__":
    main()
