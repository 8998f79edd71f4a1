"""Nearest words by word vectors, in word2vec's text format.

    50000 100
    的 0.021 -0.113 …

The first line has the number of words and of dimensions; words stand in order of frequency. Chinese
Synonyms (chatopera), which MacBERT's authors used (facts/03), is such vectors in other packing.
Similarity is the cosine; neighbours are looked for among the `most` frequent words.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.core.files import open_text
from hanmo.core.log import Progress

_ROWS = 256  # rows of similarities at once


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Options of word vectors.

    Attributes:
        neighbours: Similar words a word.
        similarity: Least cosine.
        most: Words read from the file.
    """

    neighbours: int = 10
    similarity: float = 0.5
    most: int = 50_000

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.most < 2:
            raise UserError(
                f"word2vec: got neighbours {self.neighbours} and most {self.most}; expected at "
                "least 1 and 2"
            )

    def groups(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """Yield each word with its nearest words of the same number of characters.

        Raises:
            UserError: not vectors in text format; names the line.
        """
        words, vectors = _read(path, self.most)
        # A replacement has the length of the word, so other lengths need not be compared.
        lengths = np.array([len(word) for word in words])
        with Progress(f"similar words of {path.name}", len(words), "words") as bar:
            for length in np.unique(lengths).tolist():
                chosen = np.flatnonzero(lengths == length)
                for begin in range(0, len(chosen), _ROWS):
                    some = chosen[begin : begin + _ROWS]
                    yield from self._nearest(words, vectors, some, chosen)
                    bar.advance(len(some))

    def _nearest(
        self,
        words: list[str],
        vectors: NDArray[np.float32],
        some: NDArray[np.int64],
        among: NDArray[np.int64],
    ) -> Iterator[tuple[str, list[str]]]:
        similar = vectors[some] @ vectors[among].T
        similar[some[:, None] == among[None, :]] = -2.0  # itself
        n = min(self.neighbours, len(among))
        best = np.argpartition(-similar, n - 1, axis=1)[:, :n]
        for row, word in enumerate(some.tolist()):
            order = best[row][np.argsort(-similar[row, best[row]], kind="stable")]
            near = order[similar[row, order] >= self.similarity]
            if len(near):
                yield words[word], [words[i] for i in among[near].tolist()]


def _read(path: Path, most: int) -> tuple[list[str], NDArray[np.float32]]:
    """Read words and vectors, the vectors of length 1."""
    words: list[str] = []
    line = 1
    try:
        with open_text(path) as file:
            head = file.readline().split()
            n_words, n_dims = (int(word) for word in head)
            n_words = min(n_words, most)
            vectors = np.zeros((n_words, n_dims), dtype=np.float32)
            for number in range(n_words):
                line = number + 2
                word, *values = file.readline().rstrip("\r\n ").split(" ")
                if len(values) != n_dims:  # numpy would repeat a single one
                    raise ValueError(f"{len(values)} numbers, expected {n_dims}")
                vectors[number] = np.array(values, dtype=np.float32)
                words.append(word)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected word vectors") from None
    except (ValueError, UnicodeDecodeError, EOFError, OSError) as error:
        raise UserError(
            f"{path}:{line}: not word2vec's text format ({error}); expected 'words dimensions' in "
            "the first line, then a word and its numbers a line"
        ) from None
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return words, vectors / np.maximum(norms, 1e-12)
