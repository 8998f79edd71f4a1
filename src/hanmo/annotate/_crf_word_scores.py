"""Scores of parts of speech, entity labels and relations of many sentences, from tables.

In: words, then their parts of speech. Out: float32 arrays of emission scores, equal to what
CRFsuite adds up from the attributes of `_crf_features`, but for signs of which it learnt nothing:
they lean to wp, O and WP. What a word says of itself and of its neighbours are table rows, made
when the word is first met; the rest are `TagTables`.
Shapes: N words of all sentences, L labels. In flat arrays an edge (row 0, tag 0) stands before and
after each sentence.

Example: ``scorer.pos_emissions(scorer.words([["我们", "去"]]), [2])`` is an array [2, L].
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hanmo.annotate._crf_features import (
    EDGE,
    WORD_TEMPLATES,
    Row,
    after_in_clause,
    before_in_clause,
    word_attributes,
)
from hanmo.annotate._crf_segment_scores import inner_places
from hanmo.annotate._crf_tag_tables import AFTER_NUMBERS, BEFORE_NUMBERS, TagTables
from hanmo.annotate._crf_weights import Weights

_MOST_CHARACTERS = 2_000_000  # of the words kept
_LONG_WORD = 100  # characters of a word whose attributes are not kept
_MOST_WORDS = 50_000  # kept with their scores; then the table is begun again
_OF_SIGNS = ("wp", "O", "WP")  # what a sign is in the three layers
_LEAST = 0.01  # a weight below it says nothing
_LEANING = 64  # above what attributes add up to, and small enough for float32


class WordScorer:
    """Scores of the three layers for words.

    A word has three table rows, each for the labels of all layers: what it says of itself, of the
    next and of the previous word.
    """

    def __init__(self, pos: Weights, ner: Weights, dep: Weights) -> None:
        layers = (pos, ner, dep)
        bounds = np.cumsum([0, *(len(weights.labels) for weights in layers)])
        self._slices = [slice(start, end) for start, end in pairwise(bounds)]
        names = {n for w in layers for n in w.attributes if n[:1] in WORD_TEMPLATES}
        self._attributes = {name: i for i, name in enumerate(sorted(names), 1)}
        # Of each layer, the column of the label of signs, and the words it has learnt something of.
        self._of_signs = [
            (start + weights.labels.index(label), _learnt_words(weights))
            for weights, label, start in zip(layers, _OF_SIGNS, bounds.tolist(), strict=False)
            if label in weights.labels
        ]
        # The weights of all layers side by side; row 0 is that of unknown attributes.
        self._state = np.zeros((len(names) + 1, bounds[-1]), dtype=np.float32)
        for weights, columns in zip(layers, self._slices, strict=True):
            known = [
                (self._attributes[n], row) for n, row in weights.attributes.items() if n in names
            ]
            targets, sources = np.array(known, dtype=np.intp).reshape(-1, 2).T
            self._state[targets, columns] = weights.state[sources]
        tables = TagTables(ner, pos.labels)
        self._tags = tables.numbers
        self._entity_tags = tables.triples("012345")
        tables = TagTables(dep, pos.labels)
        self._relation_tags = tables.triples("012345")
        self._relation_tags_left = tables.triples("6")
        self._relation_tags_right = tables.triples("7")
        self._clauses = tables.clauses()
        self._names_before, self._before = tables.neighbours("8")
        self._names_after, self._after = tables.neighbours("9")
        self._forget()

    def _forget(self) -> None:
        self._rows: dict[str, int] = {}
        self._characters = 0
        self._table = np.zeros((1024, 3, self._state.shape[1]), dtype=np.float32)
        self._names = np.zeros((1024, 2), dtype=np.int32)
        self._find([EDGE])

    def words(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the table row of every word, an edge before and after each sentence."""
        if len(self._rows) > _MOST_WORDS or self._characters > _MOST_CHARACTERS:
            self._forget()
        flat = [EDGE]
        for forms in sentences:
            flat += forms
            flat.append(EDGE)
        return self._find(flat)

    def _find(self, forms: Sequence[str]) -> np.ndarray:
        """Return the table rows of words; makes those that are missing."""
        missing = [form for form in dict.fromkeys(forms) if form not in self._rows]
        if missing:
            self._add(missing)
        return np.array([self._rows[form] for form in forms], dtype=np.intp)

    def _add(self, forms: Sequence[str]) -> None:
        """Make the table rows of new words."""
        attributes: list[int] = []
        bounds: list[int] = []
        for form in forms:
            self._characters += len(form)
            for part in _attributes(form):
                bounds.append(len(attributes))
                attributes.append(0)  # so that no part is empty
                attributes += [self._attributes.get(attribute, 0) for attribute in part]
        first = len(self._rows)
        after = first + len(forms)
        while after > len(self._table):
            self._table = np.concatenate([self._table, np.zeros_like(self._table)])
            self._names = np.concatenate([self._names, np.zeros_like(self._names)])
        sums = np.add.reduceat(self._state[attributes], bounds, axis=0)
        self._table[first:after] = sums.reshape(len(forms), 3, -1)
        signs = [(i, f) for i, f in enumerate(forms, first) if not any(map(str.isalnum, f))]
        for row, form in signs:
            word = _attributes(form)[0][0]
            for column, learnt in self._of_signs:
                # Else it has the attributes of any rare word, and most rare words are names.
                self._table[row, 0, column] += _LEANING * (word not in learnt)
        self._names[first:after] = [
            (self._names_before.get(form, 0), self._names_after.get(form, 0)) for form in forms
        ]
        self._rows.update(zip(forms, range(first, after), strict=True))

    def _of_words(self, layer: int, rows: np.ndarray) -> np.ndarray:
        own, to_next, to_previous = (self._table[:, k, self._slices[layer]] for k in range(3))
        return own[rows[1:-1]] + to_next[rows[:-2]] + to_previous[rows[2:]]

    def pos_emissions(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return float32 [N, L] for parts of speech.

        Args:
            rows: What `words` gave.
            lengths: Words of each sentence.
        """
        return self._of_words(0, rows)[inner_places(lengths, gap=1)]

    def tag_numbers(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the numbers of the parts of speech of every word, with the edges of `words`."""
        flat = [EDGE]
        for tags in sentences:
            flat += tags
            flat.append(EDGE)
        return np.array([self._tags[tag] for tag in flat], dtype=np.intp)

    def entity_emissions(
        self, rows: np.ndarray, tags: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        """Return float32 [N, L] for entity labels.

        Args:
            rows: What `words` gave.
            tags: What `tag_numbers` gave.
            lengths: Words of each sentence.
        """
        total = self._of_words(1, rows)
        total += self._entity_tags[tags[:-2], tags[1:-1], tags[2:]]
        return total[inner_places(lengths, gap=1)]

    def relation_emissions(
        self,
        rows: np.ndarray,
        tags: np.ndarray,
        forms: Sequence[Sequence[str]],
        pos: Sequence[Sequence[str]],
    ) -> np.ndarray:
        """Return float32 [N, L] for relations.

        Args:
            rows: What `words` gave.
            tags: What `tag_numbers` gave.
            forms: The words of each sentence.
            pos: Their parts of speech.
        """
        inner = inner_places([len(words) for words in forms], gap=1)
        total = self._of_words(2, rows)
        before, here, after = tags[:-2], tags[1:-1], tags[2:]
        total += self._relation_tags[before, here, after]
        total += self._before[self._names[rows[:-2], 0], here]
        total += self._after[self._names[rows[2:], 1], here]
        total = total[inner]
        # One tag further on either side; the edge again where the sentence has ended.
        further = np.where(before[inner] == 0, 0, tags[np.maximum(inner - 1, 0)])
        total += self._relation_tags_left[further, before[inner], here[inner]]
        further = np.where(after[inner] == 0, 0, tags[np.minimum(inner + 3, len(tags) - 1)])
        total += self._relation_tags_right[here[inner], after[inner], further]
        left, right = self._clause_numbers(forms, pos)
        total += self._clauses[here[inner], left, right]
        return total

    def _clause_numbers(
        self, forms: Sequence[Sequence[str]], pos: Sequence[Sequence[str]]
    ) -> tuple[np.ndarray, np.ndarray]:
        left: list[int] = []
        right: list[int] = []
        for words, tags in zip(forms, pos, strict=True):
            left += map(BEFORE_NUMBERS.__getitem__, before_in_clause(words, tags))
            right += map(AFTER_NUMBERS.__getitem__, after_in_clause(words, tags))
        return np.array(left, dtype=np.intp), np.array(right, dtype=np.intp)


def _learnt_words(weights: Weights) -> frozenset[bytes]:
    """Return the attributes of whole words that say something of a label."""
    return frozenset(
        name
        for name, row in weights.attributes.items()
        if name[:1] == b"w" and np.abs(weights.state[row]).max() >= _LEAST
    )


def _attributes(form: str) -> tuple[Row, Row, Row]:
    """Return a word's attributes; those of long ones, which hardly come again, are not kept."""
    return (word_attributes.__wrapped__ if len(form) > _LONG_WORD else word_attributes)(form)
