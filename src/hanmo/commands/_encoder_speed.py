"""How many examples a second encoders read, measured in turn on the same machine.

A pass goes from ids in numpy to hidden states of all pieces: what the batch needs before the
encoder (where the pieces are, who sees whom) counts. In bf16 the weights are bf16 too, as one would
deploy them: autocast makes bf16 of them anew in every pass, at batch 1 an eighth more time for a
base (docs/results.md). The passes of one measurement take a fifth of a second together, so that
small models are not measured by the clock's noise. Models take turns, so that a disturbance meets
all of them.

    passes = {"base": passing(encoder, batches, device)}
    seconds = interleaved(passes, repeats=7)["base"]  # of one pass, each measurement
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from hanmo.core.seeds import generator
from hanmo.data.batches import collate
from hanmo.data.ragged import Array, Corrupted, join
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.trainable import Batch
from hanmo.train.devices import Device

_LEAST_SECONDS = 0.2  # of one measurement
_WARM_UP = 2  # passes that do not count: the heap grows, kernels are chosen

Pass = Callable[[], None]


def random_pieces(config: EncoderConfig, *, length: int, n: int) -> list[Array]:
    """Draw `n` sequences of `length` pieces from the whole vocabulary, int64 each."""
    rng = generator(1, "speed", length)
    return [rng.integers(0, config.vocab_size, length) for _ in range(n)]


def batched(pieces: Sequence[Array], *, size: int, pad_id: int) -> list[dict[str, Array]]:
    """Make batches of `size` sequences, one a row, in their order; the last may be smaller.

    Args:
        pieces: ids of each sequence.
        size: sequences a batch.
        pad_id: what fills the rows of shorter ones.
    """
    longest = max(map(len, pieces))
    nothing = np.zeros(0, dtype=np.int64)
    made = []
    for begin in range(0, len(pieces), size):
        some = [Corrupted({"input_ids": ids}, nothing, {}) for ids in pieces[begin : begin + size]]
        made.append(collate(join(some), max_length=longest, pad_id=pad_id, pack=False))
    return made


def ready(encoder: Encoder, device: Device) -> Encoder:
    """Move an encoder to where it is measured, its weights in the device's precision."""
    kind = torch.bfloat16 if device.precision == "bf16" else torch.float32
    return encoder.to(device.name, kind).eval()


def passing(encoder: Encoder, batches: Sequence[Mapping[str, Array]], device: Device) -> Pass:
    """Return what runs an encoder, which is `ready`, over all batches."""

    def run() -> None:
        for arrays in batches:
            batch = Batch.from_arrays(arrays, device.name)
            encoder(*batch.inputs, layout=batch.layout)

    return run


def interleaved(
    passes: Mapping[str, Pass],
    *,
    repeats: int,
    cuda: bool = False,
    told: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Measure passes in turn.

    Args:
        passes: by name.
        repeats: measurements of each.
        cuda: they run on a GPU, which is waited for.
        told: called after the warm-up of each and after each measurement.

    Returns:
        Seconds of one pass, for each measurement in order.
    """

    def seconds(run: Pass, times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            run()
        if cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / times

    with torch.inference_mode():
        times = {}
        for name, run in passes.items():
            warm = min(seconds(run, 1) for _ in range(_WARM_UP))
            times[name] = max(1, math.ceil(_LEAST_SECONDS / max(warm, 1e-6)))
            told()
        found: dict[str, list[float]] = {name: [] for name in passes}
        for _ in range(repeats):
            for name, run in passes.items():
                found[name].append(seconds(run, times[name]))
                told()
    return found
