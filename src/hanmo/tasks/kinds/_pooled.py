"""What kinds with one answer a sequence share: its pieces, and a head on the pooled [CLS].

The head is dropout and a linear layer on the pooled [CLS], as in Google's run_classifier; names are
those of transformers' `BertForSequenceClassification`, which opens a saved model and gives the same
logits.

Shapes: R rows, L length, H hidden, S sequences, T labels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.heads import Pooler
from hanmo.model.trainable import Batch, Losses, Outputs
from hanmo.tasks.kind import Features, label_of, labels_found, softmax, text_of
from hanmo.tasks.task import LABEL, Example, Prediction, Task
from hanmo.text.tokenizer import Tokenizer

_POOLER = "bert.pooler.dense."
Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over sequences: [S, T], [S] → []; target -1 is left out."""
    return F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum")


class Pooled(nn.Module):
    """Encoder, pooler, dropout and a linear layer.

    Args:
        encoder: gets the pooler as a part, so that its name is `bert.pooler` as in transformers.
        n_outputs: number of labels T, or 1.
        loss: sums the losses of [S, T] logits against [S] targets.
    """

    architecture = "BertForSequenceClassification"

    def __init__(self, encoder: Encoder, n_outputs: int, loss: Loss) -> None:
        super().__init__()
        self.bert = encoder
        self.bert.add_module("pooler", Pooler(encoder.config))
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob)
        self.classifier = nn.Linear(encoder.config.hidden_size, n_outputs)
        self.n_outputs = n_outputs
        self.loss = loss

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode; pool and score the sequences' first pieces."""
        first = self.bert(*batch.inputs, batch.positions, batch.layout)  # [S, H]
        pooled = self.bert.get_submodule("pooler")(first)  # [S, H]
        return Outputs(pooled, {LABEL: self.classifier(self.dropout(pooled))})

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Mean loss over the sequences that have a target."""
        summed = self.loss(outputs.logits[LABEL].float(), batch.targets[LABEL])
        total = summed / max(1, batch.totals[LABEL])
        return Losses(total, {LABEL: total.detach()})

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


def build_pooled(
    encoder: Encoder, n_outputs: int, loss: Loss, *, weights: Mapping[str, Tensor], seed: int
) -> tuple[Pooled, dict[str, Any]]:
    """Put a head on the encoder; the pooler comes from the checkpoint if it is there."""
    model = Pooled(encoder, n_outputs, loss)
    pooler = encoder.get_submodule("pooler")
    generator = torch.Generator().manual_seed(seed)
    for part in (pooler, model.classifier):
        initialise(part, encoder.config.initializer_range, generator)
    found = {
        f"dense.{slot}": weights[f"{_POOLER}{slot}"]
        for slot in ("weight", "bias")
        if f"{_POOLER}{slot}" in weights
    }
    if len(found) == 2:
        pooler.load_state_dict(found)
    return model, {"pooler": "from the checkpoint" if len(found) == 2 else "random"}


class OneLabel:
    """The half of a kind that labels each example once; `encode` is left to the kind."""

    answers = "label"

    def labels(self, task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the task's labels, or those of the training split, sorted."""
        return labels_found(task, examples)

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put a classifier on the encoder."""
        return build_pooled(encoder, len(task.labels), cross_entropy, weights=weights, seed=seed)

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Take the most probable label; equal ones: the first of the task's labels."""
        probabilities = softmax(arrays[LABEL])  # [N, T]
        return [
            Prediction(
                one.example.id,
                task.labels[int(row.argmax())],
                {label: round(float(p), 6) for label, p in zip(task.labels, row, strict=True)},
            )
            for one, row in zip(features, probabilities, strict=True)
        ]


def read_texts(id: str, row: Mapping[str, Any], task: Task, fields: Sequence[str]) -> Example:
    """Read an example whose fields are texts and whose gold is a label."""
    label = label_of(row.get(LABEL), task)
    texts = {field: text_of(row[field], field) for field in fields if field in row}
    return Example(id, texts, label)


def label_target(example: Example, task: Task) -> Array:
    """Return the id of an example's label, -1 where it has none: int [1]."""
    return np.array([-1 if example.gold is None else task.labels.index(example.gold)])


def one_sequence(
    example: Example,
    texts: Sequence[str],
    task: Task,
    tokenizer: Tokenizer,
    *,
    target: Array,
    kept: Callable[[Sequence[int], int], list[int]] | None = None,
) -> Features:
    """Turn one or two texts into [CLS] a [SEP] (b [SEP]), asked at [CLS].

    Args:
        example: where they come from.
        texts: one or two.
        task: says the longest sequence.
        tokenizer: makes pieces.
        target: of the sequence, [1].
        kept: (lengths, room) → how many pieces of each text are kept; default: `fit`.
    """
    parts = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    lengths = [len(part) for part in parts]
    room = task.settings.max_length - 1 - len(parts)
    left = (kept or fit)(lengths, room)
    pieces, segments = [np.array([tokenizer.cls_id])], [np.zeros(1)]
    for segment, (part, n) in enumerate(zip(parts, left, strict=True)):
        pieces += [part[:n], np.array([tokenizer.sep_id])]
        segments.append(np.full(n + 1, segment))
    inputs: dict[str, Array] = {
        "input_ids": np.concatenate(pieces).astype(np.int32),
        "token_type_ids": np.concatenate(segments).astype(np.int8),
    }
    sequence = Corrupted(inputs, np.zeros(1, np.int64), {LABEL: target})
    return Features(example, (sequence,), sum(left) < sum(lengths))


def fit(lengths: Sequence[int], room: int) -> list[int]:
    """Return how many pieces of each text are kept: the longer one loses, at a tie the second.

    Example: `fit([10, 3], 8)` → `[5, 3]`.
    """
    kept = list(lengths)
    excess = max(0, sum(kept) - room)
    if len(kept) == 1:
        return [kept[0] - excess]
    a, b = kept
    from_longer = min(excess, abs(a - b))
    a, b = (a - from_longer, b) if a > b else (a, b - from_longer)
    excess -= from_longer
    return [a - excess // 2, b - (excess + 1) // 2]
