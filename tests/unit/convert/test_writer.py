"""Writing: what TensorFlow wants, one tensor at a time, and all or nothing."""

import dataclasses
import errno
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_cases import assert_holds, assert_same, sources, write

from hanmo.convert.tf1 import writer
from hanmo.convert.tf1.bundle import Bundle
from hanmo.convert.tf1.prefix import data_path, index_path
from hanmo.convert.tf1.writer import TensorSource, write_bundle
from hanmo.core.errors import UserError

ARRAYS = {"b": np.arange(6, dtype="<f4"), "a": np.arange(3, dtype="<i4")}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_its_files(tmp_path: Path) -> None:
    prefix = write(tmp_path / "new" / "m.ckpt", ARRAYS, shards=2)
    files = ["checkpoint", "m.ckpt.data-00000-of-00002", "m.ckpt.data-00001-of-00002"]
    assert names_in(prefix.parent) == [*files, "m.ckpt.index"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in prefix.parent.iterdir())
    assert (prefix.parent / "checkpoint").read_text(encoding="utf-8") == (
        'model_checkpoint_path: "m.ckpt"\nall_model_checkpoint_paths: "m.ckpt"\n'
    )
    assert Bundle(prefix).names == ["a", "b"]


def test_the_same_bytes_each_time_and_in_any_order(tmp_path: Path) -> None:
    one = write(tmp_path / "one" / "m", ARRAYS)
    two = write(tmp_path / "two" / "m", dict(reversed(ARRAYS.items())))
    for name in names_in(one.parent):
        assert (one.parent / name).read_bytes() == (two.parent / name).read_bytes()


def test_views_of_any_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_PIECE", 1000)
    base = np.arange(7 * 300, dtype="<f4").reshape(7, 300)
    arrays = {
        "transposed": base.T,
        "strided": base[::2, ::-3],
        "spread": np.broadcast_to(np.float32(3), (40, 30)),
        "plain": base,
        "scalar": np.array(2.0),
        "empty": base[:0].T,
    }
    prefix = write(tmp_path / "m", arrays)
    for name, array in arrays.items():
        assert_same(Bundle(prefix).read(name), array)


def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """Also where it is a transposed view, as the kernels of a converted model are."""
    side = 1500

    def make() -> Any:
        return np.ones((side, side), "<f4").T

    tensors = [TensorSource(f"w{i}", np.dtype("<f4"), (side, side), make) for i in range(8)]
    tracemalloc.start()
    write_bundle(tmp_path / "m", tensors, shards=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The tensor, a piece of it in order, and the bytes that are summed.
    assert peak < 4 * side * side + 2.5 * (1 << 22)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "no name"),
        ({"name": "\0w"}, "no name"),
        ({"name": "b"}, "comes twice"),
        ({"dtype": np.dtype(">f4")}, "no type of TensorFlow's"),
        ({"dtype": np.dtype("<f8")}, r"tensor 'a': int32 \(3,\); expected float64"),
        ({"shape": (4,)}, r"tensor 'a': int32 \(3,\); expected int32 \(4,\)"),
    ],
)
def test_what_is_no_tensor(tmp_path: Path, changes: Any, message: str) -> None:
    prefix = write(tmp_path / "m", {"kept": np.arange(3)})
    before = names_in(tmp_path)
    tensors = sources(ARRAYS)
    tensors[1] = dataclasses.replace(tensors[1], **changes)
    with pytest.raises(ValueError, match=message):
        write_bundle(prefix, tensors)
    assert names_in(tmp_path) == before
    assert_holds(Bundle(prefix), {"kept": np.arange(3)})


@pytest.mark.parametrize("shards", [0, -1, 100_000])
def test_numbers_of_files(tmp_path: Path, shards: int) -> None:
    with pytest.raises(ValueError, match=r"data files; expected 1 to 99,999"):
        write_bundle(tmp_path / "m", [], shards=shards)


def test_an_old_checkpoint_is_replaced(tmp_path: Path) -> None:
    prefix = write(tmp_path / "m", ARRAYS)
    write(prefix, {"other": np.zeros(5)})
    assert_holds(Bundle(prefix), {"other": np.zeros(5)})


def test_a_full_disk_names_the_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> Iterator[memoryview]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "_pieces", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path / "m", ARRAYS)
    assert str(caught.value.filename) == str(data_path(tmp_path / "m", 0, 1))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("step", ["replace", "table"])
def test_a_write_that_is_cut_off_never_mixes_two_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    prefix = write(tmp_path / "m", ARRAYS, shards=2)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if step == "replace":
        monkeypatch.setattr(Path, "replace", stop)
    else:
        monkeypatch.setattr(writer, "table_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        write(prefix, {name: array + 1 for name, array in ARRAYS.items()}, shards=2)
    monkeypatch.undo()
    assert not index_path(prefix).exists()
    with pytest.raises(UserError, match="no such file"):
        Bundle(prefix)
    assert [name for name in names_in(tmp_path) if name.startswith(".")] == []
