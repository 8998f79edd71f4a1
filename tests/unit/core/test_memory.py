"""Freed memory is kept, measured and given back."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from hanmo.core import memory


def test_the_allocator_is_told_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, key: int, value: int) -> int:
            calls.append((key, value))
            return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert memory.keep_freed_memory()
    assert {key for key, _ in calls} == {-1, -2, -4}
    calls.clear()
    assert memory.keep_freed_arrays()
    assert dict(calls) == {-1: 256 << 20, -3: 32 << 20}
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_memory(), "a C library without mallopt"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed_memory()


def test_memory_is_kept_and_released() -> None:
    if sys.platform != "linux":
        pytest.skip("glibc's allocator only")
    assert memory.keep_freed_memory()
    held = [bytearray(1 << 20) for _ in range(64)]
    del held[::2]
    assert memory.release_freed_memory()


def test_memory_is_given_back_when_it_is_twice_what_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[int] = []
    held = [0]

    def release() -> bool:
        released.append(held[0])
        return True

    monkeypatch.setattr(memory, "release_freed_memory", release)
    monkeypatch.setattr(memory, "resident_memory", lambda: held[0])
    heap = memory.Heap()

    def step(n: int) -> bool:
        held[0] = n
        return heap.tend()

    assert not any(step(n) for n in [50, 100, *[90] * 18])  # it settles at 100
    assert not step(200)
    assert step(201)
    assert not any(step(n) for n in [10, *[300] * 19])  # longer sequences: at 300
    assert not step(600)
    assert step(601)
    assert released == [201, 601]


def test_memory_is_told_on_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "linux":
        block = bytearray(b"x") * (64 << 20)
        assert memory.resident_memory() > len(block)
    monkeypatch.setattr(memory, "Path", lambda name: tmp_path / "none")
    assert memory.resident_memory() == 0
    assert not any(memory.Heap().tend() for _ in range(50))


def test_mapped_pages_come_back_from_the_file(tmp_path: Path) -> None:
    values = np.arange(1 << 20, dtype=np.int32)
    values.tofile(tmp_path / "a")
    mapped = np.memmap(tmp_path / "a", np.int32, "r")
    assert int(mapped.sum(dtype=np.int64)) == int(values.sum(dtype=np.int64))
    if sys.platform == "linux":
        assert memory.release_mapped_pages(mapped.ctypes.data, mapped.nbytes)
    assert (mapped == values).all()
    assert not memory.release_mapped_pages(mapped.ctypes.data + 1, 100)  # no whole page
