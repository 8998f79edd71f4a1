"""Packed files of several streams: all of them are read, and damage in any is told."""

import bz2
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.core.files import open_bytes, read_lines

PACKERS = {".xz": lzma.compress, ".bz2": bz2.compress}
Write = Callable[[bytes], Path]


@pytest.fixture(params=PACKERS)
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def streams(suffix: str) -> list[bytes]:
    return [PACKERS[suffix](f"第{n}段\n".encode() * 50) for n in range(4)]


@settings(max_examples=30, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), min_size=1, max_size=4), size=st.integers(1, 50))
@pytest.mark.parametrize("name", PACKERS)
def test_streams_are_joined(
    tmp_path_factory: pytest.TempPathFactory, name: str, pieces: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("packed") / f"a{name}"
    path.write_bytes(b"".join(map(PACKERS[name], pieces)))
    read = b""
    with open_bytes(path) as stream:
        while piece := stream.read(size):
            read += piece
    assert read == b"".join(pieces)


def test_zeros_between_xz_streams_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.xz"
    path.write_bytes((b"\0" * 8).join(streams(".xz")) + b"\0" * 400_000)
    assert len(list(read_lines(path))) == 200


def test_damage_at_the_head_of_a_later_stream(tmp_path: Path, suffix: str) -> None:
    one, two, *rest = streams(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join([one, bytes([two[0] ^ 0xFF]) + two[1:], *rest]))
    read: list[str] = []
    with pytest.raises(UserError, match="damaged archive after line 50"):
        read += [line for _, line in read_lines(path)]


@pytest.mark.parametrize("cut", [1, 20])
def test_the_last_stream_is_cut_short(tmp_path: Path, suffix: str, cut: int) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(streams(suffix))[:-cut])
    with pytest.raises(UserError, match="damaged archive after line"):
        list(read_lines(path))


def test_an_empty_file_is_no_archive(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="damaged archive after line 0"):
        list(read_lines(path))
