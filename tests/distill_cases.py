"""What the tests of distillation share: random batches, models that learn and teach."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hanmo.distill.places import Places
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from hanmo.objectives import mlm
from training_cases import TINY, random_arrays

PLAIN = dataclasses.replace(TINY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
WIDE = dataclasses.replace(
    PLAIN, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=48
)


def arrays(seed: int = 0, n: int = 6, *, pack: bool = True) -> dict[str, Any]:
    return random_arrays(mlm.Objective(), seed=seed, n=n, pack=pack)


def batch(seed: int = 0, n: int = 6, *, pack: bool = True) -> Batch:
    return Batch.from_arrays(arrays(seed, n, pack=pack))


def masked_lm(config: EncoderConfig = PLAIN, seed: int = 0) -> MaskedLm:
    model = MaskedLm(config)
    generator = torch.Generator().manual_seed(seed)
    initialise(model, 0.2, generator)
    with torch.no_grad():
        model.cls.predictions.bias.normal_(generator=generator)
    return model


def as_rows(x: Tensor, made: Batch) -> tuple[Tensor, Tensor]:
    """[N, …] of the batch's places as padded rows, one sequence each: [S, n, …], mask [S, n]."""
    sequences = made.layout.sequences
    longest = int(sequences[:, 1].max())
    rows = x.new_full((len(sequences), longest, *x.shape[1:]), 7.0)  # padding must not count
    mask = torch.zeros(len(sequences), longest, dtype=x.dtype)
    for number, (begin, length) in enumerate(sequences.tolist()):
        rows[number, :length] = x[begin : begin + length]
        mask[number, :length] = 1
    return rows, mask


def random_states(made: Batch, *widths: int, seed: int = 0) -> list[Tensor]:
    """float64 [N, width] each, one for each width."""
    rng = np.random.default_rng(seed)
    n = made.layout.n_places
    return [torch.from_numpy(rng.normal(size=(n, width))).requires_grad_() for width in widths]


def random_attention(made: Batch, heads: int, width: int, *, seed: int = 0) -> Tensor:
    """float64 [N, 3, A, d]."""
    rng = np.random.default_rng(seed)
    shape = (made.layout.n_places, 3, heads, width)
    return torch.from_numpy(rng.normal(size=shape)).requires_grad_()


def places(made: Batch) -> Places:
    return Places.of(made)
