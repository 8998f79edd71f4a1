"""The stages on a store: the bytes of a local run, two machines, processes killed at any moment."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

import store_cases
from hanmo.core import remote
from hanmo.core.urls import as_path
from process_cases import SLOW, hanmo

N_PARTS = 8
Environment = dict[str, str]


def done(environment: Environment, *words: object, code: int = 0) -> str:
    found = subprocess.run(
        hanmo(*words), capture_output=True, timeout=240, env=environment, text=True, check=False
    )
    assert found.returncode == code, found.stderr
    return found.stdout + found.stderr


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of text, some of it repeated, and a vocabulary."""
    folder = tmp_path_factory.mktemp("raw")
    rng = random.Random(7)
    letters = "我们今天去北京大学看书，然后回家吃饭。"
    texts = ["".join(rng.choice(letters) for _ in range(300)) for _ in range(N_PARTS * 10)]
    for number in range(4):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts[number::3]]
        (folder / "text").mkdir(exist_ok=True)
        (folder / f"text/文 {number}%41.jsonl").write_text("\n".join(lines), encoding="utf-8")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(letters))]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> Environment:
    return store_cases.install(tmp_path)


def on_shelf(environment: Environment, folder: Path, name: str) -> None:
    """Copy a folder to the store."""
    for path in folder.rglob("*"):
        if path.is_file():
            target = Path(environment["SHELF"]) / name / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def stages(environment: Environment, source: object, base: object, *more: object) -> None:
    words = ("--part-chars", 2500, "--near-duplicates", 0.8, "--dedup-paragraphs", 30)
    done(environment, "prepare", f"{source}/text", "--out", f"{base}/corpus", *words, *more)
    annotator = ("--annotator", "jieba")
    done(environment, "annotate", f"{base}/corpus", "--out", f"{base}/said", *annotator, *more)
    vocab = ("--vocab", f"{source}/vocab.txt", "--shard-pieces", 5000)
    done(environment, "encode", f"{base}/said", *vocab, "--out", f"{base}/shards", *more)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder; of manifests what does not say where inputs lie."""
    found = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    for name, data in found.items():
        if name.endswith("manifest.json"):
            manifest = json.loads(data)
            kept = {key: manifest[key] for key in ("kind", "inputs", "counts", "files")}
            found[name] = json.dumps(kept, sort_keys=True).encode()
    return found


def test_the_bytes_of_a_local_run(raw: Path, tmp_path: Path, shelf: Environment) -> None:
    on_shelf(shelf, raw, "in")
    stages(shelf, raw, tmp_path / "local")
    stages(shelf, "shelf://in", "shelf://work", "--workers", "2")
    far = contents(Path(shelf["SHELF"]) / "work")
    assert far == contents(tmp_path / "local")
    assert len(far) > 2 * N_PARTS
    here = Path(shelf["HANMO_REMOTE"])
    left = {p.name for p in here.rglob("*") if p.is_file() and ".stamps" not in p.parts}
    assert left == {"manifest.json", "vocab.txt"}, "copies of parts went when they were used"
    told = done(shelf, "inspect", "shelf://work/shards", "--json")
    assert json.loads(told)
    told = done(shelf, "prepare", "shelf://none", "--out", "shelf://other/x", code=2)
    assert told == "hanmo: shelf://none: no such file or folder\n"
    for words in (
        ("train-vocab", "shelf://work/corpus", "--out", "shelf://work/vocab.txt"),
        (
            "encode",
            "shelf://work/shards",
            "--to",
            "tfrecord",
            "--format",
            "bert",
            "--out",
            "shelf://work/records",
        ),
    ):
        told = done(shelf, *words, code=2)
        assert "expected a local folder" in told
        assert "shelf://work/" in told


def test_what_another_machine_wrote_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores remember what they listed; a listing asks again, and so does removing a folder."""
    store_cases.use(tmp_path, monkeypatch)
    folder, elsewhere = as_path("shelf://work/x"), tmp_path / "shelf/work/x"
    (elsewhere / "below").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "below/c"), 1):
        (elsewhere / name).touch()
        assert len(remote.listing(folder)) == number
        assert len(remote.children(folder)) == min(number, 2) + 1
    (elsewhere / "d").touch()
    remote.remove_tree(folder)
    assert not elsewhere.exists()


