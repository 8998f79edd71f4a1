"""Pre-training broken off in every way ends with the bytes of an unbroken run."""

import dataclasses
import json
import math
import os
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
from safetensors.torch import load_file, save_file

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import MANIFEST, read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.lock import exclusive
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.model import checkpoint
from training_cases import (
    TINY,
    VOCAB,
    assert_same_run,
    command_line,
    log_lines,
    make_shards,
    options_of,
    run_pretrain,
    settings_of,
    tensors,
    write_shape,
)

STEPS, BATCH = 12, 8
KILL_LOOP = Path(__file__).parent / "kill_loop.py"


def test_the_run_has_several_epochs(shards: Path) -> None:
    """So that the steps below at which runs are broken off are in epochs 0, 1 and 2."""
    n = len(plan_sequences(ShardSet.open(shards), max_length=32))
    assert 3 * BATCH < n < 5 * BATCH
    assert 2 * n < STEPS * BATCH


@pytest.mark.parametrize("objective", ["mlm", "lert"])
@pytest.mark.parametrize("stops", [[3], [7], [1, 6, 10]])
def test_stopped_and_resumed_is_the_same(
    objective: str, stops: list[int], shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    for stop in stops:
        run_pretrain(
            shards, tmp_path / "run", objective=objective, stop_at=stop, resume=stop != stops[0]
        )
        assert not (tmp_path / "run" / MANIFEST).exists()
    run_pretrain(shards, tmp_path / "run", objective=objective, resume=True)
    assert_same_run(whole[objective], tmp_path / "run")


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "bf16"},
        {"optimizer": "adamw-torch"},
        {"optimizer": "lamb", "layer_decay": 0.8},
        {"pack": False},
        {"objective": "electra", "workers": 1, "accumulate": 2},
        {"objective": "electra", "partner": "sop", "options": {"replacement": True}},
        {"objective": "mac", "partner": "sop", "dupe_factor": 2},
        {"objective": "pert", "partner": "nsp", "short_sequence_rate": 0.3},
        {"phases": ("5x16x8", "7x32x4@5e-4"), "partner": "sop", "accumulate": 2},
    ],
    ids=lambda changed: "-".join(str(value) for value in changed.values()),
)
def test_other_ways_to_run_resume_exactly_too(
    changed: dict[str, Any], shards: Path, tmp_path: Path
) -> None:
    needed = options_of(str(changed.get("objective", "mlm")), shards.parent)
    changed = {**changed, "options": {**needed, **changed.get("options", {})}}
    run_pretrain(shards, tmp_path / "whole", **changed)
    run_pretrain(shards, tmp_path / "run", **changed, stop_at=7)
    run_pretrain(shards, tmp_path / "run", **changed, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("stop", [4, 5, 6])
def test_a_phase_ends_and_the_next_begins_wherever_the_run_stops(
    stop: int, shards: Path, tmp_path: Path
) -> None:
    changed: dict[str, Any] = {"phases": ("5x16x8", "7x32x4@5e-4"), "log_every": 1}
    run_pretrain(shards, tmp_path / "whole", **changed)
    run_pretrain(shards, tmp_path / "run", **changed, stop_at=stop)
    run_pretrain(shards, tmp_path / "run", **changed, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    lines = log_lines(tmp_path / "run")
    rates = [line["learning_rate"] for line in lines]
    assert rates[0] == 1e-3, "a phase of five steps has no warm-up"
    assert rates[5] == 5e-4
    assert rates[4] < rates[5]
    assert checkpoint.read_extra(tmp_path / "run")["max_length"] == 32


def test_dropout_is_on_and_the_seed_decides(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    """Else the tests above would compare less than they say."""
    run_pretrain(shards, tmp_path / "same")
    assert_same_run(whole["mlm"], tmp_path / "same")
    for changed in ({"seed": 2}, {"dropout": 0.0}):
        out = tmp_path / next(iter(changed))
        run_pretrain(shards, out, **changed)
        assert log_lines(out) != log_lines(whole["mlm"])


def test_recomputed_layers_change_nothing(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    run_pretrain(shards, tmp_path / "run", objective="lert", recompute=True)
    assert_same_run(whole["lert"], tmp_path / "run")


def test_workers_do_not_change_the_result(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    run_pretrain(shards, tmp_path / "run", objective="lert", workers=2, stop_at=5)
    run_pretrain(shards, tmp_path / "run", objective="lert", workers=1, resume=True)
    assert_same_run(whole["lert"], tmp_path / "run")


def test_killed_at_any_file_operation_it_goes_on_exactly(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    moments = [1, 2, 3, 30, *rng.integers(1, 100, 40).tolist(), 10**9]
    settings = settings_of(
        shards, tmp_path / "run", objective="lert", resume=True, save_every=2, keep=1
    )
    arguments = [json.dumps(settings, default=str), json.dumps(moments)]
    program = [sys.executable, str(KILL_LOOP), *arguments]
    done = subprocess.run(program, check=False, timeout=240, capture_output=True, text=True)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert runs, done.stderr[-2000:]
    killed = [run for run in runs if run["code"] == -signal.SIGKILL]
    assert runs[-1]["code"] == 0, done.stderr[-2000:]
    assert len(killed) >= 8
    steps = [run["step"] for run in runs]
    assert steps == sorted(steps), "a finished checkpoint was lost"
    assert len(set(steps)) >= 4, "killed in between several checkpoints"
    assert_same_run(whole["lert"], tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not [name for name in left if name.endswith((".partial", ".replaced"))]


def start(settings: dict[str, Any]) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "hanmo", *command_line(settings)]
    environment = {**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"}
    return subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for_step(out: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the run has saved a checkpoint that is newer than now's newest."""
    before = {path.name for path in out.glob("step-*[0-9]")}
    for _ in range(4000):
        if {path.name for path in out.glob("step-*[0-9]")} - before:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("no checkpoint in 80 seconds")


def test_a_process_that_is_terminated_and_killed_goes_on_exactly(
    shards: Path, tmp_path: Path
) -> None:
    settings = {"objective": "lert", "steps": 200, "save_every": 25, "log_every": 7, "keep": 2}
    out = tmp_path / "run"
    process = start(settings_of(shards, out, **settings))
    wait_for_step(out, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM == 143, errors
    assert "stopped by SIGTERM after step" in errors
    newest = max(out.glob("step-*[0-9]"))
    said = int(errors.partition("after step ")[2].partition(" of")[0].replace(",", ""))
    assert newest.name == f"step-{said:09d}", "the step that was under way was saved"
    with pytest.raises(UserError, match="unfinished run; pass --resume"):
        run_pretrain(shards, out, **settings)
    process = start(settings_of(shards, out, **settings, resume=True, workers=1))
    wait_for_step(out, process)
    time.sleep(0.1)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert process.stderr is not None
    process.stderr.close()
    assert not (out / MANIFEST).exists(), "killed before the end"
    run_pretrain(shards, out, **settings, resume=True)
    run_pretrain(shards, tmp_path / "whole", **settings)
    assert_same_run(tmp_path / "whole", out, steps=200)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", MANIFEST])
def test_a_damaged_checkpoint_is_passed_over(
    name: str,
    shards: Path,
    whole: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run_pretrain(shards, tmp_path / "run", save_every=3, stop_at=9)
    path = tmp_path / "run" / "step-000000009" / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    run_pretrain(shards, tmp_path / "run", save_every=3, resume=True)
    errors = capfd.readouterr().err
    assert "passing over a damaged checkpoint" in errors
    assert "resume: from step-000000006" in errors
    assert_same_run(whole["mlm"], tmp_path / "run")


def test_a_damaged_newer_checkpoint_does_not_drive_out_good_ones(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run_pretrain(shards, out, save_every=3, stop_at=9, keep=1)
    (out / "step-000000009" / "model.safetensors").write_bytes(b"")
    run_pretrain(shards, out, save_every=3, stop_at=3, keep=1, resume=True)
    assert (out / "step-000000003").is_dir()
    run_pretrain(shards, out, save_every=3, keep=1, resume=True)
    assert_same_run(whole["mlm"], out)


def test_a_finished_run_is_left_as_it_is(
    shards: Path, tmp_path: Path, whole: dict[str, Path]
) -> None:
    out = tmp_path / "run"
    run_pretrain(shards, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    for resume in (False, True):
        result = run_pretrain(shards, out, resume=resume, save_every=5, log_every=3)
        assert result["already_finished"]
        assert result["steps"] == STEPS
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(
        UserError, match=r"already finished with other settings .*seed was 1, now 2"
    ):
        run_pretrain(shards, out, seed=2)
    run_pretrain(shards, out, seed=2, overwrite=True)
    assert read_manifest(out, "checkpoint").config["seed"] == 2
    assert log_lines(out) != log_lines(whole["mlm"])


def test_killed_before_publishing_it_only_publishes(
    shards: Path, tmp_path: Path, whole: dict[str, Path]
) -> None:
    out = tmp_path / "run"
    first = run_pretrain(shards, out)
    counts = read_manifest(out).counts
    for path in [path for path in out.iterdir() if path.name in read_manifest(out).files]:
        path.unlink()
    (out / MANIFEST).unlink()
    again = run_pretrain(shards, out, resume=True)
    assert_same_run(whole["mlm"], out)
    verify(out)
    assert {k for k in counts if k.startswith("loss")} == {k for k in again if "loss" in k}
    assert again["loss"] == first["loss"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 2e-3}, r"learning_rate was 0\.001, now 0\.002"),
        ({"steps": 13}, "steps was 12, now 13"),
        ({"objective": "lert"}, "objective was 'mlm', now 'lert'"),
        ({"options": {"rate": 0.2}}, r"mlm\.rate was 0\.15, now 0\.2"),
    ],
)
def test_a_changed_setting_is_refused_on_resume(
    changed: dict[str, Any], message: str, shards: Path, tmp_path: Path
) -> None:
    run_pretrain(shards, tmp_path / "run", stop_at=1)
    with pytest.raises(UserError, match=message):
        run_pretrain(shards, tmp_path / "run", resume=True, **changed)


def test_another_model_in_the_file_of_the_shape_is_refused_on_resume(
    shards: Path, tmp_path: Path
) -> None:
    size = write_shape(tmp_path / "shape.json")
    run_pretrain(shards, tmp_path / "run", size=str(size), stop_at=1)
    write_shape(size, dataclasses.replace(TINY, hidden_size=24, layer_norm_eps=1e-6))
    with pytest.raises(
        UserError,
        match=r"shape\.json: another model than .*step-000000001 has: hidden_size was 16, now 24; "
        r"layer_norm_eps was 1e-12, now 1e-06",
    ):
        run_pretrain(shards, tmp_path / "run", size=str(size), resume=True)
    write_shape(size)
    assert run_pretrain(shards, tmp_path / "run", size=str(size), resume=True)["finished"] is True
    write_shape(size, dataclasses.replace(TINY, hidden_size=24))
    with pytest.raises(UserError, match="hidden_size was 16, now 24"):  # when it is finished, too
        run_pretrain(shards, tmp_path / "run", size=str(size))


def test_a_warm_up_longer_than_the_run_is_told(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_pretrain(shards, tmp_path / "one", steps=2, warmup_steps=1)
    assert "warm-up" not in capfd.readouterr().err
    run_pretrain(shards, tmp_path / "two", steps=2, warmup_steps=5)
    assert "warm-up takes 5 steps, so the learning rate stays below its peak, 0.001" in (
        capfd.readouterr().err
    )


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_saved(
    shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(
        UserError, match=r"(loss|norm) is (nan|inf).* at step .* \(epoch/index\): 0/"
    ):
        run_pretrain(shards, out, learning_rate=1e30, warmup_steps=4, save_every=1)
    saved = sorted(out.glob("step-*"))
    assert saved
    assert not (out / MANIFEST).exists()
    for folder in saved:
        verify(folder)
    newest = tensors(saved[-1])
    assert all(t.isfinite().all() for name, t in newest.items() if name.startswith("model: "))


def test_a_failure_before_the_first_checkpoint_is_not_in_the_way(
    shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(UserError, match="nothing had been saved yet; lower --learning-rate"):
        run_pretrain(shards, out, learning_rate=1e30, warmup_steps=0, save_every=100)
    assert (out / "config.toml").is_file()
    assert run_pretrain(shards, out)["finished"] is True
    assert "learning_rate = 0.001" in (out / "config.toml").read_text(encoding="utf-8")
    assert [line["step"] for line in log_lines(out)] == [2, 4, 6, 8, 10, 12]


def test_weights_that_a_start_leaves_out_are_told(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_pretrain(shards, tmp_path / "nsp", partner="nsp", steps=1)
    run_pretrain(shards, tmp_path / "mlm", init=tmp_path / "nsp", size=None, steps=1)
    told = capfd.readouterr().err
    assert "nsp, but not in this model: " in told
    assert "pooler" in told
    assert "so random" not in told


def test_a_signal_while_sequences_are_planned_ends_at_once(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a step is finished first; planning is none."""

    def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)  # to this thread: another one's would come later
        raise AssertionError("went on")

    monkeypatch.setattr("hanmo.commands._pretraining.plan_sequences", interrupted)
    # A shell that starts the tests in the background lets them ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_pretrain(shards, tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any((tmp_path / "run").glob("step-*"))


def test_other_shards_are_refused_on_resume(shards: Path, tmp_path: Path) -> None:
    run_pretrain(shards, tmp_path / "run", stop_at=1)
    moved = make_shards(tmp_path / "same")  # the same bytes in another place
    settings = {"size": str(shards.parent / "tiny-bert.json"), "resume": True}
    run_pretrain(moved, tmp_path / "run", stop_at=2, **settings)
    other = make_shards(tmp_path / "other", seed=6)
    with pytest.raises(UserError, match="other shards"):
        run_pretrain(other, tmp_path / "run", **settings)


def test_the_published_folder_is_a_model(shards: Path, whole: dict[str, Path]) -> None:
    for objective, out in whole.items():
        manifest = read_manifest(out, "checkpoint")
        verify(out)
        assert manifest.counts["steps"] == STEPS
        model = checkpoint.load_masked_lm(out)
        assert set(model.layers) == (set(TAGSETS) if objective == "lert" else set())
        assert checkpoint.read_extra(out)["objective"] == objective
        assert len(list(out.glob("step-*"))) == 2, "--keep"
        lines = log_lines(out)
        assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
        # Twelve steps on random text learn little: the mean is near that of guessing, ln 157.
        assert all(abs(line["loss/mlm"] - math.log(len(VOCAB))) < 0.3 for line in lines)
        assert lines[0]["learning_rate"] == 0.001 * (1 - 1 / STEPS)
        if objective == "lert":
            assert lines[1]["weight/pos"] == 1
            assert lines[1]["weight/dep"] == 0.5


def test_continued_pretraining_starts_from_a_model(
    shards: Path, whole: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"size": None, "init": whole["mlm"], "learning_rate": 1e-9, "steps": 1}
    run_pretrain(shards, tmp_path / "run", objective="lert", **settings)
    told = capfd.readouterr().err
    assert "so random: tags.dep.bias, tags.dep.weight" in told
    expected = {k: v for k, v in tensors(whole["mlm"]).items() if "model: " in k}
    got = tensors(tmp_path / "run")
    assert expected.keys() <= got.keys()
    assert all(torch.allclose(value, got[key], atol=1e-6) for key, value in expected.items())
    # An encoder alone, without prefix and head, as transformers writes one.
    encoder = checkpoint.load_encoder(whole["mlm"])
    from safetensors.torch import save_file

    bare = tmp_path / "bare"
    bare.mkdir()
    save_file(encoder.state_dict(), bare / "model.safetensors")
    for name in ("config.json", "vocab.txt"):
        (bare / name).write_bytes((whole["mlm"] / name).read_bytes())
    run_pretrain(shards, tmp_path / "from-bare", **settings | {"init": bare})
    got = tensors(tmp_path / "from-bare")
    name = "model: bert.encoder.layer.1.output.dense.weight"
    assert torch.allclose(expected[name], got[name], atol=1e-6)


def test_init_that_does_not_fit_is_refused(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    init: dict[str, Any] = {"init": whole["mlm"]}
    with pytest.raises(
        UserError, match=r"base: 12 layers, .* has another, 2 layers, .*; leave --size out"
    ):
        run_pretrain(shards, tmp_path / "run", **init, size="base")
    other = tmp_path / "model"
    other.mkdir()
    for path in whole["mlm"].iterdir():
        if path.is_file() and path.name != MANIFEST:  # as a folder from elsewhere
            (other / path.name).write_bytes(path.read_bytes())
    (other / "vocab.txt").write_text("\n".join(VOCAB[::-1]) + "\n")
    with pytest.raises(UserError, match="its vocabulary is not the one"):
        run_pretrain(shards, tmp_path / "run2", init=other, size=None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, r"--steps: got 0; expected ≥ 1"),
        ({"keep": 0}, r"--keep: got 0"),
        ({"stop_at": 0}, r"--stop-at: got 0"),
        ({"max_length": 4}, r"--max-length: got 4"),
        ({"phases": ("12x4x8",)}, r"--max-length: got 4"),
        ({"phases": ("6x16x8", "5x65x8")}, r"--phases: have 11 steps in all .*; --steps says 12"),
        ({"phases": ("6x16x8", "6x65x8")}, r"--max-length: got 65; the model has 64 positions"),
        ({"phases": ("12x16x8",), "max_length": 16}, r"--max-length: got 16, but --phases state"),
        ({"phases": ("6x16",)}, r"phases: got '6x16'; expected STEPSxLENGTHxBATCH"),
        ({"partner": "nps"}, r"--partner: no 'nps'.*nsp"),
        ({"short_sequence_rate": 2.0}, r"--short-sequence-rate: got 2\.0"),
        ({"max_length": 65}, r"--max-length: got 65; the model has 64 positions"),
        ({"learning_rate": 0.0}, r"--learning-rate: got 0\.0"),
        ({"clip_norm": 0.0}, r"--clip-norm: got 0\.0"),
        ({"warmup_steps": -1}, r"--warmup-steps: got -1"),
        ({"dropout": 1.0}, r"--dropout: got 1\.0"),
        ({"weight_decay": -0.1}, r"--weight-decay: got -0\.1; expected 0 or more"),
        ({"workers": -1}, r"--workers: got -1"),
        ({"threads": 100_000}, r"threads: got 100,000; expected 1024 at most"),
        ({"batch_size": 10**8}, r"--batch-size: got 100,000,000; expected 1,048,576 at most"),
        ({"phases": (f"12x16x{10**8}",)}, r"--batch-size: got 100,000,000"),
        ({"size": None}, "--size or --init missing"),
        ({"size": "smal"}, "'smal'.*small"),
        ({"objective": "mln"}, "'mln'.*mlm"),
        ({"precision": "fp16"}, "'fp16'"),
        ({"seed": -1}, r"--seed: got -1"),
    ],
)
def test_bad_settings_are_refused_and_leave_nothing(
    changed: dict[str, Any], message: str, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run_pretrain(shards, tmp_path / "run", **changed)
    run_pretrain(shards, tmp_path / "run", steps=1)


def test_folders_of_the_wrong_kind_are_refused(shards: Path, tmp_path: Path) -> None:
    write_shape(tmp_path / "tiny-bert.json", TINY)
    size = {"size": str(tmp_path / "tiny-bert.json")}
    with pytest.raises(UserError, match="kind 'sentences'; expected 'shards'"):
        run_pretrain(shards.parent / "sentences", tmp_path / "a", **size)
    with pytest.raises(UserError, match="no such folder"):
        run_pretrain(tmp_path / "nothing", tmp_path / "b", **size)
    for name in ("foreign", "foreign-overwritten"):
        foreign = tmp_path / name
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("mine")
        with pytest.raises(UserError, match="is no run of hanmo pretrain"):
            run_pretrain(shards, foreign, overwrite=name != "foreign")
        assert (foreign / "thesis.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        run_pretrain(shards, tmp_path / "tiny-bert.json")
    with pytest.raises(UserError, match="kind 'shards'; expected 'checkpoint'"):
        run_pretrain(shards, shards)


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    few = make_shards(tmp_path / "data", layers=("pos",))
    with pytest.raises(UserError, match=r"lacks the layers ner, dep .*it has: pos"):
        run_pretrain(few, tmp_path / "run", objective="lert")
    run_pretrain(few, tmp_path / "run2", steps=1)
    options = {"layers": ("pos",), "ramps": {"pos": 0.5}}
    run_pretrain(few, tmp_path / "run3", objective="lert", options=options, steps=1)


def test_shards_damaged_or_unfinished_are_refused(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "data")
    path = next(shards.glob("*.bin"))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"00000\.bin: damaged"):
        run_pretrain(shards, tmp_path / "run")
    (shards / MANIFEST).unlink()
    with pytest.raises(UserError, match="not a finished folder"):
        run_pretrain(shards, tmp_path / "run2")


def test_dropout_of_the_run_does_not_stay_with_the_model(shards: Path, tmp_path: Path) -> None:
    run_pretrain(shards, tmp_path / "run", dropout=0.0)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    tiny = json.loads((shards.parent / "tiny-bert.json").read_text())
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        assert stored[name] == tiny.get(name, 0.1) != 0.0
    assert read_manifest(tmp_path / "run", "checkpoint").inputs["shards"]


def test_a_model_without_its_encoder_is_no_start(shards: Path, tmp_path: Path) -> None:
    run_pretrain(shards, tmp_path / "whole", stop_at=1)
    start = tmp_path / "start"
    shutil.copytree(tmp_path / "whole" / "step-000000001", start)
    state = load_file(start / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if ".layer.1." not in name}
    assert len(kept) < len(state)
    save_file(kept, start / "model.safetensors")
    (start / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"lacks 16 weights of the encoder, such as bert\.encoder"):
        run_pretrain(shards, tmp_path / "run", size=None, init=start)


def test_a_stop_is_told_and_is_no_setting_of_the_run(
    shards: Path, whole: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run_pretrain(shards, tmp_path / "run", stop_at=3)
    assert result["finished"] is False
    assert f"stopped as --stop-at says after step 3 of {STEPS}" in capfd.readouterr().err
    assert "stop_at" not in (tmp_path / "run" / "config.toml").read_text()
    assert run_pretrain(shards, tmp_path / "run", resume=True)["finished"] is True


def test_other_threads_are_told_on_resuming(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_pretrain(shards, tmp_path / "run", stop_at=3, threads=1)
    run_pretrain(shards, tmp_path / "run", stop_at=4, threads=1, resume=True)
    assert "threads" not in capfd.readouterr().err
    run_pretrain(shards, tmp_path / "run", threads=2, resume=True)
    assert "--threads 1 is exact" in capfd.readouterr().err
    torch.set_num_threads(1)


def test_two_runs_do_not_share_a_folder(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with exclusive(out), pytest.raises(UserError, match=f"process {os.getpid()}"):
        run_pretrain(shards, out)
    assert not out.exists()


def test_a_model_that_changed_is_refused(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(whole["lert"], tmp_path / "model")
    for name in ("heads.safetensors", "model.safetensors", "vocab.txt"):
        path = tmp_path / "model" / name
        before = path.read_bytes()
        path.write_bytes(before[:-2] + bytes([before[-2] ^ 1]) + before[-1:])
        with pytest.raises(UserError, match=f"{name}: SHA-256 differs"):
            run_pretrain(shards, tmp_path / "run", size=None, init=tmp_path / "model")
        path.write_bytes(before)


def test_accumulated_it_is_the_same_run_within_rounding_and_resumes_exactly(
    shards: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"objective": "lert", "dropout": 0.0}
    run_pretrain(shards, tmp_path / "one", **settings)
    run_pretrain(shards, tmp_path / "three", **settings, accumulate=3)
    for one, three in zip(log_lines(tmp_path / "one"), log_lines(tmp_path / "three"), strict=True):
        assert three["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert three["pieces"] == one["pieces"]
    run_pretrain(shards, tmp_path / "broken", accumulate=3, stop_at=5)
    run_pretrain(shards, tmp_path / "broken", accumulate=3, resume=True)
    run_pretrain(shards, tmp_path / "whole", accumulate=3)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("layers", ["0", "1,0", "1,1,0"])
def test_a_start_from_some_layers_has_their_weights(
    layers: str, shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"size": None, "init": whole["mlm"], "layers": layers}
    settings |= {"learning_rate": 1e-12, "weight_decay": 0.0, "steps": 1}
    run_pretrain(shards, tmp_path / "run", **settings)
    before = load_file(whole["mlm"] / "model.safetensors")
    after = load_file(tmp_path / "run" / "model.safetensors")
    chosen = [int(word) for word in layers.split(",")]
    shape = json.loads((tmp_path / "run" / "config.json").read_text())
    assert shape["num_hidden_layers"] == len(chosen)
    for name, tensor in after.items():
        old = name
        if name.startswith("bert.encoder.layer."):
            _, _, _, number, rest = name.split(".", 4)
            old = f"bert.encoder.layer.{chosen[int(number)]}.{rest}"
        assert torch.allclose(tensor, before[old], atol=1e-7), name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": "0,7"}, r"--layers: got 0,7; .* has the layers 0 to 1"),
        ({"layers": "a"}, r"--layers: got 'a'; expected numbers from 0"),
        ({"layers": "-1"}, r"--layers: got '-1'"),
        ({"layers": "0", "init": None, "size": "tiny"}, r"--layers: .* pass --init MODEL"),
        ({"dupe_factor": 0}, r"--dupe-factor: got 0"),
    ],
)
def test_bad_starts_are_refused(
    changed: dict[str, Any], message: str, shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"size": None, "init": whole["mlm"], **changed}
    with pytest.raises(UserError, match=message):
        run_pretrain(shards, tmp_path / "run", **settings)


def test_a_run_of_an_older_hanmo_goes_on(
    shards: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    run_pretrain(shards, tmp_path / "run", stop_at=5)
    path = tmp_path / "run" / "config.toml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("accumulate")))
    with pytest.raises(UserError, match="accumulate was 1, now 2"):
        run_pretrain(shards, tmp_path / "run", accumulate=2, resume=True)
    run_pretrain(shards, tmp_path / "run", resume=True)
    assert_same_run(whole["mlm"], tmp_path / "run")
