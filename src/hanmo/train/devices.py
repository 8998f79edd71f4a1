"""Where and in which precision a model runs.

    device = prepare("auto")
    with device.autocast(): loss = model(batch)

"auto" takes bf16 where it is faster: CUDA from Ampere on, CPUs with AMX, and AMD's with AVX512-BF16
(Zen 4 and later: twice as fast). Intel's with AVX512-BF16 but no AMX have the instruction and gain
nothing: measured there, fp32 was 1.4 times as fast (docs/results.md); `--precision bf16` still
takes it. Weights stay fp32, products run in bf16.
"""

import contextlib
import ctypes
import dataclasses
import mmap
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from hanmo.core.errors import UserError, nearest

PRECISIONS = ("auto", "fp32", "bf16")
NAMES = ("cpu", "cuda")
# mallopt(3) parameters: keep freed blocks instead of giving them back to the system. A training
# step allocates the same large blocks again and again; page faults cost 20–30 % (facts/15).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


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


def n_threads() -> int:
    """Return how many CPU threads a matrix product uses."""
    return torch.get_num_threads()


def _gains_by_bf16(name: str) -> bool:
    if name == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities()
    amd = str(can.get("cpu_name", "")).startswith("AMD")
    return bool(can.get("amx_bf16") or (amd and can.get("avx512_bf16")))


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse freed blocks; returns whether it could be told."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # a C library without mallopt, such as musl
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 1 << 28}
    return all(mallopt(key, value) == 1 for key, value in settings.items())


def release_freed_memory() -> bool:
    """Give freed blocks of the heap back to the system; returns whether there were any.

    Costs page faults in what comes next: see `Heap` for when it is worth it.
    """
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except AttributeError:
        return False


class Heap:
    """Keeps the memory of a long run level.

    With freed memory kept (`keep_freed_memory`), blocks of ever new sizes fragment the heap without
    end (docs/log.md). Giving it back costs page faults; done once it is twice what it was when it
    had settled, that is 1 % of the time.
    """

    settling = 20  # steps until the heap has its size
    excess = 2.0

    def __init__(self) -> None:
        self._steps = 0
        self._settled = 0

    def tend(self) -> bool:
        """Call after each step; returns whether memory was given back."""
        held = resident_memory()
        self._steps += 1
        if self._steps <= self.settling:
            self._settled = max(self._settled, held)
            return False
        if held <= self.excess * self._settled:
            return False
        # What follows may need more, such as longer sequences: it settles anew.
        self._steps = self._settled = 0
        return release_freed_memory()


def resident_memory() -> int:
    """Return the bytes of this process in memory, without mapped files; 0 where nobody tells."""
    try:
        text = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    _, resident, shared, *_ = map(int, text.split())
    return (resident - shared) * mmap.PAGESIZE
