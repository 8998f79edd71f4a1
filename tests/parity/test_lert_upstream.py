"""Our LERT against the released program's: outputs and the total loss at six steps.

The fixture holds random weights saved by TensorFlow 1 and what upstream's own graph made of them;
it lies outside the repository. The reader below knows as much of TensorFlow's bundle format (a
LevelDB table of protocol buffers) as this one file needs.
"""

import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hanmo.annotate.tagsets import TAGSETS
from hanmo.model.config import EncoderConfig
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from hanmo.objectives.lert import Objective

pytestmark = pytest.mark.parity
T = 2_000_000  # upstream's num_train_steps; its ramps are rounded constants
RAMPS = {"pos": 333_000 / T, "ner": 666_000 / T, "dep": 1_000_000 / T}


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    assert data[offset + size] == 0, "not compressed"
    body, at, key = data[offset : offset + size], 0, b""
    n_restarts = struct.unpack("<I", body[-4:])[0]
    while at < len(body) - 4 * (n_restarts + 1):
        shared, at = varint(body, at)
        fresh, at = varint(body, at)
        length, at = varint(body, at)
        key = key[:shared] + body[at : at + fresh]
        yield key, body[at + fresh : at + fresh + length]
        at += fresh + length


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 == 5:
            value, at = message[at : at + 4], at + 4
        else:
            value, at = varint(message, at)
            if tag & 7 == 2:
                value, at = message[at : at + value], at + value
        yield tag >> 3, value


def read_bundle(prefix: Path) -> dict[str, NDArray[np.float32]]:
    index = prefix.with_name(prefix.name + ".index").read_bytes()
    data = prefix.with_name(prefix.name + ".data-00000-of-00001").read_bytes()
    at = len(index) - 48
    _, at = varint(index, at)
    _, at = varint(index, at)
    offset, at = varint(index, at)
    size, at = varint(index, at)
    found = {}
    for _, handle in block(index, offset, size):
        start, at = varint(handle, 0)
        for name, entry in block(index, start, varint(handle, at)[0]):
            values = dict(fields(entry))
            if not name or values.get(1) != 1:  # the header; anything but float32
                continue
            shape = [dict(fields(dim)).get(1, 0) for _, dim in fields(values.get(2, b""))]
            begin = values.get(4, 0)
            raw = data[begin : begin + values[5]]
            found[name.decode()] = np.frombuffer(raw, np.float32).reshape(shape)
    return found


def our_name(name: str) -> str:
    rules = [
        ("cls/predictions/output_bias", "cls/predictions/bias"),
        ("cls/predictions/output_pos_layer", "tags/pos"),
        ("cls/predictions/output_ner_layer", "tags/ner"),
        ("cls/predictions/output_dep_layer", "tags/dep"),
        ("layer_", "layer/"),
        ("kernel", "weight"),
        ("gamma", "weight"),
        ("beta", "bias"),
    ]
    for old, new in rules:
        name = name.replace(old, new)
    return name.replace("/", ".") + (".weight" if name.endswith("embeddings") else "")


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
def model(folder: Path) -> MaskedLm:
    raw = json.loads((folder / "lert_config.json").read_text())
    known = EncoderConfig.__dataclass_fields__
    config = EncoderConfig(**{key: value for key, value in raw.items() if key in known})
    layers = {name: tuple(tags) for name, tags in TAGSETS.items()}
    made = MaskedLm(config, layers=layers, schedule=Objective(ramps=RAMPS).weights)
    state = {}
    for name, array in read_bundle(folder / "model.ckpt").items():
        tensor = torch.from_numpy(array.copy())
        state[our_name(name)] = tensor.t() if name.endswith("kernel") else tensor
    state = {k: v for k, v in state.items() if "pooler" not in k and "seq_relation" not in k}
    made.load_state_dict(state, strict=True)
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
        log_probs = model.piece_logits(outputs).log_softmax(-1)
    mask = batch.sequence_ids.bool()
    expected = torch.from_numpy(reference["seq"])
    assert (hidden - expected)[mask].abs().max() <= 2e-5
    assert (log_probs - torch.from_numpy(reference["mlm_log_probs"])).abs().max() <= 1e-4
    for name, logits in outputs.logits.items():
        difference = logits - torch.from_numpy(reference[f"{name}_logits"])
        assert difference.abs().max() <= 1e-4


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
