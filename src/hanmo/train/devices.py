"""Where and in which precision a model runs.

    device = prepare("auto")
    with device.autocast(): loss = model(batch)

"auto" takes bf16 where it is faster: CUDA from Ampere on, CPUs with AMX, and AMD's with AVX512-BF16
(Zen 4 and later: twice as fast). Intel's with AVX512-BF16 but no AMX have the instruction and gain
nothing: measured there, fp32 was 1.4 times as fast (docs/results.md); `--precision bf16` still
takes it. Weights stay fp32, products run in bf16.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from hanmo.core.errors import UserError, nearest
from hanmo.core.memory import keep_freed_memory

PRECISIONS = ("auto", "fp32", "bf16")
NAMES = ("cpu", "cuda")
MOST_THREADS = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A torch device name ("cpu", "cuda") and a precision ("fp32", "bf16")."""

    name: str
    precision: str

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.name, torch.bfloat16)


def prepare(
    precision: str = "auto", *, threads: int | None = None, name: str | None = None
) -> Device:
    """Choose the device, set the number of threads, tune the allocator.

    Args:
        precision: "auto", "fp32" or "bf16".
        threads: CPU threads of one matrix product; default: all cores.
        name: "cpu" or "cuda"; default: CUDA when there is one.

    Raises:
        UserError: unknown precision or device, CUDA asked for where there is none, or no threads.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision: no {precision!r}{nearest(precision, PRECISIONS)}")
    if name is not None and name not in NAMES:
        raise UserError(f"device: no {name!r}{nearest(name, NAMES)}")
    if threads is not None and threads < 1:
        raise UserError(f"threads: got {threads}; expected 1 or more")
    if threads is not None and threads > MOST_THREADS:
        raise UserError(f"threads: got {threads:,}; expected {MOST_THREADS} at most")
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen == "cuda" and not torch.cuda.is_available():
        raise UserError("device: 'cuda' asked for, but torch sees no GPU; leave --device out")
    if threads is not None:
        torch.set_num_threads(threads)
    if chosen == "cpu":
        keep_freed_memory()
    if precision == "auto":
        precision = "bf16" if _gains_by_bf16(chosen) else "fp32"
    return Device(chosen, precision)


@contextlib.contextmanager
def explained(advice: str) -> Iterator[None]:
    """Turn what torch says when memory runs out, or a compiler fails, into a line for users.

    Args:
        advice: what to do where memory ran out.

    Raises:
        UserError: in their place.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        text = str(error)
        first = next(iter(text.strip().splitlines()), type(error).__name__)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text:
            raise UserError(f"out of memory ({first}); {advice}") from None
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise UserError(f"--compile: torch.compile fails ({first}); leave it out") from None
        raise


def n_threads() -> int:
    """Return how many CPU threads a matrix product uses."""
    return torch.get_num_threads()


def _gains_by_bf16(name: str) -> bool:
    if name == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities()
    amd = str(can.get("cpu_name", "")).startswith("AMD")
    return bool(can.get("amx_bf16") or (amd and can.get("avx512_bf16")))
