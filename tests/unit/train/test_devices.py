"""Which device and precision are chosen."""

import pytest
import torch

from hanmo.core.errors import UserError
from hanmo.train.devices import Device, explained, prepare


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


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("no"), r"out of memory \(no\); less, please"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), r"\(CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory .Default"),
        (RuntimeError("shape mismatch"), "^shape mismatch$"),
    ],
)
def test_memory_that_ran_out_is_explained(error: Exception, message: str) -> None:
    kind = RuntimeError if "shape" in message else UserError
    with pytest.raises(kind, match=message), explained("less, please"):
        raise error


def test_a_compiler_that_fails_is_explained() -> None:
    from torch._dynamo.exc import Unsupported

    with (
        pytest.raises(UserError, match=r"--compile: torch.compile fails \(no such thing\)"),
        explained(""),
    ):
        raise Unsupported("no such thing")


def test_memory_really_runs_out() -> None:
    with pytest.raises(UserError, match="out of memory"), explained("less"):
        torch.empty(1 << 60, dtype=torch.uint8)
