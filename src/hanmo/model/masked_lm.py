"""The module behind masked objectives: predict pieces, and word labels, at chosen positions.

With no label layers it is BERT's MLM (`BertForMaskedLM`, same parameter names). With layers it is
LERT: linear heads on the same transform as the MLM head, at the same positions (facts/01 "Heads",
"Which positions take part"). Each task's loss is sum(CE) / (count + 1e-5); `schedule(progress)`
weights the layers' losses.

Shapes: R rows, L length, H hidden, E embeddings, M masked positions, V vocabulary, T labels of a
layer.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.model import partner
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.heads import MaskedLmHead, sparse_cross_entropy
from hanmo.model.trainable import Batch, Losses, Outputs

Schedule = Callable[[float], Mapping[str, float]]
_EPSILON = 1e-5  # upstream's guard against a batch without labels (facts/01)


def _no_layers(progress: float) -> Mapping[str, float]:
    return {}


class MaskedLm(nn.Module):
    """Encoder, MLM head and one linear head per label layer.

    Args:
        config: shape of the encoder.
        layers: layer → its label names; the heads' width.
        schedule: progress in [0, 1] → weight of each layer's loss.
        pieces: name of the target that holds the masked pieces' ids.
    """

    architecture = "BertForMaskedLM"
    own_heads = ("tags.",)

    def __init__(
        self,
        config: EncoderConfig,
        *,
        layers: Mapping[str, tuple[str, ...]] | None = None,
        schedule: Schedule = _no_layers,
        pieces: str = "pieces",
    ) -> None:
        super().__init__()
        self.bert = Encoder(config)
        self.cls = MaskedLmHead(config)
        self.layers = dict(layers or {})
        self.tags = nn.ModuleDict(
            {
                name: nn.Linear(config.embedding_width, len(tags))
                for name, tags in self.layers.items()
            }
        )
        self._schedule = schedule
        self._pieces = pieces

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode and transform the asked positions; score labels (not yet pieces)."""
        asked, logits = partner.encode(self.bert, self.cls, batch)  # [M, H]
        transformed = self.cls.predictions.transform(asked)  # [M, E]
        logits |= {name: head(transformed) for name, head in self.tags.items()}  # [M, T]
        return Outputs(transformed, logits)

    def piece_logits(self, outputs: Outputs) -> Tensor:
        """Score the whole vocabulary at the asked positions: [M, V]."""
        return self.cls.logits(outputs.at_positions, self.bert.embeddings.word_embeddings.weight)

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """MLM loss plus the layers' losses, each weighted by the schedule at `progress`."""
        expected = batch.targets[self._pieces]
        total = sparse_cross_entropy(
            outputs.at_positions,
            self.bert.embeddings.word_embeddings.weight,
            self.cls.predictions.bias,
            expected,
        ) / (batch.totals[self._pieces] + _EPSILON)
        parts = {"mlm": total.detach()}
        weights = self._schedule(progress)
        for name in self.tags:
            logits = outputs.logits[name]
            loss = _labelled_cross_entropy(logits, batch.targets[name], batch.totals[name])
            parts[name] = loss.detach()
            total = total + weights[name] * loss
        return partner.with_partner(Losses(total, parts, weights), outputs, batch)

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


def _labelled_cross_entropy(logits: Tensor, targets: Tensor, total: int) -> Tensor:
    """Sum of CE over the positions that have a label (target ≥ 0) by the step's `total` of them."""
    summed = F.cross_entropy(logits.float(), targets, ignore_index=-1, reduction="sum")
    return summed / (total + _EPSILON)
