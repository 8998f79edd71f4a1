"""The cache of encoded examples: what its names depend on, and what damage does to it."""

import dataclasses
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanmo.tasks import cache
from hanmo.tasks.kind import Features, Kind, load_kind
from hanmo.tasks.kinds import classification
from hanmo.tasks.task import Layout, Settings, Task, with_settings
from hanmo.text.tokenizer import Tokenizer
from training_cases import CHARACTERS, VOCAB, tokenizer

TASK = Task(
    name="toy",
    kind="span",
    splits={"train": ("train.json",)},
    columns={"context": "context", "question": "question", "label": "answers"},
    options={"no_answer": True, "doc_stride": 5},
    labels=("a", "b"),
    settings=Settings(max_length=20),
)
KIND = load_kind(TASK.kind, TASK.options)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.json"
    path.write_text("{}")
    return path


def features(n: int = 4) -> list[Features]:
    made = []
    for i in range(n):
        context = "".join(CHARACTERS[i : 8 * (i + 1)])
        answers = [{"text": context[i : i + 2], "answer_start": i}] if i % 2 else []
        row = {"context": context, "question": CHARACTERS[i], "label": answers}
        example = KIND.read(str(i), row, TASK, train=True)
        made.append(KIND.encode(example, TASK, tokenizer()))
    return made


def plain(made: list[Features] | None) -> Any:
    """The same in lists, for comparison."""
    if made is None:
        return None
    return [
        (
            one.example,
            one.truncated,
            {name: values.tolist() for name, values in one.extras.items()},
            [
                (
                    s.positions.tolist(),
                    {name: values.tolist() for name, values in s.inputs.items()},
                    {name: values.tolist() for name, values in s.targets.items()},
                )
                for s in one.sequences
            ],
        )
        for one in made
    ]


def key(data: Path, *, task: Task = TASK, made: Tokenizer | None = None, kind: Kind = KIND) -> str:
    return cache.key_of(task, made or tokenizer(), data, kind)


def replaced(**changes: Any) -> Task:
    return dataclasses.replace(TASK, **changes)


# What the name depends on.


def test_the_content_of_the_file_counts_and_its_place_does_not(data: Path) -> None:
    before = key(data)
    moved = data.with_name("dev.json")
    moved.write_bytes(data.read_bytes())
    assert key(moved) == before
    data.write_text("{ }")
    assert key(data) != before


def test_the_vocabulary_counts(data: Path) -> None:
    before = key(data)
    assert key(data, made=Tokenizer(VOCAB)) == before
    assert key(data, made=Tokenizer([*VOCAB, "x"])) != before
    swapped = [*VOCAB[:-2], VOCAB[-1], VOCAB[-2]]
    assert key(data, made=Tokenizer(swapped)) != before


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": Settings(max_length=21)},
        {"options": {"no_answer": True, "doc_stride": 6}},
        {"options": {"no_answer": True}},
        {"labels": ("b", "a")},
        {"labels": ("a", "b", "c")},
        {"columns": {"context": "context", "question": "title", "label": "answers"}},
        {"kind": "tagging"},
        {"reader": "jsonl"},
        {"delimiter": "||"},
        {"header": "yes"},
        {"quoted": True},
        {"keep": {"domain": "civil"}},
        {"drop_labels": ("-",)},
        {"renamed_labels": {"x": "a"}},
        {"layouts": {"train.json": Layout(columns={"context": "text"})}},
    ],
)
def test_what_decides_on_features_counts(data: Path, changes: dict[str, Any]) -> None:
    assert key(data, task=replaced(**changes)) != key(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": ("cjrc_em",)},
        {"tabled": 3},
        {"source": "elsewhere"},
        {"citation": "somebody"},
        {"licence": "none"},
        {"published": "CJRC"},
    ],
)
def test_what_does_not_decide_on_features_does_not_count(
    data: Path, changes: dict[str, Any]
) -> None:
    assert key(data, task=replaced(**changes)) == key(data)


def test_settings_of_training_do_not_count(data: Path) -> None:
    other = with_settings(
        TASK, learning_rate=1e-3, epochs=9, batch_size=2, warmup_rate=0.0, layer_decay=0.5
    )
    assert key(data, task=other) == key(data)


