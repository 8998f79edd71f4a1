"""An answer to a question as a span of a passage: CMRC 2018, DRCD; with yes, no and none: CJRC.

[CLS] question [SEP] passage [SEP]; a long passage is read in windows. Every piece of the passage,
and [CLS] for "not in this window", is scored as beginning and as end by one linear layer, as
transformers' `BertForQuestionAnswering` does; the probabilities are taken over these pieces alone
and over one window (HFL's CMRC baseline masks the question and takes log-softmax: facts/10). The
most probable span of all windows is the answer.

With `no_answer` or `yes_no` a second layer on [CLS] says what kind of answer it is. A window counts
as "none" when the answer is not in it; the question is unanswerable when its most promising window
says so, as in SQuAD 2.0's baseline.

"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder, initialise
from hanmo.tasks.kind import Features, RowSkipped, at_least, softmax, text_of
from hanmo.tasks.kinds._answers import NO, NONE, YES, locate_answer, truth
from hanmo.tasks.kinds._reader import END, SPAN, START, TYPE, Reader
from hanmo.tasks.kinds._windows import best_seen, windows
from hanmo.tasks.task import LABEL, Example, Prediction, Task
from hanmo.text.tokenizer import Encoding, Tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A span of a passage.

    Attributes:
        doc_stride: pieces between the beginnings of a passage's windows.
        max_query_length: longest question, in pieces; the rest is cut.
        max_answer_length: longest answer, in pieces.
        no_answer: questions may have none.
        yes_no: questions may have the answers YES and NO.
        unlocated: what to do with a training answer that is not in its passage: "error", or "skip"
            (left out and counted).
    """

    doc_stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    no_answer: bool = False
    yes_no: bool = False
    unlocated: Literal["error", "skip"] = "error"

    fields: ClassVar = ("context", "question")
    optional_fields: ClassVar = ("is_impossible",)
    answers: ClassVar = "text"
    readers: ClassVar = {".json": "squad"}

    def __post_init__(self) -> None:
        at_least(self, doc_stride=1, max_query_length=0, max_answer_length=1)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What a task of this kind is scored by unless it says otherwise."""
        return ("cjrc_em", "cjrc_f1") if len(self.types) > 1 else ("em", "f1")

    @property
    def unfit_metrics(self) -> tuple[str, ...]:
        """CMRC 2018's: F1 is 0 where both answers are empty (facts/10)."""
        return ("em", "f1", "average") if len(self.types) > 1 else ()

    @property
    def types(self) -> tuple[str, ...]:
        """Kinds of answers, in the order of the head's outputs."""
        none = (NONE,) if self.no_answer else ()
        return (SPAN, *none, *((YES, NO) if self.yes_no else ()))

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read a passage, a question and its answers; the first answer is trained on."""
        context, question = text_of(row["context"], "context"), row["question"]
        # CMRC 2018's trial set has two empty questions; their answers are scored all the same.
        if train or not isinstance(question, str):
            question = text_of(question, "question")
        fields: dict[str, Any] = {"context": context, "question": question}
        answers = _checked(row.get(LABEL))
        # A hidden test set may have empty lists; "no answer" is what a mark says, where marks are.
        marked = row.get("is_impossible", "") is not None
        if answers is None or not (answers or train or (self.no_answer and marked)):
            return Example(id, fields, None)
        texts = [one["text"] for one in answers] or [NONE]
        impossible = row.get("is_impossible")
        # CJRC's answers are of several annotators: the flag says what the question is, the texts
        # are what is scored.
        first = NONE if impossible is not None and truth(impossible) else texts[0]
        fields["type"], fields["span"] = SPAN, None
        if first in self.types[1:]:
            fields["type"] = first
        else:
            start = answers[0].get("answer_start", -1) if answers else -1
            fields["span"] = self._located(context, first, start, train=train)
            moved = fields["span"] is not None and fields["span"][0] != start
            return Example(id, fields, tuple(texts), ("answer_found_by_text",) * moved)
        return Example(id, fields, tuple(texts))

    def _located(
        self, context: str, text: str, start: int, *, train: bool
    ) -> tuple[int, int] | None:
        if not text.strip():
            if not train:
                return None
            raise ValueError(
                "an empty answer; set no_answer = true in the task's options if questions may have "
                "none"
            )
        found = locate_answer(context, text, start)
        if found is None and train:
            if self.unlocated == "skip":
                raise RowSkipped("answer_not_in_context")
            raise ValueError(
                f"the answer {text[:40]!r} is not in its passage; correct it, or leave such rows "
                "out with --set unlocated=skip"
            )
        return found

    def labels(self, task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return none: answers are texts."""
        return ()

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn a question and its passage into [CLS] question [SEP] window [SEP], often."""
        question = _encoded(tokenizer, example.fields["question"]).ids
        passage = _encoded(tokenizer, example.fields["context"])
        limit = task.settings.max_length
        asked = question[: min(self.max_query_length, max(0, limit - 4))]
        found = windows(len(passage), limit - 3 - len(asked), self.doc_stride)
        ends = _ends(passage.spans, example.fields.get("span"))
        sequences = tuple(
            self._sequence(asked, passage.ids[begin:stop], tokenizer)
            if example.gold is None
            else self._sequence(
                asked, passage.ids[begin:stop], tokenizer, self._targets(example, ends, begin, stop)
            )
            for begin, stop in found
        )
        extras = {
            "windows": np.array(found, np.int32),
            "spans": passage.spans,
        }
        return Features(example, sequences, len(asked) < len(question), extras)

    def _sequence(
        self,
        question: Array,
        window: Array,
        tokenizer: Tokenizer,
        targets: tuple[int, int, int] = (-1, -1, -1),
    ) -> Corrupted:
        """Lay out a window; targets are first and last asked piece, and kind of answer."""
        before = len(question) + 2
        pieces = [tokenizer.cls_id, *question, tokenizer.sep_id, *window, tokenizer.sep_id]
        segments = np.zeros(len(pieces), np.int8)
        segments[before:] = 1
        positions = np.concatenate([[0], np.arange(before, before + len(window))])
        marks = {name: np.full(len(positions), -1) for name in (START, END, TYPE)}
        for name, place in zip((START, END), targets[:2], strict=True):
            if place >= 0:
                marks[name][place] = 1
        marks[TYPE][0] = targets[2]
        if len(self.types) == 1:
            del marks[TYPE]
        inputs: dict[str, Array] = {
            "input_ids": np.array(pieces, np.int32),
            "token_type_ids": segments,
        }
        return Corrupted(inputs, positions, marks)

    def _targets(
        self, example: Example, ends: tuple[int, int] | None, begin: int, stop: int
    ) -> tuple[int, int, int]:
        """Say what a window is trained on: [CLS], place 0, where the answer is not in it."""
        inside = ends is not None and begin <= ends[0] and ends[1] < stop
        kind = self._type(example.fields["type"], inside)
        if ends is None or not inside:
            return 0, 0, kind
        return ends[0] - begin + 1, ends[1] - begin + 1, kind

    def _type(self, wanted: str, inside: bool) -> int:
        if wanted == SPAN and not inside:
            return self.types.index(NONE) if NONE in self.types else -1
        return self.types.index(wanted)

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put the reader's layers on the encoder."""
        model = Reader(encoder, len(self.types))
        generator = torch.Generator().manual_seed(seed)
        for part in (model.qa_outputs, model.answer_type):
            if part is not None:
                initialise(part, encoder.config.initializer_range, generator)
        return model, {}

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Take the best span of all windows, or another kind of answer where it is likelier."""
        made, begin = [], 0
        for one in features:
            best, types = (-np.inf, 0, 0), []
            places = one.extras["windows"]
            kept = np.zeros(int((places[:, 1] - places[:, 0]).sum()), dtype=bool)
            kept[best_seen(places)] = True
            for first, stop in places.tolist():
                n = 1 + stop - first
                here = slice(begin, begin + n)
                own, kept = kept[: stop - first], kept[stop - first :]
                score, left, right = best_span(arrays[LABEL][here], self.max_answer_length, own)
                best = max(best, (score, first + left, first + right))
                if TYPE in arrays:
                    types.append(softmax(arrays[TYPE][begin]))
                begin += n
            made.append(self._answer(one, best, types))
        return made

    def ranked(
        self, features: Sequence[Features], arrays: Mapping[str, Array], n: int
    ) -> list[list[dict[str, Any]]]:
        """Return the `n` most probable spans of each passage, no two of which overlap, best first.

        Returns:
            Each with its "text", its characters "start" and "end", and its "probability" in its
            window; the first is what `decode` answers with, unless another kind of answer is
            likelier.
        """
        found, begin = [], 0
        for one in features:
            places = one.extras["windows"]
            kept = np.zeros(int((places[:, 1] - places[:, 0]).sum()), dtype=bool)
            kept[best_seen(places)] = True
            spans = one.extras["spans"]
            # A piece begins a span in one window alone, so one table holds the spans of all.
            table = np.full((self.max_answer_length, len(spans)), -np.inf)
            for first, stop in places.tolist():
                size = stop - first
                scores = span_scores(arrays[LABEL][begin : begin + 1 + size], kept[:size])
                for more in range(min(self.max_answer_length, size)):
                    sums = scores[: size - more, 0] + scores[more:, 1]
                    row = table[more, first : stop - more]
                    np.maximum(row, sums, out=row)
                kept = kept[size:]
                begin += 1 + size
            context = one.example.fields["context"]
            found.append(
                [
                    {
                        "text": context[spans[left, 0] : spans[right, 1]],
                        "start": int(spans[left, 0]),
                        "end": int(spans[right, 1]),
                        "probability": round(float(np.exp(score)), 6),
                    }
                    for score, left, right in _best_apart(table, n)
                ]
            )
        return found

    def _answer(
        self, one: Features, best: tuple[float, int, int], types: Sequence[Array]
    ) -> Prediction:
        context, spans = one.example.fields["context"], one.extras["spans"]
        score, left, right = best
        text = context[spans[left, 0] : spans[right, 1]] if np.isfinite(score) else NONE
        if not types:
            return Prediction(one.example.id, text, {"probability": round(float(np.exp(score)), 6)})
        table = np.stack(types)  # [W, types]
        likely = {name: float(table[:, n].max()) for n, name in enumerate(self.types)}
        if NONE in likely:
            likely[NONE] = float(table[:, self.types.index(NONE)].min())
        chosen = max(likely, key=likely.__getitem__)
        answer = text if chosen == SPAN else chosen
        shown = {name or "none": round(value, 6) for name, value in likely.items()}
        return Prediction(one.example.id, answer, shown)


def _checked(answers: Any) -> list[Mapping[str, Any]] | None:
    """Return the answers of any reader as they are, if they are answers.

    Raises:
        ValueError: they are not.
    """
    if answers is None:
        return None
    if not isinstance(answers, list) or not all(
        isinstance(one, Mapping)
        and isinstance(one.get("text"), str)
        and isinstance(one.get("answer_start", -1), int)
        for one in answers
    ):
        raise ValueError(
            f'answers: got {str(answers)[:60]!r}; expected a list of {{"text", "answer_start"}}'
        )
    return answers


@functools.lru_cache(maxsize=64)
def _encoded(tokenizer: Tokenizer, text: str) -> Encoding:
    """Encode once what several questions share."""
    return tokenizer.encode(text)


def _ends(spans: Array, span: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the first and last piece that share a character with [begin, stop)."""
    if span is None:
        return None
    # Pieces are in the order of the text.
    first = int(np.searchsorted(spans[:, 1], span[0], side="right"))
    last = int(np.searchsorted(spans[:, 0], span[1], side="left")) - 1
    return (first, last) if first <= last else None


