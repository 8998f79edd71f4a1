"""hanmo serve under load: real clients on loopback, real processes, every answer checked.

    throughput   clients that ask one short text after the other, of a server with dynamic batching
                 and of one that runs every text by itself (--batch-tokens 1), in turns
    latency      half of the greatest load, arriving at random moments: p50 and p99
    overload     a queue far too short for the clients: every 200 is the question's own answer, the
                 others are 429; none is lost
    memory       resident memory of the server over --minutes of half the greatest load

A classifier of `--size` with random weights answers; what it says of a text is known from asking it
alone, so that answers of other questions show.

    python bench/serve.py VOCAB TEXTS [--size base] [--clients 48] [--seconds 20] [--minutes 10]

`--flags "--engine onnx"` goes to the server. `alike` is the share of pairs of texts whose answers
could be taken for each other: with more of them the check would see little.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import shlex
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
_TEXTS = 400  # that are asked, each with its known answer
_MOST_ALIKE = 0.1


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("vocab", type=Path)
    parser.add_argument("texts", type=Path, help="a text a line; its first characters are asked")
    parser.add_argument("--size", default="base")
    parser.add_argument("--characters", type=int, default=8)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--flags", default="--engine torch", help="of the server, as one word")
    options = parser.parse_args()
    options.flags = shlex.split(options.flags)

    texts = _texts(options.texts, options.characters)
    if len(texts) < _TEXTS // 2:
        raise SystemExit(f"{options.texts}: {len(texts)} lines of {options.characters} characters")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "model"
        _write_model(folder, options.vocab, options.size, texts)
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
            alike = _alike(known)
            if alike > _MOST_ALIKE:
                raise SystemExit(f"{alike:.1%} of the pairs of answers are alike; take other texts")
            open_ = _arrivals(url, texts, best / 2, options.seconds * 2, known)
        with _server(folder, made, *flags, "--waiting", 200) as url:
            _load(url, texts, options.clients, 2)
            full = _load(url, texts, options.clients, options.seconds, known)
        with _server(folder, made, *flags) as url:
            _load(url, texts, options.clients, 2)
            memory = _memory(url, texts, best / 2, options.minutes, known)
    others = sum(n for status, n in full["statuses"].items() if status not in (200, 429))
    print(
        f"RESULT size={options.size} clients={options.clients} batching={best:.1f}/s "
        f"alone={statistics.median(rates['alone']):.1f}/s ratio={ratio:.2f} "
        f"half_load={best / 2:.1f}/s p50_ms={open_['p50']:.1f} p99_ms={open_['p99']:.1f} "
        f"overload_200={full['statuses'][200]} overload_429={full['statuses'][429]} "
        f"overload_other={others} lost={full['lost'] + open_['lost'] + memory['lost']} "
        f"refused_at_half={open_['refused'] + memory['refused']} alike={alike:.4f} "
        f"mixed_up={open_['wrong'] + full['wrong'] + memory['wrong']} "
        f"minutes={options.minutes:g} memory_mb_after_a_tenth={memory['early']:.0f} "
        f"memory_mb_at_end={memory['late']:.0f}"
    )


def _texts(path: Path, characters: int) -> list[str]:
    from hanmo.core.files import read_lines

    lines = (line.replace("\t", " ").strip()[:characters] for _, line in read_lines(path))
    return list(dict.fromkeys(line for line in lines if len(line) == characters))[:_TEXTS]


def _write_model(folder: Path, vocab: Path, size: str, texts: Sequence[str]) -> None:
    import torch

    from hanmo.model.checkpoint import random_encoder, save_model
    from hanmo.model.config import size_named
    from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
    from hanmo.text.tokenizer import Tokenizer

    torch.manual_seed(1)
    model = Pooled(random_encoder(size_named(size), seed=1), 3, cross_entropy)
    # Answers should differ from text to text: what all texts share is taken out.
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    with torch.inference_mode():
        shared = _mean_logits(model, Tokenizer.load(vocab), texts)
        model.classifier.bias.sub_(shared.to(model.classifier.bias.device))
    labels = {str(n): name for n, name in enumerate(("差", "中", "好"))}
    extra = {"kind": "classification", "task": "bench", "fields": ["text_a"]}
    save_model(folder, model, tokenizer=Tokenizer.load(vocab), extra=extra, id2label=labels)


def _mean_logits(model: Any, tokens: Any, texts: Sequence[str]) -> Any:
    """Mean over texts of the classifier's scores."""
    import numpy as np
    import torch

    from hanmo.data.ragged import Corrupted
    from hanmo.predict._engine import Network, Torch
    from hanmo.predict._how import DEFAULT
    from hanmo.tasks.task import LABEL

    ids = [[tokens.cls_id, *tokens.encode(text).ids, tokens.sep_id] for text in texts]
    asked = [
        Corrupted({"input_ids": np.array(one, np.int32)}, np.zeros(1, np.int64), {}) for one in ids
    ]
    engine = Torch(Network(model.eval(), (LABEL,)), DEFAULT, tokens.pad_id)
    [scores] = engine.map(asked).values()
    return torch.from_numpy(scores).mean(0)


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

    def ask_or_lose(self, text: str) -> tuple[int, Any] | None:
        """Ask; None, and a new connection for what follows, where no whole answer came."""
        try:
            return self.ask(text)
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            return None


