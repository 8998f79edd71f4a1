"""Dense tables of what parts of speech contribute to entity labels and relations.

In: CRFsuite weights and the parts of speech of the tagger before. Out: float32 arrays indexed by
tag numbers; number 0 is the edge of a sentence. The templates are those of `_crf_features`.
Shapes: T tags, L labels.

Example: ``TagTables(weights, pos.labels).triples("012345")`` is an array [T, T, T, L].
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hanmo.annotate._crf_features import AFTER, BEFORE, EDGE
from hanmo.annotate._crf_weights import Weights

BEFORE_NUMBERS = {name: i for i, name in enumerate(BEFORE)}
AFTER_NUMBERS = {name: i for i, name in enumerate(AFTER)}

_ALL = slice(None)
# Template -> index of a table [previous, present, next] for the tags that it names.
_PLACES: Mapping[str, Callable[..., tuple[int | slice, ...]]] = {
    "0": lambda c: (_ALL, c, _ALL),
    "1": lambda b: (b, _ALL, _ALL),
    "2": lambda d: (_ALL, _ALL, d),
    "3": lambda b, c: (b, c, _ALL),
    "4": lambda c, d: (_ALL, c, d),
    "5": lambda b, c, d: (b, c, d),
    "6": lambda a, b, c: (a, b, c),
    "7": lambda c, d, e: (c, d, e),
}


class TagTables:
    """Makes tables from the weights of one layer."""

    def __init__(self, weights: Weights, tags: Sequence[str]) -> None:
        self.numbers = {tag: i for i, tag in enumerate((EDGE, *tags))}
        self._n_labels = len(weights.labels)
        self._templates: dict[str, list[tuple[str, np.ndarray]]] = {}
        for name, row in weights.attributes.items():
            text = name.decode()
            self._templates.setdefault(text[0], []).append((text[1:], weights.state[row]))

    def _empty(self, *shape: int) -> np.ndarray:
        return np.zeros((*shape, self._n_labels), dtype=np.float32)

    def triples(self, templates: str) -> np.ndarray:
        """Return [T, T, T, L]: templates of up to three neighbouring tags, summed."""
        n = len(self.numbers)
        table = self._empty(n, n, n)
        for template in templates:
            for name, row in self._templates.get(template, ()):
                tags = name.split(" ")
                if self.numbers.keys() >= set(tags):  # else no tagger gives these tags
                    table[_PLACES[template](*(self.numbers[tag] for tag in tags))] += row
        return table

    def clauses(self) -> np.ndarray:
        """Return [T, before, after, L]: templates x, y, z of a tag in its clause."""
        table = self._empty(len(self.numbers), len(BEFORE), len(AFTER))
        for template in "xyz":
            for name, row in self._templates.get(template, ()):
                tag, *clause = name.split(" ")
                left = BEFORE_NUMBERS[clause[0]] if template in "xz" else _ALL
                right = AFTER_NUMBERS[clause[-1]] if template in "yz" else _ALL
                if tag in self.numbers:
                    table[self.numbers[tag], left, right] += row
        return table

    def neighbours(self, template: str) -> tuple[dict[str, int], np.ndarray]:
        """Return word numbers and [number, T, L]: template 8 or 9 of a tag and a word beside it.

        Number 0 stands for all words without weights.
        """
        found: list[tuple[str, str, np.ndarray]] = []
        for name, row in self._templates.get(template, ()):
            form, tag = name.rsplit(" ", 1) if template == "8" else name.split(" ", 1)[::-1]
            if tag in self.numbers:
                found.append((form, tag, row))
        words = {form: i for i, form in enumerate(sorted({form for form, _, _ in found}), 1)}
        table = self._empty(len(words) + 1, len(self.numbers))
        for form, tag, row in found:
            table[words[form], self.numbers[tag]] = row
        return words, table
