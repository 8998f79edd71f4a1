"""One and two processes at the same batch: same samples and masks, losses alike, exact resume."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.commands import pretrain
from hanmo.data.loader import Loader
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.objectives._objective import Corruptor, Vocabulary
from hanmo.text.tokenizer import Tokenizer
from training_cases import (
    TINY,
    assert_same_run,
    command_line,
    log_lines,
    make_teacher,
    run_pretrain,
    settings_of,
    tensors,
)

TOLERANCE = 1e-4


def torchrun(n: int, settings: dict[str, Any], *, fails: bool = False) -> str:
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n)]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "hanmo"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, *command_line(settings)], capture_output=True, text=True, env=env, check=False
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr


def rows_of(batch: dict[str, np.ndarray]) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.concatenate([batch["input_ids"], batch["sequence_ids"]], 1)]


@pytest.mark.parametrize("n_parts", [2, 3, 7])
@pytest.mark.parametrize("pack", [True, False])
def test_parts_of_a_batch_are_its_rows(n_parts: int, pack: bool, shards: Path) -> None:
    made = ShardSet.open(shards)
    plan = plan_sequences(made, max_length=32, partner="sop")
    corruptor = Corruptor("mlm", {}, Vocabulary.of(Tokenizer.load(shards)))

    def loader(part: int, n: int) -> Loader:
        return Loader(
            plan,
            corruptor,
            batch_size=9,
            max_length=32,
            seed=1,
            pack=pack,
            part=part,
            n_parts=n,
            least_rows=n,
        )

    for step in range(8):
        whole = loader(0, 1).batch(step)
        parts = [loader(part, n_parts).batch(step) for part in range(n_parts)]
        rows = [row for part in parts for row in rows_of(part)]
        empty = [row for row in rows if not any(row[len(row) // 2 :])]
        assert [row for row in rows if row not in empty] == rows_of(whole)
        assert len(empty) == max(0, n_parts - len(whole["input_ids"]))
        for name in ("pieces", "partners"):
            got = np.concatenate([part[name] for part in parts])
            assert sorted(got.tolist()) == sorted(whole[name].tolist())
        assert all(len(part["input_ids"]) for part in parts)


@pytest.fixture(scope="module")
def alone(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    run_pretrain(shards, out, objective="lert", partner="sop", dropout=0.0, log_every=1)
    return out


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_do_what_one_does(
    strategy: str, shards: Path, alone: Path, tmp_path: Path
) -> None:
    settings = settings_of(
        shards,
        tmp_path / "run",
        objective="lert",
        partner="sop",
        dropout=0.0,
        log_every=1,
        strategy=strategy,
        accumulate=2,
    )
    torchrun(2, settings)
    lines, expected = log_lines(tmp_path / "run"), log_lines(alone)
    assert [line.keys() for line in lines] == [line.keys() for line in expected]
    for line, one in zip(lines, expected, strict=True):
        assert line == pytest.approx(one, rel=TOLERANCE)
    ours, theirs = tensors(tmp_path / "run"), tensors(alone)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, atol=1e-5), name
    # Stopped and resumed it is bit for bit itself, and one process can take it over.
    again = {**settings, "out": tmp_path / "again"}
    torchrun(2, {**again, "stop_at": 7})
    torchrun(2, {**again, "resume": True})
    assert_same_run(tmp_path / "run", tmp_path / "again")
    fewer = {**settings, "out": tmp_path / "fewer"}
    torchrun(2, {**fewer, "stop_at": 7})
    pretrain.run(pretrain.Config(**{**fewer, "resume": True}))
    for line, one in zip(log_lines(tmp_path / "fewer"), expected, strict=True):
        assert line == pytest.approx(one, rel=TOLERANCE)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(
    ("soft", "match"),
    [("1.0", "2,1,attention,attention_ce,1"), ("0.0", "4,2,hidden,hidden_mse,1,linear")],
)
def test_two_processes_distil_as_one_does(
    strategy: str, soft: str, match: str, shards: Path, tmp_path: Path
) -> None:
    """Without soft targets nobody looks at the head, which DDP waits for all the same."""
    teacher = make_teacher(tmp_path / "teacher", dataclasses.replace(TINY, num_hidden_layers=4))
    few = {"objective": "distill", "steps": 4, "dropout": 0.0, "log_every": 1}
    options = {"distill.teacher": teacher, "distill.soft-weight": soft, "distill.matches": match}
    settings = settings_of(shards, tmp_path / "run", strategy=strategy, accumulate=2, **few)
    torchrun(2, settings | options)
    given = {"teacher": (teacher,), "soft_weight": float(soft), "matches": (match,)}
    run_pretrain(shards, tmp_path / "alone", options=given, **few)
    lines, expected = log_lines(tmp_path / "run"), log_lines(tmp_path / "alone")
    for line, one in zip(lines, expected, strict=True):
        assert line == pytest.approx(one, rel=TOLERANCE)
    ours, theirs = tensors(tmp_path / "run"), tensors(tmp_path / "alone")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, atol=1e-5), name


def test_dropout_differs_between_processes_and_electra_agrees(shards: Path, tmp_path: Path) -> None:
    settings = settings_of(shards, tmp_path / "run", objective="electra", log_every=1, steps=4)
    torchrun(2, settings)
    run_pretrain(shards, tmp_path / "alone", objective="electra", log_every=1, steps=4)
    one, two = (log_lines(tmp_path / name)[0] for name in ("run", "alone"))
    assert one["loss"] != two["loss"], "dropout draws"
    assert one["loss"] == pytest.approx(two["loss"], rel=0.05)
    assert one["pieces"] == two["pieces"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_fewer_rows_than_parts_are_no_trouble(strategy: str, shards: Path, tmp_path: Path) -> None:
    """One sequence for two processes of two parts each."""
    few = {"batch_size": 1, "steps": 3, "dropout": 0.0, "log_every": 1}
    settings = settings_of(shards, tmp_path / "run", strategy=strategy, accumulate=2, **few)
    torchrun(2, settings)
    run_pretrain(shards, tmp_path / "alone", **few)
    lines, expected = log_lines(tmp_path / "run"), log_lines(tmp_path / "alone")
    for line, one in zip(lines, expected, strict=True):
        assert line == pytest.approx(one, rel=TOLERANCE)


def test_every_process_tells_its_mistake(shards: Path, tmp_path: Path) -> None:
    settings = settings_of(shards, tmp_path / "run", max_length=65)
    errors = torchrun(2, settings, fails=True)
    assert errors.count("hanmo: --max-length: got 65") == 1
    # The other may be stopped before it comes so far.
    assert errors.count("hanmo (process 1): --max-length: got 65") <= 1
