"""The reader of zstandard files: frames, line by line, and never a quiet end."""

import io
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.core.files import open_bytes, read_lines
from hanmo.core.zstd import ZstdReader


def write_frames(path: Path, frames: list[bytes]) -> bytes:
    data = b"".join(zstandard.ZstdCompressor().compress(frame) for frame in frames)
    path.write_bytes(data)
    return data


@settings(max_examples=40)
@given(frames=st.lists(st.binary(max_size=300), max_size=5), size=st.integers(1, 64))
def test_frames_are_read_as_one_stream(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("zstd") / "a.zst"
    write_frames(path, frames)
    with ZstdReader(path) as stream:
        pieces = iter(lambda: stream.read(size), b"")
        assert b"".join(piece for piece in pieces if piece) == b"".join(frames)


def test_lines_cross_frames_and_chunks(tmp_path: Path) -> None:
    lines = [b"x" * n + b"\n" for n in (0, 1, 70_000, 3, 700_000)]
    whole = b"".join(lines)
    path = tmp_path / "a.zst"
    write_frames(path, [whole[start : start + 60_001] for start in range(0, len(whole), 60_001)])
    with open_bytes(path) as stream:
        assert [stream.readline() for _ in lines] == lines
        assert stream.readline() == b""
        assert not stream.seekable()
    assert stream.closed


def test_every_cut_within_a_frame_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    first = write_frames(path, ["第一\n".encode()])
    data = write_frames(path, ["第一\n".encode(), "第二\n".encode()])
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        with io.BufferedReader(ZstdReader(path)) as stream:
            if end == len(first):  # a file of one frame, nothing is wrong with it
                assert stream.read() == "第一\n".encode()
                continue
            with pytest.raises(EOFError, match="within a frame"):
                stream.read()
        with pytest.raises(UserError, match=r"a\.zst: damaged archive after line [01] \(it ends"):
            list(read_lines(path))


def test_bytes_behind_the_last_frame_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(write_frames(path, [b"one\n"]) + b"rubbish")
    with pytest.raises(UserError, match=r"a\.zst: damaged archive after line 1 "):
        list(read_lines(path))


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.zst").touch()
    assert list(read_lines(tmp_path / "a.zst")) == []
