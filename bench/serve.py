"""hanmo serve under load: real clients on loopback, real processes, every answer checked.

    throughput   clients that ask one short text after the other, of a server with dynamic batching
                 and of one that runs every text by itself (--batch-tokens 1), in turns
    latency      half of the greatest load, arriving at random moments: p50 and p99
    overload     a queue far too short for the clients: every 200 is the question's own answer, the
                 others are 429; none is lost
    memory       resident memory of the server over --minutes of half the greatest load

A classifier of `--size` with random weights answers; what it says of a text is known from asking it
alone, so that answers of other questions show.

    python bench/serve.py TEXTS [--size base] [--clients 48] [--seconds 20] [--minutes 10]
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PATH = "/models/model/classify"


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path, help="a text a line; its first characters are asked")
    parser.add_argument("--vocab", type=Path, required=True)
    parser.add_argument("--size", default="base")
    parser.add_argument("--characters", type=int, default=8)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--flags", nargs="*", default=["--engine", "torch"])
    options = parser.parse_args()

    texts = _texts(options.texts, options.characters)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "model"
        _write_model(folder, options.vocab, options.size)
        kinds = {"batching": options.batch_tokens, "alone": 1}
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for turn, (name, budget) in itertools.product(range(options.rounds), kinds.items()):
            with _server(folder, made, "--batch-tokens", budget, *options.flags) as url:
                _load(url, texts, options.clients, 2)
                told = _load(url, texts, options.clients, options.seconds)
                rates[name].append(told["rate"])
                print(f"round {turn} {name}: {told['rate']:.1f} texts/s", flush=True)
        best = statistics.median(rates["batching"])
        ratio = best / statistics.median(rates["alone"])
        flags = ("--batch-tokens", options.batch_tokens, *options.flags)
        with _server(folder, made, *flags) as url:
            known = _known(url, texts)
            open_ = _arrivals(url, texts, best / 2, options.seconds * 2, known)
        with _server(folder, made, *flags, "--waiting", 200) as url:
            full = _load(url, texts, options.clients, options.seconds, known)
        with _server(folder, made, *flags) as url:
            memory = _memory(url, texts, best / 2, options.minutes, known)
    others = sum(n for status, n in full["statuses"].items() if status not in (200, 429))
    print(
        f"RESULT size={options.size} clients={options.clients} batching={best:.1f}/s "
        f"alone={statistics.median(rates['alone']):.1f}/s ratio={ratio:.2f} "
        f"half_load={best / 2:.1f}/s p50_ms={open_['p50']:.1f} p99_ms={open_['p99']:.1f} "
        f"overload_200={full['statuses'][200]} overload_429={full['statuses'][429]} "
        f"overload_other={others} "
        f"mixed_up={open_['wrong'] + full['wrong'] + memory['wrong']} "
        f"minutes={options.minutes:g} memory_mb_after_1_min={memory['early']:.0f} "
        f"memory_mb_at_end={memory['late']:.0f}"
    )


def _texts(path: Path, characters: int) -> list[str]:
    from hanmo.core.files import read_lines

    lines = (line.replace("\t", " ").strip()[:characters] for _, line in read_lines(path))
    return list(dict.fromkeys(line for line in lines if len(line) == characters))[:2000]


def _write_model(folder: Path, vocab: Path, size: str) -> None:
    import torch

    from hanmo.model.checkpoint import random_encoder, save_model
    from hanmo.model.config import size_named
    from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
    from hanmo.text.tokenizer import Tokenizer

    torch.manual_seed(1)
    model = Pooled(random_encoder(size_named(size), seed=1), 3, cross_entropy)
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    labels = {str(n): name for n, name in enumerate(("差", "中", "好"))}
    extra = {"kind": "classification", "task": "bench", "fields": ["text_a"]}
    save_model(folder, model, tokenizer=Tokenizer.load(vocab), extra=extra, id2label=labels)


@contextlib.contextmanager
def _server(folder: Path, logs: str, *flags: object) -> Iterator[tuple[str, int, int]]:
    log = Path(logs) / "log"
    command = [sys.executable, "-m", "hanmo", "serve", f"model={folder}", "--port", "0"]
    with log.open("w") as stream:
        process = subprocess.Popen([*command, *map(str, flags)], stdout=stream, stderr=stream)
    try:
        for _ in range(2400):
            found = re.search(r"http://([\d.]+):(\d+)", log.read_text())
            if found or process.poll() is not None:
                break
            time.sleep(0.05)
        if not found:
            raise SystemExit(log.read_text())
        time.sleep(0.5)
        yield found[1], int(found[2]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


class _Client:
    """One connection that is kept."""

    def __init__(self, url: tuple[str, int, int]) -> None:
        self._connection = http.client.HTTPConnection(url[0], url[1], timeout=120)

    def ask(self, text: str) -> tuple[int, Any]:
        body = json.dumps({"inputs": [text]})
        self._connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


def _known(url: tuple[str, int, int], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    client = _Client(url)
    return {text: _probabilities(client.ask(text)[1]) for text in texts[:300]}


def _probabilities(told: Any) -> dict[str, float]:
    return {one["label"]: one["probability"] for one in told["answers"][0]["labels"]}


def _right(text: str, told: Any, known: dict[str, dict[str, float]] | None) -> bool:
    if told["answers"][0]["text"] != text:
        return False
    if known is None or text not in known:
        return True
    found = _probabilities(told)
    # bf16 sums in another order in another batch.
    return all(abs(found[label] - value) < 0.02 for label, value in known[text].items())


def _load(
    url: tuple[str, int, int],
    texts: Sequence[str],
    clients: int,
    seconds: float,
    known: dict[str, dict[str, float]] | None = None,
) -> dict[str, Any]:
    """Ask as fast as answers come."""
    statuses: Counter[int] = Counter()
    wrong = 0
    lock = threading.Lock()
    begin = time.perf_counter()

    def client(number: int) -> None:
        nonlocal wrong
        session = _Client(url)
        for text in itertools.islice(itertools.cycle(texts), number * 7, None):
            if time.perf_counter() - begin > seconds:
                return
            status, told = session.ask(text)
            bad = status == 200 and not _right(text, told, known)
            with lock:
                statuses[status] += 1
                wrong += bad

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = statuses[200] / (time.perf_counter() - begin)
    return {"rate": rate, "statuses": statuses, "wrong": wrong}


def _arrivals(
    url: tuple[str, int, int],
    texts: Sequence[str],
    rate: float,
    seconds: float,
    known: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Ask at random moments, whether or not answers have come: `rate` a second on the mean."""
    times: list[float] = []
    wrong = 0
    lock = threading.Lock()
    due = [0.0]
    draw = random.Random(1)
    while due[-1] < seconds:
        due.append(due[-1] + draw.expovariate(rate))
    places = itertools.count()
    begin = time.perf_counter()

    def client() -> None:
        nonlocal wrong
        session = _Client(url)
        while (place := next(places)) < len(due):
            time.sleep(max(0.0, begin + due[place] - time.perf_counter()))
            text = texts[place % len(texts)]
            status, told = session.ask(text)
            # From the moment at which it was due: a late client counts, too.
            taken = time.perf_counter() - begin - due[place]
            with lock:
                times.append(taken)
                wrong += status != 200 or not _right(text, told, known)

    threads = [threading.Thread(target=client) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cut = statistics.quantiles(times, n=100)
    return {"p50": 1000 * cut[49], "p99": 1000 * cut[98], "wrong": wrong}


def _memory(
    url: tuple[str, int, int],
    texts: Sequence[str],
    rate: float,
    minutes: float,
    known: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Resident memory after a tenth of the time, and at the end."""
    wrong = _arrivals(url, texts, rate, 6 * minutes, known)["wrong"]
    early = _resident(url[2])
    wrong += _arrivals(url, texts, rate, 54 * minutes, known)["wrong"]
    return {"early": early, "late": _resident(url[2]), "wrong": wrong}


def _resident(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
