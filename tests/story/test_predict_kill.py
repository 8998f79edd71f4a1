"""A file's answers, killed with -9 at any moment and continued, are those of one quiet run."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from hanmo.model.checkpoint import save_model
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from process_cases import hanmo
from training_cases import CHARACTERS, TINY, tokenizer

N_LINES = 3000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    made = MaskedLm(TINY)
    generator = torch.Generator().manual_seed(1)
    initialise(made, 0.5, generator)
    torch.nn.init.normal_(made.cls.predictions.bias, generator=generator)
    save_model(folder, made, tokenizer=tokenizer())
    return folder


def test_killed_runs_go_on_line_by_line(model: Path, tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "answers.jsonl"
    lines = [
        f"{CHARACTERS[n % 7]}[MASK]{''.join(CHARACTERS[n % 11 : n % 11 + n % 5])}"
        for n in range(N_LINES)
    ]
    texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    quiet = tmp_path / "quiet.jsonl"
    # Batches of a few lines: a kill at any moment leaves most of the work undone.
    command = ["predict", model, "fill-mask", "--file", texts, "--top-k", 1, "--batch-tokens", 60]
    subprocess.run(hanmo(*command, "--out", quiet), check=True)
    partial = tmp_path / "answers.jsonl.partial"
    kills = 0
    for wanted in (200, 900, 2000):
        process = subprocess.Popen(hanmo(*command, "--out", out, *["--resume"] * (kills > 0)))
        while process.poll() is None:
            if partial.exists() and partial.read_bytes().count(b"\n") >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                break
            time.sleep(0.002)
        assert not out.exists()
    assert kills == 3
    done = partial.read_bytes().count(b"\n")
    said = subprocess.run(
        hanmo(*command, "--out", out, "--resume", "--json"), check=True, capture_output=True
    )
    result = json.loads(said.stdout)
    assert result["answers"] == N_LINES
    assert result["of_an_earlier_run"] == done >= 2000
    assert not partial.exists()
    ours, theirs = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (out, quiet)
    )
    assert [one["text"] for one in ours] == lines
    # Batches differ where a run began, and with them the last digits.
    assert [one["filled"] for one in ours] == [one["filled"] for one in theirs]
