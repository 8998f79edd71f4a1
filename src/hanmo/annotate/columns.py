"""Many sentences as flat arrays: what is stored and encoded, without an object for every word.

In: rows (document id, `Sentence`), or what a quick annotator finds. Out: `Columns`, checked as
sentences are.

    columns_of([("news-1", sentence)]).words    # int64 [W, 2]
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.tagsets import TAGSETS, label_ids

BLOCK = 4096  # sentences at once
Row = tuple[str, Sentence]


@dataclass(frozen=True, slots=True)
class Columns:
    """S sentences with W words, one after another.

    Attributes:
        texts: S texts.
        documents: S document ids.
        n_words: int64 [S].
        words: int64 [W, 2], character spans in their sentence.
        layers: layer → int8 [W], label ids, -1 where one is missing; only layers that a sentence
            of these has.
    """

    texts: Sequence[str]
    documents: Sequence[str]
    n_words: NDArray[np.int64]
    words: NDArray[np.int64]
    layers: Mapping[str, NDArray[np.int8]]

    @property
    def changes(self) -> NDArray[np.bool_]:
        """Bool [S], whether the document of a sentence is not that of the one before."""
        return np.array([False, *(one != two for one, two in pairwise(self.documents))], np.bool_)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [S], characters of each text."""
        return np.fromiter(map(len, self.texts), dtype=np.int64, count=len(self.texts))

    def placed(self) -> NDArray[np.int64]:
        """int64 [W, 2], the words' spans in the texts one after another."""
        shifts = np.cumsum(self.lengths) - self.lengths
        return self.words + np.repeat(shifts, self.n_words)[:, None]

    def sentences(self) -> Iterator[Sentence]:
        """Yield the sentences; a layer without one label in a sentence is left out there."""
        ends = np.cumsum(self.n_words).tolist()
        words = [(start, end) for start, end in self.words.tolist()]
        named = {layer: _names(layer, ids) for layer, ids in self.layers.items()}
        for text, start, end in zip(self.texts, [0, *ends], ends, strict=False):
            layers = {layer: tuple(labels[start:end]) for layer, labels in named.items()}
            kept = {layer: labels for layer, labels in layers.items() if any(labels) or not labels}
            yield Sentence(text, tuple(words[start:end]), kept)

    def validate(self, where: str = "sentences") -> None:
        """Check spans and label ids, as `Sentence.validate` does.

        Raises:
            UserError: At the first sentence with something wrong.
        """
        if self._fits():
            return
        for name, sentence in zip(self.documents, self.sentences(), strict=True):
            sentence.validate(f"{where}: document {name!r}")
        raise AssertionError("columns and sentences are checked by different rules")

    def _fits(self) -> bool:
        lengths, places = self.lengths, self.placed()
        starts, ends = places[:, 0], places[:, 1]
        text_ends = np.repeat(np.cumsum(lengths), self.n_words)
        text_starts = text_ends - np.repeat(lengths, self.n_words)
        if not ((starts < ends) & (starts >= text_starts) & (ends <= text_ends)).all():
            return False
        if (starts[1:] < ends[:-1]).any():
            return False
        # +1 where a word starts, -1 where it ends: 0 is outside of all words.
        n = int(lengths.sum())
        steps = np.bincount(starts, minlength=n + 1) - np.bincount(ends, minlength=n + 1)
        outside = np.flatnonzero(np.cumsum(steps)[:n] == 0)
        codes = np.frombuffer("".join(self.texts).encode("utf-32-le", "surrogatepass"), "<u4")
        return bool(blank_characters()[codes[outside]].all())


@cache
def blank_characters() -> NDArray[np.bool_]:
    """Bool [code points], whether Python calls the character white space."""
    table = np.zeros(0x110000, dtype=np.bool_)
    table[[code for code in range(0x3001) if chr(code).isspace()]] = True  # the last is U+3000
    return table


def _names(layer: str, ids: NDArray[np.int8]) -> list[str | None]:
    tags = (*TAGSETS[layer], None)  # -1 is the last
    return [tags[number] for number in ids.tolist()]


def columns_of(rows: Sequence[Row]) -> Columns:
    """Turn rows into columns.

    Raises:
        UserError: a label that is not in its tag set, words outside their text, or labels that are
            not as many as the words.
    """
    sentences = [sentence for _, sentence in rows]
    for name, sentence in rows:
        n = len(sentence.words)
        end = sentence.words[-1][1] if n else 0
        if end > len(sentence.text) or any(len(x) != n for x in sentence.layers.values()):
            sentence.validate(f"document {name}")
    numbers = chain.from_iterable(chain.from_iterable(one.words for one in sentences))
    return Columns(
        [sentence.text for sentence in sentences],
        [name for name, _ in rows],
        np.array([len(sentence.words) for sentence in sentences], dtype=np.int64),
        np.fromiter(numbers, dtype=np.int64).reshape(-1, 2),
        {
            name: label_ids(name, chain.from_iterable(_labels(name, one) for one in sentences))
            for name in TAGSETS
            if any(name in sentence.layers for sentence in sentences)
        },
    )


def _labels(layer: str, sentence: Sentence) -> Sequence[str | None]:
    labels = sentence.layers.get(layer)
    return (None,) * len(sentence.words) if labels is None else labels


def blocks_of(rows: Iterable[Row]) -> Iterator[Columns]:
    """Turn any number of rows into columns, a block at a time."""
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            yield columns_of(block)
            block = []
    if block:
        yield columns_of(block)
