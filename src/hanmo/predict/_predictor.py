"""What every kind of prediction gives: a reader of texts and an answerer of what was read.

Reading is apart from answering so that a bad text is found, and named with its place, before the
model runs; answering takes many at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Predictor:
    """A loaded model, ready to answer.

    Attributes:
        read: text → query; raises UserError when the text cannot be answered.
        answer: queries → one JSON-ready answer each, in order.
        columns: headings of the readable table.
        rows: answer → the table's rows.
    """

    read: Callable[[str], Any]
    answer: Callable[[Sequence[Any]], list[Answer]]
    columns: tuple[str, ...]
    rows: Callable[[Answer], list[tuple[str, ...]]]

    def __call__(self, texts: Sequence[str]) -> list[Answer]:
        """Read and answer texts.

        Raises:
            UserError: a text is empty, too long or lacks what the kind needs.
        """
        return self.answer([self.read(text) for text in texts])
