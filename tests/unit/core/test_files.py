"""Text files of every compression, the place of every error, and writes that never tear."""

import bz2
import errno
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError, nearest
from hanmo.core.files import (
    COMPRESSIONS,
    format_suffix,
    json_lines,
    open_text,
    read_lines,
    sha256,
    stem,
    sync_folder,
    write_atomic,
    write_json,
)

SUFFIXES = ("", *COMPRESSIONS)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
# U+2028, U+0085, vertical tab and form feed end no line; a lone "\r" inside stays.
TEXT = "第一行\n\u2028第\u0085二\x0b行\x0c\n\na\rb\r\n末行"
LINES = ["第一行", "\u2028第\u0085二\x0b行\x0c", "", "a\rb", "末行"]


def packed(folder: Path, data: bytes, suffix: str) -> Path:
    path = folder / f"wiki.txt{suffix}"
    path.write_bytes(PACK[suffix](data))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_lines_end_at_line_feeds_only(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path, TEXT.encode(), suffix)
    assert list(read_lines(path)) == list(enumerate(LINES, 1))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_lines_are_those_of_a_split_at_line_feeds(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_bytes(text.encode())
    pieces = text.removeprefix("\ufeff").split("\n")
    if text.endswith("\n") or not text:
        pieces.pop()
    assert [line for _, line in read_lines(path)] == [line.removesuffix("\r") for line in pieces]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_open_text_writes_it_reads_and_the_bytes_repeat(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}.txt{suffix}" for name in ("one", "two")]
    for path in paths:
        with open_text(path, "w") as stream:
            stream.write(TEXT)
        with open_text(path) as stream:
            assert stream.read() == TEXT
    assert sha256(paths[0]) == sha256(paths[1])


def test_a_byte_order_mark_is_dropped_at_the_beginning_only(tmp_path: Path) -> None:
    path = packed(tmp_path, "\ufeff一\n\ufeff二\n".encode(), "")
    assert list(read_lines(path)) == [(1, "一"), (2, "\ufeff二")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bad_utf8_names_line_and_byte_of_the_text(tmp_path: Path, suffix: str) -> None:
    good = "一二\n".encode()
    path = packed(tmp_path, good + "三".encode() + b"\xce\xd2\n", suffix)
    with pytest.raises(UserError) as caught:
        list(read_lines(path))
    assert str(caught.value).startswith(f"{path}:2: not UTF-8: byte 0xce at byte {len(good) + 3}")
    assert "iconv" in str(caught.value)


def test_a_line_over_the_limit_is_refused_and_one_at_the_limit_is_not(tmp_path: Path) -> None:
    path = packed(tmp_path, b"short\n" + b"x" * 100 + b"\r\n" + b"y" * 101 + b"\n", "")
    lines = read_lines(path, max_bytes=100)
    assert [next(lines)[0], len(next(lines)[1])] == [1, 100]
    with pytest.raises(UserError, match=r"wiki\.txt:3: a line of more than 100 bytes \(at byte 1"):
        next(lines)


def test_a_ten_megabyte_line_is_refused_by_default(tmp_path: Path) -> None:
    path = packed(tmp_path, b"x" * (10 << 20), "")
    with pytest.raises(UserError, match=r":1: a line of more than 8,388,608 bytes \(at byte 0\)"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_archive_is_no_quiet_end(tmp_path: Path, suffix: str, share: float) -> None:
    path = packed(tmp_path, os.urandom(30_000).hex().encode() * 3, suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"damaged archive after line \d+ \(.+\); fetch or pack"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("place", [0, 0.5, 0.95])
def test_a_flipped_byte_in_an_archive_is_found(tmp_path: Path, suffix: str, place: float) -> None:
    path = packed(tmp_path, os.urandom(30_000).hex().encode(), suffix)
    damaged = bytearray(path.read_bytes())
    damaged[int(len(damaged) * place)] ^= 0x55
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="damaged archive after line"):
        list(read_lines(path))


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.txt: no such file$"):
        list(read_lines(tmp_path / "none.txt"))
    with pytest.raises(UserError, match="is a folder; expected a file"):
        list(read_lines(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_stays_a_system_error(tmp_path: Path) -> None:
    path = packed(tmp_path, b"x", "")
    path.chmod(0)
    with pytest.raises(PermissionError):
        list(read_lines(path))


def test_json_lines(tmp_path: Path) -> None:
    path = packed(tmp_path, '{"a": "一"}\n \n[1]\n'.encode(), ".zst")
    assert list(json_lines(path)) == [(1, {"a": "一"}), (3, [1])]
    path = packed(tmp_path, b'{"a": 1}\n{"a": \n', "")
    with pytest.raises(UserError, match=r"wiki\.txt:2: not JSON: Expecting value at column 7"):
        list(json_lines(path))


def test_an_atomic_write_replaces_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "旧")
    assert path.read_text() == "旧"
    assert path.stat().st_mode & 0o777 == 0o644

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(path, b"new")
    assert caught.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "旧"


def test_an_interrupted_write_leaves_no_scrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.txt", b"new")
    assert not list(tmp_path.iterdir())


def test_json_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "字"})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": "字",\n  "b": 1\n}\n'
    sync_folder(tmp_path)


def test_names_without_suffixes() -> None:
    assert [stem(Path(n)) for n in ("a/wiki.txt.xz", "wiki.txt", "wiki")] == ["wiki"] * 3
    assert [format_suffix(Path(n)) for n in ("a.jsonl.zst", "a.tsv", "a")] == [".jsonl", ".tsv", ""]


def test_the_nearest_name() -> None:
    assert nearest("lrt", ["mlm", "lert"]) == "; did you mean 'lert'? (known: lert, mlm)"
    assert nearest("xyz", ["mlm"]) == " (known: mlm)"
    assert nearest("xyz", []) == " (known: none)"
