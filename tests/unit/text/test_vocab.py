"""Vocabulary files: line ends, and errors that say what to do."""

from pathlib import Path

import pytest

from hanmo.core.errors import UserError
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import SPECIALS, read_vocab, write_vocab

LINE_SEPARATOR = "\u2028"


def test_line_separator_is_an_entry_not_a_line_end(tmp_path: Path) -> None:
    vocab = [*SPECIALS, LINE_SEPARATOR, "##" + LINE_SEPARATOR, "\x85", "中"]
    write_vocab(tmp_path / "vocab.txt", vocab)
    assert read_vocab(tmp_path / "vocab.txt") == vocab
    assert read_vocab(tmp_path) == vocab


def test_windows_line_ends_and_a_mark_of_order_are_read(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*SPECIALS, "中"]).encode() + b"\r\n")
    assert read_vocab(path) == [*SPECIALS, "中"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], r"vocab\.txt: empty vocabulary"),
        ([*SPECIALS[:4], "中"], r"vocab\.txt: no \[MASK\] among 5 entries; add"),
        (["中"], r"no \[PAD\] \[UNK\] \[CLS\] \[SEP\] \[MASK\] among 1 entries"),
        ([*SPECIALS, "中", "国", "中"], r"vocab\.txt:8: '中' stands already on line 6"),
        ([*SPECIALS, "", "国"], r"vocab\.txt:6: empty entry"),
    ],
)
def test_unusable_files(tmp_path: Path, entries: list[str], message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("".join(entry + "\n" for entry in entries), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_vocab(path)


def test_tokenizer_json_serves_where_there_is_no_vocab_txt(tmp_path: Path) -> None:
    vocab = [*SPECIALS, LINE_SEPARATOR, "中", "##国"]
    Tokenizer(vocab).save(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    assert read_vocab(tmp_path) == vocab


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a tokenizer.json"),
        ("[]", "not a tokenizer.json"),
        ('{"model": {"type": "BPE", "vocab": {}}}', "a BPE model of 0 entries"),
        ('{"model": {"type": "WordPiece", "vocab": {"a": 1}}}', "expected WordPiece with ids 0, 1"),
    ],
)
def test_unusable_tokenizer_json(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_vocab(tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such vocabulary"):
        read_vocab(tmp_path)


def test_a_piece_with_a_line_break_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vocab\.txt:6: 'a\\nb' holds a line break"):
        write_vocab(tmp_path / "vocab.txt", [*SPECIALS, "a\nb"])


def test_google_vocabulary(data_dir: Path) -> None:
    vocab = read_vocab(data_dir / "vocab")
    assert len(vocab) == 21128  # published
    assert (vocab[343], vocab[13502]) == (LINE_SEPARATOR, "##" + LINE_SEPARATOR)
    assert (vocab.index("中"), vocab.index("##中")) == (704, 13761)
