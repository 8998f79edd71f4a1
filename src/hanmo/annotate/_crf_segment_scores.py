"""Scores of the segmentation tags of many sentences, from tables made of CRFsuite weights.

In: the units of sentences. Out: a float32 array of emission scores, equal to what CRFsuite adds up
from the attributes of `_crf_features.segmentation_features`. A unit is a number; what it
contributes is a table row, pairs of units are found by binary search among the pairs that have a
weight, and the five kinds of units around are a number to base seven.
Shapes: N units of all sentences, L labels.

Example: ``SegmentationScorer(weights).emissions([["我", "们"], ["去"]])`` is an array [3, 4].
"""

from collections.abc import Sequence

import numpy as np

from hanmo.annotate._crf_features import EDGE, KINDS, symbol
from hanmo.annotate._crf_weights import Weights

_PAIR_PLACES = (b"A", b"B", b"C", b"D", b"F")
_Table = tuple[np.ndarray, np.ndarray]  # sorted keys; a row per key and one of zeros


class SegmentationScorer:
    """Scores of S, B, I, E."""

    def __init__(self, weights: Weights) -> None:
        found = {name[1:].decode() for name in weights.attributes if name[:1] != b"t"}
        symbols = sorted({part for name in found for part in name.split(" ")})
        self._numbers = {name: i for i, name in enumerate(symbols, 1)}
        self._codes: dict[str, int] = {}
        n = len(symbols) + 1
        self._single = np.zeros((5, n, len(weights.labels)), dtype=np.float32)
        self._kinds = np.zeros((len(KINDS) ** 5, len(weights.labels)), dtype=np.float32)
        pairs: dict[bytes, dict[int, np.ndarray]] = {place: {} for place in _PAIR_PLACES}
        for name, row in weights.attributes.items():
            place, rest = name[:1], name[1:].decode()
            if place in b"abcde":
                self._single[b"abcde".index(place), self._numbers[rest]] = weights.state[row]
            elif place == b"t":
                self._kinds[_kind_code(rest)] = weights.state[row]
            else:
                first, second = (self._numbers[part] for part in rest.split(" "))
                pairs[place][first << 32 | second] = weights.state[row]
        self._pairs = [_sorted_table(pairs[place], len(weights.labels)) for place in _PAIR_PLACES]

    def emissions(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return float32 [N, L] for the units of all sentences."""
        flat = [EDGE, EDGE]
        for forms in sentences:
            flat += forms
            flat += (EDGE, EDGE)
        codes = np.array([self._code(form) for form in flat], dtype=np.int64)
        numbers, kinds = codes >> 3, codes & 7
        n = len(flat) - 4
        total = self._single[2][numbers[2:-2]]
        for place in (0, 1, 3, 4):
            total += self._single[place][numbers[place : place + n]]
        neighbours = numbers[:-1] << 32 | numbers[1:]
        for place in range(4):
            total += _look_up(self._pairs[place], neighbours[place : place + n])
        total += _look_up(self._pairs[4], numbers[1:-3] << 32 | numbers[3:-1])
        shape = kinds[:n]
        for place in range(1, 5):
            shape = shape * len(KINDS) + kinds[place : place + n]
        total += self._kinds[shape]
        return total[inner_places([len(forms) for forms in sentences], gap=2)]

    def _code(self, form: str) -> int:
        """Return number and kind of a unit in one integer."""
        code = self._codes.get(form)
        if code is None:
            name, kind = symbol(form)
            code = self._numbers.get(name, 0) << 3 | KINDS.index(kind)
            if len(form) == 1:  # there is no end of longer runs
                self._codes[form] = code
        return code


def _kind_code(kinds: str) -> int:
    code = 0
    for kind in kinds:
        code = code * len(KINDS) + KINDS.index(kind)
    return code


def _sorted_table(rows: dict[int, np.ndarray], n_labels: int) -> _Table:
    keys = np.array(sorted(rows), dtype=np.int64)
    table = np.zeros((len(rows) + 1, n_labels), dtype=np.float32)
    for i, key in enumerate(keys.tolist()):
        table[i] = rows[key]
    return np.append(keys, np.iinfo(np.int64).max), table


def _look_up(table: _Table, wanted: np.ndarray) -> np.ndarray:
    keys, rows = table
    place = np.searchsorted(keys, wanted)
    return rows[np.where(keys[place] == wanted, place, len(rows) - 1)]


def inner_places(lengths: Sequence[int] | np.ndarray, gap: int) -> np.ndarray:
    """Return where the items of sentences stand when `gap` edges part them (and none before)."""
    return np.arange(sum(lengths)) + np.repeat(gap * np.arange(len(lengths)), lengths)
