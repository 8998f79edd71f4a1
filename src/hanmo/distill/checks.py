"""Do teacher and student read the same? Checked before anything is trained."""

from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.text.tokenizer import Tokenizer


def check_vocabulary(folder: Path, tokenizer: Any, *, whose: str = "the student") -> None:
    """Refuse a teacher whose pieces are not the student's.

    Args:
        folder: the teacher's.
        tokenizer: the student's, a `hanmo.text.tokenizer.Tokenizer`.
        whose: for the message.

    Raises:
        UserError: says the first piece that differs.
    """
    theirs, ours = Tokenizer.load(folder).vocab, tokenizer.vocab
    if theirs == ours:
        return
    if len(theirs) != len(ours):
        found = f"it has {len(theirs):,} pieces, {whose} {len(ours):,}"
    else:
        place = next(i for i, (one, two) in enumerate(zip(theirs, ours, strict=True)) if one != two)
        found = f"piece {place} is {theirs[place]!r}, of {whose} {ours[place]!r}"
    raise UserError(
        f"{folder}: another vocabulary than {whose} has: {found}; a teacher and its student read "
        "the same pieces: distil first, and cut the vocabulary of the student afterwards "
        "(hanmo prune)"
    )
