"""Check a value from a file against a type annotation; nothing is guessed or converted silently.

In: what TOML or JSON hold. Out: the same as a field of that annotation holds it (a `Path` for its
text, a float for a whole number), or a TypeError that says what was expected.

    conform(1, float)                   # 1.0
    conform("wiki.txt", list[Path])     # [Path("wiki.txt")]; one text stands for a list of one
    conform("3", int)                   # TypeError: expected a whole number
"""

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.urls import as_path

_NAMES: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def without_none(annotation: Any) -> Any:
    """Return X for `X | None`, and any other annotation as it is."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        members = [one for one in typing.get_args(annotation) if one is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation


def element(annotation: Any) -> Any:
    """Return X for `list[X]`, `tuple[X, ...]` and `Sequence[X]`; None for anything else."""
    inner = without_none(annotation)
    origin = typing.get_origin(inner)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return typing.get_args(inner)[0]
    return None


def conform(value: Any, annotation: Any) -> Any:
    """Return `value` as a field annotated so holds it.

    Raises:
        TypeError: it does not fit; the message is what was expected.
    """
    wanted = without_none(annotation)
    if value is None and wanted is not annotation:
        return None
    arguments, origin = typing.get_args(wanted), typing.get_origin(wanted)
    if element(wanted) is not None:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise TypeError(f"expected a list, each of it {described(element(wanted))}")
        return [conform(item, element(wanted)) for item in items]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a table of names, each with {described(arguments[1])}")
        return {str(key): conform(item, arguments[1]) for key, item in value.items()}
    if origin is typing.Literal:
        if value not in arguments:
            raise TypeError(f"expected {described(wanted)}")
        return value
    return _scalar(value, wanted)


def described(annotation: Any) -> str:
    """Say an annotation in words: `int` → "a whole number"."""
    wanted = without_none(annotation)
    if typing.get_origin(wanted) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(wanted)))
    return _NAMES.get(wanted, str(wanted))


def _scalar(value: Any, wanted: Any) -> Any:
    if wanted is Path and isinstance(value, str):
        try:
            return as_path(value)
        except UserError as error:
            raise TypeError(str(error)) from None
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # True is an int for Python, not for us.
    fits = wanted is not int or not isinstance(value, bool)
    if wanted in _NAMES and not (fits and isinstance(value, wanted)):
        raise TypeError(f"expected {described(wanted)}")
    return value
