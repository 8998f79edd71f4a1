"""SQuAD's JSON, CMRC 2018's older list form, and what is wrong with a file."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanmo.core.errors import UserError
from hanmo.tasks.squad import read_squad

ANSWER = {"text": "北京", "answer_start": 3}


def question(id_: str = "Q1", **more: Any) -> dict[str, Any]:
    return {"id": id_, "question": "在哪里？", "answers": [ANSWER], **more}


def document(*questions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"paragraphs": [{"id": "P", "context": "他住在北京。", "qas": list(questions)}], **more}


def read(path: Path, value: Any) -> list[tuple[str, dict[str, Any]]]:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    path.write_bytes(content)
    return list(read_squad(path))


def message(path: Path, value: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def test_what_stands_beside_a_question_and_a_document_is_kept(tmp_path: Path) -> None:
    value = {"version": "1", "data": [document(question(is_impossible="false"), domain="民事")]}
    [(id_, row)] = read(tmp_path / "a.json", value)
    assert id_ == "Q1"
    assert row == {
        "domain": "民事",
        "id": "Q1",
        "question": "在哪里？",
        "answers": [ANSWER],
        "is_impossible": "false",
        "context": "他住在北京。",
    }


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    raw = json.dumps({"data": [document(question())]}, ensure_ascii=False).encode("utf-8-sig")
    assert [id_ for id_, _ in read(tmp_path / "a.json", raw)] == ["Q1"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_pretty_printed_file_is_read(tmp_path: Path, newline: str) -> None:
    text = json.dumps({"data": [document(question())]}, indent=2).replace("\n", newline)
    assert len(read(tmp_path / "a.json", text.encode())) == 1


def test_cmrcs_old_form(tmp_path: Path) -> None:
    value = [
        {
            "context_id": "DEV_0",
            "context_text": "他住在北京。",
            "title": "某人",
            "qas": [
                {"query_id": "DEV_0_QUERY_0", "query_text": "在哪里？", "answers": ["北京", "京"]},
                {"query_id": "DEV_0_QUERY_1", "query_text": "谁？", "answers": []},
            ],
        }
    ]
    (one, first), (two, second) = read(tmp_path / "a.json", value)
    assert (one, two) == ("DEV_0_QUERY_0", "DEV_0_QUERY_1")
    assert (first["context"], first["question"]) == ("他住在北京。", "在哪里？")
    assert first["answers"] == [
        {"text": "北京", "answer_start": -1},
        {"text": "京", "answer_start": -1},
    ]
    assert second["answers"] == []


def test_hidden_test_sets_have_no_answers(tmp_path: Path) -> None:
    missing = question("Q2")
    del missing["answers"]
    value = {"data": [document(question(answers=None), missing, question("Q3", answers=[]))]}
    assert [row["answers"] for _, row in read(tmp_path / "a.json", value)] == [None, None, []]


def test_a_missing_place_is_minus_one(tmp_path: Path) -> None:
    value = {"data": [document(question(answers=[{"text": "北京", "id": "1"}]))]}
    [(_, row)] = read(tmp_path / "a.json", value)
    assert row["answers"] == [{"text": "北京", "answer_start": -1}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"data": [\n  {"paragraphs": [}\n]}', ":2: not JSON: Expecting value at column 19"),
        (b"", ":1: not JSON: Expecting value at column 1"),
        ({"dta": []}, ': no list "data" at the top; expected SQuAD\'s JSON'),
        ("text", ': no list "data" at the top'),
        ({"data": ["x"]}, ": 'data': got \"['x']\"; expected a list of documents"),
        (
            {"data": [{"paragraph": []}]},
            ": 'paragraphs': got 'None'; expected a list of paragraphs",
        ),
        (
            {"data": [{"paragraphs": [{"context": "x"}]}]},
            ": 'qas': got 'None'; expected a list of qu",
        ),
        (["x"], ": a list of str; expected passages"),
        ([{"context_text": "x"}], ": 'qas': got 'None'"),
        ({"data": [document(question(), question())]}, ": question Q1: this id is there twice"),
        (
            {"data": [document(question(id=7))]},
            ": question no. 1 (7): id: got '7'; expected a text",
        ),
        (
            {"data": [document({"id": "Q1"})]},
            ": question no. 1 (Q1): question: got 'None'; expected",
        ),
        (
            {"data": [{"paragraphs": [{"qas": [question()]}]}]},
            ": question no. 1 (Q1): context: got 'None'; expected a text",
        ),
        ({"data": [document(question(answers="北京"))]}, ": question Q1: answers: got '北京'"),
        (
            {"data": [document(question(answers=[{"answer_start": 1}]))]},
            ": question Q1: answers: got",
        ),
        (
            {"data": [document(question(answers=[{"text": "x", "answer_start": "1"}]))]},
            ": question Q1: answer_start: got '1'; expected a whole number",
        ),
        (
            {"data": [document(question(answers=[{"text": "x", "answer_start": True}]))]},
            ": question Q1: answer_start: got True",
        ),
        ('{"data": ["é"]}'.encode("latin-1"), ":1: not UTF-8: byte 0xe9 at byte 11 of the file"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, value: Any, expected: str) -> None:
    assert message(tmp_path / "a.json", value).startswith(expected)


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress), (".bz2", bz2.compress)]
)
def test_damaged_archives_are_explained(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a.json{suffix}"
    value = {"data": [document(*[question(f"Q{n}") for n in range(400)])]}
    whole = pack(json.dumps(value).encode())
    assert len(read(path, whole)) == 400
    assert "damaged archive after line 0" in message(path, whole[: len(whole) // 2])
    middle = len(whole) // 2
    flipped = bytes(255 - byte for byte in whole[middle : middle + 20])
    broken = whole[:middle] + flipped + whole[middle + 20 :]
    assert "damaged archive" in message(path, broken)
    assert "damaged archive" in message(path, b"no archive at all")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.json: no such file"):
        list(read_squad(tmp_path / "absent.json"))
