"""The model that finds spans: an encoder, beginnings and ends, and perhaps kinds of answers.

Shapes: M asked pieces, W windows, H hidden.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.model.encoder import Encoder
from hanmo.model.trainable import SEQUENCES, Batch, Losses, Outputs
from hanmo.tasks.task import LABEL

SPAN = "span"
START, END, TYPE = "start", "end", "type"
_NEVER = -1e4  # a score that leaves nothing of its piece


class Reader(nn.Module):
    """Encoder, a layer for beginnings and ends, and perhaps one for kinds of answers."""

    architecture = "BertForQuestionAnswering"
    n_outputs = 2

    def __init__(self, encoder: Encoder, n_types: int) -> None:
        super().__init__()
        self.bert = encoder
        self.qa_outputs = nn.Linear(encoder.config.hidden_size, 2)
        self.answer_type = nn.Linear(encoder.config.hidden_size, n_types) if n_types > 1 else None

    @property
    def own_heads(self) -> tuple[str, ...]:
        """Weights that transformers' class does not have."""
        return ("answer_type.",) if self.answer_type is not None else ()

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode; score every asked piece as beginning and end, and kinds of answers."""
        hidden = self.bert(*batch.inputs, batch.positions, batch.layout)  # [M, H]
        logits = {LABEL: self.qa_outputs(hidden)}  # [M, 2]
        if self.answer_type is not None:
            logits[TYPE] = self.answer_type(hidden)  # [M, types]; only [CLS] counts
        return Outputs(hidden, logits)

    def distributions(self, outputs: Outputs, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """Logits as one distribution a row, with the rows of the whole step.

        Returns:
            "start" and "end": [W, longest window], very small behind a window's pieces; "type":
            [W, types].
        """
        window = window_of(batch)
        sizes = torch.bincount(window)
        firsts = sizes.cumsum(0) - sizes
        places = torch.arange(len(window), device=window.device) - firsts[window]
        logits = outputs.logits[LABEL].float()
        shape = (len(sizes), int(sizes.max()) if len(sizes) else 1)
        rows = {
            name: logits.new_full(shape, _NEVER).index_put((window, places), logits[:, column])
            for column, name in enumerate((START, END))
        }
        if self.answer_type is not None:
            rows[TYPE] = outputs.logits[TYPE].index_select(0, firsts)
        return {name: (values, batch.totals[SEQUENCES]) for name, values in rows.items()}

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Mean of both ends' cross entropies over a window's pieces, plus that of the kinds."""
        window = window_of(batch)
        logits = outputs.logits[LABEL].float()  # [M, 2]
        both = logits.new_zeros(())
        for column, name in enumerate((START, END)):
            summed = _over_windows(logits[:, column], batch.targets[name], window)
            both = both + summed / max(1, batch.totals[name]) / 2
        parts = {SPAN: both.detach()}
        total = both
        if self.answer_type is not None:
            types, targets = outputs.logits[TYPE].float(), batch.targets[TYPE]
            summed = F.cross_entropy(types, targets, ignore_index=-1, reduction="sum")
            kinds = summed / max(1, batch.totals[TYPE])
            parts[TYPE] = kinds.detach()
            total = total + kinds
        return Losses(total, parts)

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


def window_of(batch: Batch) -> Tensor:
    """Number the windows by where the asked pieces stand: int64 [M], ascending."""
    row = batch.positions // batch.sequence_ids.shape[1]
    rank = batch.sequence_ids.flatten()[batch.positions]
    changes = (row[1:] != row[:-1]) | (rank[1:] != rank[:-1])
    return F.pad(changes.long().cumsum(0), (1, 0))


def _over_windows(logits: Tensor, targets: Tensor, window: Tensor) -> Tensor:
    """Sum of cross entropies, one softmax a window; the target is 1 at one piece of each."""
    # As many slots as pieces: how many windows there are, only the device knows.
    slots = torch.full_like(logits, -torch.inf)
    greatest = slots.scatter_reduce(0, window, logits.detach(), "amax")[window]
    sums = torch.zeros_like(logits).index_add(0, window, (logits - greatest).exp())[window]
    lost = sums.log() + greatest - logits
    return torch.where(targets == 1, lost, torch.zeros_like(lost)).sum()
