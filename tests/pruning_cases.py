"""What the tests of pruning share: models with random weights, zeros nowhere, and short runs."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hanmo.commands import prune
from hanmo.model.checkpoint import save_model
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from hanmo.objectives import mlm
from training_cases import TINY, random_batch, tokenizer

SHAPE = dataclasses.replace(TINY, num_hidden_layers=3, hidden_size=32, num_attention_heads=4)


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Random matrices, biases and normalisations."""
    random = torch.Generator().manual_seed(seed)
    initialise(module, 0.2, random)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)


def masked_lm_of(shape: EncoderConfig = SHAPE, seed: int = 0) -> MaskedLm:
    model = MaskedLm(shape)
    randomise(model, seed)
    return model.eval()


def write_masked_lm(folder: Path, shape: EncoderConfig = SHAPE, seed: int = 0) -> Path:
    save_model(folder, masked_lm_of(shape, seed), tokenizer=tokenizer(), extra={"made": "here"})
    return folder


def mlm_batch(seed: int = 3) -> Batch:
    return random_batch(mlm.Objective(), seed=seed)


def run_prune(model: Path, out: Path, **changed: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"threads": 1, "precision": "fp32", **changed}
    return prune.run(prune.Config(model, out, **settings))


def masks(*rows: list[int]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(row, dtype=np.bool_) for row in rows)
