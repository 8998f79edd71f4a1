"""Label masked words: part of speech, entity, relation of a word the model cannot see.

In: a text whose [MASK]s stand for words ([MASK]s that touch are one word), or, with `mask_words`, a
plain text: the annotator cuts it into words and each is masked in turn. Out, for each masked word:
every layer's likeliest labels, averaged over the pieces of the word. The model needs label heads,
as LERT's pre-training makes them; LERT's FAQ (question 5) promises this prediction, its released
scripts have no mode for it (facts/01).

    hanmo predict MODEL tags "他去[MASK][MASK]旅游。"
    hanmo predict MODEL tags "他去北京旅游。" --mask-words
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.sentence import Annotator, Sentence
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import read_extra
from hanmo.predict._forward import Forward, Question
from hanmo.predict._how import DEFAULT, How
from hanmo.predict._masks import (
    MASK_TEXT,
    Span,
    read_masked,
    require_length,
    require_text,
    shorten,
)
from hanmo.predict._model import describe, open_masked_lm
from hanmo.predict._predictor import TEXT, Answer, Predictor, Row
from hanmo.text.align import align_words
from hanmo.text.sentences import split_sentences
from hanmo.text.tokenizer import Tokenizer

ANNOTATORS = "hanmo.annotate.annotators"


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of tags.

    Attributes:
        mask_words: Mask each word of the text in turn instead of reading [MASK]s.
        annotator: Who finds the words then; its own labels are shown beside the model's.
    """

    mask_words: bool = False
    # No option of a server's requests: it may name a file with code.
    annotator: str = field(default="crf", metadata={"served": False})

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open a model with label heads.

        Args:
            folder: model folder.
            top_k: labels to give for each layer.
            how: the model is run.

        Raises:
            UserError: a folder without label heads, or an unknown annotator.
        """
        # Asked first: a folder without label heads may lack an MLM head, too.
        if not read_extra(folder).get("layers"):
            raise UserError(
                f"{folder}: holds {describe(folder)}; tags needs label heads; make them with "
                "hanmo pretrain --objective lert (starting from this model: --init)"
            )
        opened = open_masked_lm(folder, how, pieces=False)
        annotator = (
            registry.load(ANNOTATORS, self.annotator).Annotator() if self.mask_words else None
        )
        tagger = _Tagger(opened.tokenizer, opened.forward, annotator, top_k)
        return Predictor(
            fields=(TEXT,),
            read=tagger.read_words if self.mask_words else tagger.read,
            cost=lambda query: sum(len(word.question.ids) for word in query.words),
            answer=tagger.answer,
            columns=("word", "layer", "label", "probability", "annotator", "also"),
            rows=_rows,
            engine=opened.forward.engine.name,
            reads_slowly=self.mask_words,
        )


@dataclass(frozen=True, slots=True)
class _Word:
    span: Span
    question: Question
    given: Mapping[str, str | None]  # the annotator's labels


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    words: tuple[_Word, ...]


@dataclass(frozen=True, slots=True)
class _Tagger:
    tokenizer: Tokenizer
    forward: Forward
    annotator: Annotator | None
    top_k: int

    def read(self, row: Row) -> _Query:
        text = require_text(row[TEXT])
        masked = read_masked(text, self.tokenizer, max_length=self.forward.max_length)
        words = [
            _Word(span, Question(masked.ids, places), {})
            for span, places in zip(masked.spans, masked.words, strict=True)
        ]
        return _Query(text, tuple(words))

    def read_words(self, row: Row) -> _Query:
        text = require_text(row[TEXT])
        assert self.annotator is not None
        if MASK_TEXT.search(text):
            raise UserError(
                f"[MASK] in {shorten(text)!r}; --mask-words masks the words of a plain text; "
                "leave out one of the two"
            )
        encoding = self.tokenizer.encode(text)
        require_length(len(encoding) + 2, self.forward.max_length, text)
        sides = (self.tokenizer.cls_id, self.tokenizer.sep_id)
        ids = np.concatenate([[sides[0]], encoding.ids, [sides[1]]]).astype(np.int32)
        words: list[_Word] = []
        spans = split_sentences(text)
        sentences = self.annotator.annotate([text[start:end] for start, end in spans])
        for (start, _), sentence in zip(spans, sentences, strict=True):
            words += self._mask_each(sentence, start, ids, encoding.spans)
        return _Query(text, tuple(words))

    def _mask_each(
        self, sentence: Sentence, offset: int, ids: NDArray[np.int32], pieces: NDArray[np.int32]
    ) -> list[_Word]:
        """Mask the words of a sentence that starts at character `offset`, one an input."""
        spans = np.array(sentence.words, dtype=np.int64).reshape(-1, 2) + offset
        owners = align_words(spans, pieces).piece_words
        words = []
        for number, span in enumerate(spans.tolist()):
            places = np.flatnonzero(owners == number) + 1  # [CLS] comes first
            if len(places) == 0:  # shares a piece with a neighbour, or has no piece at all
                continue
            hidden = ids.copy()
            hidden[places] = self.tokenizer.mask_id
            given = {layer: labels[number] for layer, labels in sentence.layers.items()}
            question = Question(hidden, tuple(places.tolist()))
            words.append(_Word((span[0], span[1]), question, given))
        return words

    def answer(self, queries: Sequence[_Query]) -> list[Answer]:
        questions = [word.question for query in queries for word in query.words]
        labelled = iter(self.forward.labels(questions))
        return [
            {
                "text": query.text,
                "words": [
                    self._word(query.text, word, scores)
                    for word, scores in zip(query.words, labelled, strict=False)
                ],
            }
            for query in queries
        ]

    def _word(
        self, text: str, word: _Word, scores: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, Any]:
        start, end = word.span
        layers = {}
        for layer in sorted(scores, key=_place):
            table = scores[layer]
            mean = table.mean(axis=0, dtype=np.float64)  # [T], over the word's pieces
            best = np.argsort(-mean, kind="stable")[: self.top_k].tolist()
            layers[layer] = [
                {"label": self.forward.layers[layer][label], "probability": float(mean[label])}
                for label in best
            ]
        answer: dict[str, Any] = {"word": text[start:end], "start": start, "end": end}
        answer["layers"] = layers
        return answer | {"annotator": dict(word.given)} if word.given else answer


def _place(layer: str) -> tuple[bool, int]:
    """Order of the layers: LERT's, then others."""
    known = list(TAGSETS)
    return (layer not in known, known.index(layer) if layer in known else 0)


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    """Rows of the readable table: one a word and layer."""
    rows: list[tuple[str, ...]] = []
    for word in answer["words"]:
        given = word.get("annotator", {})
        for number, (layer, labels) in enumerate(word["layers"].items()):
            others = "  ".join(f"{x['label']} {x['probability']:.2f}" for x in labels[1:4])
            rows.append(
                (
                    "" if number else word["word"],
                    layer,
                    labels[0]["label"],
                    f"{labels[0]['probability']:.4f}",
                    given.get(layer) or "",
                    others,
                )
            )
    return rows
