"""`hanmo teach`: answers stored beside the shards, and students that learn from them."""

import dataclasses
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanmo.commands import pretrain, teach
from hanmo.core import config as configuration
from hanmo.core.artifact import read_manifest
from hanmo.core.errors import UserError
from hanmo.data.answers import KIND, AnswerSet
from hanmo.data.ragged import Corrupted
from training_cases import (
    TINY,
    TINY_ELECTRA,
    VOCAB,
    assert_same_run,
    log_lines,
    make_shards,
    make_teacher,
    run_pretrain,
)

MATCH = "2,2,hidden,hidden_mse,1,linear"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    make_shards(folder, layers=(), n_documents=40)
    make_teacher(folder / "teacher")
    run_teach(folder, folder / "answers", hidden=[0, 2])
    return folder


def run_teach(root: Path, out: Path, **changed: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "shards": root / "shards",
        "teacher": root / "teacher",
        "out": out,
        "top_k": 8,
        "dtype": "fp32",
        "dupe_factor": 2,
        "max_length": [32],
        "batch_size": 7,
        "precision": "fp32",
        "threads": 1,
    }
    return teach.run(teach.Config(**settings | changed))


def distil(root: Path, out: Path, options: dict[str, Any], **changed: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"objective": "distill", "dupe_factor": 2, "dropout": 0.0}
    return run_pretrain(root / "shards", out, options=options, **settings | changed)


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in log_lines(out)]


@pytest.mark.parametrize("workers", [0, 2])
def test_stored_answers_train_as_the_teacher_does(root: Path, tmp_path: Path, workers: int) -> None:
    common = {"matches": [MATCH, "0,0,hidden,cos,1,linear"], "hard_weight": 0.5}
    distil(root, tmp_path / "live", {"teacher": [root / "teacher"], "top_k": 8, **common})
    stored = {"answers": [root / "answers"], **common}
    distil(root, tmp_path / "stored", stored, workers=workers)
    one, two = losses(tmp_path / "live"), losses(tmp_path / "stored")
    assert len(one) == 6
    np.testing.assert_allclose(one, two, rtol=1e-4)
    lines = log_lines(tmp_path / "stored")
    assert {"loss/soft", "loss/mlm", f"loss/{MATCH}"} <= lines[0].keys()


def test_fewer_pieces_than_stored(root: Path, tmp_path: Path) -> None:
    distil(root, tmp_path / "live", {"teacher": [root / "teacher"], "top_k": 3})
    distil(root, tmp_path / "stored", {"answers": [root / "answers"], "top_k": 3})
    np.testing.assert_allclose(losses(tmp_path / "live"), losses(tmp_path / "stored"), rtol=1e-4)


def test_half_precision_is_near(root: Path, tmp_path: Path) -> None:
    made = run_teach(root, tmp_path / "answers", dtype="fp16", top_k=len(VOCAB))
    assert made["bytes"] < 3 * sum(p.stat().st_size for p in (root / "answers").rglob("*.npy")) * 8
    distil(root, tmp_path / "live", {"teacher": [root / "teacher"]})
    distil(root, tmp_path / "stored", {"answers": [tmp_path / "answers"]})
    np.testing.assert_allclose(losses(tmp_path / "live"), losses(tmp_path / "stored"), rtol=2e-3)


def test_phases_pairs_and_all_pieces(root: Path, tmp_path: Path) -> None:
    run_teach(root, tmp_path / "answers", max_length=[16, 32], partner="sop", soft_at="all", seed=3)
    common = {
        "phases": ("6x16x8", "6x32x4"),
        "partner": "sop",
        "seed": 3,
    }
    options = {"soft_at": "all", "hard_weight": 1.0, "top_k": 8}
    distil(root, tmp_path / "live", {"teacher": [root / "teacher"], **options}, **common)
    distil(root, tmp_path / "stored", {"answers": [tmp_path / "answers"], **options}, **common)
    np.testing.assert_allclose(losses(tmp_path / "live"), losses(tmp_path / "stored"), rtol=1e-4)


def test_two_teachers(root: Path, tmp_path: Path) -> None:
    other = make_teacher(tmp_path / "other", TINY_ELECTRA, seed=4)
    run_teach(root, tmp_path / "answers", teacher=other)
    both = [root / "teacher", other]
    distil(root, tmp_path / "live", {"teacher": both, "top_k": 8})
    distil(root, tmp_path / "stored", {"answers": [root / "answers", tmp_path / "answers"]})
    np.testing.assert_allclose(losses(tmp_path / "live"), losses(tmp_path / "stored"), rtol=1e-4)


