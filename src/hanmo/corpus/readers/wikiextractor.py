"""WikiExtractor's output, both forms: `<doc id=… title=…>` blocks and, with `--json`, JSON lines.

Its files have no suffix (`AA/wiki_00`, or `wiki_00.bz2` with `-c`). The first line of a block
repeats the title, which the JSON form leaves out; it is left out here, too, so that both forms
give the same text. `--id-key` may name what both have: `id`, `url` or `title`.

    <doc id="13" url="https://zh.wikipedia.org/wiki?curid=13" title="数学">
    数学

    数学是研究数量、结构以及空间等概念的一门学科。
    </doc>
"""

import re
from collections.abc import Iterator
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.corpus.cleaning import unescape
from hanmo.corpus.reading import Item, ReadOptions, Row, Unreadable, lines, sound_lines, string_of
from hanmo.corpus.records import json_items

SUFFIXES = (".wiki",)
NAMES = re.compile(r"wiki_\d+")
_OPENS = re.compile(r"<doc (.*)>\s*")
_ATTRIBUTE = re.compile(r'\b(\w+)="')
_VALUE_ENDS = re.compile(r'"(?=\s|$)')  # a value may hold quotes


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield a document for each block or line.

    Raises:
        UserError: The file is of neither form.
    """
    first = next((line for _, line in sound_lines(path, options) if line.strip()), "")
    yield from (json_items if first.startswith("{") else _blocks)(path, options)


def _blocks(path: Path, options: ReadOptions) -> Iterator[Item]:
    opened: tuple[str, int] | None = None  # attributes, line
    block: list[str] = []
    wrong: list[UserError] = []
    for number, line in lines(path, options):
        if isinstance(line, UserError):
            wrong.append(line)
        elif opened is None and not line.strip():
            continue
        elif opened is None:
            found = _OPENS.fullmatch(line)
            if found is None:
                raise UserError(
                    f"{path}:{number}: got {line[:30]!r}, expected <doc id=… title=…> or a JSON "
                    "object; is this WikiExtractor's output?"
                )
            opened, block = (found[1], number), []
        elif line.strip() == "</doc>":
            yield Unreadable(wrong[0]) if wrong else _item(opened, block, options, path)
            opened = None
            wrong.clear()
        else:
            block.append(line)
    if opened is not None:
        raise UserError(
            f"{path}:{opened[1]}: no </doc> to this <doc …>: the file was cut off; extract it again"
        )
    if wrong:
        yield Unreadable(wrong[0])


def _item(opened: tuple[str, int], block: list[str], options: ReadOptions, path: Path) -> Item:
    values = {name: unescape(value) for name, value in _attributes(opened[0])}
    paragraphs = [line for line in block if line.strip()]
    if paragraphs and paragraphs[0].strip() == values.get("title", "").strip():
        del paragraphs[0]
    text = "\n".join(paragraphs)
    if options.id_key is None:
        return Row(None, text)
    try:
        key = string_of(values, options.id_key, "--id-key", f"{path}:{opened[1]}")
    except UserError as error:
        return Unreadable(error)
    return Row(key, text)


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and values; each character is looked at a bounded number of times."""
    at = 0
    while (found := _ATTRIBUTE.search(text, at)) is not None:
        end = _VALUE_ENDS.search(text, found.end())
        if end is None:
            return
        yield found[1], text[found.end() : end.start()]
        at = end.end()
