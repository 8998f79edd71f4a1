"""A line of text cut into cells, with what is to stand under each: what is printed, before colours.

In: an annotated sentence, or pieces of a shard. Out: a `Line`, which the terminal, the HTML page
and JSON show each in its way. The cells of a line put together are its text, character by
character: what lies between two words is a cell of its own.

    line_of(Sentence("我们 去", ((0, 2), (3, 4)), {"pos": ("r", "v")}))
    # 我们 ("r"), " " (nothing), 去 ("v")
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hanmo.annotate.sentence import Sentence

# Categories that a terminal or a page does not show, or obeys: controls, zero-width and private
# characters, surrogates, line and paragraph separators.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))


@dataclass(frozen=True, slots=True)
class Cell:
    """A word, a piece, or what lies between two words.

    Attributes:
        text: As it is in the line.
        under: What stands under it, one for each row of the line, None where that is not known;
            empty for a cell that has nothing under it.
        style: How it is shown: word, gap, plain, special, unknown, masked, replaced or kept.
        joined: It belongs to the cell before it, so that no space is put between them.
    """

    text: str
    under: tuple[str | None, ...] = ()
    style: str = "word"
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, or a training sequence.

    Attributes:
        rows: Names of the rows under the text, such as the layers.
        cells: The text.
    """

    rows: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        """The text of all cells."""
        return "".join(cell.text for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return the text and its words, each with its labels by layer."""
        words = [
            {"text": cell.text, **dict(zip(self.rows, cell.under, strict=False))}
            for cell in self.cells
            if cell.style not in ("gap", "plain")
        ]
        return {"text": self.text, "words": words}


def line_of(sentence: Sentence) -> Line:
    """Cut a sentence into its words and what lies between them; without words it is one cell."""
    layers = tuple(sentence.layers)
    if not sentence.words:
        cells = (Cell(sentence.text, style="plain"),) if sentence.text else ()
        return Line((), cells)
    found: list[Cell] = []
    position = 0
    for number, (start, end) in enumerate(sentence.words):
        if position < start:
            found.append(Cell(sentence.text[position:start], style="gap"))
        labels = tuple(sentence.layers[layer][number] for layer in layers)
        found.append(Cell(sentence.text[start:end], labels))
        position = end
    if position < len(sentence.text):
        found.append(Cell(sentence.text[position:], style="gap"))
    return Line(layers, tuple(found))


def line_of_pieces(
    pieces: Sequence[str],
    word_starts: Sequence[bool],
    labels: Mapping[str, Sequence[str | None]],
    *,
    unknown: str,
) -> Line:
    """Join pieces into words; "##" stays, so that one sees where a word was cut.

    Args:
        pieces: n pieces.
        word_starts: n, whether a piece begins a word.
        labels: layer → n labels; those of one word are told apart where they differ.
        unknown: the piece for what the vocabulary lacks.
    """
    bounds = [at for at, begins in enumerate(word_starts) if begins or at == 0] + [len(pieces)]
    cells = []
    for start, stop in pairwise(bounds):
        under = tuple(_together(names[start:stop]) for names in labels.values())
        style = "unknown" if unknown in pieces[start:stop] else "word"
        cells.append(Cell("".join(pieces[start:stop]), under, style))
    return Line(tuple(labels), tuple(cells))


def _together(labels: Sequence[str | None]) -> str | None:
    """One label for a word: `S-Ns S-Ns` → `S-Ns`; entities by piece differ: `B-Ns/E-Ns`."""
    distinct = list(dict.fromkeys(labels))
    if len(distinct) == 1:
        return distinct[0]
    return "/".join("·" if label is None else label for label in distinct)


def visible(text: str) -> str:
    """Write characters that one cannot see as their code points: `<U+200B>`; others stay."""
    if text.isprintable():
        return text
    return "".join(f"<U+{ord(c):04X}>" if is_unseen(c) else c for c in text)


def is_unseen(character: str) -> bool:
    """Whether a character cannot be seen, or is obeyed instead of being shown."""
    return unicodedata.category(character) in _UNSEEN
