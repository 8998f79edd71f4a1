"""A question about the two segments of a sequence, beside any objective: BERT's NSP, ALBERT's SOP.

The head is BERT's: pooler on [CLS] and two classes, under Hugging Face's names `bert.pooler` and
`cls.seq_relationship`, so that the saved folder opens as `BertForPreTraining`. Its loss is the mean
cross entropy over the sequences that have an answer, and is added with weight 1 (facts/05).

Shapes: M asked positions, S sequences, H hidden.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.core.errors import UserError
from hanmo.model.heads import Pooler
from hanmo.model.trainable import Batch, Losses, Outputs

PARTNERS = "partners"


def add_partner(model: Any) -> None:
    """Give a model the head; its `outputs` and `losses` must use the functions below.

    Raises:
        UserError: a model that cannot have one.
    """
    head = getattr(model, "cls", None)
    if head is None or not hasattr(model.encoder, "embeddings"):
        raise UserError(
            "--partner: this objective's model has no place for a sentence question; expected a "
            "model with an encoder and a head `cls`, such as mlm's; leave --partner out"
        )
    config = model.encoder.config
    model.encoder.add_module("pooler", Pooler(config))
    head.add_module("seq_relationship", nn.Linear(config.hidden_size, 2))
    if model.architecture == "BertForMaskedLM":
        model.architecture = "BertForPreTraining"


def encode(encoder: Any, head: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Run the encoder once: [M, H] at the asked positions, and the partner's logits [S, 2] if any.

    Args:
        encoder: with a `pooler`, if the head has a partner.
        head: `cls`.
        batch: with `firsts`, if the head has a partner.
    """
    question = getattr(head, "seq_relationship", None)
    if question is None or batch.firsts is None:
        return encoder(*batch.inputs, batch.positions, batch.layout), {}
    wanted = torch.cat([batch.positions, batch.firsts])
    hidden = encoder(*batch.inputs, wanted, batch.layout)
    asked, firsts = hidden.split([len(batch.positions), len(batch.firsts)])
    return asked, answer(encoder, head, firsts)


def answer(encoder: Any, head: nn.Module, firsts: Tensor) -> dict[str, Tensor]:
    """Return the partner's logits [S, 2] of hidden states [S, H], if there is a partner."""
    question = getattr(head, "seq_relationship", None)
    return {} if question is None else {PARTNERS: question(encoder.pooler(firsts))}


def with_partner(losses: Losses, outputs: Outputs, batch: Batch) -> Losses:
    """Add the partner's loss, if the outputs have one."""
    logits = outputs.logits.get(PARTNERS)
    if logits is None:
        return losses
    expected = batch.targets[PARTNERS]
    summed = F.cross_entropy(logits.float(), expected, ignore_index=-1, reduction="sum")
    loss = summed / max(1, batch.totals[PARTNERS])
    parts: Mapping[str, Tensor] = {**losses.parts, "partner": loss.detach()}
    return Losses(losses.total + loss, parts, losses.weights)
