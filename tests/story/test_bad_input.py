"""Whatever a user hands in: one line that helps, exit code 2, and no folder that looks finished.

Each case makes one mistake on an otherwise sound road (texts → corpus → sentences → shards →
model) and says what the line must name.
"""

import dataclasses
import errno
import gzip
import json
import lzma
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from hanmo import samples
from hanmo.cli import main
from hanmo.core import files, registry
from hanmo.core.artifact import read_manifest
from hanmo.core.errors import UserError
from process_cases import disk

TEXT = "".join(path.read_text(encoding="utf-8") + "\n" for path in samples.text_files()[:6])
COMMANDS = registry.names("hanmo.commands")


@dataclasses.dataclass(frozen=True)
class Road:
    """Sound folders, one of each kind."""

    text: Path
    corpus: Path
    vocab: Path
    sentences: Path
    shards: Path
    model: Path


def succeed(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    work = tmp_path_factory.mktemp("road")
    made = Road(*(work / name for name in ("text.txt", "corpus", "vocab.txt", "s", "shards", "m")))
    made.text.write_text(TEXT, encoding="utf-8")
    succeed("prepare", made.text, "--out", made.corpus)
    succeed("train-vocab", made.corpus, "--out", made.vocab, "--size", 600)
    succeed("annotate", made.corpus, "--annotator", "jieba", "--out", made.sentences)
    succeed("encode", made.sentences, "--vocab", made.vocab, "--out", made.shards)
    succeed(*pretraining(made.shards, made.model))
    return made


def pretraining(shards: Path, out: Path, **other: object) -> list[object]:
    flags: dict[str, object] = {
        "out": out,
        "objective": "mlm",
        "size": _tiny_shape(shards.parent),
        "steps": 1,
        "batch-size": 2,
        "max-length": 64,
        "threads": 1,
    }
    words: list[object] = ["pretrain", shards]
    for name, value in {**flags, **{k.replace("_", "-"): v for k, v in other.items()}}.items():
        words += [] if value is None else [f"--{name}", value]
    return words


def _tiny_shape(folder: Path) -> Path:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    path = folder / "shape.json"
    if not path.exists():
        whole = {**shape, "intermediate_size": 32, "vocab_size": 600, "max_position_embeddings": 64}
        path.write_text(json.dumps(whole))
    return path


def refused(capfd: pytest.CaptureFixture[str], words: list[object], *parts: str) -> str:
    """Run a command that must be refused; return its line, which holds all `parts` in order."""
    capfd.readouterr()
    code = main([str(word) for word in words])
    out, err = capfd.readouterr()
    last = err.splitlines()[-1] if err else ""
    assert (code, out) == (2, ""), err
    check_line(err, parts)
    check_nothing_finished(words)
    return last


def check_line(err: str, parts: tuple[str, ...]) -> None:
    # Before it, only how much there is to do and how long a stage took.
    *before, last = err.splitlines()
    assert last.startswith("hanmo: ")
    assert not [line for line in before if not re.match(r"(task )?[\w ]+: .*\d", line)], err
    assert "hanmo: " not in "".join(before)
    assert len(last) < 700, "a line that nobody reads"
    place = 0
    for part in parts:
        found = last.find(part, place)
        assert found >= 0, f"{part!r} is not in: {last}"
        place = found + len(part)


def check_nothing_finished(words: list[object]) -> None:
    if "--out" not in words:
        return
    out = Path(str(words[words.index("--out") + 1]))
    assert not out.is_file()
    with pytest.raises(UserError):
        read_manifest(out)


def in_a_process(words: list[object], **options: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "hanmo", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return done.returncode, done.stderr


# Texts


def _written(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "gz": gzip.compress,
    "zst": zstandard.compress,
}
TEXTS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "not UTF-8": (
        "a.txt",
        "第一行\n第二".encode() + "汉".encode("gb18030") + b"\n",
        ("a.txt:2: not UTF-8", "byte 0xba", "at byte 16 of the file", "iconv"),
    ),
    "empty": ("a.txt", b"", ("a.txt", "empty")),
    "white space": ("a.txt", b"\n \n\n", ("a.txt: no document", "empty")),
    "a 10 MB line": ("a.txt", b"x" * (10 << 20), ("a.txt:1:", "8,388,608 bytes", "break it up")),
    "a line that is not JSON": (
        "a.jsonl",
        '{"text": "一"}\n{"text": "二"\n'.encode(),
        ("a.jsonl:2: not JSON", "column"),
    ),
    "a line that is no object": ("a.jsonl", b"[1]\n", ("a.jsonl:1:", "list", "object")),
    "no text key": ("a.jsonl", b'{"body": "x"}\n', ("a.jsonl:1:", "'text'", "body", "--text-key")),
    "text that is no text": (
        "a.jsonl",
        b'{"text": 3}\n',
        ("a.jsonl:1:", "'text'", "int", "string"),
    ),
    "no Parquet": ("a.parquet", b"PAR1 or so", ("a.parquet", "not a Parquet file")),
    "an unknown suffix": ("a.docx", b"x", ("a.docx", ".jsonl", ".txt", "--format")),
}


@pytest.mark.parametrize("case", TEXTS)
def test_prepare_refuses_bad_texts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    name, data, parts = TEXTS[case]
    path = _written(tmp_path / name, data)
    refused(capfd, ["prepare", path, "--out", tmp_path / "out"], *parts)


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("workers", [1, 2])
def test_prepare_refuses_a_truncated_archive(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, workers: int
) -> None:
    sound = _written(tmp_path / "b.txt", TEXT)
    path = _written(tmp_path / f"a.txt.{suffix}", _cut(PACKED[suffix](TEXT.encode())))
    words = ["prepare", path, sound, "--out", tmp_path / "out", "--workers", workers]
    refused(capfd, words, path.name, "damaged archive after line", "fetch or pack it again")
    with pytest.raises(UserError, match=r"out: not finished \(out\.partial is there\)"):
        read_manifest(tmp_path / "out")
    # With the file mended, the same command works.
    path.write_bytes(PACKED[suffix](TEXT.encode()))
    succeed("prepare", path, sound, "--out", tmp_path / "out", "--workers", workers)


def test_prepare_refuses_parquet_without_the_text_column(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"body": ["一"]}), path)
    parts = ("a.parquet: no key 'text'", "body", "--text-key")
    refused(capfd, ["prepare", path, "--out", tmp_path / "out"], *parts)
    path.write_bytes(_cut(path.read_bytes()))
    words = ["prepare", path, "--out", tmp_path / "out", "--text-key", "body"]
    refused(capfd, words, "a.parquet: not a Parquet file")


