"""Settings that are URLs: what a command that knows no store gets instead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hanmo.cli import main
from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.core.local_copies import with_local_copies
from hanmo.core.urls import as_path, is_remote, shown


@dataclass(frozen=True, slots=True)
class Config:
    shards: Path
    out: Path = field(default=Path("out"), metadata={"output": True})
    more: list[Path] = field(default_factory=list[Path])
    name: str = "s3://text"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HANMO_REMOTE", str(tmp_path / "remote"))
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pipe_file("memory://top/a/x", b"1")
    store.pipe_file("memory://top/a/b/y", b"22")
    store.pipe_file("memory://top/z", b"333")
    yield
    store.store.clear()


def test_inputs_are_copied_whole() -> None:
    given = Config(
        as_path("memory://top/a"),
        more=[Path("local"), as_path("memory://top/z")],
        options={"file": as_path("memory://top/z"), "rate": 0.5},
    )
    made = with_local_copies(given)
    assert {p.name: p.read_bytes() for p in made.shards.rglob("*") if p.is_file()} == {
        "x": b"1",
        "y": b"22",
    }
    assert made.more[0] == Path("local")
    assert made.more[1].read_bytes() == made.options["file"].read_bytes() == b"333"
    assert not any(map(is_remote, (made.shards, made.more[1], made.options["file"])))
    assert shown(made.shards) == "memory://top/a", "messages and manifests say the URL"
    fsspec.filesystem("memory").rm_file("/top/a/x")
    again = with_local_copies(given)
    assert [p.name for p in again.shards.rglob("*") if p.is_file()] == ["y"]


def test_local_settings_stay_as_they_are() -> None:
    given = Config(Path("a"), more=[Path("b")], options={"file": Path("c")})
    assert with_local_copies(given) == given
    assert with_local_copies(object) is object


def test_what_a_command_reads_itself_stays_a_url() -> None:
    given = Config(as_path("memory://top/a"), out=as_path("memory://top/out"))
    assert with_local_copies(given, ("shards", "out")) == given


@pytest.mark.parametrize(
    ("shards", "out", "reads", "message"),
    [
        ("memory://top/a", "memory://top/out", (), "--out memory://top/out: expected a local"),
        ("memory://top/none", "out", (), "memory://top/none: no such file or folder"),
        ("a", "memory://top", ("out",), "--out memory://top: expected a folder below"),
    ],
)
def test_what_cannot_be(shards: str, out: str, reads: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_local_copies(Config(as_path(shards), as_path(out)), reads)


def outputs(command: str) -> set[str]:
    """Return the settings of a command that are marked as what it makes."""
    config = registry.member("hanmo.commands", command, "Config")
    return {one.name for one in fields(config) if one.metadata.get("output")}


@pytest.mark.parametrize("command", registry.names("hanmo.commands"))
def test_commands_mark_what_they_make(command: str) -> None:
    """By name only here: what is called so is made by every command that has it."""
    config = registry.member("hanmo.commands", command, "Config")
    made = {"out", "html", "dropped", "teacher_dir", "data_dir"}
    assert outputs(command) == made & {one.name for one in fields(config)}


def test_a_teacher_s_sentences_are_not_kept_behind_a_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be written in the local cache only, whether there is something at the URL or not."""
    words = ["train-annotator", "--corpus", str(tmp_path), "--teacher", "jieba"]
    for place in ("memory://top/a", "memory://top/none"):
        assert main([*words, "--out", str(tmp_path / "out"), "--teacher-dir", place]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"hanmo: --teacher-dir {place}: expected a local folder")
    assert not (tmp_path / "remote/memory").exists()
