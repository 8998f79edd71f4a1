"""A number for a pair of texts (or one text): semantic similarity, as STS-B's 0 to 5.

One output on the pooled [CLS], trained by squared error, as GLUE's baselines and ELECTRA's STS do.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.core.errors import UserError
from hanmo.data.ragged import Array
from hanmo.model.encoder import Encoder
from hanmo.tasks.kind import Features, text_of
from hanmo.tasks.kinds._pooled import build_pooled, one_sequence
from hanmo.tasks.task import LABEL, Example, Prediction, Task
from hanmo.text.tokenizer import Tokenizer

_MISSING = float("nan")


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum over sequences: [S, 1], [S] → []; a target that is no number is left out."""
    known = ~targets.isnan()
    return F.mse_loss(outputs[known, 0], targets[known].float(), reduction="sum")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A number an example.

    Attributes:
        least: lowest value that a label may have.
        greatest: highest value.
    """

    least: float = 0.0
    greatest: float = 5.0

    fields: ClassVar = ("text_a",)
    optional_fields: ClassVar = ("text_b",)
    answers: ClassVar = "number"

    def __post_init__(self) -> None:
        if not self.least < self.greatest:
            raise UserError(
                f"options.least: got {self.least:g}; expected less than options.greatest, "
                f"{self.greatest:g}"
            )

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read a text, or two, and a number."""
        fields = {"text_a": text_of(row["text_a"], "text_a")}
        if "text_b" in row:
            fields["text_b"] = text_of(row["text_b"], "text_b")
        return Example(id, fields, self._number(row.get(LABEL)))

    def _number(self, value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not self.least <= number <= self.greatest:
            raise ValueError(
                f"label: got {value!r}; expected a number from {self.least:g} to {self.greatest:g}"
            )
        return number

    def labels(self, task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return none: a number is no label."""
        return ()

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn a text or a pair into [CLS] a [SEP] (b [SEP])."""
        texts = [example.fields[name] for name in ("text_a", "text_b") if name in example.fields]
        gold = _MISSING if example.gold is None else example.gold
        return one_sequence(example, texts, task, tokenizer, target=np.array([gold], np.float32))

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put one output on the encoder."""
        return build_pooled(encoder, 1, squared_error, weights=weights, seed=seed)

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Take the output, kept between the least and the greatest value."""
        values = arrays[LABEL][:, 0].astype(np.float64).clip(self.least, self.greatest)
        return [
            Prediction(one.example.id, round(float(value), 6))
            for one, value in zip(features, values, strict=True)
        ]
