"""Vocabularies of one's own: layout, limits, and the same bytes for the same counts."""

import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest

from hanmo.commands import train_vocab as command
from hanmo.core import config as configuration
from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import read_vocab
from hanmo.text.vocab_training import HEAD, count_words, train_vocab

TEXTS = [
    "中国人民，中国。Hello HELLO hello\u200b",
    "help helps 2010年 2010 2011，人",
    "カタカナ カタ",
]


def test_words_are_those_of_the_tokenizer() -> None:
    assert count_words(TEXTS) == Counter(
        {"中": 2, "国": 2, "人": 2, "民": 1, "，": 2, "。": 1, "hello": 3, "help": 1, "helps": 1}
        | {"2010": 2, "年": 1, "2011": 1, "カタカナ": 1, "カタ": 1}
    )


def test_layout() -> None:
    vocab = train_vocab(count_words(TEXTS), size=200, min_frequency=1)
    assert vocab[: len(HEAD)] == list(HEAD)
    assert vocab.index("[UNK]") == 100
    assert vocab.index("[MASK]") == 103
    assert len(set(vocab)) == len(vocab) <= 200
    rest = vocab[len(HEAD) :]
    inner = [piece.startswith("##") for piece in rest]
    assert inner == sorted(inner)
    assert {"中", "年", "hello", "2010", "##o"} <= set(rest)
    assert "##中" not in rest


def test_twins_of_characters_that_stand_alone() -> None:
    vocab = train_vocab(count_words(TEXTS), size=200, min_frequency=1, twins=True)
    assert {"##中", "##国", "##，"} <= set(vocab)


@pytest.mark.parametrize("size", [105, 110, 120, 140, 170])
def test_size_is_kept_with_the_most_frequent_characters(size: int) -> None:
    vocab = train_vocab(count_words(TEXTS), size=size, min_frequency=1)
    assert len(vocab) <= size
    assert vocab[: len(HEAD)] == list(HEAD)
    if size == 110:  # h, e, l inside words cost two each; 3 of 5 hellos make l the first
        assert "l" in vocab
        assert "年" not in vocab


def test_rare_characters_are_left_out() -> None:
    vocab = train_vocab(count_words(TEXTS), size=1000, min_frequency=2)
    assert "民" not in vocab
    assert "人" in vocab
    tokenizer = Tokenizer(vocab)
    assert tokenizer.encode("中民").ids.tolist() == [vocab.index("中"), tokenizer.unk_id]


def test_order_of_the_counts_does_not_matter() -> None:
    rng = random.Random(0)
    words = {"".join(rng.choices("abcdef", k=rng.randint(1, 6))): 3 for _ in range(300)}
    first = train_vocab(words, size=260)
    for _ in range(5):
        items = list(words.items())
        rng.shuffle(items)
        assert train_vocab(dict(items), size=260) == first
    assert len(first) == 260


def test_no_training_word_is_unknown() -> None:
    words = count_words(TEXTS)
    tokenizer = Tokenizer(train_vocab(words, size=400, min_frequency=1))
    for text in TEXTS:
        assert tokenizer.unk_id not in tokenizer.encode(text).ids.tolist()


@pytest.mark.parametrize(
    ("words", "size", "message"),
    [({"中": 5}, 104, "size is 104; expected more than 104"), ({"中": 1}, 200, "no character")],
)
def test_impossible_requests(words: dict[str, int], size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_vocab(words, size=size)


def test_command(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("\n".join(TEXTS[:2]), encoding="utf-8")
    (texts / "b.jsonl").write_text('{"id": "1", "text": "カタカナ カタ"}\n', encoding="utf-8")
    out = tmp_path / "new" / "vocab.txt"
    result = command.run(command.Config([texts], out, size=180, min_frequency=1))
    vocab = read_vocab(out)
    assert vocab == train_vocab(count_words(TEXTS), size=180, min_frequency=1)
    assert result == {
        "files": 2,
        "words": count_words(TEXTS).total(),
        "entries": len(vocab),
        "bytes": out.stat().st_size,
    }


def test_command_refuses_records_without_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "中"}\n{"txt": "中"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r'a\.jsonl:2: no "text" string'):
        command.run(command.Config([path], tmp_path / "vocab.txt"))


def test_command_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.txt or \.jsonl files"):
        command.run(command.Config([tmp_path], tmp_path / "vocab.txt"))


def test_command_replaces_no_other_file(tmp_path: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "vocab.txt"
    text.write_text("天地玄黄宇宙洪荒\n" * 3, encoding="utf-8")
    settings = command.Config([text], out, size=120)
    command.run(settings)
    made = out.read_bytes()
    command.run(settings)  # the same again is no loss
    assert out.read_bytes() == made
    assert configuration.read(tmp_path / "vocab.config.toml")["size"] == 120
    smaller = dataclasses.replace(settings, size=110)
    with pytest.raises(UserError, match="holds another vocabulary of 112 pieces"):
        command.run(smaller)
    assert out.read_bytes() == made
    command.run(dataclasses.replace(smaller, overwrite=True))
    assert len(read_vocab(out)) == 110
    out.write_text("notes")
    with pytest.raises(UserError, match="exists and is no vocabulary"):
        command.run(settings)
    assert out.read_text() == "notes"


def test_command_reads_what_a_corpus_lists_and_nothing_else(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    record = '{"text": "天地玄黄"}\n'
    with building(corpus, kind="corpus", config={}) as build:
        (build.dir / "part-00000.jsonl").write_text(record, encoding="utf-8")
    (corpus / "stray.jsonl").write_text(record, encoding="utf-8")
    assert command.run(command.Config([corpus], tmp_path / "v.txt", min_frequency=1))["files"] == 1
    (corpus / "part-00000.jsonl").write_text(record.replace("天", "人"), encoding="utf-8")
    with pytest.raises(UserError, match="SHA-256 differs"):
        command.run(command.Config([corpus], tmp_path / "w.txt", min_frequency=1))
    (tmp_path / "half.partial" / ".state").mkdir(parents=True)
    with pytest.raises(UserError, match="not finished"):
        command.run(command.Config([tmp_path / "half.partial"], tmp_path / "w.txt"))
