"""PaddlePaddle's parameter files: a pickled dict of arrays, written a tensor at a time.

The pickle is written opcode by opcode, because the library's keeps all it has seen. Reading allows
arrays, their types and dicts; whatever else a pickle asks for is refused and not run. Source:
paddle.save's description, Python's pickletools.

    write_parameters(Path("model_state.pdparams"), {"bert.pooler.dense.bias": stored})
"""

import os
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from hanmo.convert.contents import Stored
from hanmo.convert.git_lfs import refuse_pointer
from hanmo.core.errors import UserError

# The old module name is the one that every numpy finds.
_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError),
    *(AttributeError, OverflowError, MemoryError),
)
_NAMES = "StructuredToParameterName@@"  # Paddle's own entry beside the tensors


def write_parameters(path: Path, tensors: Mapping[str, Stored]) -> None:
    """Write a parameter file under a temporary name, and rename it.

    Args:
        path: the file; its folder is there.
        tensors: in the order in which they are written; of floating-point or integer types.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(b"\x80\x04}")  # protocol 4, an empty dict
        for name, tensor in tensors.items():
            values = np.ascontiguousarray(tensor.read())
            stream.write(_text(name))
            stream.write(_RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R")
            stream.write(b"(K\x01" + _shape(tensor.shape) + _dtype(tensor.dtype) + b"\x89")
            stream.write(b"\x8e" + values.nbytes.to_bytes(8, "little"))
            stream.write(values.reshape(-1).view(np.uint8).data)
            stream.write(b"tbs")  # the state of the array; the array under its name
        stream.write(b".")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def read_parameters(path: Path) -> dict[str, Stored]:
    """Read a parameter file; it is in memory as a whole.

    Raises:
        UserError: damaged, or a pickle that asks for more than arrays.
    """
    refuse_pointer(path)
    try:
        with path.open("rb") as stream:
            # Lengths that the file does not have are found before memory is asked for them.
            for _ in pickletools.genops(stream):
                pass
            stream.seek(0)
            state = _Arrays(stream, encoding="latin1").load()
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: damaged, or not a file of paddle.save ({reason})") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds {type(state).__name__}, expected a dict of parameters")
    found = {}
    for name, value in state.items():
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if name == _NAMES:
            continue
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise UserError(f"{path}: {name} is no array of numbers, but {kind}")
        # Paddle's arrays of 16-bit numbers without a sign are bfloat16.
        is_bfloat16 = array.dtype == np.uint16
        found[str(name)] = Stored.of(array.view(ml_dtypes.bfloat16) if is_bfloat16 else array)
    return found


def _reconstruct(_kind: Any, _shape: Any, _dtype: Any) -> np.ndarray:
    """Make the array that the state to come fills; never as large as a damaged file may say."""
    return np.empty(0, np.uint8)


def _encode(text: str, _codec: str = "latin1") -> bytes:
    """Turn text into the bytes that Python 2's pickles write as text."""
    return text.encode("latin1")


# What a pickle may ask for → what it gets.
_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): "an array",  # named, and never called
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _encode,
}


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which hanmo does not run")
        return _ALLOWED[module, name]


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def _number(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"J" + value.to_bytes(4, "little", signed=True)


def _shape(shape: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, shape)) + b"t"


def _dtype(dtype: np.dtype) -> bytes:
    kind = "<u2" if dtype == ml_dtypes.bfloat16 else dtype.str  # such as "<f4"
    order = "<" if kind[0] == "<" else "|"
    state = b"(K\x03" + _text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    return b"cnumpy\ndtype\n" + _text(kind[1:]) + b"\x89\x88\x87R" + state + b"b"
