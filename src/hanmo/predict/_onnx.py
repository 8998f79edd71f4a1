"""Run a model by ONNX Runtime: the files that `hanmo export` puts into a model folder.

A file's metadata say which scores it gives; only what leads to those that are asked for is run.

Shapes: B rows, L length, M asked positions.
"""

import copy
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hanmo.core.artifact import checked
from hanmo.core.errors import MissingLibraryError, UserError
from hanmo.core.log import say
from hanmo.data.ragged import Array, Corrupted
from hanmo.model.checkpoint import WEIGHT_FILES
from hanmo.predict._engine import N_ASKED, PIECES, Engine, Network, Reduce, Torch, layer_head
from hanmo.predict._how import INT8, ONNX, How, Precision
from hanmo.tasks.batches import map_batches
from hanmo.train.devices import prepare

# Files of an export, the fastest first, and what they are called.
FILES: Mapping[str, str] = {INT8: "onnx int8", ONNX: "onnx fp32"}
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "positions")
META = "hanmo"
# Pieces of a batch: more leave the cache (docs/log.md, 2026-11-27).
_TOKENS = 1024
# Its vectorised kernel is ten times slower than an addition and a normalisation by themselves.
_SLOW = ["SkipLayerNormFusion"]
_TRIALS = 3
_ASKED = np.zeros(N_ASKED, np.int64)


def open_best(folder: Path, how: How, pad_id: int) -> Engine:
    """Open the smallest file of a folder.

    Raises:
        UserError: none there, or a damaged one.
        MissingLibraryError: ONNX Runtime is not installed.
    """
    found = _found(folder)
    if not found:
        raise UserError(
            f"{folder}: neither {' nor '.join(FILES)} there; make one with hanmo export {folder} "
            "--out FOLDER, and ask that folder"
        )
    return Onnx(found[0], how, pad_id)


def fastest(folder: Path, how: How, build: Callable[[], Network], pad_id: int) -> Engine:
    """Open all that a folder has, run each on the same pieces, and keep the fastest."""
    engines: list[Engine] = []
    try:
        engines = [Onnx(path, how, pad_id) for path in _found(folder)]
    except MissingLibraryError as error:
        if not _has_weights(folder):
            raise
        say(f"engine: torch alone, not the files of hanmo export ({error})")
    if _has_weights(folder) or not engines:
        network = build()
        for precision in _precisions(how):
            # A copy: one precision must not round the weights of another.
            own = dataclasses.replace(network, module=copy.deepcopy(network.module))
            engines.append(Torch(own, dataclasses.replace(how, precision=precision), pad_id))
    if how.only is not None:
        for engine in engines:
            if engine.name == how.only:
                return engine
        raise UserError(f"{folder}: cannot be run by {how.only}, which an earlier run took")
    if len(engines) == 1:
        return engines[0]
    seconds = {engine.name: _seconds(engine) for engine in engines}
    best = min(engines, key=lambda engine: seconds[engine.name])
    told = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())
    say(f"engine: {best.name} is the fastest here ({told})")
    return best


def _precisions(how: How) -> tuple[Precision, ...]:
    """Return the precisions that torch may have; bf16 where it can be expected to gain."""
    if how.precision != "auto":
        return (how.precision,)
    return ("fp32", "bf16") if prepare("auto").precision == "bf16" else ("fp32",)


def refuse_without_weights(folder: Path) -> None:
    """Say how to ask a folder that has exported files alone.

    Raises:
        UserError: it is such a folder.
    """
    if _found(folder) and not _has_weights(folder):
        raise UserError(
            f"{folder}: neither {' nor '.join(WEIGHT_FILES)} there, for it was exported without "
            "torch's weights; ask it with --engine onnx"
        )


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in WEIGHT_FILES)


def _found(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def _seconds(engine: Engine) -> float:
    """Time a mix of short and long inputs: the median of a few runs."""
    longest = engine.max_length
    sequences = [
        Corrupted({"input_ids": np.full(min(n, longest), 5, np.int32)}, _ASKED, {})
        for n in (16, 16, 32, 64, 128)
    ]
    times = []
    for _ in range(1 + _TRIALS):
        begin = time.perf_counter()
        engine.map(sequences, engine.heads[:1] or (layer_head(1),))
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


class Onnx:
    """A file of `hanmo export`, run by ONNX Runtime."""

    def __init__(self, path: Path, how: How, pad_id: int) -> None:
        self.name = FILES[path.name]
        self._session, self._options = _session(path)
        meta = _meta(self._session, path)
        self.max_length = int(meta["max_length"])
        self.heads: tuple[str, ...] = tuple(meta["heads"])
        self.lacks: Mapping[str, str] = {}
        self._path, self._pad_id = path, pad_id
        self._budget = how.batch_tokens or _TOKENS
        self._given = {one.name for one in self._session.get_outputs()}

    def map(
        self,
        sequences: Sequence[Corrupted],
        heads: Sequence[str] | None = None,
        reduce: Reduce | None = None,
    ) -> dict[str, Array]:
        wanted = [name for name in self.heads if name != PIECES] if heads is None else list(heads)
        lacking = [name for name in wanted if name not in self._given]
        if lacking:
            raise UserError(
                f"{self._path}: does not give {', '.join(lacking)}, only "
                f"{', '.join(sorted(self._given))}; export the model that has them"
            )

        def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
            given = self._session.run(wanted, _inputs(arrays), self._options)
            scores = dict(zip(wanted, given, strict=True))
            if reduce is None:
                return scores
            tensors = {name: torch.from_numpy(values) for name, values in scores.items()}
            return {name: values.numpy() for name, values in reduce(tensors).items()}

        if not sequences:
            return {}
        return map_batches(
            sequences,
            run,
            max_length=self.max_length,
            pad_id=self._pad_id,
            budget=self._budget,
        )


def _inputs(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Name a batch's arrays as exported graphs do."""
    values = (
        arrays["input_ids"],
        arrays["sequence_ids"],
        arrays["token_type_ids"],
        arrays["positions"],
    )
    return dict(zip(INPUTS, (one.astype(np.int64) for one in values), strict=True))


def _session(path: Path) -> tuple[Any, Any]:
    runtime = onnxruntime()
    checked(path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    run_options = runtime.RunOptions()
    run_options.only_execute_path_to_fetches = True
    try:
        session = runtime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW
        )
    except Exception as error:  # its errors have no common type of their own
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        first = str(error).partition("\n")[0]
        raise UserError(f"{path}: ONNX Runtime cannot open it ({first}); export it again") from None
    return session, run_options


def _meta(session: Any, path: Path) -> dict[str, Any]:
    told = session.get_modelmeta().custom_metadata_map.get(META)
    if told is None:
        raise UserError(f"{path}: not made by hanmo export; its inputs are not known")
    meta: dict[str, Any] = json.loads(told)
    return meta


def onnxruntime() -> Any:
    """Import ONNX Runtime.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        import onnxruntime as runtime
    except ImportError:
        raise MissingLibraryError(
            "--engine onnx needs ONNX Runtime: pip install 'hanmo[onnx]'"
        ) from None
    return runtime
