"""What `hanmo annotate --sample N` shows: N labelled sentences, the speed, and the time for all."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hanmo.annotate.sentence import Annotator, Sentence
from hanmo.core import remote
from hanmo.core.artifact import read_manifest
from hanmo.core.errors import UserError
from hanmo.core.log import Progress, duration
from hanmo.core.parts import parts_of
from hanmo.corpus.drawing import draw
from hanmo.inspection.lines import line_of, visible
from hanmo.inspection.terminal import Printed, interlinear, painted, width

# `annotate.Config`; importing it here would be a cycle.
Options: TypeAlias = Any

_TIMED = 1024  # sentences to measure on, beside those that are shown
_SECONDS = 4.0  # spent on measuring
_MARGIN = 6


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured, in one process.

    Attributes:
        start: Seconds to make the annotator and to annotate the first sentence.
        characters: Characters annotated, the annotator being warm.
        seconds: Seconds that took.
    """

    start: float
    characters: int
    seconds: float

    @property
    def rate(self) -> float:
        """Characters a second."""
        return self.characters / max(self.seconds, 1e-9)


def look(config: Options, annotator: Annotator, n_parts: int, *, batch: int) -> dict[str, Any]:
    """Annotate a sample, and estimate how long all of it takes; nothing is written.

    Args:
        config: Settings of `hanmo annotate`.
        annotator: What annotates.
        n_parts: Parts that all of it has; more processes than these have nothing to do.
        batch: Sentences that the annotator gets at a time in a real run.

    Raises:
        UserError: Files instead of corpora, or a corpus without a sentence.
    """
    total, parts = 0, []
    for folder in config.corpus:
        if not remote.is_folder(folder):
            raise UserError(f"--sample: {folder} is a file that is annotated already; leave it out")
        total += int(read_manifest(folder, "corpus").counts.get("characters", 0))
        parts += parts_of(folder, "corpus")
    drawn = draw(parts, config.sample + _TIMED, max_chars=config.max_chars)
    if not drawn:
        raise UserError(f"{', '.join(map(str, config.corpus))}: not one sentence to annotate")
    sentences, speed = _measured(annotator, drawn, config.sample, batch)
    workers = min(config.workers, n_parts, os.cpu_count() or 1)
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
    annotator: Annotator, drawn: Sequence[tuple[str, str]], n: int, batch: int
) -> tuple[list[tuple[str, Sentence]], Speed]:
    """Annotate the sentences that are shown, then others for as long as measuring may take."""
    shown = _evenly(len(drawn), n)
    rest = [drawn[at][1] for at in sorted(set(range(len(drawn))) - set(shown))]
    begin = time.perf_counter()
    annotator.annotate([drawn[shown[0]][1]])  # models are read when they are first needed
    start = time.perf_counter() - begin
    begin = time.perf_counter()
    made = annotator.annotate([drawn[at][1] for at in shown])
    spent = time.perf_counter() - begin
    found = [(drawn[at][0], one) for at, one in zip(shown, made, strict=True)]
    for name, one in found:
        one.validate(f"document {name!r}")
    characters = sum(len(drawn[at][1]) for at in shown)
    # A slow annotator gets as many as fit into the time; where it is the few, they must do.
    size = max(1, min(batch, int(_SECONDS * len(shown) / max(spent, 1e-9))))
    timed, seconds = 0, 0.0
    with Progress("measure the speed", None, "sentences") as bar:
        for at in range(0, len(rest), size):
            if seconds >= _SECONDS or (at and len(rest) - at < size):
                break
            begin = time.perf_counter()
            annotator.annotate(rest[at : at + size])
            seconds += time.perf_counter() - begin
            timed += sum(map(len, rest[at : at + size]))
            bar.advance(len(rest[at : at + size]))
    if timed < characters:
        timed, seconds = timed + characters, seconds + spent
    return found, Speed(start, timed, seconds)


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
