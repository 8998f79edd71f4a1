"""Whether a pronoun means a noun phrase: Winograd schemas as CLUEWSC has them.

CLUE's baseline marks the two in the text, "_小明_说[他]累了", and classifies the text; `style`
"marked" does so, and transformers opens the model. "ends" leaves the text as it is and reads the
spans themselves: a linear layer on [CLS] and the first and last piece of each span.

A text too long is cut on both sides, so that the two spans stay in.

Shapes: S sequences, H hidden, T labels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hanmo.data.ragged import Array, Corrupted
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.trainable import Batch, Losses, Outputs
from hanmo.tasks.kind import Features, label_of, text_of
from hanmo.tasks.kinds._pooled import OneLabel, cross_entropy, label_target
from hanmo.tasks.task import LABEL, Example, Prediction, Task
from hanmo.text.tokenizer import Tokenizer

_MARKS = (("_", "_"), ("[", "]"))
_ASKED = 5  # [CLS], and both ends of both spans


class SpanEnds(nn.Module):
    """A linear layer on [CLS] and both ends of two spans.

    A sequence is asked at five places; its target stands at the first, -1 at the others, and its
    logits at all of them.
    """

    architecture = "HanmoSpanEnds"

    def __init__(self, encoder: Encoder, n_labels: int) -> None:
        super().__init__()
        self.bert = encoder
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob)
        self.classifier = nn.Linear(_ASKED * encoder.config.hidden_size, n_labels)

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode; score the five pieces of each sequence together."""
        hidden = self.bert(*batch.inputs, batch.positions, batch.layout)  # [5S, H]
        ends = hidden.view(-1, _ASKED * hidden.shape[1])  # [S, 5H]
        logits = self.classifier(self.dropout(ends))  # [S, T]
        return Outputs(hidden, {LABEL: logits.repeat_interleave(_ASKED, 0)})

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Mean cross entropy over the sequences that have a label."""
        summed = cross_entropy(outputs.logits[LABEL].float(), batch.targets[LABEL])
        total = summed / max(1, batch.totals[LABEL])
        return Losses(total, {LABEL: total.detach()})

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(OneLabel):
    """One label for a text with two spans.

    Attributes:
        style: "marked": marks in the text; "ends": the head reads the ends of the spans.
    """

    style: Literal["marked", "ends"] = "marked"

    fields: ClassVar = ("text", "span1", "span1_start", "span2", "span2_start")
    optional_fields: ClassVar[tuple[str, ...]] = ()

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read a text, its spans (text and first character) and a label."""
        text = text_of(row["text"], "text")
        spans = [self._span(text, row, name) for name in ("span1", "span2")]
        (a, b), (c, d) = sorted(spans)
        if b > c:
            raise ValueError(
                f"the spans {text[a:b]!r} (at {a}) and {text[c:d]!r} (at {c}) overlap; correct "
                "their first characters"
            )
        label = label_of(row.get(LABEL), task)
        return Example(id, {"text": text, "span1": spans[0], "span2": spans[1]}, label)

    @staticmethod
    def _span(text: str, row: Mapping[str, Any], name: str) -> tuple[int, int]:
        span, start = row[name], row[f"{name}_start"]
        if not isinstance(span, str) or not span or not isinstance(start, int):
            raise ValueError(f"{name}: got {span!r} at {start!r}; expected a text and its place")
        if text[start : start + len(span)] != span or start < 0:
            found = text.find(span)
            there = f"it is at {found}" if found >= 0 else "it is nowhere in the text"
            raise ValueError(
                f"{name}_start: {span!r} is not at character {start} of the text; {there}"
            )
        return start, start + len(span)

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn the text into [CLS] text [SEP], marked or asked at the ends of the spans."""
        text: str = example.fields["text"]
        spans: list[tuple[int, int]] = [example.fields["span1"], example.fields["span2"]]
        if self.style == "marked":
            text, spans = _marked(text, spans)
        encoding = tokenizer.encode(text)
        ends = [_pieces(encoding.spans, span) for span in spans]
        begin, stop = _window(ends, len(encoding), task.settings.max_length - 2)
        ids = [tokenizer.cls_id, *encoding.ids[begin:stop].tolist(), tokenizer.sep_id]
        inputs: dict[str, Array] = {
            "input_ids": np.array(ids, np.int32),
            "token_type_ids": np.zeros(len(ids), np.int8),
        }
        places, target = [0], label_target(example, task)
        if self.style == "ends":
            places += [min(max(e - begin, 0), stop - begin - 1) + 1 for end in ends for e in end]
            target = np.array([*target, -1, -1, -1, -1])
        sequence = Corrupted(inputs, np.array(places, np.int64), {LABEL: target})
        return Features(example, (sequence,), stop - begin < len(encoding))

    def build(
        self, encoder: Encoder, task: Task, *, weights: Mapping[str, Tensor], seed: int
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Put a classifier on the encoder."""
        if self.style == "marked":
            # super() needs __class__, which a dataclass with slots has not.
            return OneLabel.build(self, encoder, task, weights=weights, seed=seed)
        model = SpanEnds(encoder, len(task.labels))
        generator = torch.Generator().manual_seed(seed)
        initialise(model.classifier, encoder.config.initializer_range, generator)
        return model, {"head": "ends of the spans"}

    def decode(
        self, features: Sequence[Features], arrays: Mapping[str, Array], task: Task
    ) -> list[Prediction]:
        """Take the most probable label."""
        step = 1 if self.style == "marked" else _ASKED
        return OneLabel.decode(self, features, {LABEL: arrays[LABEL][::step]}, task)


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Put marks around the spans; returns the text and where the spans, marks included, are."""
    order = sorted(range(2), key=lambda number: spans[number])
    out, end, found = "", 0, {}
    for number in order:
        begin, stop = spans[number]
        opening, closing = _MARKS[number]
        out += text[end:begin]
        found[number] = (len(out), len(out) + stop - begin + 2)
        out += opening + text[begin:stop] + closing
        end = stop
    return out + text[end:], [found[0], found[1]]


def _pieces(spans: Array, span: tuple[int, int]) -> tuple[int, int]:
    """Return the first and last piece that share a character with [start, end).

    A span without a piece of its own (blanks alone) is where it would stand.
    """
    shared = np.flatnonzero((spans[:, 0] < span[1]) & (spans[:, 1] > span[0]))
    if not len(shared):
        place = min(int(np.searchsorted(spans[:, 0], span[0])), max(len(spans) - 1, 0))
        return place, place
    return int(shared[0]), int(shared[-1])


def _window(ends: Sequence[tuple[int, int]], n: int, room: int) -> tuple[int, int]:
    """Choose [begin, stop) of `n` pieces, at most `room`, around the two spans.

    Spans too far apart for one window: the pieces up to the second one's end are kept.
    """
    if n <= room:
        return 0, n
    first, last = min(a for a, _ in ends), max(b for _, b in ends)
    begin = first - max(0, room - (last - first + 1)) // 2
    if last - first + 1 > room:
        begin = last + 1 - room
    begin = min(max(begin, 0), n - room)
    return begin, begin + room