def test_a_part_that_is_damaged_is_named(raw: Path, shelf: Environment) -> None:
    on_shelf(shelf, raw, "in")
    words = ("--part-chars", 2500)
    done(shelf, "prepare", "shelf://in/text", "--out", "shelf://work/corpus", *words)
    part = Path(shelf["SHELF"]) / "work/corpus/part-00003.jsonl.zst"
    whole = part.read_bytes()
    annotate = (
        "annotate",
        "shelf://work/corpus",
        "--annotator",
        "jieba",
        "--out",
        "shelf://work/said",
    )
    for damaged, message in ((whole[:-1], "cut short"), (whole[:-1] + b"x", "SHA-256 differs")):
        part.write_bytes(damaged)
        told = done(shelf, *annotate, code=2)
        assert told.startswith("hanmo: shelf://work/corpus/part-00003.jsonl.zst: ")
        assert message in told
    part.write_bytes(whole)
    done(shelf, *annotate)


def killed(command: list[str], environment: Environment, seconds: float, done_before: int) -> int:
    """Kill a command, with all its workers, some time after it finished another part."""
    child = subprocess.Popen(
        command,
        start_new_session=True,
        env={**environment, "SECONDS_A_BATCH": "0.2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while child.poll() is None and marked(environment) <= done_before:
        assert time.monotonic() < deadline, "no part was made"
        time.sleep(0.02)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait(timeout=60)


def marked(environment: Environment) -> int:
    state = Path(environment["SHELF"]) / "work/said.partial/.state"
    return len([*state.glob("tasks/completions/[0-9]*")])


def test_killed_at_random_moments_by_turns_on_two_machines(
    raw: Path, tmp_path: Path, shelf: Environment
) -> None:
    on_shelf(shelf, raw, "in")
    words = ("--part-chars", 2500)
    done(shelf, "prepare", "shelf://in/text", "--out", "shelf://work/corpus", *words)
    annotate = ("annotate", "shelf://work/corpus", "--annotator", raw / "slow.py", "--out")
    done(shelf, *annotate, tmp_path / "whole")
    rng = random.Random(3)
    machines = [{**shelf, "HANMO_REMOTE": str(tmp_path / name)} for name in ("one", "two")]
    command = hanmo(*annotate, "shelf://work/said", "--workers", 2)
    owner = Path(shelf["SHELF"]) / "work/.said.lock"
    progress = []
    for number in range(4):
        before = marked(shelf)
        code = killed(command, machines[number % 2], rng.uniform(0, 0.4), before)
        assert code in (-signal.SIGKILL, 0)
        if code == 0:
            break
        if not owner.exists():  # killed when all was done and the lock given back
            assert (owner.parent / "said" / "manifest.json").exists()
            break
        progress.append(marked(shelf))
        told = done(machines[1 - number % 2], *command[3:], code=2)
        assert "another hanmo (process" in told
        assert "delete shelf://work/.said.lock" in told
        owner.unlink()
    assert progress == sorted(set(progress)), "each run went on from the one before"
    done(machines[0], *command[3:])
    assert contents(Path(shelf["SHELF"]) / "work/said") == contents(tmp_path / "whole")
    left = {path.name for path in (Path(shelf["SHELF"]) / "work").iterdir()}
    assert left == {"corpus", "said"}


def test_a_store_that_fails_is_no_bad_document(raw: Path, shelf: Environment) -> None:
    """With --on-error skip a file is left out for what is in it, never for the network."""
    on_shelf(shelf, raw, "in")
    (name,) = [p for p in (Path(shelf["SHELF"]) / "in/text").iterdir() if "2" in p.name]
    words = ("prepare", "shelf://in/text", "--out", "shelf://work/corpus", "--on-error", "skip")
    told = done({**shelf, "SHELF_FAILS": name.name}, *words, code=2)
    assert (
        f"shelf://in/text/{name.name}: cannot read it (OSError: [Errno 5] the line is down" in told
    )
    done(shelf, *words)
    assert not (Path(shelf["SHELF"]) / "work/corpus/missing.jsonl").exists()