def test_a_stopped_student_goes_on_exactly(root: Path, tmp_path: Path) -> None:
    options = {"answers": [root / "answers"], "matches": [MATCH]}
    changed = {"dropout": 0.1}
    distil(root, tmp_path / "whole", options, **changed)
    distil(root, tmp_path / "cut", options, stop_at=5, **changed)
    distil(root, tmp_path / "cut", options, resume=True, **changed)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_what_is_stored(root: Path) -> None:
    manifest = read_manifest(root / "answers", KIND)
    assert manifest.counts["sequences"] > 20
    answers = AnswerSet(root / "answers", 0)
    assert answers.layers == (0, 2)
    part = next(iter((root / "answers").glob("phase-0/repeat-1/*")))
    logits = np.load(part / "logits.npy")
    assert (np.diff(logits, axis=1) <= 0).all(), "best first"
    assert logits.shape[1] == 8
    assert np.load(part / "hidden-2.npy").shape == (np.load(part / "pieces.npy")[-1], 16)
    # Answered again they are the same, whatever ran together.
    assert run_teach(root, root / "answers", hidden=[0, 2], batch_size=3) | {"out": ""} == {
        **manifest.counts,
        "out": "",
    }


def test_other_batches_give_the_same_answers(root: Path, tmp_path: Path) -> None:
    run_teach(root, tmp_path / "answers", hidden=[0, 2], batch_size=64)
    for path in sorted((root / "answers").rglob("*.npy")):
        one, two = np.load(path), np.load(tmp_path / "answers" / path.relative_to(root / "answers"))
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_a_killed_run_goes_on(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = [
        sys.executable, "-c",
        "import hanmo.data.answers as a, hanmo.commands.teach as t, sys, time\n"
        "from pathlib import Path\n"
        "t.PART = 8\n"
        "write = t.write_part\n"
        "def slow(folder, part):\n"
        "    write(folder, part); print(folder, flush=True); time.sleep(0.3)\n"
        "t.write_part = slow\n"
        f"t.run(t.Config(Path({str(root / 'shards')!r}), Path({str(root / 'teacher')!r}), "
        f"Path({str(tmp_path / 'cut')!r}), top_k=8, dtype='fp32', dupe_factor=2, "
        "max_length=[32], precision='fp32', threads=1))",
    ]  # fmt: skip
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    done = sorted((tmp_path / "cut.partial").glob("phase-0/repeat-0/0*[0-9]"))
    assert len(done) >= 2
    stamps = {path: path.stat().st_mtime_ns for path in done}
    time.sleep(0.01)
    monkeypatch.setattr(teach, "PART", 8)
    run_teach(root, tmp_path / "cut")
    for path, stamp in stamps.items():
        moved = tmp_path / "cut" / path.relative_to(tmp_path / "cut.partial")
        assert moved.stat().st_mtime_ns == stamp, "made once"
    run_teach(root, tmp_path / "whole")
    for path in sorted((tmp_path / "whole").rglob("*.npy")):
        other = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
        np.testing.assert_allclose(np.load(path), np.load(other), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "changed", "said"),
    [
        ({}, {"seed": 2}, "seed is 2 in this run, 1 there"),
        ({}, {"dupe_factor": 3}, "dupe_factor is 3 in this run, 2 there"),
        ({}, {"dupe_factor": None}, "pass --dupe-factor 2"),
        ({}, {"max_length": 24}, "lengths is [24] in this run, [32] there"),
        ({"rate": 0.2}, {}, "rate is 0.2 in this run"),
        ({"soft_at": "all"}, {}, 'soft_at is "all" in this run'),
        ({"matches": ["1,1,hidden,cos,1"]}, {}, "no layer 1 (it has: 0, 2)"),
        ({"matches": ["2,2,attention,attention_mse,1"]}, {}, "attention is not stored"),
        ({"top_k": 9}, {}, "top_k: got 9"),
        ({"soft_loss": "mse"}, {}, "mse and flsw compare all logits"),
        ({"teacher": "here"}, {}, "teacher and answers given"),
    ],
)
def test_answers_that_do_not_fit(
    root: Path, tmp_path: Path, options: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    given = {"answers": [root / "answers"], **options}
    if given.get("teacher"):
        given["teacher"] = [root / "teacher"]
    with pytest.raises(UserError) as caught:
        distil(root, tmp_path / "run", given, **changed)
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_answers_to_other_texts(root: Path, tmp_path: Path) -> None:
    make_shards(tmp_path / "other", layers=(), n_documents=40, seed=8)
    with pytest.raises(UserError, match="answers to other shards than this run's"):
        run_pretrain(
            tmp_path / "other" / "shards",
            tmp_path / "run",
            objective="distill",
            dupe_factor=2,
            options={"answers": [root / "answers"]},
        )


def test_changed_answers_are_found(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "answers", tmp_path / "answers")
    one = next((tmp_path / "answers").rglob("logits.npy"))
    whole = one.read_bytes()
    one.write_bytes(whole[:-4] + bytes(4))
    with pytest.raises(UserError, match=r"logits\.npy: SHA-256 differs"):
        distil(root, tmp_path / "run", {"answers": [tmp_path / "answers"]})
    one.unlink()
    with pytest.raises(UserError, match=r"logits\.npy: missing"):
        distil(root, tmp_path / "run", {"answers": [tmp_path / "answers"]})
    (tmp_path / "answers" / "teacher.json").unlink()
    with pytest.raises(UserError, match=r"teacher\.json: missing; run hanmo teach again"):
        distil(root, tmp_path / "run", {"answers": [tmp_path / "answers"]})
    assert not (tmp_path / "run").exists()


def test_a_part_says_what_it_lacks_and_whose_answers_it_has(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "answers", tmp_path / "answers")
    answers = AnswerSet(tmp_path / "answers", 0)
    sequences = Corrupted(
        {"input_ids": np.array([3, 5, 4], np.int32)}, np.array([1]), {"pieces": np.array([9])}
    )
    first = np.array([0])
    with pytest.raises(UserError, match="are of another one"):
        answers.add(sequences, repeats=first, indices=first)
    next((tmp_path / "answers").glob("phase-0/repeat-0/*/logits.npy")).unlink()
    with pytest.raises(UserError, match=r"missing or damaged .*no logits\.npy"):
        AnswerSet(tmp_path / "answers", 0).add(sequences, repeats=first, indices=first)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hidden": [3]}, "--hidden: got 3"),
        ({"hidden": [2, 0, 2]}, "--hidden: got [2, 0, 2]; a layer is there twice"),
        ({"top_k": 0}, "nothing would be stored"),
        ({"top_k": -1}, "--top-k: got -1"),
        ({"top_k": 9999}, "--top-k: got 9,999"),
        ({"dtype": "fp8"}, "--dtype: no 'fp8'"),
        ({"max_length": [128]}, "has 64 positions"),
        ({"rate": 1.5}, "--rate: got 1.5"),
        ({"any_random": True, "shares": (0.5,)}, "--shares: "),
        ({"shards": Path("nowhere")}, "nowhere: no such folder"),
        ({"teacher": Path("nowhere")}, "nowhere/config.json"),
        ({"partner": "nps"}, "--partner: no 'nps'"),
        ({"seed": -1}, "--seed: got -1"),
    ],
)
def test_bad_settings(root: Path, tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        run_teach(root, tmp_path / "out", **changed)
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_room_that_answers_need(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    free = 10**6
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))
    for changed in (
        {"hidden": [0, 2]},
        {"soft_at": "all", "dtype": "fp16"},
        {"max_length": [16, 32]},
    ):
        made = run_teach(root, tmp_path / "out", overwrite=True, **changed)
        assert re.search(r"some [\d.]+ MB of answers; 1\.000 MB are free", capsys.readouterr().err)
        free = int(made["bytes"] * 0.7)
        with pytest.raises(UserError, match=r"no room: some [\d.]+ MB of answers") as caught:
            run_teach(root, tmp_path / "none", **changed)
        needed = re.search(r"some ([\d.]+) MB", str(caught.value))
        assert needed is not None
        assert float(needed[1]) == pytest.approx(made["bytes"] / 1e6, rel=0.25)
        free = 10**6


