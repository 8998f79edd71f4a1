"""The log of a training run: means over intervals of steps, and going on with it after a kill.

A line holds `step`, `loss`, `loss/<part>`, `grad_norm` (means since the line before),
`weight/<part>`, `learning_rate` (of this step), `count/<name>` (what the objective counted),
`pieces`, `pieces_per_second` and `waited`, the share of the time that steps waited for their batch
(of the interval).
The sums of an interval in progress go into the checkpoint, so a resumed run writes the same lines.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from hanmo.core.files import write_atomic
from hanmo.train.loop import Record

LOG = "log.jsonl"
_LONGEST_NAME = 12


def add(sums: dict[str, float], record: Record) -> None:
    """Add a step to the sums of its interval."""
    new = {"loss": record.loss, "grad_norm": record.grad_norm, "n": 1.0}
    new |= {f"loss/{name}": value for name, value in record.parts.items()}
    new |= {f"count/{name}": n for name, n in record.counts.items()}
    new |= {"pieces": record.n_pieces, "seconds": record.seconds, "waited": record.waited}
    for key, value in new.items():
        sums[key] = sums.get(key, 0.0) + value


def line_of(sums: dict[str, float], record: Record) -> dict[str, float]:
    """One line of the log: means over the interval, and this step's rates and weights."""
    line: dict[str, float] = {"step": record.step}
    line |= {
        key: value / sums["n"]
        for key, value in sums.items()
        if key.startswith("loss") or key == "grad_norm"
    }
    line |= {f"weight/{name}": value for name, value in record.weights.items()}
    line["learning_rate"] = record.learning_rate
    line["pieces"] = int(sums["pieces"])
    line |= {key: int(value) for key, value in sums.items() if key.startswith("count/")}
    line["pieces_per_second"] = round(sums["pieces"] / sums["seconds"])
    line["waited"] = round(sums.get("waited", 0.0) / sums["seconds"], 4)
    return line


def shown(line: Mapping[str, float], speed: float) -> dict[str, str]:
    """Return what the progress line says of the last line of the log.

    Parts with long names, as matches of layers have, are counted: there may be a dozen.
    """
    losses = {key.removeprefix("loss/"): f"{v:.3f}" for key, v in line.items() if "loss" in key}
    brief = {name: value for name, value in losses.items() if len(name) <= _LONGEST_NAME}
    more = {"more in log.jsonl": f"{len(losses) - len(brief)}"} if brief != losses else {}
    return {**brief, **more, "pieces/s": f"{speed:,.0f}"}


def cut_log(path: Path, step: int) -> None:
    """Drop log lines of steps after the checkpoint, and a line that a kill cut short."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            break
    write_atomic(path, "".join(kept))


def last_line(path: Path) -> dict[str, float]:
    """What the log of a continued run says last; empty for a new run."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(json.loads(lines[-1])) if lines else {}
