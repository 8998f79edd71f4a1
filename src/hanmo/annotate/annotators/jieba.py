"""jieba's words and parts of speech, through the fast rjieba where it is installed.

In: sentences. Out: `Sentence` with words and, unless switched off, the layer "pos": jieba's ICTCLAS
tags mapped to LTP's 28. No entities and no relations; for those use `crf`. The two engines share
dictionary and algorithm, but guess the tags of words that the dictionary lacks in different ways
(only jieba has a hidden Markov model for tags; `hmm` is about words), and jieba's own tagger cuts
numbers and Latin text a little differently (1.5% is one word in rjieba).

Example: ``Annotator(pos=False).annotate(["我们去了北京大学。"])``
"""

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.columns import Columns, blank_characters
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.tagsets import TAGSETS, ictclas_pos
from hanmo.core.errors import UserError

Cutter: TypeAlias = Callable[[str, bool], Sequence[Any]]  # text, hmm → (word, tag) or words

_INSTALL = {"rjieba": "rjieba", "jieba": "hanmo[jieba]"}


@dataclass(frozen=True, slots=True)
class Annotator:
    """Segmentation with jieba's dictionary.

    Attributes:
        pos: Also give parts of speech.
        engine: "rjieba" (Rust, 16 times as fast), "jieba" (Python), or "auto": rjieba if it is
            installed, else jieba. A made annotator has the one that was taken, so that all
            machines, and a later continuation, use the same.
        hmm: Find words that the dictionary lacks with the hidden Markov model.
    """

    pos: bool = True
    engine: Literal["auto", "rjieba", "jieba"] = "auto"
    hmm: bool = True

    def __post_init__(self) -> None:
        """Choose the engine."""
        if self.engine == "auto":
            found = "rjieba" if importlib.util.find_spec("rjieba") else "jieba"
            object.__setattr__(self, "engine", found)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are filled."""
        return ("pos",) if self.pos else ()

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        """Segment and tag sentences."""
        return list(self.columns(texts).sentences())

    def columns(self, texts: Sequence[str]) -> Columns:
        """Segment and tag sentences, all of them as flat arrays; their document ids are ""."""
        cut = _engine(self.engine, self.pos)
        found = [cut(text, self.hmm) for text in texts]
        n_found = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        flat = list(chain.from_iterable(found))
        words = [word for word, _ in flat] if self.pos else flat
        sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        ends = np.cumsum(sizes)
        before = np.repeat(np.cumsum([0, *map(len, texts)])[: len(texts)], n_found)
        spans = np.stack([ends - sizes, ends], axis=1) - before[:, None]
        layers = {"pos": _labels(flat)} if self.pos else {}
        blank = np.zeros(len(words), dtype=np.bool_)
        for place in np.flatnonzero(_starts_blank(texts, ends - sizes)).tolist():
            blank[place] = words[place].isspace()
        if blank.any():
            owner = np.repeat(np.arange(len(texts)), n_found)[~blank]
            n_found = np.bincount(owner, minlength=len(texts))
            spans, layers = spans[~blank], {name: ids[~blank] for name, ids in layers.items()}
        return Columns(texts, [""] * len(texts), n_found, spans, layers)


def _starts_blank(texts: Sequence[str], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bool [starts], whether white space stands there in the joined texts."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return blank_characters()[codes[starts]]


_BY_WORD = -2  # tags of which the word decides what they are
_KNOWN: dict[str, int] = {}  # jieba's tag → id of LTP's, or _BY_WORD


def _labels(tagged: Sequence[tuple[str, str]]) -> NDArray[np.int8]:
    """int8, LTP's tags of jieba's (word, tag)."""
    tags = [tag for _, tag in tagged]
    for tag in set(tags) - _KNOWN.keys():
        # A word of letters and one of marks are told apart where the tag does not say enough.
        both = {ictclas_pos(tag, word) for word in ("字", "，")}
        _KNOWN[tag] = TAGSETS["pos"].index(both.pop()) if len(both) == 1 else _BY_WORD
    ids = np.fromiter(map(_KNOWN.__getitem__, tags), dtype=np.int8, count=len(tags))
    for place in np.flatnonzero(ids == _BY_WORD).tolist():
        ids[place] = _decided(*tagged[place])
    return ids


@functools.lru_cache(maxsize=1 << 16)
def _decided(word: str, tag: str) -> int:
    return TAGSETS["pos"].index(ictclas_pos(tag, word))


@functools.cache
def _engine(name: str, pos: bool) -> Cutter:
    """Return the function that cuts a text: into (word, tag) with `pos`, else into words."""
    try:
        module = importlib.import_module(name)
        tagger = importlib.import_module("jieba.posseg") if name == "jieba" and pos else None
    except ImportError:
        raise UserError(
            f"annotator jieba: engine {name!r} is not installed; pip install '{_INSTALL[name]}'"
        ) from None
    if name == "jieba":
        module.setLogLevel(logging.WARNING)
        if tagger is not None:
            return lambda text, hmm: [(one.word, one.flag) for one in tagger.cut(text, HMM=hmm)]
        return lambda text, hmm: list(module.cut(text, HMM=hmm))
    cutter: Cutter = module.tag if pos else module.cut
    return cutter
