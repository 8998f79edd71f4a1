"""What `hanmo annotate --sample N` shows: N labelled sentences, the speed, and the time for all."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hanmo.annotate.sentence import Sentence
from hanmo.core import remote
from hanmo.core.artifact import read_manifest
from hanmo.core.errors import UserError
from hanmo.core.executor import Executor, make_executor
from hanmo.core.log import Progress, duration
from hanmo.core.parts import parts_of
from hanmo.corpus.drawing import draw
from hanmo.inspection.lines import line_of, visible
from hanmo.inspection.terminal import Printed, interlinear, painted, width

# `annotate.Config`; importing it here would be a cycle.
Options: TypeAlias = Any

_TIMED = 4  # batches to measure on, beside the sentences that are shown
_SECONDS = 4.0  # spent on measuring
_MARGIN = 6


@dataclass(frozen=True, slots=True)
class Work:
    """What a real run does, to be measured.

    Attributes:
        annotate: Annotates sentences, and checks them.
        write: Annotates and checks the sentences of documents and writes them as a part: path,
            documents, what messages call their source, counts.
        batch: Sentences that are annotated at a time.
    """

    annotate: Callable[[Sequence[str]], Sequence[Sentence]]
    write: Callable[[Path, Sequence[tuple[str, list[str]]], str, Counter[str]], None]
    batch: int


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured, in one process.

    Attributes:
        start: Seconds to make the annotator and to annotate the first sentence.
        characters: Characters annotated and written, the annotator being warm.
        seconds: Seconds that took.
    """

    start: float
    characters: int
    seconds: float

    @property
    def rate(self) -> float:
        """Characters a second."""
        return self.characters / max(self.seconds, 1e-9)


def look(config: Options, work: Work, n_parts: int, executor: Executor) -> dict[str, Any]:
    """Annotate a sample, and estimate how long all of it takes; nothing stays written.

    Args:
        config: Settings of `hanmo annotate`.
        work: What a real run does.
        n_parts: Parts that all of it has; more processes than these have nothing to do.
        executor: Where a real run's processes would be.

    Raises:
        UserError: Files instead of corpora, or a corpus without a sentence.
    """
    total, parts = 0, []
    for folder in config.corpus:
        if not remote.is_folder(folder):
            raise UserError(f"--sample: {folder} is a file that is annotated already; leave it out")
        total += int(read_manifest(folder, "corpus").counts.get("characters", 0))
        parts += parts_of(folder, "corpus")
    drawn = draw(parts, config.sample + _TIMED * work.batch, max_chars=config.max_chars)
    if not drawn:
        raise UserError(f"{', '.join(map(str, config.corpus))}: not one sentence to annotate")
    sentences, speed = _measured(work, drawn, config.sample)
    workers = min(config.workers, n_parts)
    if isinstance(executor, type(make_executor("local"))):  # others have other machines
        workers = min(workers, os.cpu_count() or 1)
    seconds = speed.start + total / speed.rate / workers
    result = {
        "sentences": [{"document": name, **line_of(one).to_json()} for name, one in sentences],
        "characters_per_second": round(speed.rate),
        "start_seconds": round(speed.start, 3),
        "characters": total,
        "workers": workers,
        "estimated_seconds": round(seconds, 3),
    }
    return {"text": _text(config, sentences, speed, result), "json": result}


def _measured(
    work: Work, drawn: Sequence[tuple[str, str]], n: int
) -> tuple[list[tuple[str, Sentence]], Speed]:
    """Annotate the sentences that are shown, then others for as long as measuring may take."""
    shown = _evenly(len(drawn), n)
    rest = [drawn[at] for at in sorted(set(range(len(drawn))) - set(shown))]
    begin = time.perf_counter()
    work.annotate([drawn[shown[0]][1]])  # models are read when they are first needed
    start = time.perf_counter() - begin
    made = work.annotate([drawn[at][1] for at in shown])
    found = [(drawn[at][0], one) for at, one in zip(shown, made, strict=True)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress("measure the speed", None, "sentences") as bar,
    ):

        def spent(some: Sequence[tuple[str, str]]) -> float:
            documents = [(name, [text]) for name, text in some]
            begin = time.perf_counter()
            work.write(Path(folder) / "part.parquet", documents, "the sample", Counter())
            bar.advance(len(some))
            return time.perf_counter() - begin

        few = [drawn[at] for at in shown]
        spent(few[:1])  # what the first part alone costs, such as importing libraries
        size, took = len(few), spent(few)
        timed, seconds, at = _characters(few), took, 0
        while at < len(rest) and seconds < _SECONDS:
            # A slow annotator gets as many as fit into the time, and never a whole batch.
            fits = max(1, min(work.batch, int(_SECONDS * size / max(took, 1e-9))))
            if at and len(rest) - at < min(fits, size):
                break
            if fits > size:  # only batches of a run's size, or the nearest to it, count
                timed, seconds = 0, 0.0
            some = rest[at : at + fits]
            size, took, at = len(some), spent(some), at + fits
            timed, seconds = timed + _characters(some), seconds + took
    return found, Speed(start, timed, seconds)


def _characters(some: Sequence[tuple[str, str]]) -> int:
    return sum(len(text) for _, text in some)


def _evenly(n: int, wanted: int) -> list[int]:
    wanted = min(n, wanted)
    return [(2 * i + 1) * n // (2 * wanted) for i in range(wanted)]


def _text(
    config: Options,
    sentences: Sequence[tuple[str, Sentence]],
    speed: Speed,
    result: dict[str, Any],
) -> str:
    columns = width()
    lines: list[Printed] = []
    rows = next((line.rows for _, one in sentences if (line := line_of(one)).rows), ())
    under = f"; under the words: {', '.join(rows)}" if rows else ""
    lines.append(
        [(f"{len(sentences)} sentences by {config.annotator}", "title"), (f"{under}\n", "faint")]
    )
    for number, (name, one) in enumerate(sentences, start=1):
        lines.append([(f"{number:>{_MARGIN - 2}}  document {visible(name)}", "faint")])
        lines += interlinear(line_of(one), columns=columns, indent=" " * _MARGIN)
    workers = result["workers"]
    asked = f" (of {config.workers} asked for)" if workers < config.workers else ""
    all_of_it = duration(result["estimated_seconds"])
    folders = " ".join(map(str, config.corpus))
    out = config.out or Path("SENTENCES")
    processes = "process" if workers == 1 else "processes"
    lines += [
        [],
        [
            (f"speed: {speed.rate:,.0f} characters a second in one process", "title"),
            (f" (measured on {speed.characters:,}; {speed.start:.1f} s to start)", "faint"),
        ],
        [
            (f"all {result['characters']:,} characters: about {all_of_it}", "title"),
            (f" with {workers} {processes}{asked}, if each has a core to itself", "faint"),
        ],
        [(f"nothing was written; for all of it: hanmo annotate {folders} --out {out} …", "faint")],
    ]
    return painted(lines)
