"""A server as a process of its own, and models small enough to be there at once."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from hanmo.annotate.tagsets import TAGSETS
from hanmo.model.checkpoint import random_encoder, save_model
from hanmo.model.masked_lm import MaskedLm
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from hanmo.tasks.kinds._reader import Reader
from hanmo.tasks.kinds.tagging import Tagger
from hanmo.text.tokenizer import Tokenizer
from pruning_cases import randomise
from training_cases import TINY, tokenizer

LABELS = ("差", "中", "好")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
_ADDRESS = re.compile(r"http://\S+")


def write_lert(folder: Path, tokens: Tokenizer | None = None, shape: Any = TINY) -> Path:
    model = MaskedLm(shape, layers={name: tuple(tags) for name, tags in TAGSETS.items()})
    randomise(model, seed=1)
    save_model(folder, model, tokenizer=tokens or tokenizer())
    return folder


def write_classifier(
    folder: Path, *, pair: bool = False, tokens: Tokenizer | None = None, shape: Any = TINY
) -> Path:
    model = Pooled(random_encoder(shape, seed=2), len(LABELS), cross_entropy)
    randomise(model, seed=2)
    fields = ["text_a", "text_b"] if pair else ["text_a"]
    extra = {"kind": "classification", "task": "toy", "fields": fields, "max_length": 32}
    names = {str(i): label for i, label in enumerate(LABELS)}
    save_model(folder, model, tokenizer=tokens or tokenizer(), extra=extra, id2label=names)
    return folder


def write_tagger(folder: Path, tokens: Tokenizer | None = None, shape: Any = TINY) -> Path:
    model = Tagger(random_encoder(shape, seed=3), len(TAGS))
    randomise(model, seed=3)
    with torch.no_grad():
        model.classifier.bias[0] -= 1.0
    extra = {"kind": "tagging", "task": "toy", "max_length": 32}
    names = {str(i): tag for i, tag in enumerate(TAGS)}
    save_model(folder, model, tokenizer=tokens or tokenizer(), extra=extra, id2label=names)
    return folder


def write_reader(folder: Path, tokens: Tokenizer | None = None, shape: Any = TINY) -> Path:
    model = Reader(random_encoder(shape, seed=4), 1)
    randomise(model, seed=4)
    extra = {"kind": "span", "task": "toy", "max_length": 48, "options": {"doc_stride": 8}}
    save_model(folder, model, tokenizer=tokens or tokenizer(), extra=extra)
    return folder


@dataclass
class Running:
    """A server that listens."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=json, timeout=60, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=60, **more)

    def figure(self, line: str) -> float:
        """The value of a line of /metrics, by its beginning."""
        for one in self.get("/metrics").text.splitlines():
            if one.startswith(line):
                return float(one.rsplit(" ", 1)[1])
        return 0.0

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


def start(
    log: Path, *models: object, environment: Mapping[str, str] | None = None, port: int = 0
) -> Running:
    """Start a server and wait until it listens; its words go to `log`."""
    command = [sys.executable, "-m", "hanmo", "serve", *map(str, models), "--port", str(port)]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--threads", "1"],
            stderr=stream,
            stdout=stream,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = _ADDRESS.search(log.read_text())
        if found:
            running = Running(process, found[0], log)
            with contextlib.suppress(httpx.TransportError):
                if running.get("/ready").status_code == 200:
                    return running
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the server did not start: {log.read_text()}")


@contextlib.contextmanager
def serving(log: Path, *models: object, **more: Any) -> Iterator[Running]:
    running = start(log, *models, **more)
    try:
        yield running
    finally:
        running.stop(signal.SIGKILL)