def test_the_source_of_a_kind_of_ones_own_counts(data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    source = Path(classification.__file__).read_text(encoding="utf-8")
    mine.write_text(source, encoding="utf-8")
    kind, task = load_kind(str(mine)), replaced(kind=str(mine), options={})
    before = key(data, task=task, kind=kind)
    assert key(data, task=task, kind=kind) == before
    mine.write_text(source + "\n# another version\n", encoding="utf-8")
    assert key(data, task=task, kind=kind) != before


# What is stored.


def test_features_come_back_as_they_were(folder: Path) -> None:
    made = features()
    examples = [one.example for one in made]
    assert cache.load("k", examples) is None
    assert cache.store("k", made) is made
    again = cache.load("k", examples)
    assert plain(again) == plain(made)
    assert again is not None
    for one, other in zip(made, again, strict=True):
        for a, b in zip(one.sequences, other.sequences, strict=True):
            assert {n: v.dtype for n, v in a.inputs.items()} == {
                n: v.dtype for n, v in b.inputs.items()
            }
    assert [path.name for path in folder.iterdir()] == ["k.npz"]


def test_another_number_of_examples_is_not_taken(folder: Path) -> None:
    made = features()
    cache.store("k", made)
    assert cache.load("k", [one.example for one in made[:-1]]) is None
    assert cache.load("k", [one.example for one in (*made, *made)]) is None


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_ignored(folder: Path, data: st.DataObject) -> None:
    made = features(2)
    cache.store("k", made)
    path = folder / "k.npz"
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:place]
    else:
        flipped = whole[place] ^ data.draw(st.integers(1, 255))
        broken = whole[:place] + bytes([flipped]) + whole[place + 1 :]
    path.write_bytes(broken)
    assert cache.load("k", [one.example for one in made]) is None
    # The next run writes it anew.
    cache.store("k", made)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"x", b"\x93NUMPY", b"PK\x05\x06" + b"\0" * 18])
def test_other_files_are_ignored(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "k.npz").write_bytes(content)
    assert cache.load("k", []) is None
    (folder / "k.npz").unlink()
    (folder / "k.npz").mkdir()
    assert cache.load("k", []) is None


def test_the_oldest_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = features(2)
    cache.store("0", made)
    size = (folder / "0.npz").stat().st_size
    monkeypatch.setattr(cache, "_MOST_BYTES", 3 * size + 1)
    for number in range(1, 4):
        os.utime(folder / f"{number - 1}.npz", (number, number))
        cache.store(str(number), made)
    assert {path.stem for path in folder.iterdir()} == {"1", "2", "3"}
    # What was read lately is kept, even if it was written long ago.
    assert cache.load("1", [one.example for one in made]) is not None
    os.utime(folder / "3.npz", (9, 9))
    cache.store("4", made)
    assert {path.stem for path in folder.iterdir()} == {"1", "3", "4"}


def test_files_of_others_are_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "note.txt").write_text("x" * 1000)
    monkeypatch.setattr(cache, "_MOST_BYTES", 1)
    cache.store("k", features(2))
    assert [path.name for path in folder.iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_made_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "file" / "below"))
    made = features(2)
    assert cache.store("k", made) is made
    assert cache.load("k", [one.example for one in made]) is None


def test_a_full_disk_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(cache, "write_atomic", full)
    made = features(2)
    assert cache.store("k", made) is made


def test_a_read_only_folder_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = features(2)
    cache.store("k", made)

    def refused(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refused)
    assert plain(cache.load("k", [one.example for one in made])) == plain(made)


def test_the_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HANMO_CACHE", "")  # as good as not set: not the current folder
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() == tmp_path / ".cache" / "hanmo" / "features"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "hanmo" / "features"
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "own"))
    assert cache.folder() == tmp_path / "own"


def _store(barrier: Any, store: Callable[..., Any], made: list[Features]) -> None:
    barrier.wait(60)
    for _ in range(20):
        store("k", made)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_may_write_the_same_name(folder: Path) -> None:
    made = features()
    examples = [one.example for one in made]
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [
        context.Process(target=_store, args=(barrier, cache.store, made)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    barrier.wait(60)
    while any(process.is_alive() for process in processes):
        found = cache.load("k", examples)
        assert found is None or len(found) == len(made)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert plain(cache.load("k", examples)) == plain(made)
    assert [path.name for path in folder.iterdir()] == ["k.npz"]


def test_numbers_without_a_target_stay_missing(folder: Path) -> None:
    kind = load_kind("regression")
    task = replaced(kind="regression", options={})
    rows = [{"text_a": CHARACTERS[0], "label": label} for label in ("1.5", None)]
    made = [kind.encode(kind.read("1", r, task, train=False), task, tokenizer()) for r in rows]
    cache.store("k", made)
    again = cache.load("k", [one.example for one in made])
    assert again is not None
    targets = [one.sequences[0].targets["label"] for one in again]
    np.testing.assert_array_equal(np.concatenate(targets), np.array([1.5, np.nan], np.float32))
