"""What an output may not replace: the inputs, and what another kind of command made.

refuse_inside(Path("work/corpus"), [Path("work/corpus/raw")])    # UserError
"""

from collections.abc import Iterable
from pathlib import Path

from hanmo.core.errors import UserError


def refuse_inside(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse a folder to make that is an input, or holds one: it would be replaced.

    Raises:
        UserError: it is so.
    """
    place = out.resolve()
    for path in inputs:
        if path.resolve().is_relative_to(place):
            raise UserError(
                f"{out}: holds the input {path}, which it replaces; choose another --out"
            )


def refuse_other_kind(out: Path, there: str, kind: str) -> None:
    """Let --overwrite replace what its command made: a wrong --out is not to cost a model.

    Args:
        out: the folder to make.
        there: kind of the folder that is there.
        kind: kind of the folder to make.

    Raises:
        UserError: they differ.
    """
    if there != kind:
        raise UserError(
            f"{out}: a folder of kind {there!r}, and this makes one of kind {kind!r}; --overwrite "
            "replaces its own kind only; choose another --out, or delete the folder"
        )
