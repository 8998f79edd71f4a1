"""Arrays in a pickle, found without running it: a pickle is a program, and this reads its listing.

Every instruction is interpreted here, for the few kinds of values that a dict of numpy's arrays is
made of; whatever else a pickle asks for is refused. Values of arrays are not read: an array is
known by its type, its shape and where its bytes lie. Source: Python's pickletools, numpy's
`ndarray.__reduce__`.

    read_pickle(Path("model_state.pdparams"))["linear.weight"].read()
"""

import dataclasses
import math
import mmap
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError

_MOST_STEPS = 1_000_000  # a model of 1,000 tensors has some 50,000
_LONGEST_NAME = 4096  # text that is longer holds an array's bytes and stays in the file
_LONGEST = 1 << 48  # of a side of an array
_CODES = frozenset({"b1", *(f"{kind}{size}" for kind in "iu" for size in "1248"), "f2", "f4", "f8"})


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Bytes in the file: a string's, or a text's that stands for bytes, one a character.

    Attributes:
        start: offset in the file.
        stored: bytes there.
        length: bytes that they stand for.
        is_text: they are UTF-8 of characters 0 to 255.
    """

    start: int
    stored: int
    length: int
    is_text: bool

    def read(self, path: Path) -> bytes:
        """Return the bytes.

        Raises:
            UserError: the file was cut short meanwhile.
        """
        with path.open("rb") as stream:
            stream.seek(self.start)
            raw = stream.read(self.stored)
        if len(raw) != self.stored:
            raise UserError(f"{path}: cut short while it was read; fetch or make it again")
        return raw.decode(errors="surrogatepass").encode("latin1") if self.is_text else raw


@dataclasses.dataclass(slots=True)
class _Type:
    code: str
    order: str = "|"


@dataclasses.dataclass(slots=True)
class Array:
    """An array in the file.

    Attributes:
        path: the file.
        shape: its shape.
        code: numpy's letter and width, such as "f4".
        order: "<", ">" or "|".
        by_columns: stored in Fortran's order.
        span: where its bytes lie; None until the pickle says so.
    """

    path: Path
    shape: tuple[int, ...] = ()
    code: str = ""
    order: str = "|"
    by_columns: bool = False
    span: Span | bytes | None = None

    @property
    def dtype(self) -> np.dtype:
        """Type of what `read` returns, in the machine's byte order."""
        return np.dtype(self.code)

    def read(self) -> NDArray:
        """Return the values, read-only."""
        raw = self.span.read(self.path) if isinstance(self.span, Span) else self.span
        assert raw is not None
        flat = np.frombuffer(raw, np.dtype(self.order + self.code)).astype(self.dtype, copy=False)
        return flat.reshape(self.shape[::-1]).T if self.by_columns else flat.reshape(self.shape)


