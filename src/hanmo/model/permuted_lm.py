"""The module behind PERT: say of every asked place where the piece that belongs there now stands.

The answer is a place of the same sequence, so the classes are the sequence's own hidden states:
score(i, j) = transform(h_i) · h_j, softmax over the places j of the sequence of i. Nothing of the
published head was released (facts/03: "from memory, not verified"); a bias on the places is left
out, for it could only learn that some places are likelier than others.

Shapes: R rows, L length, M asked places, H hidden.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.model import partner
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.heads import Transform
from hanmo.model.trainable import Batch, Losses, Outputs

_EPSILON = 1e-5
_APART = -1e4  # score of places of other sequences


class PermutedLm(nn.Module):
    """Encoder and the head that points at places.

    Args:
        config: shape of the encoder.
        places: name of the target that holds, for each asked place, where its piece now stands,
            counted within the sequence.
    """

    architecture = "BertModel"  # transformers has no such head; it opens the encoder
    own_heads = ("pert.",)

    def __init__(self, config: EncoderConfig, *, places: str = "places") -> None:
        super().__init__()
        self.bert = Encoder(config)
        self.pert = Transform(config, width=config.hidden_size)
        self.cls = nn.Module()  # the place of a partner's head
        self._places = places

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Score the places of the row, those of other sequences out of reach: [M, L]."""
        hidden, logits = self._encode(batch)  # [R, L, H]
        n_rows, length, width = hidden.shape
        asked = hidden.flatten(0, 1).index_select(0, batch.positions)  # [M, H]
        transformed = self.pert(asked)  # [M, H]
        # Row by row: a product of all asked with all places would be R times as large.
        queries = transformed.new_zeros(n_rows * length, width)
        queries = queries.index_copy(0, batch.positions, transformed).view(n_rows, length, width)
        scores = queries @ hidden.to(queries.dtype).transpose(1, 2)  # [R, L, L]
        scores = scores.flatten(0, 1).index_select(0, batch.positions)  # [M, L]
        rows = batch.positions // length
        own = batch.sequence_ids.flatten().index_select(0, batch.positions)  # [M]
        apart = batch.sequence_ids.index_select(0, rows) != own[:, None]  # [M, L]
        logits[self._places] = scores.masked_fill(apart, _APART)
        return Outputs(transformed, logits)

    def _encode(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode every place, for all of them may be answers."""
        hidden = self.bert(*batch.inputs, None, batch.layout)
        if batch.firsts is None:
            return hidden, {}
        firsts = hidden.flatten(0, 1).index_select(0, batch.firsts)
        return hidden, partner.answer(self.bert, self.cls, firsts)

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Cross entropy over places, divided by the step's number of asked places."""
        scores = outputs.logits[self._places].float()
        expected = _columns(batch, batch.targets[self._places])
        summed = F.cross_entropy(scores, expected, ignore_index=-1, reduction="sum")
        total = summed / (batch.totals[self._places] + _EPSILON)
        losses = Losses(total, {"pert": total.detach()})
        return partner.with_partner(losses, outputs, batch)

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


def _columns(batch: Batch, places: Tensor) -> Tensor:
    """Turn places within sequences into columns of the row; -1 stays."""
    length = batch.sequence_ids.shape[1]
    within = batch.position_ids.flatten().index_select(0, batch.positions)
    columns = batch.positions % length - within + places
    return columns.masked_fill(places < 0, -1)
