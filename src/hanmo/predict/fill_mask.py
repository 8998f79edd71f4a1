"""Fill masks: [MASK] for each missing piece, or one [WORD] for a word of unknown length.

In: a text with [MASK]s; [MASK]s that touch are one word and are filled together (see
`hanmo.predict._beam`). Each word is filled while the others stay masked. Out, for each word: the
pieces at each mask by itself, and whole fillings with their probabilities.

`[WORD]` is tried with every number of masks in `mask_length`. Fillings of different lengths are
compared by `score`, the geometric mean of their pieces' probabilities, because a longer product is
always smaller.

    hanmo predict MODEL fill-mask "我在[MASK][MASK]工作。"
    hanmo predict MODEL fill-mask "我在[WORD]工作。" --mask-length 1-3
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.predict._beam import Filled, fill
from hanmo.predict._forward import Forward, Question, Ranking
from hanmo.predict._how import DEFAULT, How
from hanmo.predict._masks import (
    MASK_TEXT,
    Masked,
    Span,
    fillers,
    join_pieces,
    read_masked,
    require_text,
    shorten,
)
from hanmo.predict._model import open_masked_lm
from hanmo.predict._predictor import TEXT, Answer, Predictor, Row
from hanmo.text.tokenizer import Tokenizer

MASK = "[MASK]"
MOST_MASKS = 8
_WORD_TEXT = re.compile(r"\[word\]", re.IGNORECASE)
_LENGTHS = re.compile(r"(\d{1,2})(?:-(\d{1,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of fill-mask.

    Attributes:
        mask_length: How many pieces a [WORD] may have: a number or a range such as 1-4.
        beam: Partial fillings kept while filling a word; wider is slower and misses less.
    """

    mask_length: str = "1-4"
    beam: int = field(default=16, metadata={"most_served": 64})

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open a pre-trained model.

        Args:
            folder: model folder with an MLM head.
            top_k: pieces and fillings to give for each mask and word.
            how: the model is run.

        Raises:
            UserError: bad options, or a folder without a trained MLM head.
        """
        lengths = _lengths(self.mask_length)
        if self.beam < 1:
            raise UserError(f"--beam: got {self.beam}, expected 1 or more")
        opened = open_masked_lm(folder, how, pieces=True)
        allowed = fillers(opened.tokenizer, opened.config.vocab_size)
        beam = max(self.beam, top_k)
        filler = _Filler(opened.tokenizer, opened.forward, allowed, lengths, top_k, beam)
        return Predictor(
            fields=(TEXT,),
            read=filler.read,
            cost=filler.cost,
            answer=filler.answer,
            columns=("word", "masks", "rank", "filling", "probability", "score"),
            rows=_rows,
            engine=opened.forward.engine.name,
        )


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    masked: tuple[Masked, ...]  # one, or one for each length of [WORD]
    word: Span | None  # where [WORD] stands


@dataclass(frozen=True, slots=True)
class _Filler:
    tokenizer: Tokenizer
    forward: Forward
    allowed: NDArray[np.bool_]
    lengths: range
    top_k: int
    beam: int

    def read(self, row: Row) -> _Query:
        text = require_text(row[TEXT])
        limit = self.forward.max_length
        found = [match.span() for match in _WORD_TEXT.finditer(text)]
        if not found:
            return _Query(text, (read_masked(text, self.tokenizer, max_length=limit),), None)
        if len(found) > 1 or MASK_TEXT.search(text):
            raise UserError(
                f"more than [WORD] to fill in {shorten(text)!r}; expected either one [WORD] and "
                "nothing else masked, or [MASK]s"
            )
        start, end = found[0]
        masked = tuple(
            read_masked(text[:start] + MASK * n + text[end:], self.tokenizer, max_length=limit)
            for n in self.lengths
        )
        return _Query(text, masked, (start, end))

    def cost(self, query: _Query) -> int:
        """Count the pieces of all passes: a word of k masks takes 1 + beam · (k - 1) inputs."""
        return sum(
            len(masked.ids) * (1 + self.beam * (len(places) - 1))
            for masked in query.masked
            for places in masked.words
        )

    def answer(self, queries: Sequence[_Query]) -> list[Answer]:
        questions = [
            Question(masked.ids, places)
            for query in queries
            for masked in query.masked
            for places in masked.words
        ]
        filled = iter(fill(questions, self._rank, beam=self.beam))
        return [self._answer(query, filled) for query in queries]

    def _rank(self, questions: Sequence[Question]) -> list[Ranking]:
        return self.forward.rank(questions, self.allowed, self.beam)

    def _answer(self, query: _Query, filled: Iterator[Filled]) -> Answer:
        if query.word is not None:
            tried = [next(filled) for _ in query.masked]
            fillings = [item for one in tried for item in self._fillings(one)]
            fillings.sort(key=lambda item: -item["score"])
            words = [_word(query.word, fillings[: self.top_k], [])]
        else:
            words = [
                _word(span, self._fillings(one)[: self.top_k], self._masks(one.masks))
                for span, one in zip(query.masked[0].spans, filled, strict=False)
            ]
        return {"text": query.text, "filled": _insert(query.text, words), "words": words}

    def _fillings(self, filled: Filled) -> list[dict[str, Any]]:
        fillings = []
        for filling in filled.fillings:
            pieces = [self.tokenizer.vocab[piece] for piece in filling.pieces]
            score = math.exp(filling.log_probability / len(pieces))
            fillings.append(
                {
                    "text": join_pieces(pieces),
                    "n_pieces": len(pieces),
                    "probability": math.exp(filling.log_probability),
                    "score": score,
                }
            )
        return fillings

    def _masks(self, ranking: Ranking) -> list[list[dict[str, Any]]]:
        return [
            [
                {"text": join_pieces([self.tokenizer.vocab[piece]]), "probability": math.exp(value)}
                for value, piece in zip(values, pieces, strict=True)
            ]
            for values, pieces in zip(
                ranking.log_probabilities[:, : self.top_k].tolist(),
                ranking.pieces[:, : self.top_k].tolist(),
                strict=True,
            )
        ]


def _word(span: Span, fillings: list[dict[str, Any]], masks: list[Any]) -> dict[str, Any]:
    word: dict[str, Any] = {"start": span[0], "end": span[1], "fillings": fillings}
    return word | {"masks": masks} if masks else word


def _insert(text: str, words: Sequence[dict[str, Any]]) -> str:
    """Put the best filling of every word into the text."""
    for word in reversed(words):
        text = text[: word["start"]] + word["fillings"][0]["text"] + text[word["end"] :]
    return text


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    """Rows of the readable table: one a filling."""
    return [
        (
            str(number) if rank == 1 else "",
            str(filling["n_pieces"]),
            str(rank),
            filling["text"],
            f"{filling['probability']:.4f}",
            f"{filling['score']:.4f}",
        )
        for number, word in enumerate(answer["words"], start=1)
        for rank, filling in enumerate(word["fillings"], start=1)
    ]


def _lengths(text: str) -> range:
    match = _LENGTHS.fullmatch(text.strip())
    if match:
        low, high = int(match[1]), int(match[2] or match[1])
        if 1 <= low <= high <= MOST_MASKS:
            return range(low, high + 1)
    raise UserError(
        f"--mask-length: got {text!r}; expected a number or a range within 1-{MOST_MASKS}, "
        "such as 2 or 1-4"
    )
