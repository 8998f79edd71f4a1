"""Statistics of a folder: what was counted, of how much of it, and how that is summed up.

In: numbers, a block of documents at a time. Out: `Tally`, whose size does not grow with what is
read: labels and lengths are counted by value, and unknown characters by character.

    tally = Tally.of("characters")
    tally.lengths["word"].add(np.array([1, 2, 2]))
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.tagsets import TAGSETS

TOO_LONG = ""  # key of unknown pieces that hold no unknown character
_QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(slots=True)
class Lengths:
    """How often each length occurs."""

    counts: Counter[int] = field(default_factory=Counter[int])

    def add(self, lengths: NDArray[Any]) -> None:
        """Count lengths."""
        values, n = np.unique(lengths, return_counts=True)
        self.counts.update(dict(zip(values.tolist(), n.tolist(), strict=True)))

    @property
    def n(self) -> int:
        """How many were counted."""
        return self.counts.total()

    def to_json(self) -> dict[str, Any]:
        """Return mean, quantiles (values that occur), the largest, and how often each occurs."""
        if not self.n:
            return {"n": 0, "counts": {}}
        values = sorted(self.counts)
        ends = np.cumsum([self.counts[value] for value in values])
        at = {name: int(np.searchsorted(ends, q * self.n)) for name, q in _QUANTILES.items()}
        return {
            "n": self.n,
            "mean": sum(value * n for value, n in self.counts.items()) / self.n,
            **{name: values[place] for name, place in at.items()},
            "max": values[-1],
            "counts": {str(value): self.counts[value] for value in values},
        }


@dataclass(slots=True)
class Tally:
    """What was counted.

    Attributes:
        unit: What lengths are counted in: "characters" or "pieces".
        counts: documents, sentences, words, characters, pieces, unknown_pieces,
            continued_pieces (those with ##), as far as they are known.
        lengths: "word", "sentence" and "document" → how often each length occurs.
        labels: layer → how often each label occurs.
        missing: layer → words without a label.
        unknown: character → [UNK] pieces that hold it; under `TOO_LONG` those that hold no
            unknown character.
        notes: What the reader must know of the numbers.
    """

    unit: str
    counts: Counter[str] = field(default_factory=Counter[str])
    lengths: dict[str, Lengths] = field(default_factory=dict[str, Lengths])
    labels: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    missing: Counter[str] = field(default_factory=Counter[str])
    unknown: Counter[str] = field(default_factory=Counter[str])
    notes: list[str] = field(default_factory=list[str])

    @classmethod
    def of(cls, unit: str) -> "Tally":
        """Begin to count."""
        return cls(unit, lengths={name: Lengths() for name in ("word", "sentence", "document")})

    def add_labels(self, layer: str, names: Iterable[tuple[str | None, int]]) -> None:
        """Count labels of words; None is a word without one."""
        counted = self.labels.setdefault(layer, Counter())
        for label, n in names:
            if label is None:
                self.missing[layer] += n
            else:
                counted[label] += n

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON shows it: labels in LERT's order, those never seen too."""
        made: dict[str, Any] = {
            "counts": dict(self.counts),
            "lengths_in": self.unit,
            "lengths": {name: one.to_json() for name, one in self.lengths.items() if one.n},
            "labels": {layer: dict(listed(layer, seen)) for layer, seen in self.labels.items()},
            "words_without_label": {layer: self.missing[layer] for layer in self.labels},
            "labels_never_seen": {layer: never(layer, seen) for layer, seen in self.labels.items()},
        }
        if self.counts["pieces"]:
            made["unknown_rate"] = self.counts["unknown_pieces"] / self.counts["pieces"]
            made["continued_rate"] = self.counts["continued_pieces"] / self.counts["pieces"]
        if self.unknown:
            made["unknown_characters"] = [
                {"character": c, "code_point": code_point(c), "name": name_of(c), "pieces": n}
                for c, n in self.unknown.most_common()
            ]
        return made | {"notes": list(self.notes)}


def listed(layer: str, seen: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return labels and how often they occur: LERT's list in its order, then any others."""
    known = TAGSETS.get(layer, ())
    others = sorted(set(seen) - set(known))
    return [(label, seen.get(label, 0)) for label in (*known, *others)]


def never(layer: str, seen: Mapping[str, int]) -> list[str]:
    """Return the labels of LERT's list that do not occur."""
    return [label for label, n in listed(layer, seen) if not n]


def code_point(character: str) -> str:
    """`"𠮷"` → `"U+20BB7"`; "" for pieces that hold no unknown character."""
    return f"U+{ord(character):04X}" if character else ""


def name_of(character: str) -> str:
    """Return a character's name in Unicode, as far as it has one."""
    if not character:
        return "no unknown character: no pieces make up the word, or it is too long"
    return unicodedata.name(character, "")
