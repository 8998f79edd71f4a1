"""Layouts: where real pieces are, where sequences begin, and attention sequence by sequence."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hanmo.model import encoder as module
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.layout import Layout
from hanmo.objectives import mlm
from training_cases import TINY, TINY_ALBERT, random_batch

rows_strategy = st.lists(
    st.lists(st.integers(1, 6), min_size=0, max_size=5), min_size=1, max_size=5
)


@given(rows_strategy)
def test_bounds_are_those_of_the_sequences(rows: list[list[int]]) -> None:
    length = max(1, *(sum(row) for row in rows))
    ids = np.zeros((len(rows), length), dtype=np.int32)
    for row, sizes in enumerate(rows):
        ids[row, : sum(sizes)] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    layout = Layout.of(ids)
    flat = torch.arange(ids.size)
    taken = layout.take(flat)
    bounds = layout.bounds.tolist()
    assert bounds[-1] == len(taken)
    found = [taken[a:b] for a, b in itertools.pairwise(bounds)]
    assert layout.longest == max(map(len, found), default=0)
    # Every run is one sequence, whole and in order, or padding.
    ids_of = [set(ids.flat[run.tolist()].tolist()) for run in found]
    assert all(len(one) == 1 for one in ids_of)
    whole = [run for run, one in zip(found, ids_of, strict=True) if one != {0}]
    assert [len(run) for run in whole] == [size for row in rows for size in row]
    assert all((run.diff() == 1).all() for run in whole)
    asked = torch.from_numpy(np.flatnonzero(ids))
    assert torch.equal(torch.cat([asked[:0], *whole]), asked)
    assert torch.equal(taken[layout.among_real(asked)], asked)
    back = layout.spread(taken + 1)
    assert (back[asked] == asked + 1).all()


@pytest.mark.parametrize("shape", [TINY, TINY_ALBERT], ids=lambda shape: shape.model_type)
def test_sequence_by_sequence_is_what_masked_rows_are(
    shape: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way that GPUs go, on a CPU: same states and gradients, at all and at asked places."""
    model = Encoder(dataclasses.replace(shape, hidden_dropout_prob=0.0)).eval()  # type: ignore[type-var]
    initialise(model, 0.2, torch.Generator().manual_seed(0))
    batch = random_batch(mlm.Objective(), n=9)
    ways = []
    for chosen in (False, True):
        monkeypatch.setattr(module, "by_sequences", lambda x, dropout, chosen=chosen: chosen)
        model.zero_grad()
        everywhere = model(*batch.inputs, None, batch.layout).flatten(0, 1)[batch.layout.real]
        asked = model(*batch.inputs, batch.positions, batch.layout)
        (everywhere.square().sum() + asked.sum()).backward()
        ways.append((everywhere, asked, [p.grad.clone() for p in model.parameters()]))
    (one, asked, gradients), (two, other, others) = ways
    assert torch.allclose(one, two, atol=1e-6)
    assert torch.allclose(asked, other, atol=1e-6)
    assert all(
        torch.allclose(a, b, atol=1e-4, rtol=1e-4) for a, b in zip(gradients, others, strict=True)
    )


def test_gpus_in_half_precision_without_dropout_go_by_sequences() -> None:
    class Fake:
        is_cuda = True
        dtype = torch.bfloat16

    assert module.by_sequences(Fake(), 0.0)  # type: ignore[arg-type]
    assert not module.by_sequences(Fake(), 0.1)  # type: ignore[arg-type]
    assert not module.by_sequences(torch.zeros(1), 0.0)
