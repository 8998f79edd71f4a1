"""Finding a task's files, reading its splits, and counting what is left out."""

import dataclasses
import lzma
from collections import Counter
from pathlib import Path

import pytest

from hanmo.core.errors import UserError
from hanmo.tasks.kinds._answers import locate_answer
from hanmo.tasks.splits import Split, locate, plain_name, read_split, with_labels
from hanmo.tasks.squad import read_squad
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
    with pytest.raises(UserError, match=r"not one usable row \(left out: 1 empty_text\)"):
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


def test_labels_of_other_releases_are_renamed(tmp_path: Path) -> None:
    task, path = TASKS["xnli"], tmp_path / "multinli.train.zh.tsv"
    path.write_text("premise\thypo\tlabel\n甲\t乙\tcontradictory\n丙\t丁\tneutral\n", "utf-8")
    assert [one.gold for one in read_split(task, "train", path).examples] == [
        "contradiction",
        "neutral",
    ]


def test_a_second_text_that_a_task_names_must_be_there(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, columns={**TASK.columns, "text_b": "other"})
    with pytest.raises(UserError, match=r"train\.tsv:1: no column 'other' for text_b"):
        split(tmp_path, "label\ttext\n1\t好\n", task=task)
    with pytest.raises(UserError, match=r"not one usable row \(left out: 1 empty_text\)"):
        split(tmp_path, "label\ttext\n1\t好\n", name="dev", task=task)
    path = tmp_path / "train.jsonl"
    path.write_text(
        '{"label": 1, "text": "a", "other": null}\n{"label": 1, "text": "a", "other": "b"}'
    )
    read = read_split(task, "train", path)
    assert (len(read.examples), read.skipped) == (1, {"empty_text": 1})


# The real files. Their published sizes are `Task.rows`; what else is known of them is here.
BIG = {("msra-ner", "train"), ("peoples-daily", "train")}
WITHOUT_LABELS = {("ocnli", "test"), ("cluener", "test")}
SKIPPED = {("ocnli", "train"): {"dropped_label": 49}, ("ocnli", "dev"): {"dropped_label": 50}}
NOTED = {
    ("cmrc2018", "train"): {"answer_found_by_text": 21},
    ("cmrc2018", "dev"): {"answer_found_by_text": 3},  # of the first answers
    ("cmrc2018", "trial"): {"answer_found_by_text": 5},
    ("cluener", "train"): {"nested_entity_left_out": 2},
}


def files_of(name: str, data: Path) -> dict[str, Path]:
    try:
        return locate(TASKS[name], data, needed="")
    except UserError as error:
        pytest.skip(str(error))


def check(name: str, split_name: str, path: Path) -> Split:
    task, place = TASKS[name], (name, split_name)
    read = read_split(task, split_name, path)
    assert task.published_rows(split_name, plain_name(path)) == len(read.examples)
    assert read.labelled == (place not in WITHOUT_LABELS)
    assert read.skipped == SKIPPED.get(place, {})
    assert read.noted == NOTED.get(place, {})
    assert len({one.id for one in read.examples}) == len(read.examples)
    if read.labelled and task.labels:
        found = {one.gold for one in read.examples}
        if task.kind == "tagging":
            found = {tag.partition("-")[2] for tags in found for tag in tags} - {""}
        assert found <= set(task.labels)
    return read


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if not task.embedded])
def test_published_datasets_have_their_published_sizes(data_dir: Path, name: str) -> None:
    for split_name, path in files_of(name, data_dir).items():
        if (name, split_name) not in BIG:
            check(name, split_name, path)


@pytest.mark.slow
def test_the_large_training_sets_have_their_published_sizes(data_dir: Path) -> None:
    reads = {
        name: check(name, split_name, files_of(name, data_dir)[split_name])
        for name, split_name in BIG
    }
    sizes = {n: sum(len(e.gold) for e in read.examples) for n, read in reads.items()}
    # The same texts in other pieces, but for 1,694 characters.
    assert sizes == {"msra-ner": 2171573, "peoples-daily": 2169879}


def test_answers_of_cmrc_that_are_not_where_they_say(data_dir: Path) -> None:
    files = files_of("cmrc2018", data_dir)
    counts = {}
    for name in ("dev", "trial"):
        rows = [row for _, row in read_squad(files[name])]
        answers = [(row["context"], one) for row in rows for one in row["answers"]]
        wrong = [
            one
            for context, one in answers
            if one["answer_start"] < 0 or not context.startswith(one["text"], one["answer_start"])
        ]
        empty = [row for row in rows if not row["question"].strip()]
        nowhere = [one for context, one in answers if not locate_answer(context, one["text"], -1)]
        counts[name] = (len(answers), len(wrong), len(nowhere), len(empty))
    # The other seven and five are found by their text.
    assert counts == {"dev": (9657, 200, 193, 0), "trial": (1002, 5, 0, 2)}


def test_kinds_of_answers_of_cjrc(data_dir: Path) -> None:
    files = files_of("cjrc", data_dir)
    read = check("cjrc", "dev", files["dev"])
    kinds = Counter(one.fields["type"] for one in read.examples)
    assert kinds == {"span": 3977, "": 1420, "YES": 410, "NO": 193}
    texts = Counter(text for one in read.examples for text in one.gold)
    assert texts["YES"] + texts["NO"] == 1959
