"""What every kind of prediction gives: a reader of texts and an answerer of what was read.

Reading is apart from answering so that a bad text is found, and named with its place, before the
model runs; answering takes many at a time.

A question is a text, or fields by name as a line of JSON has them: {"text_a": …, "text_b": …}. In a
text, tabs stand between the fields. An `id` beside them is the asker's own: it comes back with the
answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanmo.core.errors import UserError, nearest

Answer = dict[str, Any]
Row = Mapping[str, Any]
Question = str | Sequence[str] | Row
ID, TEXT = "id", "text"


@dataclass(frozen=True, slots=True)
class Predictor:
    """A loaded model, ready to answer.

    Attributes:
        fields: what a question must have, in the order in which a text has them.
        read: fields → query; raises UserError when they cannot be answered.
        cost: query → pieces that the model has to run for it.
        answer: queries → one JSON-ready answer each, in order; it begins with what was asked.
        columns: headings of the readable table.
        rows: answer → the table's rows.
        optional_fields: what a question may have.
        engine: what runs the model, for people.
        reads_slowly: whether reading does more than to find pieces, such as to annotate.
    """

    fields: tuple[str, ...]
    read: Callable[[Row], Any]
    cost: Callable[[Any], int]
    answer: Callable[[Sequence[Any]], list[Answer]]
    columns: tuple[str, ...]
    rows: Callable[[Answer], list[tuple[str, ...]]]
    optional_fields: tuple[str, ...] = ()
    engine: str = ""
    reads_slowly: bool = False

    def query(self, given: Question) -> Any:
        """Read a question.

        Raises:
            UserError: fields that are missing or unknown, or a text that is empty, too long or
                lacks what the kind needs.
        """
        return self.read(self.row(given))

    def row(self, given: Question) -> Row:
        """Return a question's fields by name.

        Raises:
            UserError: as many texts, or such fields, as this model does not take.
        """
        names = (*self.fields, *self.optional_fields)
        if not isinstance(given, Mapping):
            parts = given
            if isinstance(given, str):
                # A line with columns is no text for a classifier; free text may have tabs.
                parts = [given] if names == (TEXT,) else given.split("\t")
            if not len(self.fields) <= len(parts) <= len(names):
                raise UserError(
                    f"{len(parts)} {'text' if len(parts) == 1 else 'texts'}; {self._takes}"
                )
            return dict(zip(names, parts, strict=False))
        row = {name: value for name, value in given.items() if name != ID}
        if TEXT in row and TEXT not in names:  # the one text of a model that also takes pairs
            row = {names[0]: row.pop(TEXT), **row}
        for name in row:
            if name not in names:
                raise UserError(f"no field {name!r}{nearest(name, names)}; {self._takes}")
        lacking = [name for name in self.fields if name not in row]
        if lacking:
            raise UserError(f"no {' and no '.join(lacking)}; {self._takes}")
        return {name: row[name] for name in names if name in row}

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        """Read and answer questions.

        Raises:
            UserError: as `query`.
        """
        return self.answer([self.query(one) for one in questions])

    @property
    def _takes(self) -> str:
        may = f" and perhaps {' and '.join(self.optional_fields)}" if self.optional_fields else ""
        return f"this model takes {' and '.join(self.fields)}{may}"


def echo(row: Row) -> Answer:
    """Begin an answer with what was asked: one text is called so, whatever the model calls it."""
    if len(row) == 1:
        return {TEXT: next(iter(row.values()))}
    return dict(row)
