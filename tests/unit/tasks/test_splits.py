"""Finding a task's files, reading its splits, and counting what is left out."""

import dataclasses
import lzma
from pathlib import Path

import pytest

from hanmo.core.errors import UserError
from hanmo.tasks.splits import Split, locate, read_split, with_labels
from hanmo.tasks.suite import TASKS, find_task
from hanmo.tasks.task import Task

TASK = Task(
    name="toy",
    kind="classification",
    splits={"train": ("train.tsv",), "dev": ("dev.tsv", "valid.tsv")},
    columns={"label": "label", "text_a": "text"},
    labels=("0", "1"),
    drop_labels=("-",),
    source="somewhere",
)


def split(folder: Path, content: str, *, name: str = "train", task: Task = TASK) -> Split:
    path = folder / f"{name}.tsv"
    path.write_text(content, encoding="utf-8")
    return read_split(task, name, path)


def test_files_are_found_in_the_folder_below_it_and_compressed(tmp_path: Path) -> None:
    below = tmp_path / "single" / "toy"
    below.mkdir(parents=True)
    (below / "train.tsv.xz").write_bytes(lzma.compress(b"x"))
    (below / "valid.tsv").write_text("x")
    expected = {"train": below / "train.tsv.xz", "dev": below / "valid.tsv"}
    assert locate(TASK, tmp_path) == expected
    assert locate(TASK, below) == expected
    (tmp_path / "train.tsv").write_text("x")
    with pytest.raises(UserError, match=r"files in several folders: .*narrow --data"):
        locate(TASK, tmp_path)


def test_a_folder_for_other_tasks_does_not_hide_a_tasks_own_files(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
    (own / "train.tsv").write_text("x")
    task = dataclasses.replace(TASK, folder=str(own))
    assert locate(task, other) == {"train": own / "train.tsv"}
    (other / "train.tsv").write_text("x")
    assert locate(task, other) == {"train": other / "train.tsv"}
    assert locate(TASKS["sample-reviews"], other) == locate(TASKS["sample-reviews"], None)


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train\.tsv .*get the data from somewhere"):
        locate(TASK, tmp_path)
    with pytest.raises(UserError, match=r"do not come with hanmo; .*pass --data"):
        locate(TASK, None)
    with pytest.raises(UserError, match=r"--data: no folder"):
        locate(TASK, tmp_path / "absent")


def test_rows_that_are_left_out_are_counted(tmp_path: Path) -> None:
    read = split(tmp_path, "label\ttext\n1\t好\n0\t \n-\t中\n\n0\t差\n")
    assert [(one.id, one.fields["text_a"], one.gold) for one in read.examples] == [
        ("2", "好", "1"),
        ("6", "差", "0"),
    ]
    assert read.skipped == {"empty_text": 1, "dropped_label": 1, "blank_line": 1}


def test_other_splits_may_have_no_labels(tmp_path: Path) -> None:
    assert not split(tmp_path, "text\n好\n", name="dev").labelled
    assert split(tmp_path, "label\ttext\n1\t好\n", name="dev").labelled
    with pytest.raises(UserError, match=r"train\.tsv:1: no column 'label' for label; there: text"):
        split(tmp_path, "text\n好\n")


def test_labels_in_some_rows_only_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text('{"label": "1", "text": "a"}\n{"text": "b"}\n')
    with pytest.raises(UserError, match=r"dev\.jsonl:2: no label, unlike the rows before"):
        read_split(TASK, "dev", path)


def test_a_label_that_the_task_does_not_have(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, labels=("positive", "negative"))
    with pytest.raises(UserError, match=r"train\.tsv:3: unknown label 'postive'; did you mean 'po"):
        split(tmp_path, "label\ttext\nnegative\ta\npostive\tb\n", task=task)


def test_not_one_usable_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not one usable row \(left out: {'empty_text': 1}\)"):
        split(tmp_path, "label\ttext\n1\t \n")


def test_labels_are_those_of_the_training_split_unless_stated(tmp_path: Path) -> None:
    free = dataclasses.replace(TASK, labels=())
    read = split(tmp_path, "label\ttext\nb\tx\na\ty\nb\tz\n", task=free)
    assert with_labels(free, read).labels == ("a", "b")
    assert with_labels(TASK, read).labels == ("0", "1")
    one = split(tmp_path, "label\ttext\nb\tx\n", task=free)
    with pytest.raises(UserError, match=r"column 'label': 1 label \(b\); expected two or more"):
        with_labels(free, one)


def test_the_sample_comes_with_the_package() -> None:
    task = find_task("sample-reviews")
    files = locate(task, None)
    sizes = {name: len(read_split(task, name, path).examples) for name, path in files.items()}
    assert sizes == {"train": 320, "dev": 60, "test": 60}


# Rows as published; facts/10 and the data's own README.
PUBLISHED = {
    "chnsenticorp": {"train": 9600, "dev": 1200, "test": 1200},
    "tnews": {"train": 53360, "dev": 10000},
    "ocnli": {"train": 50437, "dev": 2950, "test": 3000},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_datasets_have_their_published_sizes(data_dir: Path, name: str) -> None:
    task = TASKS[name]
    try:
        files = locate(task, data_dir)
    except UserError as error:
        pytest.skip(str(error))
    splits = {split: read_split(task, split, path) for split, path in files.items()}
    assert {split: len(read.examples) for split, read in splits.items()} == PUBLISHED[name]
    found = {one.gold for read in splits.values() for one in read.examples} - {None}
    assert found == set(task.labels)
    assert {read.name for read in splits.values() if not read.labelled} == (
        {"test"} if name == "ocnli" else set()
    )
