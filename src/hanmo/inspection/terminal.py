"""Lines in a terminal: the text, and under each word its labels, in colour where that is wanted.

In: lines. Out: a string, wrapped to the terminal (100 columns elsewhere). Colours are left out
where the output is no terminal or the environment has NO_COLOR (https://no-color.org); nothing is
said by colour alone. A blank of the text is shown as ␣, for blanks also part the words.

    painted([("我们", "word"), ("r", "row0")])
"""

import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from hanmo.inspection.lines import Cell, Line, visible

Run: TypeAlias = tuple[str, str]  # text, style
Printed: TypeAlias = list[Run]  # one line of a terminal

MISSING = "·"  # a label that is not known
_ELSEWHERE = 100  # columns where there is no terminal
_NARROWEST = 20
_NOTHING = "O"  # the entity label of a word in no entity
_STYLES = {
    "title": "bold",
    "faint": "dim",
    "gap": "dim",
    "special": "dim",
    "unknown": "bold red",
    "masked": "bold reverse blue",
    "replaced": "bold reverse red",
    "kept": "bold reverse green",
    "flag": "bold yellow",
    "bar": "cyan",
    "row0": "cyan",
    "row1": "bold magenta",
    "row2": "green",
    "row3": "yellow",
}


def width() -> int:
    """Columns to fill."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _ELSEWHERE
    return max(columns, _NARROWEST)


def painted(lines: Sequence[Printed]) -> str:
    """Put lines together, with escape codes of colours only for who can show them."""
    from rich.console import Console
    from rich.text import Text

    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=True if sys.stdout.isatty() else None,
        no_color=bool(os.environ.get("NO_COLOR")),
        width=1 << 16,  # what is too long is for us to break
        highlight=False,
        markup=False,
        emoji=False,
    )
    for line in lines:
        text = Text.assemble(*[(part, _STYLES.get(style, "")) for part, style in line])
        console.print(text, no_wrap=True, crop=False, overflow="ignore")
    return stream.getvalue()


def interlinear(line: Line, *, columns: int, indent: str = "  ") -> list[Printed]:
    """Lay a line out in columns, each cell with its labels under it."""
    room = columns - len(indent)
    if all(cell.style == "plain" for cell in line.cells):
        return [[(indent, ""), (part, "")] for part in _cut(visible(line.text), room)]
    made: list[Printed] = []
    for block in _blocks(_fitting(line.cells, room), room):
        made += [[(indent, ""), *row] for row in _block_rows(block, len(line.rows))]
    return made


_Column: TypeAlias = tuple[Cell, str, int, int]  # cell, its text as shown, width, space before it


def _fitting(cells: Sequence[Cell], room: int) -> Iterator[tuple[Cell, str]]:
    """Yield cells as they are shown, cut where one alone is wider than a line."""
    for cell in cells:
        parts = _cut(_without_blanks(visible(cell.text)), room) or [""]
        yield cell, parts[0]
        for part in parts[1:]:
            yield Cell(part, style=cell.style, joined=True), part


def _blocks(shown: Iterator[tuple[Cell, str]], room: int) -> Iterator[list[_Column]]:
    """Yield as many columns as a line of the terminal holds."""
    from rich.cells import cell_len

    block: list[_Column] = []
    used, tight = 0, False
    for cell, text in shown:
        labels = max((cell_len(label or MISSING) for label in cell.under), default=0)
        size = max(cell_len(text), labels)
        # Labels as wide as their column would run into the next ones.
        space = 0 if cell.joined and not (tight and cell.under) else 1
        if block and used + space + size > room:
            yield block
            block, used = [], 0
        space = space if block else 0
        block.append((cell, text, size, space))
        used += space + size
        tight = labels >= size > 0
    if block:
        yield block


def _block_rows(block: Sequence[_Column], n_rows: int) -> list[Printed]:
    top = [(text, cell.style, size, space) for cell, text, size, space in block]
    rows = [_padded(top)]
    for row in range(n_rows):
        labels = []
        for cell, _, size, space in block:
            label = (cell.under[row] or MISSING) if cell.under else ""
            faint = label in (MISSING, _NOTHING)
            labels.append((label, "faint" if faint else f"row{row % 4}", size, space))
        if any(label for label, *_ in labels):
            rows.append(_padded(labels))
    return rows


def _padded(items: Sequence[tuple[str, str, int, int]]) -> Printed:
    """Fill every item to its column, but no blanks at the end of the line."""
    from rich.cells import cell_len

    row: Printed = []
    waiting = 0
    for text, style, size, space in items:
        waiting += space
        if text:
            row += [(" " * waiting, ""), (text, style)]
            waiting = 0
        waiting += size - cell_len(text)
    return row


def _without_blanks(text: str) -> str:
    return "".join("␣" if character.isspace() else character for character in text)


def _cut(text: str, room: int) -> list[str]:
    """Cut a text into parts of at most `room` columns (a character may be wider)."""
    from rich.cells import cell_len

    parts: list[str] = []
    begin = used = 0
    for at, character in enumerate(text):
        size = cell_len(character)
        if used + size > room and at > begin:
            parts.append(text[begin:at])
            begin, used = at, 0
        used += size
    return [*parts, text[begin:]] if begin < len(text) else parts
