"""Every reader of hanmo.corpus.readers: found by its suffixes, whole after mistakes, documented."""

import re
from pathlib import Path

import pytest

from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.corpus.inputs import READERS, find_inputs
from hanmo.corpus.reading import ReadOptions, Row, Unreadable

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


@pytest.mark.parametrize("name", NAMES)
def test_a_format_can_be_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "no-suffix"
    path.touch()
    assert [file.format for file in find_inputs([path], form=name)] == [name]
    with pytest.raises(UserError, match=rf"readers: no '{name}x'; did you mean '{name}'"):
        find_inputs([path], form=f"{name}x")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"<a>\n{]\n\x00", b'"\n,\n"""'])
def test_any_bytes_give_documents_or_errors_that_name_the_file(
    tmp_path: Path, name: str, content: bytes
) -> None:
    if name in ("html", "warc"):
        pytest.importorskip("trafilatura", reason="hanmo[web] is not installed")
        pytest.importorskip("warcio", reason="hanmo[web] is not installed")
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    options = ReadOptions(layout="paragraphs")
    try:
        for item in registry.load(READERS, name).read(path, options):
            assert isinstance(item, Row | Unreadable)
            if isinstance(item, Unreadable):
                assert re.match(rf"{re.escape(str(path))}:", str(item.error))
    except UserError as error:
        assert re.match(rf"{re.escape(str(path))}:", str(error))
