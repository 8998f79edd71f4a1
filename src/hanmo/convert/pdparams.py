"""PaddlePaddle's parameter files: a pickled dict of arrays, read and written a tensor at a time.

The pickle is written instruction by instruction, because the library's keeps all it has seen; it
is read by `pickled_arrays`, which runs nothing of it. Source: paddle.save's description.

    write_parameters(Path("model_state.pdparams"), {"bert.pooler.dense.bias": stored})
"""

import pickle
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from hanmo.convert.contents import Stored
from hanmo.convert.git_lfs import refuse_pointer
from hanmo.convert.pickled_arrays import Array, is_of_numbers, read_pickle, title
from hanmo.core.errors import UserError
from hanmo.core.files import replacing

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
        tensors: in the order in which they are written; of floating-point or integer types. One
            that has several names is written once.
    """
    numbers: dict[int, int] = {}  # identity of a tensor → its number in the pickle's memo
    with replacing(path) as partial, partial.open("wb") as stream:
        stream.write(b"\x80\x04}")  # protocol 4, an empty dict
        for name, tensor in tensors.items():
            stream.write(_text(name))
            if id(tensor) in numbers:
                stream.write(b"j" + numbers[id(tensor)].to_bytes(4, "little") + b"s")
                continue
            numbers[id(tensor)] = len(numbers)
            values = np.ascontiguousarray(tensor.read())
            stream.write(_RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R")
            stream.write(b"(K\x01" + _shape(tensor.shape) + _dtype(tensor.dtype) + b"\x89")
            stream.write(b"\x8e" + values.nbytes.to_bytes(8, "little"))
            stream.write(values.reshape(-1).view(np.uint8).data)
            stream.write(b"tb\x94s")  # the state of the array; its number; it, under its name
        stream.write(b".")


def read_parameters(path: Path) -> dict[str, Stored]:
    """List the tensors of a parameter file.

    Raises:
        UserError: damaged, or a pickle that asks for more than arrays.
    """
    refuse_pointer(path)
    try:
        state = read_pickle(path)
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: damaged, or not a file of paddle.save ({reason})") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds {title(state)}, expected a dict of parameters")
    found = {}
    for name, value in state.items():
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if name == _NAMES:
            continue
        if not is_of_numbers(array):
            raise UserError(f"{path}: {name} is no array of numbers, but {title(array)}")
        found[str(name)] = as_bfloat16(_stored(array))
    return found


def as_bfloat16(tensor: Stored) -> Stored:
    """Return a tensor of Paddle's: its 16-bit numbers without a sign are bfloat16."""
    if tensor.dtype != np.uint16:
        return tensor
    return Stored(
        tensor.shape, np.dtype(ml_dtypes.bfloat16), lambda: tensor.read().view(ml_dtypes.bfloat16)
    )


def _stored(array: Array) -> Stored:
    return Stored(array.shape, array.dtype, array.read)


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
