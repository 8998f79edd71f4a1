"""How a plain text file is cut into documents.

- `paragraphs`: one paragraph a line, a blank line between documents.
- `sentences`: one sentence a line, a blank line between documents (the input of BERT's
  `create_pretraining_data.py`); the sentences are joined, with a blank only between two
  Latin ones.
- `lines`: one document a line (the form of CLUECorpusSmall).
- `auto`: `sentences` where a long file's lines nearly all hold at most one sentence, else
  `paragraphs`, which loses nothing: annotation ends a sentence at a line's end anyway. Never
  `lines`: a file without any blank line is refused when it is long.

    texts = cut(read_lines(path), layout="paragraphs")
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from hanmo.core.errors import UserError

Layout = Literal["auto", "paragraphs", "sentences", "lines"]
Line = tuple[int, str]

SAMPLE_LINES = 2000
# Share of lines without a sentence end inside. Real files: 1.00 with one sentence a line. Statutes,
# whose paragraphs are the shortest, reach 1.00 alone, 0.97 in files of 300 lines and more, and 0.85
# in longer ones.
ONE_SENTENCE_SHARE = 0.985
FEWEST_LINES = 300
DOUBTFUL_LINES = 100  # without a blank line: one document, or a document each?
WITHOUT_BLANK_LINES = "without_blank_lines"  # how such files are counted
_INNER_END = re.compile(r"[。！？][”’」』）]*(?=[^。！？”’」』）\s])")


def detect(lines: Iterable[Line], path: Path) -> tuple[Layout, bool]:
    """Tell `sentences` from `paragraphs` by the first lines of a file.

    Returns:
        The layout, and whether it is doubtful: many lines and no blank one are one document.

    Raises:
        UserError: No blank line among them, so that documents have no visible ends.
    """
    sample = "\n".join(line.strip() for _, line in islice(lines, SAMPLE_LINES)).strip().split("\n")
    filled = list(filter(None, sample))
    if len(filled) == SAMPLE_LINES:
        raise UserError(
            f"{path}: no blank line in the first {SAMPLE_LINES:,} lines, so where a document ends "
            "is unknown; give --layout lines (a document a line), or paragraphs or sentences if "
            "the file is one long document"
        )
    blank_inside = len(filled) < len(sample)
    single = sum(_INNER_END.search(line) is None for line in filled)
    enough = blank_inside and len(filled) >= FEWEST_LINES
    if enough and single >= ONE_SENTENCE_SHARE * len(filled):
        return "sentences", False
    return "paragraphs", not blank_inside and len(filled) >= DOUBTFUL_LINES


def cut(lines: Iterable[Line], layout: Layout, *, longest: int | None = None) -> Iterator[str]:
    """Yield the text of each document; paragraphs are joined by newlines.

    Args:
        lines: Numbered lines.
        layout: How they are cut, not "auto".
        longest: Characters after which further lines of a document are passed over: a file whose
            documents have no ends is never held whole.
    """
    if layout == "lines":
        yield from (line for _, line in lines if line.strip())
        return
    join = _join_sentences if layout == "sentences" else "\n".join
    block: list[str] = []
    size = 0
    for _, line in lines:
        if not line.strip():
            if block:
                yield join(block)
            block, size = [], 0
        elif longest is None or size <= longest:
            block.append(line)
            size += len(line)
    if block:
        yield join(block)


def _join_sentences(sentences: list[str]) -> str:
    pieces: list[str] = []
    for sentence in map(str.strip, sentences):
        if pieces and pieces[-1][-1].isascii() and sentence[0].isascii():
            pieces.append(" ")
        pieces.append(sentence)
    return "".join(pieces)
