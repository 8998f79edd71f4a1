"""The module behind ELECTRA: a small generator writes pieces, the discriminator finds them out.

The generator is a masked LM; its pieces, drawn from its probabilities, stand in for the chosen ones
and the discriminator says of every real piece whether it is the original (facts/04). All embeddings
are shared. Losses: generator sum(CE) / (count + 1e-6), discriminator sum(BCE) / count over all real
pieces, weighted 1 and 50; no gradient flows through the drawn pieces.

The draw of a place is one number in [0, 1) that comes with the batch (`sample`), turned into a
piece by the inverse of the cumulative probabilities, on the device and in the pass that computes
the generator's loss: the head runs once, and the draw depends on neither batch nor device count.
Upstream draws by Gumbel noise, which has the same distribution.

Shapes: R rows, L length, N real pieces, M chosen positions, H hidden, E embeddings.
"""

import dataclasses

from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.model import partner
from hanmo.model.activations import activation
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.heads import sample_and_score
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import REAL_PIECES, Batch, Losses, Outputs

_EPSILON = 1e-6  # upstream's guard (pretrain_helpers.py)


class Discriminate(nn.Module):
    """One number a piece: above 0 it is taken for replaced."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dense_prediction = nn.Linear(config.hidden_size, 1)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """[N, H] → [N]."""
        logits: Tensor = self.dense_prediction(self.activation(self.dense(x)))
        return logits.squeeze(-1)


class ReplacedDetection(nn.Module):
    """Discriminator and generator with shared embeddings.

    Args:
        config: shape of the discriminator.
        generator: shape of the generator; its embeddings must be as wide.
        weights: of the generator's and the discriminator's loss.
    """

    architecture = "BertForPreTraining"  # ElectraForPreTraining is the discriminator
    own_heads = ("bert.pooler.", "cls.seq_relationship.")

    def __init__(
        self, config: EncoderConfig, generator: EncoderConfig, *, weights: tuple[float, float]
    ) -> None:
        super().__init__()
        self.bert = Encoder(config)
        self.discriminator_predictions = Discriminate(config)
        self.cls = nn.Module()  # the place of a partner's head
        self.generator = MaskedLm(generator)
        self.generator.bert.embeddings = self.bert.embeddings
        self._weights = weights

    @property
    def encoder(self) -> Encoder:
        """The part worth keeping: the discriminator's."""
        return self.bert

    @property
    def companions(self) -> dict[str, nn.Module]:
        """Models that are saved in folders of their own, beside the discriminator."""
        return {"generator": self.generator}

    def outputs(self, batch: Batch) -> Outputs:
        """Run the generator: what its head reads at the chosen positions."""
        return self.generator.outputs(dataclasses.replace(batch, firsts=None))

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Score the generator, draw its pieces, and score the discriminator on them."""
        embedding = self.bert.embeddings.word_embeddings.weight
        bias = self.generator.cls.predictions.bias
        expected = batch.targets["pieces"]
        summed, drawn = sample_and_score(
            outputs.at_positions, embedding, bias, expected, batch.targets["sample"]
        )
        generated = summed / (batch.totals["pieces"] + _EPSILON)
        original = batch.input_ids.flatten().index_copy(0, batch.positions, expected)
        fake = original.index_copy(0, batch.positions, drawn.to(original.dtype))
        real = batch.layout.real  # [N]
        seen = dataclasses.replace(batch, input_ids=fake.view_as(batch.input_ids), positions=real)
        hidden, logits = partner.encode(self.bert, self.cls, seen)  # [N, H]
        replaced = (fake != original).index_select(0, real).float()
        scores = self.discriminator_predictions(hidden).float()
        found = F.binary_cross_entropy_with_logits(scores, replaced, reduction="sum")
        found = found / batch.totals[REAL_PIECES]
        first, second = self._weights
        parts = {"generator": generated.detach(), "discriminator": found.detach()}
        losses = Losses(first * generated + second * found, parts)
        return partner.with_partner(losses, Outputs(hidden, logits), batch)

    def replaced_logits(self, batch: Batch) -> Tensor:
        """Say of the pieces at the positions of a batch, as they stand, whether they were replaced.

        Returns:
            [M] logits.
        """
        hidden = self.bert(*batch.inputs, batch.positions, batch.layout)
        logits: Tensor = self.discriminator_predictions(hidden)
        return logits

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)
