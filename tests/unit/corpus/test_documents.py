"""Reading documents: formats, compressions, ids, and the message of every bad input."""

import bz2
import gzip
import json
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from hanmo.core.errors import UserError
from hanmo.corpus.documents import Document, read_documents, resolve
from hanmo.corpus.inputs import find_inputs
from hanmo.corpus.reading import ReadOptions, Unreadable

TEXTS = ["春眠不觉晓。\n处处闻啼鸟。", "夜来风雨声。\n花落知多少。"]


def read(path: Path, **options: object) -> list[Document]:
    """Read a file as a run does that stops at the first mistake."""
    found = read_all(path, **options)
    for item in found:
        if isinstance(item, Unreadable):
            raise item.error
    return [item for item in found if isinstance(item, Document)]


def read_all(path: Path, **options: object) -> list[Document | Unreadable]:
    [file] = find_inputs([path])
    read, _ = resolve(file, ReadOptions(**options))  # type: ignore[arg-type]
    return list(read_documents(file, read))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.compress),
    ],
)
def test_text_and_json_in_every_compression(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    text, records = tmp_path / f"a.txt{suffix}", tmp_path / f"b.jsonl{suffix}"
    text.write_bytes(pack("\n\n".join(TEXTS).encode()))
    records.write_bytes(pack("\n".join(json.dumps({"text": t}) for t in TEXTS).encode()))
    assert read(text, layout="paragraphs") == [
        Document(f"a-{i}", t, text.name) for i, t in enumerate(TEXTS)
    ]
    assert read(records) == [Document(f"b-{i}", t, records.name) for i, t in enumerate(TEXTS)]


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.TXT"
    path.write_bytes(b"\xef\xbb\xbf" + "一\r\n二\r\n\r\n三\r\n".encode())
    assert [d.text for d in read(path, layout="paragraphs")] == ["一\n二", "三"]


def test_parquet_and_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"n": [7, 8], "body": TEXTS}), path)
    got = read(path, text_key="body", id_key="n")
    assert got == [Document(str(n), t, "a.parquet") for n, t in zip([7, 8], TEXTS, strict=True)]
    with pytest.raises(UserError, match=r"no key 'text'; keys present: n, body; .*--text-key"):
        read(path)
    with pytest.raises(UserError, match=r"column 'n' holds int64, expected strings; .*--text-key"):
        read(path, text_key="n")
    path.write_bytes(b"PAR0")
    with pytest.raises(UserError, match=r"a\.parquet: not a Parquet file"):
        read(path, text_key="body")


def test_lone_surrogates_of_json_become_replacement_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"text": "a\\ud800b"}\n')
    assert read(path)[0].text == "a\ufffdb"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"a\.txt: no document in it \(empty file\)"),
        ("a.txt", b"\n \n", r"a\.txt: no document in it"),
        ("a.jsonl", b"\n", r"a\.jsonl: no document in it"),
        ("a.txt", b"\n\xd6\xd0", r"a\.txt:2: not UTF-8: byte 0xd6 at byte 1 "),
        ("a.txt", b"x" * (1 << 20) + b"y", r"a\.txt:1: a line of more.*--max-line-mib, now 1$"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"a\.jsonl:2: not JSON: "),
        ("a.jsonl", b'["x"]', r"a\.jsonl:1: got list, expected a JSON object a line"),
        ("a.jsonl", b'{"content": "x", "n": 1}', r"1: no key 'text'; keys present: content, n;"),
        ("a.jsonl", b'{"text": null}', r"a\.jsonl:1: key 'text' holds NoneType, expected a str"),
        ("a.txt.xz", b"not xz", r"a\.txt\.xz: damaged archive after line 0"),
        ("a.pdf", b"x", r"a\.pdf: unknown suffix; expected \.csv .*\.txt .*rename.*--format"),
        ("a.parquet.gz", b"x", r"unknown suffix"),
        ("a", b"x", r"unknown suffix"),
    ],
)
def test_bad_inputs_stop_with_their_place(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / name, max_line_mib=1)
    assert "\n" not in str(caught.value)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("b/x.txt", "a/x.txt", "a/.hidden.txt", ".git/x.pdf", "c.jsonl.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = find_inputs([tmp_path])
    assert [(f.name, f.source, f.format) for f in files] == [
        ("a-x", "a/x.txt", "text"),
        ("b-x", "b/x.txt", "text"),
        ("c", "c.jsonl.gz", "json"),
    ]


def test_names_are_unique_whatever_is_given(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("p/a/x.txt", "q/a/x.txt", "q/a/x.jsonl", "q/y.txt")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    names = [file.name for file in find_inputs(paths)]
    assert len(set(names)) == 4
    assert names[3] == "y"


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    for paths, message in (
        ([], "no input: give at least one"),
        ([tmp_path / "b.txt"], r"b\.txt: no such file or folder"),
        ([tmp_path / "empty"], "holds no file"),
        ([tmp_path, tmp_path / "a.txt"], r"a\.txt: named more than once"),
    ):
        with pytest.raises(UserError, match=message):
            find_inputs(paths)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xd6\xd0.txt")).touch()
    with pytest.raises(UserError, match=r"\?\?\.txt: the file's name is not UTF-8"):
        find_inputs([tmp_path])


def test_auto_is_resolved_for_text_only(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("一。\n\n二。\n" * 200, encoding="utf-8")
    (tmp_path / "b.jsonl").touch()
    text, records = find_inputs([tmp_path])
    assert resolve(text, ReadOptions()) == (ReadOptions(layout="sentences"), "sentences")
    assert resolve(text, ReadOptions(layout="lines"))[1] == "lines"
    assert resolve(records, ReadOptions()) == (ReadOptions(), "json")
