"""Do teacher and student read the same? Checked before anything is trained."""

import json
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
        UserError: says the first piece that differs, or how the teacher cuts texts otherwise.
    """
    _check_tokenizer(folder)
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


# How hanmo cuts every text, as BERT's uncased Chinese models do: key → values that mean it.
_CUTS = {
    "do_lower_case": (True,),
    "strip_accents": (None, True),
    "tokenize_chinese_chars": (True,),
}


def _check_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    for name, expected in _CUTS.items():
        value = raw.get(name, expected[0]) if isinstance(raw, dict) else expected[0]
        if value not in expected:
            raise UserError(
                f"{path}: {name} is {json.dumps(value)}, so this teacher cuts texts into other "
                f"pieces than its student, for which it is {json.dumps(expected[0])}; expected a "
                "teacher with the tokenizer of BERT's uncased Chinese models"
            )
