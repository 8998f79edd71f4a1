"""What the tests of tasks share: a tiny model folder, a task that can be learnt, a short run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hanmo.commands import finetune
from hanmo.model.checkpoint import save_model
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from training_cases import CHARACTERS, TINY, tokenizer

GOOD, BAD = CHARACTERS[0], CHARACTERS[1]
TASK = """
name = "toy"
[splits]
train = "train.tsv"
dev = "dev.tsv"
[columns]
label = "label"
text_a = "text"
[settings]
max_length = 24
batch_size = 8
learning_rate = 5e-3
epochs = 2
"""
CLOCKS = ("seconds", "command")


def write_model(folder: Path, *, seed: int = 0) -> Path:
    """A pre-trained model in shape only: random weights with an MLM head, no pooler."""
    model = MaskedLm(TINY)
    initialise(model, 0.1, torch.Generator().manual_seed(seed))
    save_model(folder, model, tokenizer=tokenizer())
    return folder


def rows(n: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """(label, text): the label is which of two characters the text holds; half of each."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        text = rng.choice(CHARACTERS[2:], int(rng.integers(4, 20))).tolist()
        text.insert(int(rng.integers(0, len(text))), (BAD, GOOD)[number % 2])
        made.append((("bad", "good")[number % 2], "".join(text)))
    return made


def write_tsv(path: Path, made: list[tuple[str, str]]) -> Path:
    lines = ["label\ttext", *("\t".join(row) for row in made)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_task(folder: Path, *, n_train: int = 24, n_dev: int = 8, text: str = TASK) -> Path:
    """A task file with its splits beside it; returns the task file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tsv(folder / "train.tsv", rows(n_train, seed=1))
    write_tsv(folder / "dev.tsv", rows(n_dev, seed=2))
    (folder / "task.toml").write_text(text, encoding="utf-8")
    return folder / "task.toml"


def run_finetune(model: Path, task: Path, out: Path, **changed: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"threads": 1, "precision": "fp32", **changed}
    return finetune.run(finetune.Config(model=model, task=str(task), out=out, **settings))


def metrics_of(out: Path) -> dict[str, Any]:
    """A run's metrics without what depends on the clock or the place."""
    raw = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {key: value for key, value in raw.items() if key not in CLOCKS}