def _known(url: tuple[str, int, int], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    client = _Client(url)
    return {text: _probabilities(client.ask(text)[1]) for text in texts}


def _alike(known: dict[str, dict[str, float]]) -> float:
    """Share of pairs of texts whose answers are within what `_right` allows."""
    pairs = list(itertools.combinations(list(known.values())[:200], 2))
    return sum(_close(a, b) for a, b in pairs) / len(pairs)


def _close(a: dict[str, float], b: dict[str, float]) -> bool:
    # bf16 sums in another order in another batch.
    return all(abs(a[label] - value) < 0.02 for label, value in b.items())


def _probabilities(told: Any) -> dict[str, float]:
    return {one["label"]: one["probability"] for one in told["answers"][0]["labels"]}


def _right(text: str, told: Any, known: dict[str, dict[str, float]] | None) -> bool:
    if told["answers"][0]["text"] != text:
        return False
    if known is None:
        return True
    return _close(_probabilities(told), known[text])


def _load(
    url: tuple[str, int, int],
    texts: Sequence[str],
    clients: int,
    seconds: float,
    known: dict[str, dict[str, float]] | None = None,
) -> dict[str, Any]:
    """Ask as fast as answers come."""
    statuses: Counter[int] = Counter()
    wrong = lost = 0
    lock = threading.Lock()
    begin = time.perf_counter()

    def client(number: int) -> None:
        nonlocal wrong, lost
        session = _Client(url)
        for text in itertools.islice(itertools.cycle(texts), number * 7, None):
            if time.perf_counter() - begin > seconds:
                return
            answer = session.ask_or_lose(text)
            if answer is None:
                with lock:
                    lost += 1
                continue
            status, told = answer
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
    return {"rate": rate, "statuses": statuses, "wrong": wrong, "lost": lost}


def _arrivals(
    url: tuple[str, int, int],
    texts: Sequence[str],
    rate: float,
    seconds: float,
    known: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Ask at random moments, whether or not answers have come: `rate` a second on the mean."""
    times: list[float] = []
    wrong = refused = lost = 0
    lock = threading.Lock()
    due = [0.0]
    draw = random.Random(1)
    while due[-1] < seconds:
        due.append(due[-1] + draw.expovariate(rate))
    places = itertools.count()
    begin = time.perf_counter()

    def client() -> None:
        nonlocal wrong, refused, lost
        session = _Client(url)
        while (place := next(places)) < len(due):
            time.sleep(max(0.0, begin + due[place] - time.perf_counter()))
            text = texts[place % len(texts)]
            answer = session.ask_or_lose(text)
            if answer is None:
                with lock:
                    lost += 1
                continue
            status, told = answer
            # From the moment at which it was due: a late client counts, too.
            taken = time.perf_counter() - begin - due[place]
            with lock:
                times.append(taken)
                refused += status != 200
                wrong += status == 200 and not _right(text, told, known)

    threads = [threading.Thread(target=client) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cut = statistics.quantiles(times, n=100)
    told = {"wrong": wrong, "refused": refused, "lost": lost}
    return {"p50": 1000 * cut[49], "p99": 1000 * cut[98], **told}


def _memory(
    url: tuple[str, int, int],
    texts: Sequence[str],
    rate: float,
    minutes: float,
    known: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Resident memory after a tenth of the time, and at the end."""
    first = _arrivals(url, texts, rate, 6 * minutes, known)
    early = _resident(url[2])
    rest = _arrivals(url, texts, rate, 54 * minutes, known)
    told = {name: first[name] + rest[name] for name in ("wrong", "refused", "lost")}
    return {"early": early, "late": _resident(url[2]), **told}


def _resident(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
