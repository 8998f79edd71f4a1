"""What the data tests share: documents given as lists of word lengths, and objectives.

Worker processes import the objectives, so they are in a module that has a name of its own.
"""

import itertools
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hanmo.core.artifact import building
from hanmo.data.documents import Documents
from hanmo.data.draws import Draws
from hanmo.data.loader import Loader
from hanmo.data.ragged import Corrupted, Sequences
from hanmo.data.sequences import plan_sequences
from hanmo.data.shard_file import Legend
from hanmo.data.shards import ShardSet, ShardWriter

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + i) for i in range(200))]
LAYERS = {"pos": ("n", "v", "wp"), "ner": ("O", "S-Ns")}

Sentence: TypeAlias = Sequence[int]  # pieces of each word


def make_documents(documents: Sequence[Sequence[Sentence]], *, first_id: int = 5) -> Documents:
    """Documents of the given word lengths; ids count up and wrap, labels follow the words."""
    words = [length for document in documents for sentence in document for length in sentence]
    n = sum(words)
    word_starts = np.zeros(n, dtype=np.uint8)
    word_starts[np.cumsum([0, *words])[:-1]] = 1
    of_word = np.cumsum(word_starts, dtype=np.int64) - 1
    sentences = [sum(sentence) for document in documents for sentence in document]
    return Documents(
        ((np.arange(n) + first_id - 5) % 200 + 5).astype(np.uint16),
        word_starts,
        np.cumsum([0, *sentences], dtype=np.int64),
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
        {"pos": (of_word % 4 - 1).astype(np.int8), "ner": (of_word % 2).astype(np.int8)},
    )


def write_shards(folder: Path, parts: Sequence[Documents], *, shard_pieces: int = 100) -> Path:
    with (
        building(folder, kind="shards", config={}) as build,
        ShardWriter(
            build.dir,
            vocab=VOCAB,
            layers=LAYERS,
            shard_pieces=shard_pieces,
        ) as writer,
    ):
        for part in parts:
            writer.add(part)
    return folder


def random_documents(seed: int, n_documents: int, *, longest_sentence: int = 40) -> Documents:
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(n_documents):
        sentences = []
        for _ in range(rng.integers(1, 8)):
            n_words = int(rng.integers(1, longest_sentence))
            sentences.append(rng.integers(1, 5, n_words).tolist())
        documents.append(sentences)
    return make_documents(documents)


def shards_in_memory(documents: Documents, n_shards: int = 1) -> ShardSet:
    """A `ShardSet` that was never on disk, of `n_shards` shards."""
    n = len(documents.document_starts) - 1
    bounds = np.linspace(0, n, n_shards + 1).astype(int).tolist()
    parts = [documents.cut(start, stop) for start, stop in itertools.pairwise(bounds)]
    special_ids = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    return ShardSet(Path("memory"), tuple(parts), Legend(LAYERS, special_ids, len(VOCAB), ""))


@dataclass(frozen=True)
class Shuffle:
    """Replace a random fifth of the pieces by random ids."""

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        chosen = np.flatnonzero(sequences.maskable & (draws.uniform("chosen") < 0.2))
        ids = sequences.input_ids.copy()
        ids[chosen] = 5 + draws.integers("random", 195, chosen)
        targets = {"pieces": sequences.input_ids[chosen], "pos": sequences.layers["pos"][chosen]}
        return Corrupted({"input_ids": ids}, chosen, targets, sequences.offsets)


@dataclass(frozen=True)
class Identity:
    """Change nothing and predict everything."""

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        positions = np.arange(len(sequences.input_ids))
        return Corrupted({"input_ids": sequences.input_ids}, positions, {}, sequences.offsets)


@dataclass(frozen=True)
class Suicidal:
    """A worker that the system kills."""

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@dataclass(frozen=True)
class Broken:
    """An objective with a bug."""

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        raise ZeroDivisionError("a bug")


def make_loader(shards: ShardSet, objective: object = Shuffle(), **options: object) -> Loader:
    plan = plan_sequences(shards, max_length=64)
    settings = {"batch_size": 24, "max_length": 128, "seed": 11} | options
    return Loader(plan, objective, **settings)  # type: ignore[arg-type]
