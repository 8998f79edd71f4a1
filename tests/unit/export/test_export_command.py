"""hanmo export: a folder that predict opens by ONNX Runtime, with torch's answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from hanmo.commands.export import Config, run
from hanmo.commands.predict import Config as Predict
from hanmo.commands.predict import run as predict
from hanmo.core.artifact import read_manifest
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import save_model
from hanmo.model.masked_lm import MaskedLm
from pruning_cases import randomise
from training_cases import CHARACTERS, TINY, tokenizer

TEXT = f"{CHARACTERS[3]}[MASK][MASK]{CHARACTERS[7]}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    made = MaskedLm(TINY, layers={"pos": ("n", "v", "a")})
    randomise(made)
    save_model(folder, made, tokenizer=tokenizer())
    return folder


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "out"
    result = run(Config(model=model, out=out, int8=True))
    assert "model.int8.onnx  pieces: differs from torch by" in result["text"]
    assert f"hanmo predict {out} fill-mask | tags | embed … --engine onnx" in result["text"]
    return out


def asked(folder: Path, kind: str, engine: str) -> Any:
    result = predict(Predict(model=folder, kind=kind, text=[TEXT], engine=engine))  # type: ignore[arg-type]
    assert result is not None
    return result["answer"]


def numbers(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for part in parts for number in numbers(part)]


def test_the_folder_says_what_it_holds(exported: Path) -> None:
    report = json.loads((exported / "export.json").read_text(encoding="utf-8"))
    assert report["heads"] == ["pieces", "pos"]
    assert set(report["compared"]) == {"model.onnx", "model.int8.onnx"}
    exact = report["compared"]["model.onnx"]["pieces"]
    assert exact["greatest_difference"] < 1e-3
    assert exact["same_best"] == 1.0
    assert {"model.onnx", "model.int8.onnx", "model.safetensors", "vocab.txt"} <= set(
        read_manifest(exported).files
    )


@pytest.mark.parametrize("kind", ["fill-mask", "tags", "embed"])
def test_answers_are_those_of_torch(model: Path, exported: Path, tmp_path: Path, kind: str) -> None:
    whole = asked(model, kind, "torch")
    for engine in ("torch", "auto"):
        assert asked(exported, kind, engine).keys() == whole.keys()
    (exported / "model.int8.onnx").rename(tmp_path / "aside")
    try:
        found = asked(exported, kind, "onnx")
    finally:
        (tmp_path / "aside").rename(exported / "model.int8.onnx")
    assert numbers(found) == pytest.approx(numbers(whole), rel=2e-3, abs=2e-5)
    assert found.get("filled") == whole.get("filled")


def test_a_finished_folder_is_left_as_it_is(model: Path, exported: Path) -> None:
    before = (exported / "model.onnx").stat().st_mtime_ns
    result = run(Config(model=model, out=exported, int8=True))
    assert (exported / "model.onnx").stat().st_mtime_ns == before
    assert "differs from torch" in result["text"]
    with pytest.raises(UserError, match="int8 was True, now False"):
        run(Config(model=model, out=exported))


def test_weights_may_stay_behind(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(Config(model=model, out=out, without_weights=True))
    assert not (out / "model.safetensors").exists()
    assert asked(out, "fill-mask", "onnx")["filled"]
    with pytest.raises(UserError, match=r"neither model.safetensors nor .*--engine onnx"):
        asked(out, "fill-mask", "torch")


def test_folders_without_a_fit_file_are_refused(
    model: Path, exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"neither model.int8.onnx nor model.onnx.*hanmo export"):
        asked(model, "fill-mask", "onnx")
    out = tmp_path / "out"
    run(Config(model=model, out=out))
    path = out / "model.onnx"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="cut short or overwritten"):
        asked(out, "fill-mask", "onnx")
    (out / "manifest.json").unlink()
    with pytest.raises(UserError, match="ONNX Runtime cannot open it"):
        asked(out, "fill-mask", "onnx")
    import onnx

    foreign = onnx.load(exported / "model.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, path)
    with pytest.raises(UserError, match="not made by hanmo export"):
        asked(out, "fill-mask", "onnx")
    with pytest.raises(UserError, match="no such file"):
        run(Config(model=tmp_path / "nowhere", out=tmp_path / "x"))
