"""The one error a user may cause.

The command line prints a `UserError` as one line without a traceback and exits with code 2.
The message states what is wrong, what was got, what is expected, where, and how to mend it:

    raise UserError(f"{path}: not a vocabulary: no [MASK] among 120 entries; add it on a line")
"""

import difflib
from collections.abc import Iterable

INCOMPLETE = 3  # exit code: done, but some of the input could not be taken


class UserError(Exception):
    """Bad input, bad configuration or a missing file: the message is the whole story."""


class MissingLibraryError(UserError):
    """An optional library is not installed: no mistake in the data that a run might pass over."""


class UnreachableError(UserError):
    """A store that does not answer: no mistake in the data that a run might pass over."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as `; did you mean 'lert'?`, or the list of what is known.

    Example: `nearest("lrt", ["lert", "mlm"])` → `"; did you mean 'lert'? (known: lert, mlm)"`.
    """
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean {matches[0]!r}?" if matches else ""
    return f"{hint} (known: {', '.join(names) or 'none'})"
