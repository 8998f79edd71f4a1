"""Our LERT against the released program's: outputs and the total loss at six steps.

The fixture holds random weights saved by TensorFlow 1 and what upstream's own graph made of them;
it lies outside the repository.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands import convert
from hanmo.model.checkpoint import load_masked_lm
from hanmo.model.config import read_config
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from hanmo.objectives.lert import Objective

pytestmark = pytest.mark.parity
T = 2_000_000  # upstream's num_train_steps; its ramps are rounded constants
RAMPS = {"pos": 333_000 / T, "ner": 666_000 / T, "dep": 1_000_000 / T}


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    found = data_dir / "tf1" / "tf1_lert_random"
    if not found.is_dir():
        pytest.skip(f"fixture not found: {found}")
    return found


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, NDArray[Any]]:
    with np.load(folder / "ref.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MaskedLm:
    """The checkpoint, converted as a user would."""
    out = tmp_path_factory.mktemp("lert") / "converted"
    convert.run(convert.Config(str(folder), out, to="hanmo"))
    layers = {name: tuple(tags) for name, tags in TAGSETS.items()}
    made = MaskedLm(
        read_config(out / "config.json"),
        layers=layers,
        schedule=Objective(ramps=RAMPS).weights,
    )
    made.load_state_dict(load_masked_lm(out).state_dict(), strict=True)
    return made.eval()


@pytest.fixture(scope="module")
def batch(reference: dict[str, NDArray[Any]]) -> Batch:
    arrays = {
        key: torch.from_numpy(np.asarray(reference[key])).long()
        for key in reference
        if key not in {"seq", "pool", "losses"}
    }
    ids, mask = arrays["ids"], arrays["mask"]
    rows, length = ids.shape
    flat = arrays["positions"] + torch.arange(rows)[:, None] * length
    positions = torch.arange(length).expand(rows, length)
    targets = {"pieces": arrays["masked_ids"].flatten()}
    targets |= {name: arrays[f"{name}_labels"].flatten() for name in TAGSETS}
    tensors = {"input_ids": ids, "token_type_ids": arrays["seg"], "position_ids": positions}
    tensors |= {"sequence_ids": mask, "positions": flat.flatten(), **targets}
    return Batch.from_arrays({name: tensor.numpy() for name, tensor in tensors.items()})


def real(reference: dict[str, NDArray[Any]]) -> torch.Tensor:
    return torch.from_numpy(reference["weights"]).flatten() > 0


def test_outputs_are_upstreams(model: MaskedLm, batch: Batch, reference: dict) -> None:
    with torch.no_grad():
        outputs = model.outputs(batch)
        hidden = model.encoder(*batch.inputs)
        log_probs = model.piece_logits(outputs).double().log_softmax(-1)
    mask = batch.sequence_ids.bool()
    expected = torch.from_numpy(reference["seq"])
    assert (hidden - expected)[mask].abs().max() <= 1e-5
    assert (log_probs - torch.from_numpy(reference["mlm_log_probs"])).abs().max() <= 1e-5
    for name, logits in outputs.logits.items():
        difference = logits - torch.from_numpy(reference[f"{name}_logits"])
        assert difference.abs().max() <= 1e-5


def test_the_total_loss_is_upstreams_at_six_steps(
    model: MaskedLm, batch: Batch, reference: dict
) -> None:
    kept = real(reference)
    targets = {name: values[kept] for name, values in batch.targets.items()}
    asked = dataclasses.replace(
        batch,
        positions=batch.positions[kept],
        targets=targets,
        totals={name: len(values) for name, values in targets.items()},
    )
    steps = np.asarray(reference["loss_steps"]).tolist()
    assert steps == [0, 100_000, 333_000, 500_000, 1_000_000, 1_500_000]
    for step, expected in zip(steps, reference["losses"].tolist(), strict=True):
        with torch.no_grad():
            total = model(asked, progress=step / T).total.item()
        assert total == pytest.approx(expected, rel=1e-5), step
