"""`hanmo prune` from end to end: masked LMs, bad input, finished and killed folders."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hanmo.cli import main
from hanmo.commands import prune
from hanmo.commands.predict import Config as Predict
from hanmo.commands.predict import run as predict
from hanmo.core import config as configuration
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.config import read_config
from hanmo.text.tokenizer import Tokenizer
from pruning_cases import SHAPE, run_prune, write_masked_lm
from task_cases import write_model
from training_cases import CHARACTERS, TINY_ELECTRA, VOCAB, make_shards, run_pretrain, tensors


def config_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "config.json").read_text(encoding="utf-8")))


def test_all_at_once(masked_lm: Path, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(CHARACTERS[:40]) + "\n", encoding="utf-8")
    (tmp_path / "more.txt").write_text(f"{CHARACTERS[60]}\n", encoding="utf-8")
    result = run_prune(
        masked_lm,
        tmp_path / "out",
        layers="0,2",
        heads=2,
        ffn=16,
        uneven_ffn=True,
        multiple_of=4,
        iterations=2,
        shards=shards,
        max_length=32,
        examples=24,
        batch_size=8,
        vocab_from=[tmp_path / "text.txt"],
        keep_pieces=tmp_path / "more.txt",
    )
    verify(tmp_path / "out")
    assert read_manifest(tmp_path / "out").kind == "pruned model"
    first, second, third = result["next"].split(" && ")
    assert first.startswith(f"hanmo prune {masked_lm} --vocab-from {tmp_path / 'text.txt'} ")
    out = tmp_path / "out"
    assert second == f"hanmo encode SENTENCES --vocab {out} --out {out}-shards"
    assert third.startswith(f"hanmo pretrain {out}-shards --init {out} --objective distill ")
    again = configuration.parse(
        "prune", prune, ["--config", str(out), "--out", str(tmp_path / "again")]
    )
    assert prune.run(again) == prune.run(again), "a finished folder says the same"
    assert tensors(tmp_path / "again").keys() == tensors(out).keys()
    assert Tokenizer.load(tmp_path / "again").vocab == Tokenizer.load(out).vocab
    shape = read_config(tmp_path / "out" / "config.json")
    assert (shape.num_hidden_layers, shape.heads) == (2, (2, 2))
    widths = [shape.intermediate_of(n) for n in range(2)]
    assert sum(widths) == 32
    assert not any(width % 4 for width in widths)
    assert Tokenizer.load(tmp_path / "out").vocab == [
        *(piece for piece in VOCAB[:6] if piece != "[unused1]"),
        *CHARACTERS[:40],
        CHARACTERS[60],
    ]
    model = checkpoint.load_masked_lm(tmp_path / "out")
    n_parameters = sum(p.numel() for p in model.parameters())
    assert result["parameters_after"] == n_parameters
    assert result["parameters_before"] > 1.5 * n_parameters
    assert "32 tensors are equal" in result["layers_equal"]
    assert (result["pieces_before"], result["pieces_after"]) == (len(VOCAB), 46)
    assert (result["corpus_pieces"], result["corpus_kept"], result["corpus_unknown"]) == (40, 1, 0)
    own = config_of(tmp_path / "out")["hanmo"]
    assert own["made"] == "here"
    [entry] = own["pruning"]
    assert entry["layers"] == [0, 2]
    assert entry["ffn"] == widths
    assert entry["vocabulary"] == {"pieces": 46, "min_count": 1}
    answer = predict(Predict(tmp_path / "out", "fill-mask", f"{CHARACTERS[0]}[MASK]"))
    assert answer is not None


def test_the_same_command_gives_the_same_bytes(
    masked_lm: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"heads": 1, "by": "logits", "shards": shards, "max_length": 32}
    made = [run_prune(masked_lm, tmp_path / name, **settings) for name in "ab"]
    one, two = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert all(torch.equal(one[name], two[name]) for name in one)
    # Left as it is, though the model may have moved; other settings are another model.
    before = (tmp_path / "a" / "config.json").stat().st_mtime_ns
    again = run_prune(masked_lm, tmp_path / "a", **settings)
    assert again["parameters_after"] == made[0]["parameters_after"]
    assert (tmp_path / "a" / "config.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"other settings \(heads was 1, now 2\)"):
        run_prune(masked_lm, tmp_path / "a", **{**settings, "heads": 2})
    run_prune(masked_lm, tmp_path / "a", **{**settings, "heads": 2, "overwrite": True})
    assert config_of(tmp_path / "a")["hanmo"]["pruned"] == {"heads": [2, 2, 2]}
    words = [str(masked_lm), "--layers", "1", "--out", str(tmp_path / "c"), "--json"]
    assert main(["prune", *words]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == "1"


def test_a_count_that_no_piece_has(masked_lm: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--min-count: got 9,999,999; the commonest piece"):
        run_prune(masked_lm, tmp_path / "out", vocab_from=[shards], min_count=9_999_999)
    assert not (tmp_path / "out").exists()


def test_logits_and_labels_measure_different_things(
    masked_lm: Path, shards: Path, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"ffn": 8, "shards": shards, "max_length": 32}
    found = []
    for by in ("labels", "logits"):
        run_prune(masked_lm, tmp_path / by, by=by, **common)
        found.append(tensors(tmp_path / by))
    name = "model: bert.encoder.layer.0.intermediate.dense.weight"
    assert found[0][name].shape == found[1][name].shape == (8, 32)
    assert not torch.equal(found[0][name], found[1][name])


def test_layers_alone_are_copies_and_train_on(
    masked_lm: Path, shards: Path, tmp_path: Path
) -> None:
    result = run_prune(masked_lm, tmp_path / "out", layers="2,0")
    words = shlex.split(result["next"])
    assert words[:5] == ["hanmo", "pretrain", "SHARDS", "--init", str(tmp_path / "out")]
    one, two = (checkpoint.read_weights(path) for path in (masked_lm, tmp_path / "out"))
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    assert torch.equal(one[name.format(2)], two[name.format(0)])
    run_prune(tmp_path / "out", tmp_path / "less", heads=2, shards=shards, uneven_heads=True)
    entries = config_of(tmp_path / "less")["hanmo"]["pruning"]
    assert [entry.get("layers") for entry in entries] == [[2, 0], None]
    shape = read_config(tmp_path / "less" / "config.json")
    assert sum(shape.heads_of(n) for n in range(2)) == 4
    trained = run_pretrain(
        shards, tmp_path / "on", init=tmp_path / "less", size=None, layers="1,1", steps=2
    )
    assert trained["steps"] == 2
    made = read_config(tmp_path / "on" / "config.json")
    assert [made.heads_of(n) for n in range(2)] == [shape.heads_of(1)] * 2
    run_pretrain(shards, tmp_path / "twice", init=tmp_path / "on", size=None, steps=2)


def test_an_electra_keeps_its_generator_s_vocabulary_in_step(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "data")
    run_pretrain(shards, tmp_path / "electra", objective="electra", steps=1)
    result = run_prune(tmp_path / "electra", tmp_path / "out", vocab_from=[shards], min_count=9)
    assert "next" not in result
    n = result["pieces_after"]
    assert 6 <= n < len(VOCAB)
    for folder in (tmp_path / "out", tmp_path / "out" / "generator"):
        assert read_config(folder / "config.json").vocab_size == n
        assert Tokenizer.load(folder).size == n
    assert (
        checkpoint.load_masked_lm(tmp_path / "out" / "generator").cls.predictions.bias.numel() == n
    )
    with pytest.raises(UserError, match=r"no masked-LM head.*its generator has one"):
        run_prune(tmp_path / "electra", tmp_path / "b", heads=1, shards=shards)
    run_prune(tmp_path / "electra", tmp_path / "c", layers="1")
    assert not (tmp_path / "c" / "generator").exists()
    assert read_config(tmp_path / "c" / "config.json").num_attention_heads == (
        TINY_ELECTRA.num_attention_heads
    )


def test_converted_there_and_back(masked_lm: Path, shards: Path, tmp_path: Path) -> None:
    run_prune(masked_lm, tmp_path / "out", heads=1, ffn=9, uneven_ffn=True, shards=shards)
    for source, goal, form in (("out", "tf1", "tf1"), ("tf1", "back", "hf")):
        words = [str(tmp_path / source), str(tmp_path / goal), "--to", form]
        assert main(["convert", *words]) == 0
    one, two = (checkpoint.load_masked_lm(tmp_path / name) for name in ("out", "back"))
    assert one.encoder.config == two.encoder.config
    state = two.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in one.state_dict().items())


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "nothing asked for"),
    ({"heads": 0}, "--heads: got 0; expected 1 or more; a layer keeps one at least"),
    ({"ffn": 0}, "--ffn: got 0; expected 1 or more; a layer keeps one at least"),
    ({"heads": 5, "shards": "S"}, "--heads: got 5; the layers of .* have 4, 4, 4; expected 4"),
    ({"ffn": 33, "shards": "S"}, "--ffn: got 33; .* have 32, 32, 32; expected 32 at most"),
    ({"ffn": 28, "multiple_of": 8, "shards": "S"}, "--ffn: got 28; expected a multiple of"),
    ({"heads": 4, "ffn": 32, "shards": "S"}, "as many as asked for"),
    ({"heads": 2}, "expected one of --task and --shards"),
    ({"heads": 2, "task": "tnews", "shards": "S"}, "one of --task and --shards, not both"),
    ({"layers": "0,3"}, "--layers: got '0,3'; expected numbers from 0 to 2"),
    ({"layers": ""}, "--layers: got ''"),
    ({"layers": "0", "shards": "S"}, "--shards: .* it is for --heads or --ffn"),
    ({"layers": "0", "iterations": 2}, "--iterations: got 2; it is for --heads or --ffn"),
    ({"heads": 2, "multiple_of": 2, "shards": "S"}, "--multiple-of: got 2; it is for --ffn"),
    ({"layers": "0", "min_count": 2}, "--min-count: got 2; it is for --vocab-from"),
    ({"heads": 2, "iterations": 0, "shards": "S"}, "--iterations: got 0"),
    ({"heads": 2, "shards": "S", "order": "neither"}, "--order: got 'neither'; expected together"),
    ({"heads": 2, "shards": "S", "by": "chance"}, "--by: got 'chance'; expected labels or logits"),
    ({"vocab_from": ["S"], "min_count": 0}, "--min-count: got 0; expected 1 or more"),
    ({"vocab_from": ["no"]}, "no: no such file or folder"),
    ({"heads": 2, "shards": "OTHER"}, "encoded with another vocabulary"),
    ({"vocab_from": ["OTHER"]}, "encoded with another vocabulary"),
    ({"heads": 2, "task": "tnews"}, "has no task head of hanmo's"),
    ({"heads": 2, "shards": "S", "max_length": 65}, "--max-length: got 65; .* up to 64"),
    ({"heads": 2, "shards": "S", "seed": -1}, "--seed: got -1"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_input_leaves_nothing_behind(
    settings: dict[str, Any], message: str, masked_lm: Path, shards: Path, tmp_path: Path
) -> None:
    places: dict[Any, Path] = {"S": shards}
    if "OTHER" in str(settings):
        other = make_shards(tmp_path / "other", n_documents=4)
        names = (other / "vocab.txt").read_text(encoding="utf-8").replace("[unused1]", "[unused9]")
        (tmp_path / "vocab.txt").write_text(names, encoding="utf-8")
        sentences = tmp_path / "other" / "sentences"
        words = ["encode", str(sentences), "--vocab", str(tmp_path / "vocab.txt")]
        assert main([*words, "--out", str(tmp_path / "reencoded")]) == 0
        places["OTHER"] = tmp_path / "reencoded"
    given = {
        name: [places.get(v, Path(v)) for v in value]
        if isinstance(value, list)
        else places.get(value, value)
        for name, value in settings.items()
    }
    with pytest.raises(UserError, match=message):
        run_prune(masked_lm, tmp_path / "out", **given)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out")]


def test_heads_that_were_never_trained_measure_nothing(shards: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    with pytest.raises(UserError, match="masked-LM head was never trained"):
        run_prune(tmp_path / "m", tmp_path / "out", heads=1, shards=shards)


def test_pieces_to_keep_are_known_and_corpora_are_read(masked_lm: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("".join(CHARACTERS[:30]) * 3 + "\n", encoding="utf-8")
    (tmp_path / "keep.txt").write_text(f"{CHARACTERS[1]}\nxyz\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"keep\.txt:2: 'xyz' is no piece"):
        run_prune(
            masked_lm,
            tmp_path / "out",
            vocab_from=[tmp_path / "raw"],
            keep_pieces=tmp_path / "keep.txt",
        )
    assert main(["prepare", str(tmp_path / "raw"), "--out", str(tmp_path / "corpus")]) == 0
    for source in ("raw", "corpus"):
        result = run_prune(masked_lm, tmp_path / f"of-{source}", vocab_from=[tmp_path / source])
        assert result["pieces_after"] == 35
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff\n")
    with pytest.raises(UserError, match=r"bad\.txt"):
        run_prune(masked_lm, tmp_path / "out", vocab_from=[tmp_path / "bad.txt"])


def test_uneven_sizes_may_not_exceed_the_mean(shards: Path, tmp_path: Path) -> None:
    folder = write_masked_lm(tmp_path / "m", SHAPE.with_layers([0, 1]))
    run_prune(folder, tmp_path / "a", heads=2, uneven_heads=True, shards=shards)
    with pytest.raises(UserError, match=r"--heads: got 3; .* expected 2 at most"):
        run_prune(tmp_path / "a", tmp_path / "b", heads=3, uneven_heads=True, shards=shards)


def test_a_killed_run_starts_again(masked_lm: Path, shards: Path, tmp_path: Path) -> None:
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    words = [sys.executable, "-m", "hanmo", "prune", str(masked_lm), "--out", str(out)]
    words += ["--heads", "1", "--iterations", "400", "--shards", str(shards), "--threads", "1"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.exists(), "killed in the middle"
    assert not out.exists()
    run_prune(masked_lm, out, heads=1, shards=shards)
    verify(out)
    assert not partial.exists()
