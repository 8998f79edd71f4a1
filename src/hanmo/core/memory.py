"""The heap of a process: freed blocks are kept for the next step, and given back now and then.

glibc gives large freed blocks back to the system at once, and what comes next pays page faults for
the same pages: 20–30 % of a CPU training step (facts/15), half of the time of stacking a batch.
"""

import ctypes
import mmap
import sys
from pathlib import Path

# mallopt(3) parameters.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse freed blocks, for training; whether it could be told."""
    return _tell({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 1 << 28})


def keep_freed_arrays() -> bool:
    """The same for a process that makes batches: 256 MB at most are kept.

    Stacking ran at 75 instead of 40 million pieces a second.
    """
    return _tell({_M_MMAP_THRESHOLD: 1 << 25, _M_TRIM_THRESHOLD: 1 << 28})


def _tell(settings: dict[int, int]) -> bool:
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # a C library without mallopt, such as musl
        return False
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


def release_mapped_pages(address: int, n_bytes: int) -> bool:
    """Give back the pages of a mapped file; they are read from the file again when touched.

    Only for memory that was mapped and not written to: what was written would be lost.

    Args:
        address: of the first byte; pages that are only partly within are kept.
        n_bytes: their number.

    Returns:
        Whether the system was told.
    """
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (address + n_bytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if sys.platform != "linux" or length <= 0:
        return False
    try:
        madvise = ctypes.CDLL(None).madvise
    except AttributeError:
        return False
    told = madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_DONTNEED)
    return bool(told == 0)


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
