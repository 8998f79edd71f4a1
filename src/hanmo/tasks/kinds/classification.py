"""One label for a text or a pair of texts, as Google's run_classifier and HF's BERT do it.

[CLS] a [SEP] or [CLS] a [SEP] b [SEP]; a pair too long loses pieces at the end of the longer text.
The head is dropout and a linear layer on the pooled [CLS]; names are those of transformers'
`BertForSequenceClassification`, which opens a saved model and gives the same logits.

Shapes: R rows, L length, H hidden, S sequences, T labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.heads import Pooler
from hanmo.model.trainable import Batch, Losses, Outputs
from hanmo.tasks.kind import Features
from hanmo.tasks.task import Example, Prediction, Task
from hanmo.text.tokenizer import Tokenizer

_TARGET = "label"
_POOLER = "bert.pooler.dense."


class Classifier(nn.Module):
    """Encoder, pooler, dropout and a linear layer.

    Args:
        encoder: gets the pooler as a part, so that its name is `bert.pooler` as in transformers.
        n_labels: number of labels T.
    """

    architecture = "BertForSequenceClassification"

    def __init__(self, encoder: Encoder, n_labels: int) -> None:
        super().__init__()
        self.bert = encoder
        self.bert.add_module("pooler", Pooler(encoder.config))
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob)
        self.classifier = nn.Linear(encoder.config.hidden_size, n_labels)

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode; pool and score the sequences' first pieces."""
        first = self.bert(*batch.inputs, batch.positions, batch.layout)  # [S, H]
        pooled = self.bert.get_submodule("pooler")(first)  # [S, H]
        return Outputs(pooled, {_TARGET: self.classifier(self.dropout(pooled))})

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Mean cross entropy over the sequences that have a label."""
        logits = outputs.logits[_TARGET].float()  # [S, T]
        summed = F.cross_entropy(logits, batch.targets[_TARGET], ignore_index=-1, reduction="sum")
        total = summed / max(1, batch.totals[_TARGET])
        return Losses(total, {_TARGET: total.detach()})

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


class Kind:
    """One label an example."""

    fields = ("text_a",)
    optional_fields = ("text_b",)

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn a text or a pair into [CLS] a [SEP] (b [SEP])."""
        texts = [example.fields[name] for name in ("text_a", "text_b") if name in example.fields]
        parts = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        room = task.settings.max_length - 1 - len(parts)
        kept = fit([len(part) for part in parts], room)
        truncated = sum(kept) < sum(len(part) for part in parts)
        pieces, segments = [np.array([tokenizer.cls_id])], [np.zeros(1)]
        for segment, (part, n) in enumerate(zip(parts, kept, strict=True)):
            pieces += [part[:n], np.array([tokenizer.sep_id])]
            segments.append(np.full(n + 1, segment))
        inputs: dict[str, Array] = {
            "input_ids": np.concatenate(pieces).astype(np.int32),
            "token_type_ids": np.concatenate(segments).astype(np.int8),
        }
        target = -1 if example.label is None else task.labels.index(example.label)
        sequence = Corrupted(inputs, np.zeros(1, np.int64), {_TARGET: np.array([target])})
        return Features(example, (sequence,), truncated)

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[Classifier, dict[str, Any]]:
        """Put a classifier on the encoder; the pooler comes from the checkpoint if it is there."""
        model = Classifier(encoder, len(task.labels))
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

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Take the most probable label; equal ones: the first of the task's labels."""
        logits = arrays[_TARGET].astype(np.float64)  # [N, T]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        return [
            Prediction(
                one.example.id,
                task.labels[int(row.argmax())],
                {label: round(float(p), 6) for label, p in zip(task.labels, row, strict=True)},
            )
            for one, row in zip(features, probabilities, strict=True)
        ]


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
