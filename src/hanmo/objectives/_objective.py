"""The contract of a pre-training objective.

An objective file exposes one frozen dataclass `Objective`; its fields are its options (flags
`--NAME.field`, table `[NAME]` of a recipe). It has a pure half in numpy that runs in loader
workers, and builds the torch module that is trained:

    layers                                  label layers it needs in the shards
    corrupt(sequences, draws, vocabulary)   what the model sees, where and what it must predict
    build(config, layers)                   a Trainable
    resources(vocabulary)                   optional: what `corrupt` needs beside the sequences,
                                            read once and found in `vocabulary.resources`
    files                                   optional: paths that `resources` reads

`corrupt` gets many sequences at once, as flat arrays, which is what makes it fast; `each` is for a
rule that is easier to write for one. This file holds the Protocol and what binds `corrupt` to a
vocabulary for the loader.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hanmo.core import registry
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, Sequences, join

if TYPE_CHECKING:
    from hanmo.model.config import EncoderConfig
    from hanmo.model.trainable import Trainable

PACKAGE = "hanmo.objectives"


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """What corruption needs to know of a vocabulary.

    Attributes:
        size: number of pieces.
        mask_id: id of [MASK].
        random_ids: int [n], pieces that may stand in at random: no special, no [unusedN].
        tokenizer: the `hanmo.text.tokenizer.Tokenizer`, for objectives with words of their own.
        resources: what the objective's `resources(vocabulary)` returned, if it has that.
    """

    size: int
    mask_id: int
    random_ids: NDArray[Any]
    tokenizer: Any = None
    resources: Any = None

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """Take it from a `hanmo.text.tokenizer.Tokenizer`."""
        return cls(tokenizer.size, tokenizer.mask_id, tokenizer.random_ids, tokenizer)


class Objective(Protocol):
    """See the module's docstring."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the label layers that the shards must hold."""
        ...

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Corrupt sequences, each as it would be alone; the same draws give the same result."""
        ...

    def build(self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]) -> "Trainable":
        """Build the module that is trained; `layers` are the label names of the needed layers."""
        ...


def make_objective(name: str, options: Mapping[str, Any]) -> Objective:
    """Load an objective by name (or dotted module, or path) and give it its options."""
    made: Objective = registry.member(PACKAGE, name, "Objective")(**options)
    return made


class Corruptor:
    """An objective bound to a vocabulary: what the loader calls, in its workers too.

    It pickles as its name and options, so that an objective from outside the package reaches the
    workers as well.
    """

    def __init__(self, name: str, options: Mapping[str, Any], vocabulary: Vocabulary) -> None:
        self._objective = make_objective(name, options)
        if vocabulary.resources is None:
            vocabulary = with_resources(self._objective, vocabulary)
        self._arguments = (name, dict(options), vocabulary)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corruptor, self._arguments

    @property
    def layers(self) -> tuple[str, ...]:
        """Label layers that the objective reads."""
        return self._objective.layers

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        """Corrupt sequences."""
        return self._objective.corrupt(sequences, draws, self._arguments[2])


def with_resources(objective: Objective, vocabulary: Vocabulary) -> Vocabulary:
    """Read what the objective needs beside the sequences, where it has `resources`."""
    read = getattr(objective, "resources", None)
    return (
        vocabulary if read is None else dataclasses.replace(vocabulary, resources=read(vocabulary))
    )


def each(
    rule: Callable[[Sequences, np.random.Generator], Corrupted], sequences: Sequences, draws: Draws
) -> Corrupted:
    """Corrupt sequence by sequence: `rule` gets one, and a generator of its own.

    Easier to write than a rule over flat arrays, and tens of times slower: some 0.5 M pieces a
    second, which one worker process more may make good.
    """
    return join([rule(sequences[i], draws.generator(i)) for i in range(len(sequences))])
