"""Parquet parts: what goes in comes out, the same bytes each time, and damage is an error."""

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from hanmo.annotate import store
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import read_part, write_part
from hanmo.core.errors import UserError

ROWS = [
    ("a", Sentence("我们 去😀", ((0, 2), (3, 4), (4, 5)), {"pos": ("r", "v", None)})),
    ("a", Sentence("走", ((0, 1),), {"pos": ("v",), "ner": ("O",), "dep": ("HED",)})),
    ("b", Sentence("空", ((0, 1),), {})),
    ("b", Sentence("", (), {"dep": ()})),
]


def test_rows_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 3)
    path = tmp_path / "part-00000.parquet"
    assert write_part(path, iter(ROWS)) == 4
    assert list(read_part(path)) == ROWS
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_part_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    assert write_part(path, []) == 0
    assert list(read_part(path)) == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_part(first, ROWS * 10)
    write_part(second, ROWS * 10)
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_left_when_the_rows_fail(tmp_path: Path) -> None:
    def rows():
        yield ROWS[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_part(tmp_path / "part-00000.parquet", rows())
    assert list(tmp_path.iterdir()) == []


def test_damage_is_an_error(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "part-00000.parquet"
    with pytest.raises(UserError, match="no such file"):
        list(read_part(path))
    write_part(path, ROWS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="damaged Parquet file"):
        list(read_part(path))
    parquet.write_table(pa.table({"text": ["我"]}), path)
    with pytest.raises(UserError, match="no column 'doc_id'"):
        list(read_part(path))


def test_what_the_system_lacks_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part-00000.parquet"
    write_part(path, ROWS)

    def full(path: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(OSError, match="No space left") as found, store.open_part(path):
        full(path)  # whoever reads writes, too
    assert found.value.errno == errno.ENOSPC
    monkeypatch.setattr(store, "checked", full)  # it fetches what lies in a store
    with pytest.raises(OSError, match="No space left") as found:
        list(read_part(path))
    assert found.value.errno == errno.ENOSPC
