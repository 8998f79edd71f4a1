"""How far an annotation agrees with a gold one.

In: two lists of `Sentence` over the same texts. Out: precision, recall and F1 of words, of labelled
words (span and label must both agree) and of entities; accuracy of labels where the words agree.
Spans are compared as character spans of the text, so both sides may segment as they like.

Example: ``word_score(gold, predicted).f1`` is 1.0 when all word spans agree.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from hanmo.annotate.bieos import bieos_to_spans
from hanmo.annotate.sentence import Sentence
from hanmo.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of a comparison.

    Attributes:
        n_gold: Items of the gold side.
        n_predicted: Items of the other side.
        n_correct: Items that both sides have.
    """

    n_gold: int
    n_predicted: int
    n_correct: int

    @property
    def precision(self) -> float:
        """Share of the predicted items that are right, 0–1."""
        return self.n_correct / self.n_predicted if self.n_predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold items that were found, 0–1."""
        return self.n_correct / self.n_gold if self.n_gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0–1."""
        total = self.n_gold + self.n_predicted
        return 2 * self.n_correct / total if total else 0.0

    def as_dict(self) -> dict[str, float | int]:
        """Return shares in percent with two decimals, and the number of gold items."""
        return {
            "precision": round(100 * self.precision, 2),
            "recall": round(100 * self.recall, 2),
            "f1": round(100 * self.f1, 2),
            "gold": self.n_gold,
        }


def word_score(gold: Sequence[Sentence], predicted: Sequence[Sentence]) -> Score:
    """Compare word spans."""
    return _score(gold, predicted, lambda sentence: set(sentence.words))


def labelled_word_score(
    gold: Sequence[Sentence], predicted: Sequence[Sentence], layer: str
) -> Score:
    """Compare words with their labels; a word without a label counts on neither side."""

    def items(sentence: Sentence) -> set[Hashable]:
        labels = _labels(sentence, layer)
        return {
            (word, label)
            for word, label in zip(sentence.words, labels, strict=True)
            if label is not None
        }

    return _score(gold, predicted, items)


def entity_score(gold: Sequence[Sentence], predicted: Sequence[Sentence]) -> Score:
    """Compare entities: characters covered and type."""

    def items(sentence: Sentence) -> set[Hashable]:
        labels = [label or "O" for label in _labels(sentence, "ner")]
        return {
            (sentence.words[first][0], sentence.words[after - 1][1], kind)
            for first, after, kind in bieos_to_spans(labels)
        }

    return _score(gold, predicted, items)


def label_accuracy(gold: Sequence[Sentence], predicted: Sequence[Sentence], layer: str) -> float:
    """Return the share (0–1) of right labels among the words that both sides have."""
    n_same = n_right = 0
    for one, other in _pairs(gold, predicted):
        found = dict(zip(other.words, _labels(other, layer), strict=True))
        for word, label in zip(one.words, _labels(one, layer), strict=True):
            if label is not None and word in found:
                n_same += 1
                n_right += found[word] == label
    return n_right / n_same if n_same else 0.0


def _score(
    gold: Sequence[Sentence],
    predicted: Sequence[Sentence],
    items: Callable[[Sentence], set[Hashable]],
) -> Score:
    n_gold = n_predicted = n_correct = 0
    for one, other in _pairs(gold, predicted):
        expected, found = items(one), items(other)
        n_gold += len(expected)
        n_predicted += len(found)
        n_correct += len(expected & found)
    return Score(n_gold, n_predicted, n_correct)


def _pairs(
    gold: Sequence[Sentence], predicted: Sequence[Sentence]
) -> list[tuple[Sentence, Sentence]]:
    if len(gold) != len(predicted):
        raise UserError(f"{len(gold):,} gold sentences and {len(predicted):,} predicted ones")
    for number, (one, other) in enumerate(zip(gold, predicted, strict=True), 1):
        if one.text != other.text:
            raise UserError(
                f"sentence {number}: gold text {one.text[:20]!r}, predicted {other.text[:20]!r} — "
                "only annotations of the same text can be compared"
            )
    return list(zip(gold, predicted, strict=True))


def _labels(sentence: Sentence, layer: str) -> tuple[str | None, ...]:
    if layer not in sentence.layers:
        raise UserError(f"sentence {sentence.text[:20]!r} has no layer {layer!r}")
    return sentence.layers[layer]