def test_a_folder_of_answers_repeats_itself(root: Path, tmp_path: Path) -> None:
    words = ["--config", str(root / "answers"), "--out", str(tmp_path / "again")]
    config = configuration.parse("teach", teach, words)
    assert config.shards == root / "shards"
    made = teach.run(config)
    assert made["bytes"] == read_manifest(root / "answers").counts["bytes"]
    one, two = (read_manifest(at).files for at in (root / "answers", tmp_path / "again"))
    assert {n: f for n, f in one.items() if n != "config.toml"} == {
        n: f for n, f in two.items() if n != "config.toml"
    }


def test_students_of_other_seeds_share_answers(root: Path, tmp_path: Path) -> None:
    options = {"answers": [root / "answers"]}
    with pytest.raises(
        UserError, match=r"seed is 5 in this run, 1 there; .* \(--data-seed 1 leaves"
    ):
        distil(root, tmp_path / "refused", options, seed=5)
    made = [tmp_path / f"seed-{seed}" for seed in (5, 6)]
    for seed, out in zip((5, 6), made, strict=True):
        distil(root, out, options, seed=seed, data_seed=1)
    assert losses(made[0]) != losses(made[1])
    # Order and masks are those of the seed of data.
    distil(
        root, tmp_path / "live", {"teacher": [root / "teacher"], "top_k": 8}, seed=5, data_seed=1
    )
    np.testing.assert_allclose(losses(tmp_path / "live"), losses(made[0]), rtol=1e-4)


