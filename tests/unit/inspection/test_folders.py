"""Documents are found by id and by text, and shown from the place that was asked for."""

import json
from pathlib import Path

import pytest
from inspection_cases import DOCUMENTS, FIRST, sentence, write_sentences

from hanmo.annotate import store
from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.core.files import open_text
from hanmo.data.shards import ShardSet
from hanmo.inspection.folders import Choice, Document, documents
from hanmo.inspection.shard_documents import shard_documents
from hanmo.text.tokenizer import Tokenizer


def summary(found: list[Document]) -> list[tuple[str, int, int, list[str]]]:
    return [(d.name, d.begin, d.n_sentences, [line.text for line in d.lines]) for d in found]


FULL = "他去了上海。"
CHOICES = {
    "first": (Choice(), [("a", 0, 2, [FULL, "她在北京大学工作"])]),
    "names": (Choice(("e", "b")), [("b", 0, 1), ("e", 0, 2)]),
    "find": (Choice(find="北京大学", first=5), [("a", 1, 2, ["她在北京大学工作"]), ("d", 0, 1)]),
    "few": (Choice(("c",), sentences=2), [("c", 0, 7, ["今天雨很大，回家吃饭"] * 2)]),
    "all": (Choice(first=99), [(name, 0) for name in "abcde"]),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("rows", [1, 2, 3, 4096])
def test_documents_of_sentences(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, rows: int
) -> None:
    # Documents begin and end anywhere in what is read at a time.
    monkeypatch.setattr(store, "ROW_GROUP", rows)
    choice, expected = CHOICES[name]
    found = summary(documents(folders["sentences"], choice))
    assert len(found) == len(expected)
    for one, wanted in zip(found, expected, strict=True):
        assert one[: len(wanted)] == wanted


def test_what_is_not_there(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="no document 'x' among 3 parts"):
        documents(folders["sentences"], Choice(("a", "x")))
    with pytest.raises(UserError, match="no document with the text '天书'"):
        documents(folders["sentences"], Choice(find="天书"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = [("x", "第一句。第二句有雨。\n第三句。"), ("y", "又一篇。")]
    with (
        building(tmp_path / "corpus", kind="corpus", config={}) as build,
        open_text(build.dir / "part-00000.jsonl.zst", "w") as stream,
    ):
        for name, text in texts:
            record = {"id": name, "text": text, "source": "test"}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return tmp_path / "corpus"


def test_documents_of_a_corpus(corpus: Path) -> None:
    assert summary(documents(corpus, Choice(find="雨"))) == [
        ("x", 1, 3, ["第二句有雨。", "第三句。"])
    ]
    assert summary(documents(corpus, Choice(("y",)))) == [("y", 0, 1, ["又一篇。"])]


def test_documents_of_shards(folders: dict[str, Path]) -> None:
    shards, tokenizer = ShardSet.open(folders["shards"]), Tokenizer.load(folders["shards"])
    found = shard_documents(shards, tokenizer, Choice(first=9))
    sentences = [row for part in DOCUMENTS for row in part]
    assert [one.document.name for one in found] == list("01234")
    texts = [line.text for one in found for line in one.document.lines]
    expected = [row.text.replace(" ", "").replace("囧", "[UNK]") for _, row in sentences]
    assert [text.replace("##", "") for text in texts] == expected
    assert any("play##ing" in text for text in texts)
    [words] = [line.to_json()["words"] for line in found[1].document.lines]
    assert [(w["text"], w["pos"], w["dep"]) for w in words] == [
        ("我们", "r", "SBV"),
        ("play##ing", "ws", "HED"),
        ("we", "ws", None),
        ("[UNK]", "e", "VOB"),
    ]
    for one in found:  # the piece from which a document is shown
        here = shards.shards[one.shard].ids[one.piece]
        assert one.document.lines[0].text.startswith(tokenizer.vocab[here])


def test_a_text_in_shards(folders: dict[str, Path]) -> None:
    shards, tokenizer = ShardSet.open(folders["shards"]), Tokenizer.load(folders["shards"])

    def find(text: str) -> list[tuple[str, int]]:
        found = shard_documents(shards, tokenizer, Choice(find=text, first=9))
        return [(one.document.name, one.document.begin) for one in found]

    assert find("北京大学") == [("0", 1), ("3", 0)]
    assert find("playing") == [("1", 0)]
    with pytest.raises(UserError, match="no document with the pieces"):
        find("。她")  # the end of a sentence and the beginning of the next
    with pytest.raises(UserError, match="expected a text with at least one piece"):
        find(" ")


@pytest.mark.parametrize("name", ["5", "-1", "a", "１"])
def test_a_document_that_shards_do_not_have(folders: dict[str, Path], name: str) -> None:
    shards, tokenizer = ShardSet.open(folders["shards"]), Tokenizer.load(folders["shards"])
    with pytest.raises(UserError, match="expected a number from 0 to 4: shards keep no ids"):
        shard_documents(shards, tokenizer, Choice((name,)))


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    folder = write_sentences(tmp_path / "s", [[("a", sentence(FIRST))]])
    part = folder / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"part-00000\.parquet: .* cut short"):
        documents(folder, Choice())
