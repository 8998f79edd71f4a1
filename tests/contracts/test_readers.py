"""Every reader of hanmo.corpus.readers: found by its suffixes, whole after mistakes, documented."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanmo.commands import prepare
from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.corpus.documents import Document, read_documents
from hanmo.corpus.inputs import READERS, find_inputs
from hanmo.corpus.reading import ReadOptions, Unreadable

NAMES = registry.names(READERS)
FORMATS = (Path(__file__).resolve().parents[2] / "docs" / "preparing.md").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_takes_its_suffixes_and_no_other_reader_does(tmp_path: Path, name: str) -> None:
    reader = registry.load(READERS, name)
    assert reader.SUFFIXES
    for suffix in reader.SUFFIXES:
        path = tmp_path / f"a{suffix.upper()}"
        path.touch()
        assert [file.format for file in find_inputs([path])] == [name]
        assert f"`{suffix}`" in FORMATS, "docs/preparing.md has the suffixes"
    assert f'"{name}"' in (prepare.Config.__doc__ or ""), "the help of --format names it"


@pytest.mark.parametrize("name", NAMES)
def test_a_format_can_be_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "no-suffix"
    path.touch()
    assert [file.format for file in find_inputs([path], form=name)] == [name]
    with pytest.raises(UserError, match=rf"readers: no '{name}x'; did you mean '{name}'"):
        find_inputs([path], form=f"{name}x")


PIECES = [
    *(b"\xff\xfe", b"\x00", b"\n", b"\r\n", b"<a>", b"{]", b'"', b",", b"text", "黄河".encode()),
    *("长江".encode("gb18030"), b'{"text": "\\ud800"}', b'<doc id="1" title="x">\n', b"</doc>"),
    *(b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 9\r\n\r\n", b"PAR1", b"<p>"),
    *(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: x\r\n\r\n", b"WARC/1.0\r\n"),
    *(b"WARC-Type: response\r\nWARC-Target-URI: http://a\r\n", b"Content-Length: -5\r\n\r\n"),
    b"Content-Length: 99999999999999999999\r\n\r\n",
]
CONTENT = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES)).map(b"".join))


@pytest.mark.parametrize("name", NAMES)
@given(content=CONTENT)
@example(content=b"")
@settings(deadline=None, max_examples=60)
def test_any_bytes_give_documents_or_errors_that_name_the_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    if name in ("html", "warc"):
        pytest.importorskip("trafilatura", reason="hanmo[web] is not installed")
        pytest.importorskip("warcio", reason="hanmo[web] is not installed")
    path = tmp_path_factory.mktemp("any") / "a.bin"
    path.write_bytes(content)
    options = ReadOptions(layout="paragraphs")
    try:
        [file] = find_inputs([path], form=name)
        for item in read_documents(file, options):
            assert isinstance(item, Document | Unreadable)
            if isinstance(item, Document):
                (item.text + item.id).encode()  # what no encoding can write is out
            if isinstance(item, Unreadable):
                assert re.match(rf"{re.escape(str(path))}:", str(item.error))
    except UserError as error:
        assert re.match(rf"{re.escape(str(path))}:", str(error))