def read_pickle(path: Path) -> Any:
    """Return what a pickle holds: dicts, lists, tuples, texts, numbers and `Array`s.

    Raises:
        UnpicklingError, ValueError, IndexError, KeyError, TypeError: damaged, or it asks for more.
        OSError: not to be opened.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as file:
        # Of a mapped file no more can be asked for than it has, whatever lengths it states.
        stated: Any = file
        reading = _Reading(path)
        for step, (code, value, _) in enumerate(pickletools.genops(stated)):
            if step > _MOST_STEPS:
                raise UnpicklingError(f"more than {_MOST_STEPS:,} steps")
            if code.name == "STOP":
                return reading.stack.pop()
            reading.step(code.name, value, file.tell())
    raise UnpicklingError("it does not end")


@dataclasses.dataclass(frozen=True, slots=True)
class _Global:
    module: str
    name: str


class _Reading:
    """The state of a pickle's machine: a stack, the marks on it, and a memo."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, value: Any, end: int) -> None:
        """Take one instruction, which ends at offset `end` of the file."""
        if name in _IGNORED:
            return
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _NUMBERS:
            self.stack.append(value)
        elif name in _TEXTS:
            self.stack.append(_text(value, name in _BYTES, end))
        elif name in _TUPLES:
            self.stack.append(tuple(self._pop(_TUPLES[name])))
        else:
            step = _STEPS.get(name)
            if step is None:
                raise UnpicklingError(f"it has the instruction {name}, which hanmo does not run")
            step(self, value)

    def mark(self, _value: Any) -> None:
        """MARK."""
        self._marks.append(len(self.stack))

    def remember(self, number: Any) -> None:
        """PUT and MEMOIZE: give the top of the stack a number, the next one by default."""
        self._memo[len(self._memo) if number is None else number] = self.stack[-1]

    def recall(self, number: Any) -> None:
        """GET."""
        self.stack.append(self._memo[number])

    def named(self, value: Any) -> None:
        """GLOBAL and STACK_GLOBAL: something by its name, which is never looked up."""
        module, name = self._pop(2) if value is None else value.split(" ", 1)
        # Compared as texts alone: to hash tuples in tuples, or show them, can end the process.
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnpicklingError("it asks for what has no name")
        if (module, name) not in _KNOWN:
            raise UnpicklingError(f"it asks for {module}.{name}, which hanmo does not run")
        self.stack.append(_Global(module, name))

    def call(self, _value: Any) -> None:
        """REDUCE and NEWOBJ: make one of the values that are known."""
        what, arguments = self._pop(2)
        if not isinstance(what, _Global) or not isinstance(arguments, tuple):
            raise UnpicklingError("it calls what is no name")
        self.stack.append(_made(what, arguments, self.path))

    def build(self, _value: Any) -> None:
        """BUILD: give an array or its type the rest."""
        (state,) = self._pop(1)
        _fill(self.stack[-1], state)

    def collect(self, _value: Any) -> None:
        """TUPLE."""
        self.stack.append(tuple(self._since_mark()))

    def lists(self, _value: Any) -> None:
        """LIST."""
        self.stack.append(self._since_mark())

    def dicts(self, _value: Any) -> None:
        """DICT."""
        values = self._since_mark()
        self.stack.append({})
        self._set(values)

    def append(self, _value: Any) -> None:
        """APPEND."""
        self._extend(self._pop(1))

    def appends(self, _value: Any) -> None:
        """APPENDS."""
        self._extend(self._since_mark())

    def item(self, _value: Any) -> None:
        """SETITEM."""
        self._set(self._pop(2))

    def items(self, _value: Any) -> None:
        """SETITEMS."""
        self._set(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise UnpicklingError("it appends to what is no list")
        self.stack[-1].extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise UnpicklingError("it puts values into what is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise UnpicklingError(f"a {_title(key)} as a name")
            target[key] = value

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count + (self._marks[-1] if self._marks else 0):
            raise UnpicklingError("it takes more than there is")
        found = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return found

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found


def _title(value: Any) -> str:
    return type(value).__name__.lstrip("_").lower()


def _text(value: Any, is_bytes: bool, end: int) -> Any:
    """Return a text or bytes; long ones as the place where they lie."""
    if len(value) <= _LONGEST_NAME:
        return value
    stored = len(value) if is_bytes else len(value.encode(errors="surrogatepass"))
    return Span(end - stored, stored, len(value), not is_bytes)


def _made(what: _Global, arguments: tuple[Any, ...], path: Path) -> Any:
    first: Any = arguments[0] if arguments else None
    made = _KNOWN[what.module, what.name](first, path)
    if made is None:
        raise UnpicklingError(f"it calls {what.module}.{what.name} with {_title(first)}")
    return made


def _latin1(text: Any, _path: Path) -> Any:
    if isinstance(text, Span) and text.is_text:
        return text
    return text.encode("latin1") if isinstance(text, str) else None


def _fill(target: Any, state: Any) -> None:
    if isinstance(target, _Type) and isinstance(state, tuple):
        order = state[1]
        if not isinstance(order, str) or order not in {"<", ">", "|", "="}:
            raise UnpicklingError("a type of an unknown byte order")
        target.order = order
        return
    if not isinstance(target, Array) or not isinstance(state, tuple) or len(state) != 5:
        raise UnpicklingError("it fills what is no array, or not as one")
    _version, shape, kind, by_columns, data = state
    if not isinstance(kind, _Type) or not isinstance(data, Span | bytes | str):
        raise UnpicklingError("an array without a type or bytes")
    if not isinstance(shape, tuple) or not all(map(_is_length, shape)):
        raise UnpicklingError("an array without a shape")
    target.code, target.order = kind.code, kind.order
    target.shape, target.by_columns = shape, bool(by_columns)
    target.span = data.encode("latin1") if isinstance(data, str) else data  # Python 2's bytes
    if target.code not in _CODES:
        return  # told with its name by who asks for numbers
    length = data.length if isinstance(data, Span) else len(data)
    if length != math.prod(shape) * target.dtype.itemsize:
        raise UnpicklingError(f"an array of {length:,} bytes, which its shape {shape} contradicts")
    np.broadcast_to(np.empty((), target.dtype), shape)  # numbers that numpy has no shapes of


def _is_length(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LONGEST


def is_of_numbers(value: Any) -> bool:
    """Whether a value is a whole array of numbers."""
    return isinstance(value, Array) and value.span is not None and value.code in _CODES


def title(value: Any) -> str:
    """Return what to call a value in a message."""
    return f"an array of {value.code or 'nothing'}" if isinstance(value, Array) else _title(value)


# What a pickle may ask for → what it gets for the first argument and the file; None: nothing.
_KNOWN: Mapping[tuple[str, str], Callable[[Any, Path], Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): lambda _, path: Array(path),
    ("numpy._core.multiarray", "_reconstruct"): lambda _, path: Array(path),
    ("numpy", "ndarray"): lambda _, path: None,  # named, and never called
    ("numpy", "dtype"): lambda first, _: _Type(first) if isinstance(first, str) else None,
    ("collections", "OrderedDict"): lambda first, _: {} if first is None else None,
    ("_codecs", "encode"): _latin1,
    # Python 3's and Python 2's.
    **dict.fromkeys(
        (("builtins", "bytes"), ("__builtin__", "bytes")),
        lambda first, _: b"" if first is None else None,
    ),
    **dict.fromkeys(
        (("builtins", "tuple"), ("__builtin__", "tuple")),
        lambda first, _: first if isinstance(first, tuple) else None,
    ),
}
_IGNORED = frozenset({"PROTO", "FRAME"})
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "BINFLOAT"})
# Python 2's strings are bytes; they come as text here, a character each.
_BYTES = frozenset(
    {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "SHORT_BINSTRING", "BINSTRING"},
)
_TEXTS = _BYTES | {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_TUPLES: Mapping[str, int] = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STEPS: Mapping[str, Callable[[_Reading, Any], None]] = {
    "MARK": _Reading.mark,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reading.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Reading.recall),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _Reading.named),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Reading.call),
    "BUILD": _Reading.build,
    "TUPLE": _Reading.collect,
    "LIST": _Reading.lists,
    "DICT": _Reading.dicts,
    "APPEND": _Reading.append,
    "APPENDS": _Reading.appends,
    "SETITEM": _Reading.item,
    "SETITEMS": _Reading.items,
}