def test_prepare_refuses_inputs_that_are_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    out = tmp_path / "out"
    refused(capfd, ["prepare", tmp_path / "none.txt", "--out", out], "none.txt: no such file")
    refused(capfd, ["prepare", tmp_path / "folder", "--out", out], "folder", "no file", "exp")
    refused(capfd, ["prepare", "--out", out], "INPUTS missing", "hanmo prepare --help")
    path = _written(tmp_path / "a.txt", TEXT)
    refused(capfd, ["prepare", path], "--out missing")
    refused(
        capfd, ["prepare", path, "--out", path / "out"], "a.txt", "is a file; expected a folder"
    )


def test_out_is_somebody_elses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "out"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    path = _written(tmp_path / "a.txt", TEXT)
    for more in ([], ["--overwrite"]):
        refused(capfd, ["prepare", path, "--out", mine, *more], "not a folder made by hanmo")
    assert (mine / "thesis.txt").read_text() == "mine"


TRAIN_VOCAB: dict[str, tuple[str, bytes, list[str], tuple[str, ...]]] = {
    "not UTF-8": ("a.txt", "一\n".encode() + b"\xff\n", [], ("a.txt:2: not UTF-8", "byte 4")),
    "truncated": ("a.txt.xz", _cut(lzma.compress(TEXT.encode())), [], ("damaged archive",)),
    "not JSON": ("a.jsonl", b"{\n", [], ("a.jsonl:1: not JSON",)),
    "no text": ("a.jsonl", b"{}\n", [], ("a.jsonl:1:", '"text"')),
    "too small": ("a.txt", TEXT.encode(), ["--size", "50"], ("50",)),
}


