"""Encoded examples on disk, so that ten seeds of a task encode its files once.

A file's name is the digest of everything its content depends on: the data file, the task, the
vocabulary, the longest sequence, and the code that reads and encodes. Nothing can be stale: another
setting is another name (Chinese-ELECTRA's records survived a change of length: facts/11 no. 15).

Files lie in $HANMO_CACHE, or in hanmo/features in the user's cache folder; they may be deleted at
any time, and the oldest ones are when they take more than 2 GiB.

    key = key_of(task, tokenizer, Path("train.json"), kind)
    features = load(key, examples) or store(key, [kind.encode(…) for …])
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import hanmo
from hanmo.core.files import sha256, write_atomic
from hanmo.data.ragged import Array, Corrupted
from hanmo.tasks.kind import Features, Kind
from hanmo.tasks.task import Example, Task
from hanmo.text.tokenizer import Tokenizer

_FORMAT = 2
_DIGEST = 32  # bytes of SHA-256 behind the arrays
_MOST_BYTES = 2 << 30
# Folders of the package whose code decides what an example becomes.
_CODE = ("core", "tasks", "text", "data")
# Of a task, what does not change its features.
_OTHER = frozenset({"metrics", "tabled", "settings", "source", "citation", "licence", "published"})


def folder() -> Path:
    """Return where the files lie; it need not be there."""
    if os.environ.get("HANMO_CACHE"):
        return Path(os.environ["HANMO_CACHE"])
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "hanmo" / "features"


def key_of(task: Task, tokenizer: Tokenizer, path: Path, kind: Kind) -> str:
    """Return the digest of all that the features of a file depend on.

    Args:
        task: with its labels known.
        tokenizer: of the model.
        path: the split's file.
        kind: encodes; its class may lie outside the package.
    """
    depends = {
        "format": _FORMAT,
        "file": sha256(path),
        "vocabulary": hashlib.sha256("\n".join(tokenizer.vocab).encode()).hexdigest(),
        "task": {k: v for k, v in dataclasses.asdict(task).items() if k not in _OTHER},
        "max_length": task.settings.max_length,
        "code": _code(),
        "kind": _source(kind),
    }
    text = json.dumps(depends, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code() -> str:
    digest = hashlib.sha256()
    root = Path(hanmo.__file__).parent
    for name in _CODE:
        for path in sorted((root / name).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _source(kind: Kind) -> str:
    """Digest of the file that a kind of a user's own comes from."""
    import inspect

    return sha256(Path(inspect.getfile(type(kind))))


def load(key: str, examples: Sequence[Example]) -> list[Features] | None:
    """Return the features of these examples, or None where they are not stored (or damaged)."""
    path = folder() / f"{key}.npz"
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    body, digest = raw[:-_DIGEST], raw[-_DIGEST:]
    # A zip archive's own sums do not cover its directory.
    if hashlib.sha256(body).digest() != digest:
        return None
    with contextlib.suppress(OSError):  # somebody else's folder is only read
        path.touch()  # the oldest are removed first
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        if len(arrays["n_sequences"]) != len(examples):
            return None
        return _unpacked({name: arrays[name] for name in arrays.files}, examples)


def store(key: str, features: list[Features]) -> list[Features]:
    """Keep features for the next run and return them; a full or read-only disk is no error."""
    stream = io.BytesIO()
    packed: dict[str, Any] = _packed(features)
    np.savez(stream, **packed)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        body = stream.getvalue()
        write_atomic(folder() / f"{key}.npz", body + hashlib.sha256(body).digest())
        _prune(folder())
    except OSError:
        return features
    return features


def _prune(where: Path) -> None:
    files = sorted(where.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > _MOST_BYTES:
            path.unlink(missing_ok=True)


def _packed(features: Sequence[Features]) -> dict[str, Array]:
    sequences = [sequence for one in features for sequence in one.sequences]
    arrays: dict[str, Array] = {
        "n_sequences": np.array([len(one.sequences) for one in features]),
        "truncated": np.array([one.truncated for one in features]),
        "lengths": np.array([len(one.inputs["input_ids"]) for one in sequences]),
        "n_positions": np.array([len(one.positions) for one in sequences]),
        "positions": np.concatenate([one.positions for one in sequences]),
    }
    for part in ("inputs", "targets"):
        for name in getattr(sequences[0], part):
            values = [getattr(one, part)[name] for one in sequences]
            arrays[f"{part}/{name}"] = np.concatenate(values)
    for name in features[0].extras:
        values = [one.extras[name] for one in features]
        arrays[f"extras/{name}"] = np.concatenate(values)
        arrays[f"n_extras/{name}"] = np.array([len(one) for one in values])
    return arrays


def _unpacked(arrays: Mapping[str, Array], examples: Sequence[Example]) -> list[Features]:
    inputs = _cut(arrays, "inputs/", arrays["lengths"])
    targets = _cut(arrays, "targets/", arrays["n_positions"])
    positions = np.split(arrays["positions"], np.cumsum(arrays["n_positions"])[:-1])
    sequences = [
        Corrupted(
            {name: cut[i] for name, cut in inputs.items()},
            positions[i],
            {name: cut[i] for name, cut in targets.items()},
        )
        for i in range(len(positions))
    ]
    extras = {
        name: np.split(values, np.cumsum(arrays[f"n_extras/{name}"])[:-1])
        for name, values in _named(arrays, "extras/").items()
    }
    made, begin = [], 0
    for i, (example, n) in enumerate(zip(examples, arrays["n_sequences"].tolist(), strict=True)):
        own = {name: cut[i] for name, cut in extras.items()}
        chosen = tuple(sequences[begin : begin + n])
        made.append(Features(example, chosen, bool(arrays["truncated"][i]), own))
        begin += n
    return made


def _named(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _cut(arrays: Mapping[str, Array], prefix: str, lengths: Array) -> dict[str, list[Array]]:
    places = np.cumsum(lengths)[:-1]
    return {name: np.split(values, places) for name, values in _named(arrays, prefix).items()}
