"""Traditional to simplified characters and the like, by OpenCC (extra `hanmo[opencc]`).

A conversion is the name of one of OpenCC's configurations: `t2s` (traditional to simplified, by
phrases), `tw2sp` and `hk2s` (from Taiwan's and Hong Kong's standards), `s2t` for the other way.

    converter("t2s")("頭髮")    # "头发"
"""

import re
from collections.abc import Callable
from functools import lru_cache

from hanmo.core.errors import MissingLibraryError, UserError

_NAME = re.compile("[a-z0-9]+")


@lru_cache(maxsize=4)
def converter(name: str) -> Callable[[str], str]:
    """Return the conversion of that name.

    Raises:
        UserError: OpenCC has no such configuration.
        MissingLibraryError: The extra is not installed.
    """
    try:
        from opencc import OpenCC
    except ImportError:
        raise MissingLibraryError(
            f"--opencc {name} needs OpenCC, which is not installed: pip install 'hanmo[opencc]'"
        ) from None
    if not _NAME.fullmatch(name):  # it would be taken for a file
        raise _unknown(name)
    try:
        convert: Callable[[str], str] = OpenCC(name).convert
    except RuntimeError:
        raise _unknown(name) from None
    return convert


def _unknown(name: str) -> UserError:
    return UserError(
        f"--opencc: OpenCC has no configuration {name!r}; expected t2s, tw2s, tw2sp, hk2s, s2t, …"
    )