@pytest.mark.parametrize("case", TRAIN_VOCAB)
def test_train_vocab(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    name, data, more, parts = TRAIN_VOCAB[case]
    path = _written(tmp_path / name, data)
    refused(capfd, ["train-vocab", path, "--out", tmp_path / "v.txt", *more], *parts)


# Annotated files

ROW = "\t".join(["{}", "{}", "_", "_", "n", "_", "{}", "{}", "_", "_"]) + "\n"
TREE = "# text = 我去\n" + ROW.format(1, "我", 2, "SBV") + ROW.format(2, "去", 0, "HED")
CONLLU: dict[str, tuple[str, tuple[str, ...]]] = {
    "unclosed": (TREE, ("a.conllu:1:", "blank line", "cut off")),
    "cut in a row": ((TREE + "\n" + TREE)[:-12], ("a.conllu:7: 6", "expected 10")),
    "too few columns": (TREE.replace("\tn\t", "\t", 1) + "\n", ("a.conllu:2: 9", "expected 10")),
    "too many columns": (TREE.replace("\tn\t", "\tn\t_\t", 1) + "\n", ("a.conllu:2: 11", "10")),
    "words that are not the text": (TREE.replace("我去", "他去") + "\n", ("a.conllu:1", "我")),
    "empty": ("", ("a.conllu", "no sentence")),
    "a label of another tagset": (TREE.replace("SBV", "nsubj") + "\n", ("a.conllu:1", "nsubj")),
}


@pytest.mark.parametrize("case", CONLLU)
def test_annotate_refuses_bad_conllu(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    text, parts = CONLLU[case]
    path = _written(tmp_path / "a.conllu", text)
    words = ["annotate", path, "--annotator", "conllu", "--out", tmp_path / "out"]
    refused(capfd, words, *parts)


def test_annotate_refuses_a_truncated_archive(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path / "a.conllu.xz", _cut(lzma.compress((TREE + "\n").encode() * 300)))
    words = ["annotate", path, "--annotator", "conllu", "--out", tmp_path / "out"]
    refused(capfd, words, "a.conllu.xz: damaged archive after line")


def test_annotate(road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def bad(*words: object, parts: tuple[str, ...]) -> None:
        refused(capfd, ["annotate", *words, "--out", tmp_path / "out"], *parts)

    bad(road.corpus, "--annotator", "jeiba", parts=("no 'jeiba'; did you mean 'jieba'?",))
    bad(road.corpus, "--annotater", "crf", parts=("--annotater; did you mean '--annotator'?",))
    bad(road.corpus, "--crf.layers", "sem", parts=("'sem'", "dep, ner, pos"))
    bad(road.corpus, "--crf.model", tmp_path / "none", parts=("none: no such file or folder",))
    bad(road.corpus, "--crf.model", road.corpus, parts=("'corpus'; expected 'annotator'",))
    bad(road.corpus, "--max-chars", "0", parts=("--max-chars: got 0", "expected 1"))
    bad(road.text, parts=("text.txt: a file; expected a corpus folder", "hanmo prepare"))


# Vocabularies and sentences


def _vocab(road: Road, change: Callable[[list[str]], object]) -> str:
    pieces = road.vocab.read_text(encoding="utf-8").split("\n")[:-1]
    change(pieces)
    return "\n".join(pieces) + "\n"


VOCABS: dict[str, tuple[Callable[[list[str]], object], tuple[str, ...]]] = {
    "no [MASK]": (lambda v: v.remove("[MASK]"), ("v.txt: no [MASK] among 599", "add each")),
    "doubled": (lambda v: v.insert(400, v[300]), ("v.txt:401:", "already on line 301", "rename")),
    "empty entry": (lambda v: v.insert(7, ""), ("v.txt:8: empty entry", "expected one piece")),
    "no entries": (lambda v: v.clear(), ("v.txt",)),
}


@pytest.mark.parametrize("case", VOCABS)
def test_encode_refuses_bad_vocabularies(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    change, parts = VOCABS[case]
    path = _written(tmp_path / "v.txt", _vocab(road, change))
    words = ["encode", road.sentences, "--vocab", path, "--out", tmp_path / "out"]
    refused(capfd, words, *parts)


def test_encode_refuses_damaged_sentences(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(road.sentences, tmp_path / "copy"))
    part = copy / "part-00000.parquet"
    part.write_bytes(_cut(part.read_bytes()))
    words = ["encode", copy, "--vocab", road.vocab, "--out", tmp_path / "out"]
    refused(capfd, words, "part-00000.parquet")
    missing = ["encode", road.sentences, "--vocab", tmp_path / "none", "--out", tmp_path / "out"]
    refused(capfd, missing, "none: no such vocabulary", "expected a vocab.txt")


# Shards and models


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut_file(path: Path) -> None:
    path.write_bytes(_cut(path.read_bytes()))


SHARDS: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "cut short": ("00000.bin", _cut_file, ("00000.bin", "bytes; expected", "hanmo encode")),
    "a flipped byte": ("00000.bin", _flip, ("00000.bin", "SHA-256", "expected", "hanmo encode")),
    "missing": ("00000.bin", Path.unlink, ("00000.bin: missing", "hanmo encode")),
    "index cut": ("00000.idx", _cut_file, ("00000.idx: damaged", "hanmo encode")),
    "index missing": ("00000.idx", Path.unlink, ("00000.idx: missing", "hanmo encode")),
    "vocabulary changed": ("vocab.txt", _flip, ("vocab.txt", "SHA-256", "expected")),
    "manifest cut": ("manifest.json", _cut_file, ("manifest.json: damaged manifest", "again")),
    "manifest missing": ("manifest.json", Path.unlink, ("copy: no manifest.json", "finished")),
}


@pytest.mark.parametrize("case", SHARDS)
def test_pretrain_refuses_damaged_shards(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    name, harm, parts = SHARDS[case]
    copy = Path(shutil.copytree(road.shards, tmp_path / "copy"))
    harm(copy / name)
    refused(capfd, pretraining(copy, tmp_path / "out"), *parts)


def test_pretrain(road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def bad(*parts: str, **other: object) -> None:
        refused(capfd, pretraining(road.shards, tmp_path / "out", **other), *parts)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

    bad("no 'lrt'; did you mean 'lert'?", objective="lrt")
    bad("no 'smal'; did you mean 'small'?", size="smal")
    bad("lacks the layers ner, dep that objective 'lert'", "annotate", objective="lert")
    bad("--steps: got 0; expected", steps=0)
    bad("--steps: Expected a whole number. Got value: many", steps="many")
    bad("--max-length: got 600; the model has 64 positions", max_length=600)
    bad("--size or --init missing", size=None)
    bad("none", "no such file", size=None, init=tmp_path / "none")


def _model(road: Road, folder: Path, harm: Callable[[Path], object]) -> Path:
    copy = folder / "model"
    copy.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        shutil.copy(road.model / name, copy / name)
    harm(copy)
    return copy


MODELS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        ("model: neither model.safetensors nor pytorch_model.bin", "expected a model folder"),
    ),
    "truncated weights": (
        lambda folder: _cut_file(folder / "model.safetensors"),
        ("model.safetensors: damaged weights", "again"),
    ),
    "empty weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        ("model.safetensors: damaged weights", "again"),
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), ("config.json", "no such")),
    "a config that is cut": (lambda folder: _cut_file(folder / "config.json"), ("config.json",)),
    "another shape": (
        lambda folder: _reshape(folder / "config.json", intermediate_size=48),
        ("model: weights do not fit config.json", "expected"),
    ),
    "not a BERT": (lambda folder: _reshape(folder / "config.json", model_type="gpt2"), ("gpt2",)),
}


def _reshape(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("case", MODELS)
def test_models_that_are_none(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    harm, parts = MODELS[case]
    model = _model(road, tmp_path, harm)
    refused(capfd, pretraining(road.shards, tmp_path / "out", size=None, init=model), *parts)
    if "finetune" in COMMANDS:
        refused(capfd, _finetuning(model, tmp_path / "run", _task(tmp_path)), *parts)
    if "predict" in COMMANDS:
        refused(capfd, ["predict", model, "fill-mask", "我[MASK]"], *parts)


# Tasks


def _task(folder: Path, **changes: str | None) -> Path:
    """Write a small sound task, with some of its files changed."""
    rows = "label\ttext_a\n" + "1\t好\n0\t坏\n" * 4
    lines = 'labels = ["0", "1"]\n[splits]\ntrain = "train.tsv"\ndev = "dev.tsv"\n'
    lines += (
        '[columns]\nlabel = "label"\ntext_a = "text_a"\n[settings]\nepochs = 1\nmax_length = 32\n'
    )
    whole: dict[str, str | None] = {"train": rows, "dev": rows, "task": lines, **changes}
    for name, text in whole.items():
        if text is not None:
            _written(folder / (f"{name}.toml" if name == "task" else f"{name}.tsv"), text)
    return folder / "task.toml"


def _finetuning(model: Path, out: Path, task: object) -> list[object]:
    return ["finetune", model, "--task", task, "--out", out, "--threads", 1]


TASKS: dict[str, tuple[dict[str, str | None], tuple[str, ...]]] = {
    "no column": ({"dev": "label\tbody\n1\t好\n"}, ("dev.tsv:1: no column 'text_a'", "body")),
    "unknown label": ({"dev": "label\ttext_a\n1\t好\n2\t坏\n"}, ("dev.tsv:3:", "'2'", "0")),
    "unknown training label": ({"train": "label\ttext_a\n3\t好\n"}, ("train.tsv:2:", "'3'", "0")),
    "too many columns": ({"dev": "label\ttext_a\n1\t好\t坏\n"}, ("dev.tsv:2: 3 columns; exp",)),
    "too few columns": ({"train": "label\ttext_a\n1\n"}, ("train.tsv:2: 1 columns; expected 2",)),
    "empty": ({"train": ""}, ("train.tsv: empty; expected",)),
    "a header alone": ({"train": "label\ttext_a\n"}, ("train.tsv",)),
    "not UTF-8": ({"train": "label\ttext_a\n1\t\udcb0\n"}, ("train.tsv:2: not UTF-8", "byte")),
    "no file": ({"train": None}, ("train.tsv",)),
    "no TOML": ({"task": "labels ="}, ("task.toml: not TOML",)),
    "unknown key": ({"task": 'kinds = "x"'}, ("task.toml: no key kinds; did you mean 'kind'?",)),
}


@pytest.mark.skipif("finetune" not in COMMANDS, reason="no command finetune")
@pytest.mark.parametrize("case", TASKS)
def test_finetune_refuses_bad_tasks(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    changes, parts = TASKS[case]
    changes = {name: text and text.replace("\udcb0", "\N{BELL}") for name, text in changes.items()}
    task = _task(tmp_path, **changes)
    if case == "not UTF-8":
        path = tmp_path / "train.tsv"
        path.write_bytes(
            path.read_bytes().replace(b"\x07", b"\xb0").replace("🔔".encode(), b"\xb0")
        )
    refused(capfd, _finetuning(road.model, tmp_path / "run", task), *parts)
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.skipif("finetune" not in COMMANDS, reason="no command finetune")
def test_finetune(road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def bad(task: object, *more: object, parts: tuple[str, ...]) -> None:
        refused(capfd, [*_finetuning(road.model, tmp_path / "run", task), *more], *parts)

    bad("tnwes", parts=("no 'tnwes'; did you mean 'tnews'?",))
    bad("tnews", parts=("tnews", "--data"))
    bad("tnews", "--data", tmp_path, parts=("train.json",))
    bad(tmp_path / "none.toml", parts=("none.toml: no such task file",))
    bad(_task(tmp_path), "--splits", "tset", parts=("'tset'", "dev"))
    bad(_task(tmp_path), "--epochs", "0", parts=("epochs", "0"))
    bad(_task(tmp_path), "--select", "all", parts=("--select", "'last', 'best'", "all"))


@pytest.mark.skipif("predict" not in COMMANDS, reason="no command predict")
def test_predict(road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def bad(*words: object, parts: tuple[str, ...]) -> None:
        refused(capfd, ["predict", *words], *parts)

    bad(road.model, "fil-mask", "我", parts=("no 'fil-mask'; did you mean 'fill-mask'?",))
    bad(road.model, "fill-mask", parts=("either a TEXT or --file",))
    bad(road.model, "fill-mask", "没有", parts=("[MASK]",))
    bad(road.model, "tags", "我[MASK]", parts=("label",))
    bad(road.model, "classify", "我", parts=("classif",))
    bad(tmp_path / "none", "fill-mask", "我[MASK]", parts=("none", "no such file"))
    path = _written(tmp_path / "a.txt", b"\xff\n" + "我[MASK]\n".encode())
    bad(road.model, "fill-mask", "--file", path, parts=("a.txt:1: not UTF-8", "byte"))
    bad(road.model, "fill-mask", "--file", tmp_path / "no.txt", parts=("no.txt: no such file",))


@pytest.mark.skipif("train_annotator" not in COMMANDS, reason="no command train-annotator")
def test_train_annotator(road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def bad(*words: object, parts: tuple[str, ...]) -> None:
        refused(capfd, ["train-annotator", *words, "--out", tmp_path / "out"], *parts)

    bad(parts=("expected", "--treebank"))
    bad("--treebank", tmp_path / "none.conllu", parts=("none.conllu: no such file",))
    bad("--treebank", _written(tmp_path / "a.conllu", TREE), parts=("a.conllu:1:", "cut off"))
    bad("--sentences", road.corpus, parts=("kind 'corpus'; expected 'sentences'",))


# Folders of the wrong kind, or not finished


def _takes(command: str, folder: Path, road: Road, out: Path) -> list[object] | None:
    """Return a command line that gives `folder` to a command which wants another kind."""
    lines: dict[str, list[object]] = {
        "annotate": ["annotate", folder, "--out", out],
        "encode": ["encode", folder, "--vocab", road.vocab, "--out", out],
        "pretrain": pretraining(folder, out),
        "finetune": _finetuning(folder, out, _task(out.parent)),
        "predict": ["predict", folder, "fill-mask", "我[MASK]"],
        "train_annotator": ["train-annotator", "--sentences", folder, "--out", out],
        "report": ["report", folder, "--out", out],
        "evaluate": ["evaluate", "--models", folder, "--tasks", _task(out.parent), "--out", out],
        "convert": ["convert", folder, out, "--to", "tf1"],
        "inspect": ["inspect", folder],
        "teach": ["teach", folder, "--teacher", road.model, "--hidden", 1, "--out", out],
        "prune": ["prune", folder, "--layers", 0, "--out", out],
        "sizes": ["sizes", folder, "--out", out.with_suffix(".md")],
        "export": ["export", folder, "--out", out],
        "serve": ["serve", folder, "--port", 0],
    }
    return lines.get(command)


WANTED = {
    "annotate": "corpus",
    "encode": "sentences",
    "pretrain": "shards",
    "train_annotator": "sentences",
    "finetune": "model",
    "predict": "model",
    "evaluate": "model",
    "convert": "model",
    "report": "run",
    "inspect": "shards",
    "teach": "shards",
    "prune": "model",
    "sizes": "model",
    "export": "model",
    "serve": "model",
}
ALSO = {("inspect", "corpus"), ("inspect", "sentences")}


@pytest.mark.parametrize("kind", ["corpus", "sentences", "shards", "model"])
@pytest.mark.parametrize("command", [name for name in COMMANDS if name in WANTED])
def test_a_folder_of_another_kind(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, kind: str
) -> None:
    if WANTED[command] == kind or (command, kind) in ALSO:
        pytest.skip("the right kind")
    folder: Path = getattr(road, kind)
    words = _takes(command, folder, road, tmp_path / "out")
    assert words is not None
    line = refused(capfd, words, str(folder))
    assert re.search(r"expected|not a|no such file|no run", line)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name in WANTED])
def test_an_unfinished_folder(
    road: Road, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    sound: dict[str, Path] = {**dataclasses.asdict(road), "run": road.model}
    half = Path(shutil.copytree(sound[WANTED[command]], tmp_path / "half.partial"))
    (half / "manifest.json").unlink()
    (half / "config.json").unlink(missing_ok=True)
    for folder, parts in {
        tmp_path / "half": ("half",),
        half: ("half.partial",),
        tmp_path / "none": ("none",),
    }.items():
        words = _takes(command, folder, road, tmp_path / "out")
        assert words is not None
        refused(capfd, words, *parts)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_every_command_that_takes_a_folder_is_tried() -> None:
    without = {"prepare", "train_vocab", "demo", "tasks", "models"}
    assert set(COMMANDS) - without == set(COMMANDS) & set(WANTED)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    with disk(tmp_path / "disk", 1) as folder:
        yield folder


def _stages(road: Road, out: Path) -> dict[str, list[object]]:
    return {
        "prepare": ["prepare", road.text, "--out", out],
        "train-vocab": ["train-vocab", road.corpus, "--out", out, "--size", 600],
        "annotate": ["annotate", road.corpus, "--annotator", "jieba", "--out", out],
        "encode": ["encode", road.sentences, "--vocab", road.vocab, "--out", out],
        "pretrain": pretraining(road.shards, out),
    }


STAGES = ("prepare", "train-vocab", "annotate", "encode", "pretrain")


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(
    road: Road, small_disk: Path, capfd: pytest.CaptureFixture[str], stage: str
) -> None:
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(1 << 21))
    if stage != "train-vocab":  # room for the first files
        os.truncate(ballast, ballast.stat().st_size - (8 << 10))
    words = _stages(road, small_disk / "out")[stage]
    line = refused(capfd, words, str(small_disk))
    assert re.search(r"[Nn]o space left", line)
    assert re.search(r"free some space|make room", line)
    ballast.unlink()
    succeed(*words, *(["--resume"] if stage == "pretrain" else []))


@pytest.mark.parametrize("stage", ["prepare", "pretrain"])
def test_a_limit_on_the_size_of_files(road: Road, tmp_path: Path, stage: str) -> None:
    words = _stages(road, tmp_path / "out")[stage]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))

    code, err = in_a_process(words, preexec_fn=limit)
    assert code == 2, err
    check_line(err, (os.strerror(errno.EFBIG),))
    check_nothing_finished(words)


def test_a_disk_that_fills_at_the_manifest(
    road: Road,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words: list[object] = ["prepare", road.text, "--out", tmp_path / "out"]
    write = files.write_atomic

    def full(path: Path, data: str | bytes) -> None:
        if path.name == "manifest.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("hanmo.core.artifact.write_atomic", full)
        refused(capfd, words, "manifest.json: No space left on device; free some space")
    succeed(*words)
    wanted = {path.name: path.read_bytes() for path in road.corpus.glob("part-*")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("part-*")} == wanted
