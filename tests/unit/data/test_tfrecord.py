"""TFRecord framing: known bytes, round trips in every packing, and every kind of damage."""

import bz2
import gzip
import lzma
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanmo.core.crc import crc32c, masked
from hanmo.core.errors import UserError
from hanmo.data import tfrecord
from hanmo.data.tfrecord import LONGEST, Record, framed, read_records, write_records

# What TensorFlow 2.21 writes for the record b"hanmo".
HANMO = bytes.fromhex("0500000000000000eab2043e68616e6d6f14660e24")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
RECORDS = [b"", b"first", bytes(range(256)) * 20, b"\x00" * 3]
FIXTURE = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(path: Path) -> list[bytes]:
    return [record.data for record in read_records(path)]


def refusal(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_bytes_of_tensorflow(tmp_path: Path) -> None:
    assert framed(b"hanmo") == HANMO
    (tmp_path / "one").write_bytes(HANMO)
    assert list(read_records(tmp_path / "one")) == [Record(1, 0, b"hanmo")]


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".bz2", ".zst"])
def test_records_come_back_in_every_packing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.tfrecord{suffix}"
    assert write_records(path, iter(RECORDS)) == len(RECORDS)
    found = list(read_records(path))
    assert [record.data for record in found] == RECORDS
    assert [record.number for record in found] == [1, 2, 3, 4]
    assert [record.offset for record in found] == [0, 16, 37, 5173]
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    again = tmp_path / f"again{suffix}"
    write_records(again, RECORDS)
    assert again.read_bytes() == path.read_bytes()


def test_a_file_without_bytes_has_no_records(tmp_path: Path) -> None:
    assert write_records(tmp_path / "none", []) == 0
    assert (tmp_path / "none").read_bytes() == b""
    assert read(tmp_path / "none") == []


@FIXTURE
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_records_come_back(tmp_path: Path, records: list[bytes]) -> None:
    write_records(tmp_path / "any", records)
    assert read(tmp_path / "any") == records


@FIXTURE
@given(st.data())
def test_every_cut_is_told_or_falls_between_records(tmp_path: Path, data: st.DataObject) -> None:
    whole = b"".join(map(framed, RECORDS))
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path / "cut"
    path.write_bytes(whole[:cut])
    ends = [0]
    for record in RECORDS:
        ends.append(ends[-1] + len(framed(record)))
    if cut in ends:
        assert read(path) == RECORDS[: ends.index(cut)]
        return
    n_whole = sum(end <= cut for end in ends) - 1
    message = refusal(path)
    if cut < 12:
        assert "not a TFRecord file" in message
    else:
        assert f"record {n_whole + 1} at offset {ends[n_whole]:,}: cut off" in message


@FIXTURE
@given(st.data())
def test_every_flipped_bit_is_told(tmp_path: Path, data: st.DataObject) -> None:
    records = [b"first", b"second", b"third"]
    whole = bytearray(b"".join(map(framed, records)))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    message = refusal(tmp_path / "flipped", bytes(whole))
    offset = max(at for at in (0, 21, 43) if at <= bit // 8)
    in_length = bit // 8 - offset < 12
    if offset == 0 and in_length:
        assert "not a TFRecord file" in message
    else:
        number = (0, 21, 43).index(offset) + 1
        what = "length is wrong" if in_length else "bytes is wrong"
        assert f"record {number} at offset {offset}: the checksum of its" in message
        assert what in message


@FIXTURE
@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "not a TFRecord file" in refusal(tmp_path / "x", content)


@pytest.mark.parametrize("length", [1 << 20, LONGEST, LONGEST + 1, (1 << 64) - 1])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_stated_length_sets_nothing_aside(tmp_path: Path, length: int, suffix: str) -> None:
    stated = length.to_bytes(8, "little")
    content = stated + masked(crc32c(stated)).to_bytes(4, "little") + b"few bytes"
    path = tmp_path / f"long{suffix}"
    tracemalloc.start()
    message = refusal(path, gzip.compress(content) if suffix else content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"record 1 at offset 0: states {length:,} bytes" in message.replace("cut off: ", "")
    assert ("cut off" in message and "9 are left" in message) == (length <= LONGEST)
    assert peak < 4 << 20


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path: Path) -> None:
    for name in ("a.tfrecord", "a.tfrecord.xz", "a.tfrecord.gz"):
        assert "Git LFS pointer" in refusal(tmp_path / name, POINTER)
        assert "git lfs pull" in refusal(tmp_path / name, POINTER)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(HANMO, mtime=0), "gzip data; name it .gz"),
        (lzma.compress(HANMO), "xz data; name it .xz"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\x89HDF\r\n" + bytes(40), "an HDF5 file"),
        ("中文文本，不是记录。".encode(), "begins with e4 b8 ad"),
        (b"abc", "begins with 61 62 63"),
    ],
)
def test_other_files_are_told(tmp_path: Path, content: bytes, what: str) -> None:
    message = refusal(tmp_path / "other", content)
    assert "not a TFRecord file" in message
    assert what in message


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_a_damaged_archive_is_told(tmp_path: Path, suffix: str) -> None:
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}[suffix]
    content = pack(b"".join(framed(bytes([i % 251]) * 50) for i in range(200)))
    message = refusal(tmp_path / f"cut{suffix}", content[: len(content) // 2])
    assert "damaged archive after record" in message or "cut off" in message
    assert "damaged archive" in refusal(tmp_path / f"no{suffix}", b"this is no archive at all")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == "no such file"
    assert refusal(tmp_path) == "is a folder; expected a file"


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"old"])

    def failing(data: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    with pytest.raises(ZeroDivisionError):
        write_records(path, (bytes(1 // n) for n in (1, 0)))
    monkeypatch.setattr(tfrecord, "framed", failing)
    with pytest.raises(OSError, match="No space") as caught:
        write_records(path, [b"new"])
    assert caught.value.filename == str(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tfrecord"]
    assert read(path) == [b"old"]
