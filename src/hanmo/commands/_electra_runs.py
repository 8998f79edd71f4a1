"""Chinese-ELECTRA's trials: make each run, and write what upstream's run_finetuning.py writes.

In: `--data-dir`, `--model-name` and `--hparams`, and a function that makes one run. Out: below
D/models/M/results the lines "TASK: accuracy: 72.50 - loss: 0.67", one for dev and one for eval of
each trial, the same as a pickle of plain lists, dictionaries and numbers, and the answers of
reading tasks as {id: text} (facts/04 "run_finetuning.py"; ymcui/Chinese-ELECTRA run_finetuning.py).
"""

import dataclasses
import json
import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from hanmo.commands._electra_hparams import Hparams, read_hparams, remarks, resolve
from hanmo.commands._electra_layout import FILES, Places, Planned, plan, task_name
from hanmo.core.artifact import OtherSettingsError, digest, is_ours, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, write_atomic
from hanmo.core.log import say

# hanmo's metrics → upstream's names of them, in the order of its lines.
_NAMES = {"accuracy": "accuracy", "em": "exact_match", "f1": "f1"}
# Probabilities in the files have six digits: what is 0 there is taken for half of the last one.
_LEAST = 5e-7


class Asked(Protocol):
    """What is read of the settings of `hanmo finetune`."""

    @property
    def data_dir(self) -> Path | None: ...
    @property
    def model_name(self) -> str | None: ...
    @property
    def hparams(self) -> str | None: ...
    @property
    def overwrite(self) -> bool: ...


Make = Callable[[Planned, str, bool], None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Scored:
    """What a trial says of a split: scores under upstream's names, and answers that are texts."""

    trial: int
    split: str
    scores: dict[str, float]
    answers: dict[str, str] | None = None


def run(asked: Asked, make: Make) -> dict[str, Any]:
    """Make the runs of all trials and write the results.

    Args:
        asked: the settings.
        make: makes a run: what is planned, the settings given as JSON, whether to replace a run.

    Returns:
        The lines of the results under "text", scores under "json".

    Raises:
        UserError: a flag is missing, bad settings, no model or data, or what a run raises.
    """
    if asked.data_dir is None or asked.model_name is None:
        raise UserError(
            "finetune: --data-dir, --model-name and --hparams belong together (docs/electra.md); "
            f"missing: {'--data-dir' if asked.data_dir is None else '--model-name'}"
        )
    given = read_hparams(asked.hparams)
    hparams = resolve(given)
    places = Places(asked.data_dir, asked.model_name, task_name(hparams))
    for line in remarks(hparams):
        say(line)
    planned = plan(places, hparams, given)
    if hparams.write_test_outputs and planned[0].task.labels:
        say(f"write_test_outputs: upstream has no accuracy of {places.task} then; hanmo has")
    scored: list[_Scored] = []
    for one in planned:
        _provide(one, hparams, asked.overwrite, json.dumps(given, ensure_ascii=False), make)
        for split in (name for name in one.files if name != "train"):
            scored.append(_scored(one, split))
            _write(places, hparams, scored)
    runs = planned[0].out.parent
    where = f"results: {places.results('txt')}" if scored else f"nothing to score; runs: {runs}"
    return {
        "text": "\n".join([*_lines(places, scored), where]),
        "json": {
            "runs": str(runs),
            "results": str(places.results("txt")) if scored else None,
            "trials": [
                {"trial": one.trial, "split": FILES[one.split], **one.scores} for one in scored
            ],
        },
    }


def _provide(planned: Planned, hparams: Hparams, overwrite: bool, given: str, make: Make) -> None:
    """Make a run, replace one of other settings as upstream does, or take the one that is there."""
    if not hparams.do_train:
        _check_stored(planned)
        return
    say(f"trial {planned.trial} of {hparams.num_trials}: {planned.out}")
    try:
        make(planned, given, overwrite)
    except OtherSettingsError:
        say(f"{planned.out}: was made with other settings; made again")
        make(planned, given, True)


def _check_stored(planned: Planned) -> None:
    """Raise unless a finished run has answers on the splits, from the same files.

    The training file does not matter then, nor do settings: upstream takes the model that is there.
    """
    if not is_ours(planned.out):
        raise UserError(
            f'{planned.out}: no finished run, and "do_train" is false; train it first with '
            '"do_train": true'
        )
    inputs = read_manifest(planned.out, "run").inputs
    for split, path in planned.files.items():
        if split != "train" and inputs.get(split) != digest(path):
            what = "predicted other data for" if split in inputs else "made no predictions for"
            raise UserError(
                f'{planned.out}: this run {what} {path}, and with "do_train" false hanmo reports '
                'what a run has predicted; set "do_train": true'
            )


def _scored(planned: Planned, split: str) -> _Scored:
    """Read what a run has predicted for a split."""
    metrics = json.loads((planned.out / "metrics.json").read_text(encoding="utf-8"))
    rows = [row for _, row in json_lines(planned.out / f"predictions-{split}.jsonl")]
    found = metrics["splits"][split].get("scores", {})
    scores = {name: 100.0 * found[own] for own, name in _NAMES.items() if own in found}
    if not planned.task.labels:  # answers are texts
        answers = {row["id"]: row["predicted"] for row in rows}
        return _Scored(planned.trial, split, scores, answers)
    if scores:
        scores["loss"] = _loss(rows)
    return _Scored(planned.trial, split, scores)


def _loss(rows: Sequence[dict[str, Any]]) -> float:
    """Return the mean cross entropy."""
    return sum(-math.log(max(row["scores"][row["gold"]], _LEAST)) for row in rows) / len(rows)


def _write(places: Places, hparams: Hparams, scored: Sequence[_Scored]) -> None:
    """Write the results so far, and the answers of the last split that was scored."""
    last = scored[-1]
    places.results("txt").parent.mkdir(parents=True, exist_ok=True)
    write_atomic(places.results("txt"), "".join(f"{line}\n" for line in _lines(places, scored)))
    write_atomic(
        places.results("pkl"),
        pickle.dumps([{places.task: one.scores} for one in scored if one.scores]),
    )
    if last.answers is None:
        return
    numbered = hparams.num_trials > 1 and hparams.write_test_outputs
    numbers = [last.trial] if numbered and last.trial <= hparams.n_writes_test else []
    for number in (None, *numbers):
        path = places.answers(last.split, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(last.answers))


def _lines(places: Places, scored: Sequence[_Scored]) -> list[str]:
    return [
        f"{places.task}: "
        + " - ".join(f"{name}: {value:.2f}" for name, value in one.scores.items())
        for one in scored
        if one.scores
    ]
