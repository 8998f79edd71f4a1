"""A head as initialised is told from a trained one by the marks of initialisation."""

import numpy as np
import pytest
import torch

from hanmo.model.masked_lm import MaskedLm
from hanmo.model.mlm_head import judge
from training_cases import TINY


def head() -> dict[str, np.ndarray]:
    model = MaskedLm(TINY)
    model.cls.predictions.transform.dense.bias.data.zero_()
    return {n: t.numpy() for n, t in model.state_dict().items() if n.startswith("cls.")}


def test_as_initialised() -> None:
    found = judge(head())
    assert not found.trained
    assert str(found).startswith("random (its output bias is zero everywhere; normalisation as in")


def test_one_step_of_training_is_seen() -> None:
    torch.manual_seed(0)
    values = head()
    values["cls.predictions.bias"] = np.full_like(values["cls.predictions.bias"], 1e-9)
    values["cls.predictions.transform.LayerNorm.weight"] = np.full(16, 1.01, np.float32)
    found = judge(values)
    assert found.trained
    assert "normalisation moved" in found.reasons


def test_half_precision_and_the_bias_alone() -> None:
    found = judge({"cls.predictions.bias": np.ones(3, np.float16)})
    assert found.trained
    assert found.reasons == ("its output bias has moved: standard deviation 0",)
    with pytest.raises(KeyError):
        judge({})
