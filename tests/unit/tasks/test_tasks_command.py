"""`hanmo tasks`: list, show, check, get."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from download_cases import Server, leading_to, serving
from hanmo import cli
from hanmo.commands import tasks
from hanmo.commands.tasks import Config
from hanmo.core.errors import UserError
from hanmo.tasks import download, listing
from hanmo.tasks.suite import TASKS
from task_cases import write_task


def run(*words: str, **settings: Any) -> dict[str, Any]:
    action, *names = words or ("list",)
    return tasks.run(Config(action, names, **settings))


def said(result: dict[str, Any]) -> str:
    text = result["text"]
    assert isinstance(text, str)
    return " ".join(text.split())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as made:
        monkeypatch.setattr(download, "open_https", leading_to(made.port))
        yield made


def test_the_list_imports_no_torch() -> None:
    for words in (["tasks"], ["tasks", "--json"], ["tasks", "get", "lcqmc", "--data", "no"]):
        program = (
            "import sys\nfrom hanmo.cli import main\n"
            f"code = main({words!r})\nassert 'torch' not in sys.modules\nraise SystemExit(code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (2 if "get" in words else 0, "")


def test_the_list_has_every_task_in_aligned_columns() -> None:
    result = run()
    lines = [line for line in result["text"].splitlines() if line.partition(" ")[0] in TASKS]
    assert sorted(line.split()[0] for line in lines) == sorted(TASKS)
    starts = {line.index(TASKS[line.split()[0]].metrics[0]) for line in lines}
    assert len(starts) == 1
    for text in ("tagging: A tag for every", "50,437 / 2,950 / 3,000", "on request", "CC BY-SA 4"):
        assert text in result["text"]
    assert {one["name"]: one["splits"] for one in result["json"]}["ocnli"] == TASKS["ocnli"].rows
    assert [one["name"] for one in run("list", "bq")["json"]] == ["bq"]


def test_east_asian_text_takes_two_places() -> None:
    assert listing.aligned([("差评", "1"), ("ab", "10,000")]) == ["差评       1", "ab    10,000"]


@pytest.mark.parametrize("name", TASKS)
def test_show_says_everything_of_a_task(name: str) -> None:
    result, task = run("show", name), TASKS[name]
    text = said(result)
    for words in (task.citation, task.licence, task.source, task.request, task.settings.source):
        assert " ".join(words.split()) in text
    for files in (*task.splits.values(), *(one.members for one in task.downloads)):
        assert all(file in text for file in files)
    for one in task.downloads:
        assert one.url in text
        assert one.sha256 in text
    for column in task.columns.values():
        assert (column if isinstance(column, str) else str(column)).strip("()'") in text or (
            isinstance(column, tuple) and " | ".join(column) in text
        )
    assert all(option["help"] for option in result["json"]["options"])
    sizes = [size for one in result["json"]["settings"] for size in one["sizes"]]
    assert len(sizes) == len(set(sizes)) > 10
    json.dumps(result["json"])


def test_show_of_particular_tasks(tmp_path: Path) -> None:
    text = said(run("show", "cail2018"))
    assert "several = 'first' (default: 'error'): what to do with labels that are lists" in text
    assert "label ← meta.accusation" in text
    assert "electra-base: max_length 512, batch_size 32, learning_rate 0.0003" in text
    text = said(run("show", "xnli"))
    assert "'contradictory' counts as 'contradiction'" in text
    assert "xnli.dev.tsv, xnli.test.tsv: format tsv" in text
    assert "keep: {'language': 'zh'}" in text
    assert "rows labelled '-' are left out" in said(run("show", "ocnli"))
    assert "label ← label | gold_label" in said(run("show", "cmnli"))
    assert "train_few_all.json has 160 rows" in said(run("show", "csl"))
    assert "never train on one task and test on another" in said(run("show", "msra-ner"))
    own = said(run("show", str(write_task(tmp_path))))
    assert "toy: classification" in own
    assert "labels: those of the training split" in own
    assert [one["name"] for one in run("show", "bq", "lcqmc")["json"]] == ["bq", "lcqmc"]


def test_a_kind_of_one_s_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from hanmo.tasks.kinds import classification\n\n\n"
        "class Kind(classification.Kind):\n    pass\n"
    )
    path = write_task(tmp_path)
    path.write_text('kind = "own.py"\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert "several = 'error'" in said(run("show", str(path)))
    assert f"{tmp_path / 'own.py'} toy - / -" in said(run("list", str(path)))


def write_ocnli(data: Path, *, labels: str = "ccen-") -> Path:
    names = {"c": "contradiction", "e": "entailment", "n": "neutral", "-": "-"}
    folder = data / "ocnli"
    folder.mkdir(parents=True)
    lines = [{"sentence1": "甲" * 7, "sentence2": "乙", "label": names[label]} for label in labels]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "dev.json").write_text(content, encoding="utf-8")
    return data


def test_check_counts_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_ocnli(tmp_path)
    result = run("check", "ocnli", data=data)
    assert result["exit_code"] == 1
    [one] = result["json"]["splits"]
    assert (one["rows"], one["published"], one["good"]) == (4, 2950, False)
    assert one["skipped"] == {"dropped_label": 1}
    assert one["labels"] == {"contradiction": 2, "entailment": 1, "neutral": 1}
    assert one["longest"] == {"text_a": 7, "text_b": 1}
    for words in ("4 2,950 DIFFERS dropped_label: 1 - text_a 7", "contradiction: 2, entailment"):
        assert words in said(result)
    monkeypatch.setitem(TASKS["ocnli"].rows, "dev", 4)  # type: ignore[arg-type]
    result = run("check", data=data)
    assert result["exit_code"] == 0
    assert "4 4 ok" in said(result)
    assert "no files: cmrc2018, drcd" in said(result)
    assert set(result["json"]["absent"]) == TASKS.keys() - {"ocnli", "sample-reviews"}


def test_check_says_what_cannot_be_read(tmp_path: Path) -> None:
    data = write_ocnli(tmp_path, labels="c")
    path = data / "ocnli" / "dev.json"
    path.write_text('{"sentence1": "a", "sentence2": "b", "label": "x"}\n')
    result = run("check", "ocnli", "sample-reviews", data=data)
    assert result["exit_code"] == 1
    assert f"{path}:1: unknown label 'x'" in said(result)
    assert "320 320 ok" in said(result)
    for folder in ("a/ocnli", "b/ocnli"):
        (data / folder).mkdir(parents=True)
        (data / folder / "dev.json").write_text("")
    assert "files in several folders" in said(run("check", data=data))


def test_check_of_both_forms_of_lcqmc(tmp_path: Path) -> None:
    folder = tmp_path / "lcqmc"
    folder.mkdir()
    row = {"gold_label": "1", "sentence1": "甲", "sentence2": "乙", "ID": "0"}
    (folder / "LCQMC_train.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text("甲\t乙\t0\n丙\t丁\t1\n", encoding="utf-8")
    found = run("check", "lcqmc", data=tmp_path)["json"]["splits"]
    assert [(one["split"], one["rows"], one["problem"]) for one in found] == [
        ("train", 1, ""),
        ("dev", 2, ""),
    ]


def test_check_of_cail_takes_first_accusations(tmp_path: Path) -> None:
    folder = tmp_path / "cail2018"
    folder.mkdir()
    for name, crimes in (
        ("data_train", ["[引诱、容留、介绍]卖淫", "盗窃"]),
        ("data_valid", ["引诱、容留、介绍卖淫"]),
    ):
        rows = [{"fact": "事", "meta": {"accusation": [one, "抢劫"]}} for one in crimes]
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.json").write_text(content, encoding="utf-8")
    train, dev = run("check", "cail2018", data=tmp_path)["json"]["splits"]
    assert train["labels"] == {"引诱、容留、介绍卖淫": 1, "盗窃": 1}
    assert (dev["labels"], dev["problem"]) == ({"引诱、容留、介绍卖淫": 1}, "")


def test_check_of_a_task_file_without_data(tmp_path: Path) -> None:
    result = run("check", str(write_task(tmp_path)))
    assert result["exit_code"] == 0
    assert "toy train train.tsv 24 -" in said(result)


def test_get_then_check(server: Server, tmp_path: Path) -> None:
    server.version = ""
    with pytest.raises(UserError, match=r"404 Not Found; see https://github\.com/CLUE"):
        run("get", "ocnli", data=tmp_path)
    for two in TASKS["ocnli"].downloads:
        server.files["/" + two.url.split("/", 3)[3]] = two.file.encode()
    with pytest.raises(UserError, match=r"sha256 .*; expected .*; the publisher may have replaced"):
        run("get", "ocnli", data=tmp_path)
    result = run("get", "ocnli", data=tmp_path, accept_changed=True)
    assert result["exit_code"] == 0
    for two in TASKS["ocnli"].downloads:
        assert (tmp_path / "ocnli" / two.file).read_bytes() == two.file.encode()
        assert hashlib.sha256(two.file.encode()).hexdigest() in said(result)
    assert "changed by its publisher, accepted" in said(result)


def test_get_goes_on_with_the_other_tasks(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = TASKS["cluener"].downloads[0].url
    result = run("get", "cluener", "lcqmc", "sample-reviews", data=tmp_path)
    assert result["exit_code"] == 2
    assert capsys.readouterr().err.startswith(f"hanmo: {url}: 404 Not Found; see https://")
    assert result["json"]["failed"].keys() == {"cluener"}
    text = said(result)
    assert "lcqmc LCQMC_train.json on request" in text
    assert f"lcqmc: {TASKS['lcqmc'].request}" in text
    assert "sample-reviews train.tsv there comes with hanmo" in text


def test_get_of_a_mixed_task_says_what_is_missing(server: Server, tmp_path: Path) -> None:
    for one in TASKS["cjrc"].downloads:  # its addresses hold Chinese
        server.files["/" + one.url.split("/", 3)[3]] = b"{}"
    result = run("get", "cjrc", data=tmp_path, accept_changed=True)
    assert result["exit_code"] == 2
    assert "cjrc big_train_data.json on request" in said(result)
    assert "rdg_cail2019_rc@iflytek.com" in said(result)


def test_from_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "sent.tsv"
    given.write_text("甲\t乙\t1\n", encoding="utf-8")
    data = tmp_path / "data"
    words = ["tasks", "get", "lcqmc", "--data", str(data), "--from"]
    assert cli.main([*words, str(given)]) == 2
    assert "expected LCQMC_train.json" in capsys.readouterr().err
    assert cli.main([*words, str(given.rename(tmp_path / "dev.tsv"))]) == 0
    assert "lcqmc  dev.tsv  taken" in capsys.readouterr().out
    assert (data / "lcqmc" / "dev.tsv").is_file()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config("shwo"), "no action 'shwo'; did you mean 'show'?"),
        (Config("cmrc2018"), "did you mean: hanmo tasks show cmrc2018?"),
        (Config("my/own.toml"), "did you mean: hanmo tasks show my/own.toml?"),
        (Config("show"), "tasks show: no task named; expected names"),
        (Config("show", ["cmrc2017"]), "no 'cmrc2017'; did you mean 'cmrc2018'?"),
        (Config("check"), "no --data"),
        (Config("check", ["ocnli"]), "no --data"),
        (Config("get", ["ocnli"]), "no --data"),
        (Config("show", ["ocnli"], data=Path("x")), "--data: belongs to hanmo tasks check and get"),
        (Config("list", from_=Path("x")), "--from: belongs to hanmo tasks get"),
        (Config("check", accept_changed=True), "--accept-changed: belongs to"),
        (Config("get", ["bq", "lcqmc"], Path("x"), Path("y")), "--from: got 2 tasks; expected one"),
    ],
)
def test_mistakes_are_explained(config: Config, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        tasks.run(config)
    assert expected in str(caught.value)


def test_check_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no cmrc2018_train\.json or train\.json"):
        run("check", "cmrc2018", data=tmp_path)
    with pytest.raises(UserError, match="no folder"):
        run("check", "bq", data=tmp_path / "no")


def test_all_published_counts_agree_with_the_real_data(data_dir: Path) -> None:
    result = run("check", "ocnli", "chnsenticorp", "stsb", data=data_dir)
    assert result["exit_code"] == 0, result["text"]
