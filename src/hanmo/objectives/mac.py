"""MacBERT: chosen words are replaced by similar words, and the model restores them.

Cui et al. 2020, "Revisiting Pre-Trained Models for Chinese NLP" (facts/03). Words and n-grams
(40/30/20/10) are chosen, 15 % of the pieces in all; of the chosen words 80 % are replaced by a
similar word, 10 % by a random word, 10 % are kept, drawn for each word: in an n-gram each word gets
its own similar word. There is no [MASK]; the loss is MLM's, at chosen places alone. MacBERT also
asks for the order of sentences: add `--partner sop`.

A similar word has as many pieces as the word (what upstream did with other lengths was asked and
never answered). A word without one is, by `fallback`:

    random   replaced by a random word (the README)
    keep     kept
    mask     masked, as MLM would
    skip     never chosen; another is (MacBERT#9)

How many there were is in the log (`count/no_similar_word` of `count/to_replace`).

    hanmo pretrain work/shards --objective mac --mac.synonyms cilin.txt --partner sop …
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, IntArray, Sequences, ranges
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary
from hanmo.objectives._similar import SimilarWords, build_table

if TYPE_CHECKING:
    from hanmo.model.config import EncoderConfig
    from hanmo.model.masked_lm import MaskedLm

SOURCES = "hanmo.objectives.synonyms"
_FALLBACKS = ("random", "keep", "mask", "skip")


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """Options of MacBERT.

    Attributes:
        synonyms: File of similar words; required.
        source: Its form: cilin, word2vec, or a path to a .py file with a source of one's own.
        source_options: Options of the source, such as related = true (cilin) or similarity = 0.6.
        fallback: What becomes of a word without a similar one: random, keep, mask or skip.
        unit: What is chosen as a whole: "piece" or "word".
        ngram: Share of units of 1, 2, 3 … words.
        rate: Share of pieces chosen.
        shares: Of the chosen words: similar word, random word, kept.
    """

    synonyms: str = ""
    source: str = "cilin"
    source_options: Mapping[str, float] = dataclasses.field(default_factory=dict)
    fallback: Literal["random", "keep", "mask", "skip"] = "random"
    unit: Literal["piece", "word"] = "word"
    ngram: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    rate: float = 0.15
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)

    def __post_init__(self) -> None:
        _masking.check_unit("mac.unit", self.unit)
        _masking.check_shares("mac.ngram", self.ngram)
        _masking.check_shares("mac.shares", self.shares, n=3)
        _masking.check_rate("mac.rate", self.rate)
        if self.fallback not in _FALLBACKS:
            expected = ", ".join(_FALLBACKS)
            raise UserError(f"mac.fallback: got {self.fallback!r}; expected one of {expected}")

    @property
    def layers(self) -> tuple[str, ...]:
        """No labels are needed."""
        return ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The synonyms, which a continued run must find unchanged."""
        return (Path(self.synonyms),) if self.synonyms else ()

    def resources(self, vocabulary: Vocabulary) -> SimilarWords:
        """Read the similar words, once; workers get them ready made.

        Raises:
            UserError: no file given, one that is not of the source's form, or a wrong option.
        """
        if not self.synonyms:
            raise UserError(
                "mac.synonyms: missing; give a file of similar words with --mac.synonyms FILE "
                "(Cilin's form, or word vectors with --mac.source word2vec)"
            )
        table = build_table(self._groups(), vocabulary.tokenizer)
        if not len(table.hashes):
            raise UserError(
                f"{self.synonyms}: none of its words has a similar one of as many pieces in this "
                "vocabulary"
            )
        return table

    def _groups(self) -> Iterator[tuple[str, list[str]]]:
        kind = registry.member(SOURCES, self.source, "Source")
        known = [field.name for field in dataclasses.fields(kind)]
        for name in self.source_options:
            if name not in known:
                raise UserError(
                    f"mac.source_options: {self.source} has no {name!r}; expected "
                    f"{', '.join(known) or 'none'}"
                )
        made = kind()  # options come as numbers; a source's defaults say of what type they are
        options = {k: type(getattr(made, k))(value) for k, value in self.source_options.items()}
        source = dataclasses.replace(made, **options)
        groups: Iterator[tuple[str, list[str]]] = source.groups(Path(self.synonyms))
        return groups

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Replace words; the targets "pieces" are the original ids at the chosen places."""
        table: SimilarWords = vocabulary.resources
        word_starts = _masking.unit_starts(sequences, unit=self.unit, ngram=(1.0,), draws=draws)
        starts = _masking.unit_starts(sequences, unit=self.unit, ngram=self.ngram, draws=draws)
        wanted = _masking.budgets(sequences, self.rate)
        allowed = sequences
        if self.fallback == "skip":
            allowed = _known_units(sequences, word_starts, starts, table)
        positions = _masking.choose(starts, allowed, wanted, draws)
        ids = sequences.input_ids.copy()
        words = _Words.of(positions, word_starts)
        entries = table.find(ids[positions], words.begins)
        draw = draws.uniform("replace", words.first)
        similar = draw < self.shares[0]
        random = ~similar & (draw < self.shares[0] + self.shares[1])
        known = entries >= 0
        chosen = np.flatnonzero(similar & known)
        which = draws.integers("similar", table.counts[entries[chosen]], words.first[chosen])
        sources = table.starts[entries[chosen]] + which * words.lengths[chosen]
        words.put(ids, chosen, table.pieces, sources)
        lacking = similar & ~known
        if self.fallback == "random":
            random |= lacking
        elif self.fallback == "mask":
            ids[positions[np.repeat(lacking, words.lengths)]] = vocabulary.mask_id
        self._put_random(ids, words, np.flatnonzero(random), draws, vocabulary)
        return Corrupted(
            {"input_ids": ids},
            positions,
            {"pieces": sequences.input_ids[positions]},
            sequences.offsets,
            counts={"to_replace": int(similar.sum()), "no_similar_word": int(lacking.sum())},
        )

    @staticmethod
    def _put_random(
        ids: NDArray[np.int32],
        words: "_Words",
        chosen: IntArray,
        draws: Draws,
        vocabulary: Vocabulary,
    ) -> None:
        """Put random words of the same length; random pieces where there are none so long."""
        table: SimilarWords = vocabulary.resources
        lengths = words.lengths[chosen]
        for length in np.unique(lengths).tolist():
            some = chosen[lengths == length]
            places = table.of_length.get(length)
            if places is not None:
                which = draws.integers("random word", len(places), words.first[some])
                words.put(ids, some, table.pieces, places[which])
                continue
            here = words.places(some)
            which = draws.integers("random piece", len(vocabulary.random_ids), here)
            ids[here] = vocabulary.random_ids[which]

    def build(self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]) -> "MaskedLm":
        """Build BERT with its MLM head."""
        from hanmo.model.masked_lm import MaskedLm

        return MaskedLm(config)


@dataclasses.dataclass(frozen=True, slots=True)
class _Words:
    """W chosen words, of M pieces in all."""

    first: IntArray  # [W] index of the first piece among the N
    begins: IntArray  # [W] index of the first piece among the M
    lengths: IntArray  # [W]

    @classmethod
    def of(cls, positions: IntArray, word_starts: NDArray[np.bool_]) -> "_Words":
        begins = np.flatnonzero(word_starts[positions])
        return cls(positions[begins], begins, np.diff(begins, append=len(positions)))

    def places(self, chosen: IntArray) -> IntArray:
        """Indices among the N of all pieces of the words `chosen`."""
        lengths = self.lengths[chosen]
        return np.repeat(self.first[chosen], lengths) + ranges(lengths)

    def put(
        self, ids: NDArray[np.int32], chosen: IntArray, pieces: NDArray[np.int32], sources: IntArray
    ) -> None:
        """Write the pieces that begin at `sources` into the words `chosen`."""
        lengths = self.lengths[chosen]
        ids[self.places(chosen)] = pieces[np.repeat(sources, lengths) + ranges(lengths)]


def _known_units(
    sequences: Sequences,
    word_starts: NDArray[np.bool_],
    starts: NDArray[np.bool_],
    table: SimilarWords,
) -> Sequences:
    """Make units with a word that has no similar one unmaskable."""
    words = np.flatnonzero(word_starts)
    lacking = table.find(sequences.input_ids, words) < 0
    # A unit is whole words, so each word lies in one.
    first = np.flatnonzero(starts[words])
    bad = np.logical_or.reduceat(lacking, first)
    maskable = sequences.maskable.copy()
    maskable[words[first[bad]]] = False
    return dataclasses.replace(sequences, maskable=maskable)
