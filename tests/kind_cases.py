"""What the tests of kinds share: a vocabulary of mixed script, and logits that a head may give."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from hanmo.data.batches import collate
from hanmo.data.ragged import Array, join
from hanmo.model.trainable import Batch
from hanmo.tasks.kind import Features
from hanmo.text.tokenizer import Tokenizer
from training_cases import CHARACTERS, VOCAB

LATIN = ["a", "b", "ab", "##a", "##b", "1", "12", "##2", "，", "_", "[", "]", "ａ"]
MIXED = Tokenizer([*VOCAB, *LATIN])
# Blanks, zero-width characters, U+FFFD and unknown characters give no piece or [UNK].
STRANGE = " \t　\u200b\u00ad\ufeff\ufffd\U0001f600é"
ALPHABET = "".join(CHARACTERS[:6]) + "abAB12，Ａ" + STRANGE
TEXTS = st.text(ALPHABET, min_size=1, max_size=40)


def positions_of(one: Features) -> int:
    """At how many pieces an example is asked."""
    return sum(len(sequence.positions) for sequence in one.sequences)


def targets_of(features: Sequence[Features], name: str) -> Array:
    """The targets of all sequences, one after the other, as logits are."""
    return np.concatenate([s.targets[name] for one in features for s in one.sequences])


def packed(features: Sequence[Features], *, max_length: int) -> Batch:
    """All sequences in rows of `max_length`, several in a row."""
    return Batch.from_arrays(arrays_of(features, max_length=max_length))


def arrays_of(features: Sequence[Features], *, max_length: int) -> dict[str, Array]:
    sequences = [sequence for one in features for sequence in one.sequences]
    return collate(join(sequences), max_length=max_length, pad_id=0, pack=True)
