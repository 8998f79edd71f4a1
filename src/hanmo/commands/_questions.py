"""Questions of a file, asked of a model many at a time, in constant memory.

In: a file with a question a line, a text (tabs between the texts of a pair) or, in files named
`.jsonl` or `.json`, an object with the fields by name. Out: a line's number and its answer, in the
order of the file; blank lines have one too, so that answers stay line for line.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import format_suffix, scan_lines
from hanmo.core.log import Progress
from hanmo.predict._predictor import ID, Answer, Predictor

BLANK, ERROR = "blank", "error"
_JSON = (".jsonl", ".json", ".ndjson")
AHEAD = 8192  # pieces of a batch, unless it has another size
_BATCHES_AHEAD = 4  # inputs of similar length are run together, chosen among as many full batches
_MOST_WAITING = 4096  # lines; of texts that cost next to nothing


@dataclass(slots=True)
class Asked:
    """A file's questions and what became of them.

    Attributes:
        predictor: answers.
        path: the file.
        batch_tokens: pieces of one forward pass.
        skip: answer a line that cannot be answered with what is wrong with it, and go on.
        blank: blank lines so far.
        bad: lines so far that could not be answered.
    """

    predictor: Predictor
    path: Path
    batch_tokens: int
    skip: bool = False
    blank: int = 0
    bad: int = 0
    _waiting: list[tuple[int, Any]] = field(default_factory=list[tuple[int, Any]])

    def answers(self, *, done: int = 0) -> Iterator[tuple[int, Answer]]:
        """Yield (line number, answer) of every line after the first `done`.

        Raises:
            UserError: a line that cannot be answered (file:line), unless these are skipped; the
                answers of those before it are yielded first.
        """
        # A pipe can be read only once, so it has no total and no time left.
        total = sum(1 for _ in scan_lines(self.path)) if self.path.is_file() else None
        with Progress("predict", total, "texts") as bar:
            cost, failure = 0, None
            for number, line in scan_lines(self.path):
                if number <= done:
                    bar.skip(1)
                    continue
                one = self._read(number, line)
                if isinstance(one, UserError):
                    failure = one
                    break
                self._waiting.append((number, one))
                cost += 0 if isinstance(one, dict) else self.predictor.cost(one.query)
                if (
                    cost >= self.batch_tokens * _BATCHES_AHEAD
                    or len(self._waiting) >= _MOST_WAITING
                ):
                    yield from self._given(bar)
                    cost = 0
            yield from self._given(bar)
            if failure is not None:
                raise failure

    def count(self, earlier: Iterable[str]) -> None:
        """Add what became of the lines of an earlier run, by its answers."""
        for line in earlier:
            if '"blank"' in line or '"error"' in line:
                answer = json.loads(line)
                self.blank += BLANK in answer
                self.bad += ERROR in answer

    def _read(self, number: int, line: str | UserError) -> "_Question | Answer | UserError":
        """Read a line: a question, an answer that needs no model, or a mistake that ends it all."""
        try:
            if isinstance(line, UserError):
                raise line
            if not line.strip():
                return {"text": line, BLANK: True}
            given = self._parsed(line)
            id_ = given.get(ID) if isinstance(given, dict) else None
            return _Question(self.predictor.query(given), id_)
        except UserError as error:
            # Errors of the file itself say where already.
            told = str(error) if error is line else f"{self.path}:{number}: {error}"
            if not self.skip:
                return UserError(told)
            asked = {"text": line} if isinstance(line, str) else {}
            return {**asked, ERROR: str(error)}

    def _parsed(self, line: str) -> Any:
        if format_suffix(self.path) not in _JSON:
            return line
        try:
            given = json.loads(line)
            # An escaped half of a character is JSON, but no text that could be written again.
            json.dumps(given, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UserError(f"not JSON in UTF-8: {error}") from None
        if not isinstance(given, dict | str):
            raise UserError(f"a JSON {type(given).__name__}; expected an object or a text")
        return given

    def _given(self, bar: Progress) -> Iterator[tuple[int, Answer]]:
        """Answer what waits."""
        asked = [one for _, one in self._waiting if isinstance(one, _Question)]
        found = iter(self.predictor.answer([one.query for one in asked]))
        for number, one in self._waiting:
            bar.advance()
            if isinstance(one, _Question):
                answer = next(found)
                yield number, answer if one.id is None else {ID: one.id, **answer}
            else:
                self.blank += BLANK in one
                self.bad += ERROR in one
                yield number, one
        self._waiting.clear()


@dataclass(frozen=True, slots=True)
class _Question:
    query: Any
    id: Any
