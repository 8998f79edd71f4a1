"""From what a user names to a checkpoint's prefix."""

from pathlib import Path

import numpy as np
import pytest
from bundle_cases import POINTER, write
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.convert.tf1.bundle import Bundle, find_prefix
from hanmo.convert.tf1.prefix import STATE, data_path, index_path, state_text
from hanmo.convert.tf1.table import table_bytes
from hanmo.core.errors import UserError
from hanmo.core.wire import bytes_field

ONE = {"w": np.arange(3, dtype="<f4")}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write(tmp_path / "bert_model.ckpt", ONE)


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """A V1 checkpoint: a table whose first entry is a SavedTensorSlices message."""
    path = tmp_path / "old.ckpt"
    path.write_bytes(table_bytes([(b"", bytes_field(1, b"")), (b"\0w\0\1", b"numbers")]))
    return path


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_a_file_of_it_or_the_prefix(prefix: Path, suffix: str) -> None:
    assert find_prefix(Path(f"{prefix}{suffix}")) == prefix


def test_a_folder_with_its_state_file(prefix: Path) -> None:
    write(prefix.with_name("other.ckpt-7"), ONE)
    assert find_prefix(prefix.parent).name == "other.ckpt-7"  # the newest
    (prefix.parent / STATE).write_text(state_text(prefix), encoding="utf-8")
    assert find_prefix(prefix.parent) == prefix


def test_a_folder_without_it(prefix: Path) -> None:
    (prefix.parent / STATE).unlink()
    assert find_prefix(prefix.parent) == prefix
    write(prefix.with_name("other.ckpt-7"), ONE)
    (prefix.parent / STATE).unlink()
    with pytest.raises(UserError) as caught:
        find_prefix(prefix.parent)
    assert "2 checkpoints (bert_model.ckpt, other.ckpt-7), and no `checkpoint`" in str(caught.value)
    for number in range(8):
        write(prefix.with_name(f"x-{number}"), ONE)
    (prefix.parent / STATE).unlink()
    with pytest.raises(UserError, match=r"10 checkpoints \(.*, x-2 and 5 more\)"):
        find_prefix(prefix.parent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all_model_checkpoint_paths: 'x'",
        'model_checkpoint_path: "/somewhere/else/bert_model.ckpt"',
        'model_checkpoint_path: "gone.ckpt-1"',
        'model_checkpoint_path: "/"',
        'model_checkpoint_path: ""',
        "model_checkpoint_path: 'bert_model.ckpt'",
        'model_checkpoint_path: "' + "x" * 5000 + '"',
        'model_checkpoint_path: "a\\000b\\377"',
    ],
)
def test_a_state_file_that_names_nothing_here_does_not_matter(prefix: Path, text: str) -> None:
    (prefix.parent / STATE).write_text(text, encoding="utf-8")
    assert find_prefix(prefix.parent) == prefix


def test_a_moved_folder(prefix: Path) -> None:
    write(prefix.with_name("other.ckpt-7"), ONE)
    for named in ("/old/place/bert_model.ckpt", str(prefix), "bert_model\\056ckpt"):
        text = f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "other.ckpt-7"\n'
        (prefix.parent / STATE).write_text(text, encoding="utf-8")
        assert find_prefix(prefix.parent) == prefix


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30))
def test_any_name_comes_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    for one in ("other", f"x{name}"):
        write(folder / one, ONE)
    assert find_prefix(folder) == folder / f"x{name}"


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=100))
def test_any_state_file(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    prefix = write(tmp_path_factory.mktemp("states") / "a", ONE)
    for text in (rest, b'model_checkpoint_path: "' + rest + b'"'):
        (prefix.parent / STATE).write_bytes(text)
        assert find_prefix(prefix.parent) == prefix


def test_files() -> None:
    assert index_path(Path("a/b.ckpt")) == Path("a/b.ckpt.index")
    assert data_path(Path("a/b.ckpt-7"), 3, 12) == Path("a/b.ckpt-7.data-00003-of-00012")


def test_a_prefix_that_looks_like_a_file(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a.index", ONE)
    assert find_prefix(prefix) == prefix


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001", ".meta", ".txt"])
def test_no_index(prefix: Path, suffix: str) -> None:
    index_path(prefix).unlink()
    path = Path(f"{prefix}{suffix}")
    with pytest.raises(
        UserError, match=r"there is no bert_model\.ckpt(\.txt)?\.index beside it"
    ) as e:
        find_prefix(path)
    there = suffix.startswith(".data")
    assert ("is no TensorFlow checkpoint" if there else "no such checkpoint") in str(e.value)
    with pytest.raises(UserError, match=r"no TensorFlow checkpoint: expected a \.index file in it"):
        find_prefix(prefix.parent)


def test_a_checkpoint_of_the_first_format(v1: Path) -> None:
    v1.with_name("old.ckpt.meta").write_bytes(b"graph")
    for path in (v1, v1.parent, v1.with_name("old.ckpt.meta")):
        with pytest.raises(UserError, match=r"old\.ckpt: a checkpoint of .*\(V1: one file") as e:
            find_prefix(path)
        assert "Saver(write_version=2)" in str(e.value)
    renamed = v1.rename(v1.with_name("new.ckpt.index"))
    with pytest.raises(UserError, match=r"new\.ckpt\.index: not the index of .*write_version=2"):
        Bundle(find_prefix(renamed))


def test_pointers(tmp_path: Path) -> None:
    path = tmp_path / "bert_model.ckpt"
    path.write_text(POINTER, encoding="ascii")
    with pytest.raises(UserError, match=r"bert_model\.ckpt: a Git LFS pointer"):
        find_prefix(path)
    path.rename(index_path(path))
    with pytest.raises(UserError, match=r"bert_model\.ckpt\.index: a Git LFS pointer"):
        Bundle(find_prefix(tmp_path))