def test_more_pieces_than_the_teacher_has(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"distill.top_k: got 9,999; .*teacher has \d+ pieces"):
        distil(root, tmp_path / "run", {"teacher": [root / "teacher"], "top_k": 9999})


def test_a_teacher_with_other_pieces(root: Path, tmp_path: Path) -> None:
    make_teacher(tmp_path / "teacher", vocab=[*VOCAB[:-1], "字"])
    with pytest.raises(UserError, match="another vocabulary"):
        run_teach(root, tmp_path / "out", teacher=tmp_path / "teacher")
    with pytest.raises(UserError, match="another vocabulary"):
        distil(root, tmp_path / "run", {"teacher": [tmp_path / "teacher"]})
    assert not (tmp_path / "run").exists()


def test_a_teacher_with_too_few_positions_or_segments(root: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(TINY, max_position_embeddings=24)
    teacher = make_teacher(tmp_path / "short", short)
    with pytest.raises(UserError, match="24 positions; the run's sequences have up to 32"):
        distil(root, tmp_path / "run", {"teacher": [teacher]})
    with pytest.raises(UserError, match="24 positions"):
        run_teach(root, tmp_path / "out", teacher=teacher)
    flat = make_teacher(tmp_path / "flat", dataclasses.replace(TINY, type_vocab_size=1))
    with pytest.raises(UserError, match="one segment; --partner sop"):
        distil(root, tmp_path / "run", {"teacher": [flat]}, partner="sop")
    with pytest.raises(UserError, match="one segment; --partner sop"):
        run_teach(root, tmp_path / "out", teacher=flat, partner="sop")
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_cuts_texts_otherwise(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "teacher", tmp_path / "cased")
    path = tmp_path / "cased" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    with pytest.raises(UserError, match="do_lower_case is false, so this teacher cuts texts"):
        distil(root, tmp_path / "run", {"teacher": [tmp_path / "cased"]})


def test_only_what_is_wanted_is_read(root: Path) -> None:
    answers = AnswerSet(root / "answers", 0, wanted=frozenset({2}), logits=False)
    part = answers._open(0, 0)
    assert list(part.hidden) == [2]
    again = pickle.loads(pickle.dumps(answers.of_phase(0)))
    assert list(again._open(0, 0).hidden) == [2]


def test_a_weight_that_begins_at_nothing_is_logged(root: Path, tmp_path: Path) -> None:
    options = {"teacher": [root / "teacher"], "soft_schedule": "linear-growth"}
    distil(root, tmp_path / "run", options, log_every=1, steps=3)
    assert log_lines(tmp_path / "run")[0]["loss/soft"] > 1
    assert log_lines(tmp_path / "run")[0]["loss"] == 0


def test_a_student_of_a_teacher_that_changed(root: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(root / "teacher", teacher)
    distil(root, tmp_path / "run", {"teacher": [teacher]}, stop_at=5)
    shutil.rmtree(teacher)
    make_teacher(teacher, seed=1)
    with pytest.raises(UserError, match="changed since"):
        distil(root, tmp_path / "run", {"teacher": [teacher]}, resume=True)


def test_the_run_opens_in_transformers(root: Path, tmp_path: Path) -> None:
    from transformers import BertForMaskedLM

    distil(root, tmp_path / "run", {"teacher": [root / "teacher"], "matches": [MATCH]})
    model = BertForMaskedLM.from_pretrained(tmp_path / "run")
    assert model(torch.tensor([[3, 7, 5, 4]])).logits.shape == (1, 4, len(VOCAB))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["hanmo"]["objective"] == "distill"
    assert pretrain.PLUGIN["objective"][0] == "hanmo.objectives"
