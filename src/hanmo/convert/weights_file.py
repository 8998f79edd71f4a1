"""Weights on disk, a tensor at a time: safetensors and PyTorch's own files.

    tensors = read_weights(Path("model.safetensors"))      # name → Stored, nothing read yet
    write_weights(Path("copy.safetensors"), tensors)       # holds one tensor at a time

The library of safetensors writes from memory only: a model would be held twice. The format is a
length (8 bytes, little-endian), a JSON header and the values. Source: its README, "Format".
"""

import functools
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from hanmo.convert.contents import Stored
from hanmo.convert.git_lfs import refuse_pointer
from hanmo.core.artifact import checked
from hanmo.core.errors import UserError
from hanmo.core.files import replacing
from hanmo.core.memory import release_mapped_pages

# numpy's → the header's.
_DTYPES: Mapping[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_NUMPY = {theirs: ours for ours, theirs in _DTYPES.items()}


def read_weights(path: Path) -> dict[str, Stored]:
    """List the tensors of a weights file.

    Args:
        path: `.safetensors`, or PyTorch's, which is read by the weights-only unpickler: code in it
            is refused, not run.

    Raises:
        UserError: no such file, damaged, or a pickle that holds more than tensors.
    """
    checked(path)
    refuse_pointer(path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return _read_pytorch(path)
    except pickle.UnpicklingError:
        # torch's own message explains how to run the code inside; that is not our advice.
        raise UserError(
            f"{path}: damaged, or a pickle that holds more than tensors, which hanmo does not run; "
            "expected plain weights, best as model.safetensors"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged weights ({error}); fetch or make it again") from None


def as_numpy(tensor: torch.Tensor) -> NDArray:
    """Return a tensor's values as an array; bfloat16 as ml_dtypes'."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def as_torch(array: NDArray) -> torch.Tensor:
    """Return an array's values as a tensor of its own memory."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def write_weights(
    path: Path, tensors: Mapping[str, Stored], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file under a temporary name, and rename it.

    Args:
        path: the file; its folder is there.
        tensors: written in the order of their names.
        metadata: kept in the header.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        if tensor.dtype.name not in _DTYPES:
            raise UserError(f"{name}: of type {tensor.dtype.name}, which safetensors has not")
        start, end = end, end + tensor.size * tensor.dtype.itemsize
        header[name] = {
            "dtype": _DTYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as partial, partial.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            values = np.ascontiguousarray(tensors[name].read())
            stream.write(values.reshape(-1).view(np.uint8).data)


def _read_safetensors(path: Path) -> dict[str, Stored]:
    # The library checks the file: its header, that offsets fit shapes and fill it without gaps. The
    # values are read at their offsets, so that memory holds one tensor and no pages of others.
    with safe_open(path, "pt"):
        pass
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        kind, shape = entry["dtype"], tuple(entry["shape"])
        if kind not in _NUMPY:
            raise UserError(f"{path}: tensor {name} is of type {kind}, which hanmo does not read")
        dtype = np.dtype(ml_dtypes.bfloat16 if kind == "BF16" else _NUMPY[kind])
        start = 8 + length + entry["data_offsets"][0]
        found[name] = Stored(shape, dtype, functools.partial(_values, path, start, shape, dtype))
    return found


def _values(path: Path, start: int, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    count = math.prod(shape)
    values = np.fromfile(path, dtype, count, offset=start)
    if len(values) != count:
        raise UserError(f"{path}: cut short while it was read; fetch or make it again")
    return values.reshape(shape)


def _read_pytorch(path: Path) -> dict[str, Stored]:
    mapped = True
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # files of before PyTorch 1.6 cannot be mapped
        mapped = False
        state = torch.load(path, map_location="cpu", weights_only=True)
    sound = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    )
    if not sound:
        raise UserError(
            f"{path}: holds {type(state).__name__}, expected a state dict: names and tensors"
        )
    for name, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise UserError(f"{path}: {name} is no plain tensor; expected one that is")
    return {name: _stored(tensor.detach(), mapped) for name, tensor in state.items()}


def _stored(tensor: torch.Tensor, mapped: bool) -> Stored:
    array = as_numpy(tensor)
    if not mapped:
        return Stored.of(array)

    def copied() -> NDArray:
        values = np.array(array)
        release_mapped_pages(tensor.data_ptr(), array.nbytes)
        return values

    return Stored(array.shape, array.dtype, copied)
