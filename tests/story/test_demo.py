"""The demo walks the road from raw text to scores; its printed commands mean what it did."""

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanmo.commands import demo
from hanmo.core import config as configuration
from hanmo.core import registry
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.identity import default_settings, plain

ROAD = ["prepare", "annotate", "train-vocab", "encode", "pretrain", "evaluate"]
ROAD += ["report", "predict"]
STEPS = 3

Walk = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Fine-tune on little, so that the walk takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "FINETUNE", {**demo.FINETUNE, "epochs": 1, "limit_train": 16})
        yield


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, short: None) -> Walk:
    out = tmp_path_factory.mktemp("road") / "demo"
    return out, demo.run(demo.Config(out=out, steps=STEPS))


def test_every_verb_of_the_road_made_its_folder(walked: Walk) -> None:
    out, result = walked
    assert list(dict.fromkeys(stage["verb"] for stage in result["stages"])) == ROAD
    kinds = {"corpus": "corpus", "sentences": "sentences", "shards": "shards", "lert": "checkpoint"}
    for name, kind in kinds.items():
        assert read_manifest(out / name, kind).counts
        verify(out / name)
    assert len(list(out.glob("runs/*/*/seed-*/metrics.json"))) == 2 * demo.SEEDS
    assert Path(result["picture"]).read_bytes().startswith(b"\x89PNG")
    for verb in ROAD:
        assert f"\n{verb} " in "\n" + result["text"]


def test_the_printed_commands_mean_what_was_done(walked: Walk) -> None:
    _, result = walked
    for stage in result["stages"]:
        program, verb, *argv = shlex.split(stage["command"])
        assert (program, verb) == ("hanmo", stage["verb"])
        module = registry.load("hanmo.commands", verb)
        parsed = plain(configuration.parse(verb, module, argv))
        names = {field.name for field in dataclasses.fields(module.Config)}
        defaults = default_settings(module.Config)
        expected = {**defaults, **plain(stage["settings"])}
        options = expected.pop("options", {})  # of the plug-in: the others have their defaults
        assert {key: parsed[key] for key in names - {"options"}} == expected
        assert options.items() <= parsed.get("options", {}).items()


def test_a_second_walk_finds_everything_done(walked: Walk) -> None:
    out, first = walked
    before = {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
    second = demo.run(demo.Config(out=out, steps=STEPS))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")} == before
    for one, two in zip(first["stages"], second["stages"], strict=True):
        assert (one["command"], one["figures"]) == (two["command"], two["figures"])


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(
    walked: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after a step, as by Ctrl-C; the demo ends with its code and then resumes."""
    pretrain = registry.load("hanmo.commands", "pretrain")
    run, whole = pretrain.run, walked[0]

    def stopped_early(config: Any) -> dict[str, Any]:
        return {**run(dataclasses.replace(config, stop_at=2)), "exit_code": 130}

    out = tmp_path / "demo"
    monkeypatch.setattr(pretrain, "run", stopped_early)
    assert demo.run(demo.Config(out=out, steps=STEPS)) == {"exit_code": 130}
    monkeypatch.setattr(pretrain, "run", run)
    result = demo.run(demo.Config(out=out, steps=STEPS))
    [command] = [s["command"] for s in result["stages"] if s["verb"] == "pretrain"]
    assert "--resume" in command
    weights = (out / "lert" / "model.safetensors").read_bytes()
    assert weights == (whole / "lert" / "model.safetensors").read_bytes()


def test_a_folder_that_is_not_this_demo_is_refused(walked: Walk, tmp_path: Path) -> None:
    out, _ = walked
    with pytest.raises(UserError, match=f"holds a demo of {STEPS} steps, not 5"):
        demo.run(demo.Config(out=out, steps=5))
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists and is no demo"):
        demo.run(demo.Config(out=tmp_path))
    with pytest.raises(UserError, match="--steps: got 0"):
        demo.run(demo.Config(out=tmp_path, steps=0))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
