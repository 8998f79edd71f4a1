"""Models as commands take them: PATH, or NAME=PATH for the name in tables.

named("small=work/rbt3")  # ("small", "work/rbt3")
named("work/rbt3")        # ("", "work/rbt3"): the command names it by its folder
"""

import re
from collections.abc import Sequence

from hanmo.core.errors import UserError

_NAME = re.compile(r"[\w.+-]+")


def named(text: str) -> tuple[str, str]:
    """Part `NAME=VALUE`; the name is empty where none is given."""
    name, equals, value = text.partition("=")
    return (name, value) if equals else ("", text)


def checked(name: str, value: str, flag: str) -> str:
    """Return a name that can be a folder's.

    Raises:
        UserError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{flag}: name {name!r}; expected letters, digits, '.', '+', '-', '_': write "
            f"NAME={value}"
        )
    return name


def refuse_twice(names: Sequence[str], flag: str, advice: str) -> None:
    """Refuse names that are given twice.

    Raises:
        UserError: there are some.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{flag}: {', '.join(twice)} given twice; names must differ: {advice}")
