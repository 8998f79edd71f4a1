"""Which device and precision are chosen."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from hanmo.core.errors import UserError
from hanmo.train import devices
from hanmo.train.devices import Device, keep_freed_memory, prepare


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False, "cpu_name": "Intel(R) Xeon(R)"}, "fp32"),
        ({"avx512_bf16": True, "amx_bf16": False, "cpu_name": "AMD EPYC"}, "bf16"),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC"}, "fp32"),
        ({"avx512_bf16": True}, "fp32"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"avx512_f": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_takes_bf16_where_it_is_faster(
    capabilities: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert prepare("auto", name="cpu") == Device("cpu", expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_asked_for_precision_is_kept(precision: str) -> None:
    device = prepare(precision, name="cpu")
    assert device == Device("cpu", precision)
    with device.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        prepare("fp32", threads=2, name="cpu")
        assert torch.get_num_threads() == 2
        prepare("fp32", name="cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"precision: no 'fp16'.*fp32"):
        prepare("fp16")
    with pytest.raises(UserError, match="'cuda' asked for"):
        prepare("fp32", name="cuda")
    with pytest.raises(UserError, match=r"'cdua'.*cuda"):
        prepare("fp32", name="cdua")
    with pytest.raises(UserError, match="threads: got -1"):
        prepare("fp32", threads=-1)
    assert prepare("fp32").name == "cpu"


def test_the_allocator_is_told_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, key: int, value: int) -> int:
            calls.append((key, value))
            return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert keep_freed_memory()
    assert {key for key, _ in calls} == {-1, -2, -4}
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory(), "a C library without mallopt"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not devices.keep_freed_memory()


def test_memory_is_kept_and_released() -> None:
    if sys.platform != "linux":
        pytest.skip("glibc's allocator only")
    assert devices.keep_freed_memory()
    held = [bytearray(1 << 20) for _ in range(64)]
    del held[::2]
    assert devices.release_freed_memory()


def test_memory_is_given_back_when_it_is_twice_what_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[int] = []
    held = [0]

    def release() -> bool:
        released.append(held[0])
        return True

    monkeypatch.setattr(devices, "release_freed_memory", release)
    monkeypatch.setattr(devices, "resident_memory", lambda: held[0])
    heap = devices.Heap()

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
        assert devices.resident_memory() > len(block)
    monkeypatch.setattr(devices, "Path", lambda name: tmp_path / "none")
    assert devices.resident_memory() == 0
    assert not any(devices.Heap().tend() for _ in range(50))
