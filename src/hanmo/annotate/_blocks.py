"""The part that CoNLL-U and IOB2 files share: blocks of tab-separated rows, comments, blank lines.

In: a file (plain or compressed). Out: one `Block` per sentence. Strict: every sentence ends with a
blank line, every row has the same number of columns, so that a cut or damaged file is noticed.

Example block: ``# sent_id = 1`` / ``# text = 我去`` / ``1<TAB>我<TAB>…`` / blank line.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.files import read_lines


@dataclass(frozen=True, slots=True)
class Block:
    """One sentence as it stands in the file.

    Attributes:
        source: The file.
        line: Number of its first line, from 1.
        comments: ``# key = value`` lines; a comment without ``=`` has the value "".
        rows: (line number, columns) of each row.
    """

    source: str
    line: int
    comments: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[int, list[str]]] = field(default_factory=list)

    def where(self, line: int | None = None) -> str:
        """Return ``file:line`` of the block or of one of its rows."""
        return f"{self.source}:{self.line if line is None else line}"


def read_blocks(path: Path, n_columns: int) -> Iterator[Block]:
    """Yield the sentences of a file.

    Args:
        path: A file in CoNLL-U style, plain or compressed.
        n_columns: Columns that every row must have.

    Raises:
        UserError: A row with another number of columns, comments without rows, a last sentence
            without its blank line, or a file without sentences.
    """
    return parse_blocks(read_lines(path), str(path), n_columns)


def parse_blocks(lines: Iterable[tuple[int, str]], source: str, n_columns: int) -> Iterator[Block]:
    """Yield the sentences of numbered lines; `source` is what messages name before the line."""
    block: Block | None = None
    n_blocks = 0
    for line, text in lines:
        if not text.strip():
            if block is not None:
                yield _closed(block)
                n_blocks += 1
            block = None
            continue
        if block is None:
            block = Block(source, line)
        if text.startswith("#"):
            if not block.rows:
                key, _, value = text[1:].partition("=")
                block.comments[key.strip()] = value.strip()
            continue
        columns = text.split("\t")
        if len(columns) != n_columns:
            raise UserError(
                f"{source}:{line}: {len(columns)} tab-separated columns — expected {n_columns}: "
                f"{text[:40]!r}"
            )
        block.rows.append((line, columns))
    if block is not None:
        raise UserError(
            f"{block.where()}: the last sentence does not end with a blank line — the file is cut "
            f"off, or a blank line is missing at its end"
        )
    if not n_blocks:
        raise UserError(f"{source}: no sentence in the file")


def _closed(block: Block) -> Block:
    if not block.rows:
        raise UserError(f"{block.where()}: comments without a word row — a sentence is missing")
    return block


def document_id(comments: dict[str, str]) -> str | None:
    """Return the id of the document that begins here ("" when it has none), or None."""
    if "newdoc id" in comments:
        return comments["newdoc id"]
    return "" if "newdoc" in comments else None
