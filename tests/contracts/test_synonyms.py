"""The contract of sources of similar words, run over every file in `objectives/synonyms`."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.objectives import _similar
from hanmo.text.tokenizer import Tokenizer

PACKAGE = "hanmo.objectives.synonyms"
# What each source reads: 人士 and 人物 are alike, 银行 is like neither.
FILES = {
    "cilin": "Aa01A01= 人士 人物\nBb02B02@ 银行\n",
    "word2vec": "3 2\n人士 1 0.1\n人物 1 0.2\n银行 -1 0.5\n",
}
NAMES = registry.names(PACKAGE)


def source(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}").Source()


def test_every_source_has_a_case() -> None:
    assert set(FILES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_words_come_with_others_that_are_similar(name: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(FILES[name], encoding="utf-8")
    groups = {word: near for word, near in source(name).groups(path) if near}
    assert groups == {"人士": ["人物"], "人物": ["人士"]}


@pytest.mark.parametrize("name", NAMES)
def test_its_words_make_a_table(name: str, tmp_path: Path) -> None:
    path, folder = tmp_path / "words.txt", tmp_path / "model"
    path.write_text(FILES[name], encoding="utf-8")
    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"人士物银行"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.load(folder)
    table = _similar.build_table(source(name).groups(path), tokenizer)
    ids = tokenizer.encode_batch(["人士银行"])[0].ids
    entries = table.find(ids, [0, 2])
    assert entries[0] >= 0 and entries[1] == -1
    begin = table.starts[entries[0]]
    assert table.pieces[begin : begin + 2].tolist() == [5, 7]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["absent", "a folder", "not text", "cut gzip"])
def test_what_cannot_be_read_is_a_mistake_with_a_name(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("words.txt.gz" if kind == "cut gzip" else "words.txt")
    if kind == "a folder":
        path.mkdir()
    elif kind == "not text":
        path.write_bytes(b"\xff\xfe\x00\x81\x20")
    elif kind == "cut gzip":
        path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UserError, match=r"words\.txt"):
        list(source(name).groups(path))
