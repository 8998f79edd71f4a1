"""The contract of a kind of task: how an example becomes pieces, and logits an answer.

A kind is a file in `kinds/` with a class `Kind`. It is the only place that knows the heads of its
tasks. Reading, batching, training and scoring are the same for all kinds.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from hanmo.core import registry
from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder
from hanmo.tasks.task import Example, Prediction, Task
from hanmo.tasks.task_file import KINDS
from hanmo.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Features:
    """One example as model input.

    Attributes:
        example: where it came from.
        sequences: its sequences (most kinds: one), each with the positions that the head looks at
            and their targets; -1 is an unknown target.
        truncated: pieces that did not fit were left out.
    """

    example: Example
    sequences: tuple[Corrupted, ...]
    truncated: bool


class Kind(Protocol):
    """How tasks of one kind are solved.

    Attributes:
        fields: fields that a task's columns must name, besides "label".
        optional_fields: fields that they may name.
    """

    fields: tuple[str, ...]
    optional_fields: tuple[str, ...]

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn an example into pieces, at most `task.settings.max_length` a sequence."""
        ...

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put heads on the encoder.

        Args:
            encoder: becomes part of the model.
            task: says how many labels.
            weights: all weights of the checkpoint; a head may start from those.
            seed: of the heads' random weights.

        Returns:
            A `Trainable` with `architecture`, and what is to be said of it in the run's record.
        """
        ...

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Turn logits into answers.

        Args:
            features: of N examples.
            arrays: name of the logits → [M, classes], positions in the order of `features`.
            task: the task.
        """
        ...


def load_kind(name: str) -> Kind:
    """Return the kind of that name, of a dotted module, or of a .py file."""
    kind: Kind = registry.load(KINDS, name).Kind()
    return kind
