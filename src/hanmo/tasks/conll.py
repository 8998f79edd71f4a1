"""Tagged characters, one a line: "char tag" or "char TAB tag", a blank line between sentences.

In: a file, plain or compressed. Out: (number of the sentence's first line, {"text": characters,
"tags": tags}); "tags" is None in a file without tags. A token may be longer than a character.

    for number, row in read_conll(Path("msra_train_bio.txt.xz")): row["tags"]
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import read_lines


def read_conll(path: Path, delimiter: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the sentences.

    Args:
        path: the file.
        delimiter: between token and tag; empty: a tab where the line has one, else a space.

    Raises:
        UserError: a line without token, or with a tag where others have none (file:line).
    """
    begin = 0
    tokens: list[str] = []
    tags: list[str] = []
    tagged: bool | None = None
    for number, line in read_lines(path):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if tokens:
                yield begin, {"text": tokens, "tags": tags if tagged else None}
            tokens, tags = [], []
            continue
        token, tag = _parts(line, delimiter)
        if tagged is None:
            tagged = bool(tag)
        if bool(tag) != tagged or not token:
            expected = "a token and a tag" if tagged else "a token alone"
            raise UserError(f"{path}:{number}: got {line[:40]!r}; expected {expected}")
        if not tokens:
            begin = number
        tokens.append(token)
        tags.append(tag)
    if tokens:
        yield begin, {"text": tokens, "tags": tags if tagged else None}


def _parts(line: str, delimiter: str) -> tuple[str, str]:
    """Return a line's first and last column; "" for a tag that is not there."""
    between = delimiter or ("\t" if "\t" in line else " ")
    token, found, tag = line.rpartition(between)
    if not found:
        return line, ""
    if between in token:  # columns in between, such as parts of speech
        token = token.partition(between)[0]
    # From the right: a token may itself be a blank, as in "  O".
    return (token or between if line[0] == between else token), tag
