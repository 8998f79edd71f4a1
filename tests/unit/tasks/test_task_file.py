"""A user's own task file."""

from pathlib import Path

import pytest

from hanmo.core.errors import UserError
from hanmo.tasks.kinds import classification
from hanmo.tasks.suite import find_task
from task_cases import TASK, write_task


def test_a_task_file_describes_a_task(tmp_path: Path) -> None:
    task = find_task(str(write_task(tmp_path)))
    assert (task.name, task.kind, task.folder) == ("toy", "classification", str(tmp_path))
    assert task.splits == {"train": ("train.tsv",), "dev": ("dev.tsv",)}
    assert task.columns == {"label": "label", "text_a": "text"}
    assert (task.settings.max_length, task.settings.epochs) == (24, 2)
    assert task.labels == ()


def test_a_pair_by_numbers(tmp_path: Path) -> None:
    text = 'reader = "csv"\n[splits]\ntrain = ["a.csv", "b.csv"]\n[columns]\n'
    text += "label = 2\ntext_a = 0\ntext_b = 1\n"
    path = tmp_path / "pairs.toml"
    path.write_text(text)
    task = find_task(str(path))
    assert (task.name, task.splits["train"]) == ("pairs", ("a.csv", "b.csv"))
    assert task.columns == {"label": 2, "text_a": 0, "text_b": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TASK.replace("[settings]", "[setings]"), "no key setings; did you mean 'settings'?"),
        (TASK.replace("epochs", "epoch"), "no key settings.epoch; did you mean 'epochs'?"),
        (TASK.replace("epochs = 2", "epochs = 0"), "settings.epochs: got 0; expected 1 or more"),
        (TASK.replace("epochs = 2", 'epochs = "2"'), "settings.epochs: got '2'; expected int"),
        (TASK.replace('text_a = "text"', ""), "columns: lacks text_a"),
        (TASK.replace('text_a = "text"', "text_a = true"), "columns.text_a: got True"),
        (TASK.replace("text_a", "text_aa"), "no key columns.text_aa; did you mean 'text_a'?"),
        (TASK.replace('train = "train.tsv"', ""), "no training file"),
        (TASK.replace("train =", "trian ="), "no training file"),
        ('kind = "classificaton"\n' + TASK, "no 'classificaton'; did you mean 'classification'?"),
        ('metrics = ["acuracy"]\n' + TASK, "no 'acuracy'; did you mean 'accuracy'?"),
        ('labels = "0"\n' + TASK, "labels: got '0'; expected a list of texts"),
        ('labels = ["0", "0"]\n' + TASK, "one of them is there twice"),
        (TASK.replace('"toy"', '"a/b"'), "name: got 'a/b'; expected letters"),
        (TASK + "[keep]\nlevel = 1\n", "keep.level: got 1; expected text"),
        (TASK + "[renamed_labels]\nx = 1\n", "renamed_labels.x: got 1; expected text"),
        (TASK + "[options]\nstride = 1\n", "options: kind classification has no 'stride'"),
        (
            'kind = "tagging"\n' + TASK + "[options]\nstride = 0\n",
            "options.stride: got 0; expected 1",
        ),
        ("name = ", "not TOML"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "task.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        find_task(str(path))
    assert expected in str(caught.value)


def test_questions_without_answers_are_not_scored_by_cmrcs_f1(tmp_path: Path) -> None:
    text = 'kind = "span"\nreader = "squad"\n[splits]\ntrain = "a.json"\n[columns]\n'
    text += 'context = "context"\nquestion = "question"\nlabel = "answers"\n'
    path = tmp_path / "task.toml"
    path.write_text(text)
    assert find_task(str(path)).metrics == ("em", "f1")
    path.write_text(text + "[options]\nno_answer = true\n")
    assert find_task(str(path)).metrics == ("cjrc_em", "cjrc_f1")
    path.write_text('metrics = ["f1"]\n' + text + "[options]\nno_answer = true\n")
    with pytest.raises(UserError, match="f1 gives nothing for a right answer of none"):
        find_task(str(path))


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no 'chnsenticrop'; did you mean 'chnsenticorp'\?"):
        find_task("chnsenticrop")
    with pytest.raises(UserError, match=r"absent\.toml: no such task file"):
        find_task("absent.toml")


def test_a_kind_of_ones_own_is_looked_for_beside_the_task_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, elsewhere = write_task(tmp_path / "task"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    source = Path(classification.__file__).read_text(encoding="utf-8")
    for folder in (elsewhere, task.parent):  # from the current folder, then beside the file
        (folder / "mine.py").write_text(source, encoding="utf-8")
        task.write_text('kind = "mine.py"\n' + TASK, encoding="utf-8")
        assert find_task(str(task)).kind == str(folder / "mine.py")
