"""Which device and precision are chosen."""

import pytest
import torch

from hanmo.core.errors import UserError
from hanmo.train.devices import Device, prepare


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
