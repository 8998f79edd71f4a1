"""Sentences drawn evenly: from everywhere, in order, none twice, always the same."""

import json
from pathlib import Path

import pytest

from hanmo.core.files import open_text
from hanmo.corpus import drawing
from hanmo.corpus.drawing import draw


def write(path: Path, documents: list[tuple[str, str]]) -> Path:
    with open_text(path, "w") as stream:
        for name, text in documents:
            record = {"id": name, "text": text, "source": "test"}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Three parts, not compressed: shares of bytes are shares of text."""
    made = []
    for part in range(3):
        texts = [
            (f"{part}-{n}", "".join(f"第{part}部{n}篇{at:03}句。" for at in range(20)))
            for n in range(10)
        ]
        made.append(write(tmp_path / f"part-{part:05d}.jsonl", texts))
    return made


def test_every_part_and_document_gives_its_share(parts: list[Path]) -> None:
    drawn = draw(parts, 60, max_chars=500)
    assert len(drawn) == len(set(drawn)) == 60
    assert drawn == sorted(drawn)
    assert draw(parts, 60, max_chars=500) == drawn
    names = [name for name, _ in drawn]
    # The texts are of one length, but not the lines: a part is met to within a sentence or two.
    assert {part: sum(n.startswith(part) for n in names) for part in "012"} == dict.fromkeys(
        "012", 20
    )
    assert all(names.count(name) in (1, 2, 3) for name in set(names))
    assert len(set(names)) == 30
    for name, text in drawn:
        part, number = name.split("-")
        assert text.startswith(f"第{part}部{number}篇")


def test_of_many_parts_some_are_read(parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_MOST_PARTS", 1)
    names = [name for name, _ in draw(parts, 20, max_chars=500)]
    assert len(names) == 20
    assert {name[0] for name in names} == {"1"}


def test_a_long_document_gives_most(tmp_path: Path) -> None:
    long = "".join(f"长文{at:04}。" for at in range(900))
    path = write(tmp_path / "part-00000.jsonl.zst", [("short", "短文一句。"), ("long", long)])
    drawn = draw([path], 9, max_chars=500)
    assert [name for name, _ in drawn] == ["long"] * 9
    assert [int(text[2:6]) for _, text in drawn] == [49 + 100 * i for i in range(9)]


def test_more_than_there_are(tmp_path: Path) -> None:
    empty = write(tmp_path / "part-00000.jsonl", [])
    blank = write(tmp_path / "part-00001.jsonl", [("z", "\u200b"), ("y", "")])
    some = write(tmp_path / "part-00002.jsonl", [("a", "一。二。"), ("b", "三。")])
    assert draw([empty, blank, some], 999, max_chars=500) == [
        ("a", "一。"),
        ("a", "二。"),
        ("b", "三。"),
    ]
    assert draw([empty], 3, max_chars=500) == []
    assert draw([], 3, max_chars=500) == []
