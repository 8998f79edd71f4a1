"""JSON lines: a record a line, with a key for the text and perhaps one for the id.

{"id": "42", "text": "黄河是中国第二长河。"}
"""

from collections.abc import Iterator
from pathlib import Path

from hanmo.corpus.reading import Item, ReadOptions
from hanmo.corpus.records import json_items

SUFFIXES = (".jsonl", ".ndjson", ".json")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document for each line that is not blank."""
    yield from json_items(path, options)