def best_span(logits: Array, longest: int, may_begin: Array) -> tuple[float, int, int]:
    """Find the most probable span of a window.

    Args:
        logits: [1 + n, 2], [CLS] first: of beginnings and ends.
        longest: pieces of the longest answer.
        may_begin: bool [n], False where another window shows more of the surroundings: an answer
            begins in the window that shows most of its own.

    Returns:
        Log-probability, first and last piece, counted from the window's first; -inf where the
        window is empty.
    """
    scores = span_scores(logits, may_begin)
    starts, ends = scores[:, 0], scores[:, 1]
    best = (-np.inf, 0, 0)
    for more in range(min(longest, len(starts))):
        sums = starts[: len(starts) - more] + ends[more:]
        place = int(sums.argmax())
        if sums[place] > best[0]:
            best = (float(sums[place]), place, place + more)
    return best


def span_scores(logits: Array, may_begin: Array) -> Array:
    """Return log-probabilities of a window's pieces as beginnings and ends: float64 [n, 2].

    Args:
        logits: [1 + n, 2], [CLS] first.
        may_begin: bool [n]; a piece where no span may begin gets -inf as a beginning.
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=0)
    shifted -= np.log(np.exp(shifted).sum(axis=0))
    scores = shifted[1:]
    scores[~may_begin, 0] = -np.inf
    return scores


def _best_apart(table: Array, n: int) -> list[tuple[float, int, int]]:
    """Choose spans greedily, each apart from all better ones.

    Args:
        table: [longest, P], log-probability of the span of 1 + row pieces that begins at a column;
            overwritten.
        n: how many at most.

    Returns:
        Log-probability, first and last piece.
    """
    best: list[tuple[float, int, int]] = []
    while len(best) < n and table.size:
        more, left = np.unravel_index(int(table.argmax()), table.shape)
        score = float(table[more, left])
        if not np.isfinite(score):
            break
        first, last = int(left), int(left + more)
        best.append((score, first, last))
        for row in range(len(table)):  # spans of 1 + row pieces that reach into it
            table[row, max(0, first - row) : last + 1] = -np.inf
    return best
