"""`hanmo sizes`: measuring tiny models, pairing them with runs, bad input, its files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from report_cases import write_run

from hanmo.commands import _encoder_speed, sizes
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import WEIGHTS, save_model
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.masked_lm import MaskedLm
from hanmo.text.tokenizer import Tokenizer
from hanmo.train.devices import Device

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"房间很干净下次还来"]
FAST = {"length": 8, "repeats": 1, "threads": 1, "precision": "fp32"}


def shape(layers: int, **changed: int) -> EncoderConfig:
    values = {
        "vocab_size": len(VOCAB),
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    return EncoderConfig(**(values | changed))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encoder_speed, "_LEAST_SECONDS", 1e-4)


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    for name, layers in (("teacher", 3), ("student", 1)):
        torch.manual_seed(layers)
        save_model(tmp_path / name, MaskedLm(shape(layers)), tokenizer=Tokenizer(VOCAB))
    return str(tmp_path / "teacher"), str(tmp_path / "student")


def settings(models: tuple[str, ...], **changed: object) -> sizes.Config:
    return sizes.Config(list(models), **(FAST | changed))  # type: ignore[arg-type]


def test_without_runs(models: tuple[str, str]) -> None:
    result = sizes.run(settings(models))
    teacher, student = json.loads(json.dumps(result))["models"]
    config = shape(3)
    outer = (len(VOCAB) + 32 + 2 + 2) * 16
    assert teacher["parameters"] == config.parameters(pooler=False)
    assert teacher["parameters_without_embeddings"] == config.parameters(pooler=False) - outer
    assert student["parameters"] == shape(1).parameters(pooler=False)
    assert teacher["weights_bytes"] == (Path(models[0]) / WEIGHTS).stat().st_size
    assert teacher["speed"]["1"]["speed_up"] == teacher["speed"]["32"]["speed_up"] == 1
    assert student["speed"]["1"]["examples_per_second"] > 0
    assert (student["scores"], student["average_kept"]) == ({}, None)
    assert "fp32, 1 thread, torch" in result["text"]
    assert "random pieces, 8 a sequence" in result["text"]
    assert "files" not in result
    assert result["settings"]["length"] == 8


def test_with_runs_and_files(models: tuple[str, str], tmp_path: Path) -> None:
    for name, first in (("teacher", 4), ("short", 2)):
        for seed in (1, 2):
            splits = {"dev": {"scores": {"accuracy": (first + seed) / 10}}}
            facts = {"name": name, "parameters": 5}
            write_run(tmp_path / "runs" / name / str(seed), seed, model=facts, splits=splits)
    (tmp_path / "runs" / "x.failed.json").write_text('{"error": "why"}')
    out = tmp_path / "new" / "sizes.md"
    given = (models[0], f"short={models[1]}")
    result = sizes.run(settings(given, runs=[tmp_path / "runs"], out=out))
    text = out.read_text()
    assert "| short | 40.0 (35.0) ± 7.1 | 63.6% | 63.6% |" in text
    assert "Runs that are not in the table: 1 failed." in text
    assert result["text"].startswith(text)
    assert [Path(name).name for name in result["files"]] == ["sizes.md", "sizes.csv", "sizes.png"]
    assert all(Path(name).is_file() for name in result["files"])
    sizes.run(settings(given, runs=[tmp_path / "runs"], out=out))  # its own files are replaced
    # The student under its folder's name has no runs: told, no error.
    result = sizes.run(settings(models, runs=[tmp_path / "runs"]))
    assert "| student | — | — | — |" in result["text"]
    assert "- no runs of student; there are runs of short: NAME=PATH names" in result["text"]


def test_texts_are_cut_and_counted(models: tuple[str, str], tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("房间很干净，下次还来\n\n很好\n", encoding="utf-8")
    result = sizes.run(settings(models, texts=texts))
    assert "Texts: 2 of the 2 of texts.txt, evenly (1 blank lines left out)." in result["text"]
    assert "teacher: 6 pieces a text, 16 of 32 cut." in result["text"]
    texts.write_text("\n")
    with pytest.raises(UserError, match=r"texts\.txt: no text in it"):
        sizes.run(settings(models, texts=texts))


def test_bad_input_is_told_before_anything_is_measured(
    models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(_encoder_speed, "interleaved", refuse)
    cases: list[tuple[dict[str, object], str]] = [
        ({"models": [str(tmp_path)]}, "no config.json in"),
        ({"models": [models[0], models[0]]}, "models: teacher given twice; names must differ"),
        ({"models": [f"a/b={models[0]}"]}, "name 'a/b'; expected letters"),
        ({"length": 2}, "--length: got 2; expected 3 or more"),
        ({"length": 33}, r"--length: got 33; teacher \(.*\) has 32 positions: give 32 or less"),
        ({"repeats": 0}, "--repeats: got 0"),
        ({"threads": 0}, "threads: got 0"),
        ({"precision": "fp23"}, "no 'fp23'; did you mean 'fp32'"),
        ({"texts": tmp_path / "absent"}, "absent"),
        ({"runs": [tmp_path / "absent"]}, "no such folder"),
        ({"runs": [Path(models[0])]}, "no finished run below"),
        ({"out": tmp_path / "t.png"}, "names the Markdown file"),
        ({"out": tmp_path / "t.txt"}, "names the Markdown file; expected for example"),
    ]
    for changed, expected in cases:
        values: dict[str, object] = {"models": list(models), **FAST, **changed}
        with pytest.raises((UserError, FileNotFoundError), match=expected):
            sizes.run(sizes.Config(**values))  # type: ignore[arg-type]
    (Path(models[1]) / WEIGHTS).unlink()
    with pytest.raises(UserError, match="neither"):
        sizes.run(settings(models))


def test_files_of_others_stay(models: tuple[str, str], tmp_path: Path) -> None:
    for name in ("s.md", "s.csv", "s.png"):
        path = tmp_path / name
        path.write_text("mine")
        with pytest.raises(UserError, match=rf"{name}: exists and was not made by hanmo sizes"):
            sizes.run(settings(models, out=tmp_path / "s.md"))
        assert path.read_text() == "mine"
        sizes.run(settings(models, out=tmp_path / "s.md", overwrite=True))
        for made in tmp_path.glob("s.*"):
            made.unlink()


def test_a_pass_is_a_forward_pass() -> None:
    """What is measured is the model on these ids: the same states, whatever the batch size."""
    encoder = Encoder(shape(2)).eval()
    seen: list[torch.Tensor] = []
    encoder.register_forward_hook(lambda _, __, states: seen.append(states))
    pieces = [np.arange(n) + 5 for n in (6, 3, 8)]
    device = Device("cpu", "fp32")
    for size in (1, 2, 3):
        batches = _encoder_speed.batched(pieces, size=size, pad_id=0)
        assert len(batches) == -(-3 // size)
        with torch.inference_mode():
            _encoder_speed.passing(encoder, batches, device)()
    alone, pairs, whole = seen[:3], seen[3:5], seen[5]
    for i, n in enumerate((6, 3, 8)):
        torch.testing.assert_close(alone[i][0, :n], whole[i, :n], atol=1e-5, rtol=1e-5)
        pair = pairs[i // 2][i % 2, :n]
        torch.testing.assert_close(pair, whole[i, :n], atol=1e-5, rtol=1e-5)
    half = _encoder_speed.ready(encoder, Device("cpu", "bf16"))
    assert {part.dtype for part in half.parameters()} == {torch.bfloat16}
    with torch.inference_mode():
        _encoder_speed.passing(half, batches, Device("cpu", "bf16"))()
    torch.testing.assert_close(seen[-1].float(), whole, atol=0.1, rtol=0.1)


def test_models_take_turns() -> None:
    calls: list[str] = []
    ticks: list[int] = []
    passes = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    found = _encoder_speed.interleaved(passes, repeats=3, told=lambda: ticks.append(1))  # type: ignore[arg-type]
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}
    assert len(ticks) == 2 * (3 + 1)
    turns = [name for i, name in enumerate(calls) if not i or calls[i - 1] != name]
    assert "".join(turns) == "ab" * 4  # warm-up, then three rounds
