"""JSON lines to documents, for the formats that are made of them.

json_items(Path("wiki.jsonl"), ReadOptions(text_key="text"))
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.corpus.reading import Item, ReadOptions, Unreadable, lines, row_of


def json_items(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document, or what is wrong with it, for each line that is not blank."""
    for number, line in lines(path, options, records=True):
        if isinstance(line, UserError):
            yield Unreadable(line)
        elif line.strip():
            yield _item(line, options, f"{path}:{number}")


def _item(line: str, options: ReadOptions, where: str) -> Item:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        told = f"{where}: not JSON: {error.msg} at column {error.colno}"
        if line.strip() in "[{":
            told += "; expected one object a line (for a list: jq -c '.[]' FILE)"
        return Unreadable(UserError(told))
    except ValueError:  # all that json raises besides
        return Unreadable(UserError(f"{where}: JSON with a number of thousands of digits"))
    except RecursionError:
        return Unreadable(UserError(f"{where}: JSON nested too deeply to be read"))
    if not isinstance(record, Mapping):
        kind = type(record).__name__
        told = f"{where}: got {kind}, expected a JSON object a line"
        if isinstance(record, list):
            told += " (for a list: jq -c '.[]' FILE)"
        return Unreadable(UserError(told))
    return row_of(record, options, where)
