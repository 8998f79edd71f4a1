"""A stage's folder is whole or not there: kills, continuing, other settings, damage."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanmo.core import artifact
from hanmo.core.artifact import building, checked, digest, read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import sha256
from hanmo.core.identity import plain

KIND = "corpus"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the toy stage."""

    out: Path
    seed: int = 1
    rates: tuple[float, ...] = (0.1, 0.2)
    workers: int = 1
    name: str | None = None


class Killed(BaseException):
    """Stands for a kill: nothing of the stage runs after it."""


def make(out: Path, **options: Any) -> artifact.Build:
    """Run the toy stage: two files, one count; a file that is there already is kept."""
    inputs = options.pop("inputs", {})
    overwrite = options.pop("overwrite", False)
    config = Config(out, **options)
    with building(out, kind=KIND, config=config, inputs=inputs, overwrite=overwrite) as build:
        if build.finished:
            return build
        for name in ("a.txt", "sub/b.txt"):
            path = build.dir / name
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                path.write_text(f"{name} {config.seed}")
        build.counts["files"] = 2
    return build


def killed_at(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, out: Path, **options: Any
) -> None:
    """Run the toy stage and kill it when it calls `owner.name`."""

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, kill)
        make(out, **options)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_finished_folder_says_all_of_itself(tmp_path: Path) -> None:
    text = tmp_path / "in.txt"
    text.write_text("字")
    build = make(tmp_path / "out", inputs={"text": text})
    assert not build.finished
    manifest = read_manifest(tmp_path / "out", KIND)
    assert (manifest.kind, manifest.version) == (KIND, artifact.FORMAT_VERSION)
    assert manifest.config["rates"] == [0.1, 0.2]
    assert manifest.inputs == {"text": sha256(text)}
    assert manifest.counts == {"files": 2}
    assert sorted(manifest.files) == ["a.txt", "sub/b.txt"]
    verify(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out"]


def test_twice_is_once(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "out"
    make(out)
    before = contents(out)
    build = make(out, workers=8)  # not content
    assert build.finished
    assert build.counts == {"files": 2}
    assert contents(out) == before


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "x" / "out")
    make(tmp_path / "y" / "out")
    first, second = contents(tmp_path / "x/out"), contents(tmp_path / "y/out")
    assert first == second


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(Path, "write_text", id="before the files"),
        pytest.param(artifact, "sha256", id="between files and manifest"),
        pytest.param(artifact, "write_atomic", id="at the manifest"),
        pytest.param(artifact, "_publish", id="behind the manifest"),
        pytest.param(Path, "rename", id="at the name"),
    ],
)
def test_a_kill_leaves_nothing_readable_and_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    out = tmp_path / "out"
    killed_at(monkeypatch, owner, name, out)
    assert not out.exists()
    with pytest.raises(UserError, match=r"out: not finished \(out\.partial is there\): run"):
        read_manifest(out)
    with pytest.raises(UserError, match=r"other settings \(seed was 1, now 2\); repeat"):
        make(out, seed=2)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out.partial").rglob("*.txt")}
    assert len(kept) == (0 if name == "write_text" else 2)
    make(out)
    made = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.txt")}
    assert all(made[path.name] == time for path, time in kept.items())
    verify(out)
    make(tmp_path / "plain" / "out")
    wanted = contents(tmp_path / "plain" / "out")
    assert contents(out).keys() == wanted.keys()
    assert [p.name for p in tmp_path.iterdir() if p.name != "plain"] == ["out"]


def test_a_stage_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), building(out, kind=KIND, config={}) as build:
        (build.dir / "a.txt").write_text("half")
        raise ZeroDivisionError
    assert not out.exists()
    with pytest.raises(UserError, match="not a finished folder made by hanmo"):
        read_manifest(tmp_path / "out.partial")


def test_kill_9_while_building(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from hanmo.core.artifact import building\n"
        "from hanmo.core.files import write_atomic\n"
        f"with building(Path({str(tmp_path / 'out')!r}), kind='corpus', config={{}}) as build:\n"
        "    write_atomic(build.dir / 'a.txt', 'whole')\n"
        "    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write_atomic(build.dir / 'b.txt', 'torn')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    with building(tmp_path / "out", kind=KIND, config={}) as build:
        names = {path.name for path in build.dir.iterdir() if path.is_file()}
        assert names - {name for name in names if name.startswith(".b.txt.")} == {"a.txt"}
        (build.dir / "b.txt").write_text("whole")
    assert contents(tmp_path / "out").keys() == {"a.txt", "b.txt", "manifest.json"}
    assert read_manifest(tmp_path / "out").files.keys() == {"a.txt", "b.txt"}


@pytest.mark.parametrize("cause", [None, OSError(28, "full")])
def test_who_mends_a_mistake_may_start_again(tmp_path: Path, cause: OSError | None) -> None:
    out = tmp_path / "out"

    def fail(seed: int) -> None:
        with building(out, kind=KIND, config={"seed": seed}) as build:
            (build.dir / f"{seed}.txt").touch()
            raise UserError("a.txt:3: not UTF-8") from cause

    with pytest.raises(UserError, match="not UTF-8"):
        fail(1)
    if cause is not None:  # nobody's mistake: what was done is worth keeping
        with pytest.raises(UserError, match="other settings"):
            fail(2)
        return
    with pytest.raises(UserError, match="not UTF-8"):
        fail(2)
    with building(out, kind=KIND, config={"seed": 2}) as build:
        assert [path.name for path in build.dir.glob("*.txt")] == ["2.txt"]
    assert contents(out).keys() == {"2.txt", "manifest.json"}


def test_a_mistake_does_not_cost_what_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        pytest.raises(UserError, match="not UTF-8"),
        building(out, kind=KIND, config={"seed": 1}) as build,
    ):
        done = build.state_dir / "tasks" / "completions" / "00000"
        done.parent.mkdir(parents=True)
        done.touch()
        raise UserError("a.txt:3: not UTF-8")
    with (
        pytest.raises(UserError, match="left by an interrupted run with other settings"),
        building(out, kind=KIND, config={"seed": 2}),
    ):
        pass
    with building(out, kind=KIND, config={"seed": 1}) as build:
        assert build.has_progress


@pytest.mark.parametrize("inside", ["", "corpus", "a/b"])
def test_an_output_never_replaces_an_input(tmp_path: Path, inside: str) -> None:
    source = tmp_path / "out" / inside
    make(source)
    with (
        pytest.raises(UserError, match="holds the input"),
        building(tmp_path / "out", kind=KIND, config={}, inputs={"x": source}, overwrite=True),
    ):
        pass
    assert contents(source)["a.txt"] == "a.txt 1"


def test_marked_settings_do_not_matter(tmp_path: Path) -> None:
    @dataclasses.dataclass
    class Marked:
        seed: int
        on_error: str = dataclasses.field(default="stop", metadata={"content": False})

    for on_error in ("stop", "skip"):
        with building(tmp_path / "out", kind=KIND, config=Marked(1, on_error)) as build:
            assert build.finished == (on_error == "skip")
    assert "on_error" not in read_manifest(tmp_path / "out").config


def test_a_mistake_that_was_mended_is_forgotten(tmp_path: Path) -> None:
    def end(error: BaseException, seed: int) -> None:
        with (
            pytest.raises(type(error)),
            building(tmp_path / "out", kind=KIND, config={"seed": seed}),
        ):
            raise error

    end(UserError("a.txt:3: not UTF-8"), 1)
    end(Killed(), 1)
    with (
        pytest.raises(UserError, match="left by an interrupted run with other settings"),
        building(tmp_path / "out", kind=KIND, config={"seed": 2}),
    ):
        pass


def test_state_survives_a_kill_and_not_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed), building(out, kind=KIND, config={}) as build:
        (build.state_dir / "done").touch()
        raise Killed
    with building(out, kind=KIND, config={}) as build:
        assert (build.state_dir / "done").exists()
    assert contents(out).keys() == {"manifest.json"}


def test_other_settings_are_refused_unless_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with pytest.raises(UserError) as caught:
        make(out, seed=2, rates=(0.3,))
    assert str(caught.value) == (
        f"{out}: already finished with other settings (rates was [0.1, 0.2], now [0.3]; "
        "seed was 1, now 2); choose another --out, or pass --overwrite to replace it"
    )
    assert contents(out)["a.txt"] == "a.txt 1"
    make(out, seed=2, overwrite=True)
    assert contents(out)["a.txt"] == "a.txt 2"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_of_a_table_the_entries_that_differ_are_named(tmp_path: Path) -> None:
    def of(rate: int) -> None:
        config = {"options": {"rate": rate, "matches": ["a", "b"]}}
        with building(tmp_path / "out", kind=KIND, config=config):
            pass

    of(1)
    with pytest.raises(UserError, match=r"other settings \(options\.rate was 1, now 2\);"):
        of(2)


def test_the_old_folder_stays_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make(out)
    killed_at(monkeypatch, artifact, "_publish", out, seed=2, overwrite=True)
    verify(out)
    assert contents(out)["a.txt"] == "a.txt 1"


def test_a_kill_between_the_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make(out)
    rename = Path.rename

    def rename_away_only(path: Path, target: Path) -> Path:
        if path.name == "out.partial":
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", rename_away_only)
        make(out, seed=2, overwrite=True)
    assert make(out, seed=2).finished
    assert contents(out)["a.txt"] == "a.txt 2"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_changed_inputs_are_other_settings(tmp_path: Path) -> None:
    text, out = tmp_path / "in.txt", tmp_path / "out"
    text.write_text("一")
    make(out, inputs={"text": text})
    assert make(out, inputs={"text": text}).finished
    text.write_text("二")
    with pytest.raises(UserError, match=r"other settings \(the input text holds something else"):
        make(out, inputs={"text": text})
    with pytest.raises(UserError, match="the input more is new"):
        make(out, inputs={"text": text, "more": text})
    with pytest.raises(UserError, match=r"none\.txt: no such file or folder"):
        make(tmp_path / "other", inputs={"text": tmp_path / "none.txt"})


def test_digests_follow_contents(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = digest(tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    manifest["config"]["seed"] = 7  # how it was made does not matter, what it holds does
    (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
    assert digest(tmp_path / "out") == before
    name = next(iter(manifest["files"]))
    manifest["files"][name]["sha256"] = "0"
    (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
    assert digest(tmp_path / "out") != before
    folder = tmp_path / "plain"
    folder.mkdir()
    seen = {digest(folder)}
    (folder / "a").write_text("1")
    seen.add(digest(folder))
    (folder / "a").rename(folder / "b")
    seen.add(digest(folder))
    (folder / "b").write_text("2")
    seen.add(digest(folder))
    assert len(seen) == 4


def _a_file(tmp_path: Path) -> Path:
    (tmp_path / "out").write_text("mine")
    return tmp_path / "out"


def _a_folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    return tmp_path / "out" / "thesis.txt"


def _a_partial_folder(tmp_path: Path) -> Path:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.txt").write_text("mine")
    return tmp_path / "out.partial" / "thesis.txt"


def _a_partial_file(tmp_path: Path) -> Path:
    (tmp_path / "out.partial").write_text("mine")
    return tmp_path / "out.partial"


@pytest.mark.parametrize(
    ("lay", "message", "overwrite"),
    [
        (_a_file, "out: is a file; expected a folder to make; choose another --out", False),
        (_a_file, "out: is a file; expected a folder to make; choose another --out", True),
        (_a_folder, "out: exists and is not a folder made by hanmo; choose another", False),
        (_a_partial_folder, "out.partial: in the way, and not made by hanmo; move it", False),
        (_a_partial_folder, "out.partial: in the way, and not made by hanmo; move it", True),
        (_a_partial_file, "out.partial: in the way, and not made by hanmo; move it", True),
    ],
)
def test_what_is_not_ours_is_not_touched(
    tmp_path: Path, lay: Callable[[Path], Path], message: str, overwrite: bool
) -> None:
    mine = lay(tmp_path)
    with pytest.raises(UserError) as caught:
        make(tmp_path / "out", overwrite=overwrite)
    assert message in str(caught.value)
    assert mine.read_text() == "mine"


def test_an_empty_folder_may_be_filled_and_a_neighbour_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out.old").mkdir()
    (tmp_path / "out.old" / "backup").touch()
    make(tmp_path / "out")
    make(tmp_path / "out", seed=2, overwrite=True)
    verify(tmp_path / "out")
    assert (tmp_path / "out.old" / "backup").exists()


def test_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(UserError, match=r"a folder of kind 'corpus'; expected 'shards' or 'run'$"):
        read_manifest(tmp_path / "out", ("shards", "run"))
    assert read_manifest(tmp_path / "out", ("shards", KIND)).kind == KIND
    with (
        pytest.raises(UserError, match="kind 'corpus', not 'shards'"),
        building(tmp_path / "out", kind="shards", config={}),
    ):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "corpus"}', "\udcff"])
def test_a_cut_manifest_is_damage(tmp_path: Path, text: str) -> None:
    make(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=r"manifest\.json: damaged manifest \(.*\); make the"):
        read_manifest(tmp_path / "out", KIND)


def test_every_cut_of_a_manifest_is_damage(tmp_path: Path) -> None:
    make(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    whole = path.read_bytes()
    for end in range(0, len(whole.rstrip()), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match="damaged manifest"):
            verify(tmp_path / "out")


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    make(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(UserError, match=r"format version 99; this hanmo reads up to 1; upgrade"):
        read_manifest(tmp_path / "out")


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name, message in {
        "none": "no such folder",
        "file": "is a file; expected a folder with manifest.json",
        "folder": "no manifest.json: not a finished folder made by hanmo",
    }.items():
        with pytest.raises(UserError) as caught:
            read_manifest(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {message}"


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_flip, "SHA-256 differs from the manifest; make the folder again"),
        (lambda path: os.truncate(path, 3), "3 bytes; expected 11: cut short or overwritten"),
        (Path.unlink, "missing, though"),
    ],
)
def test_verify_names_the_damaged_file(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "out")
    harm(tmp_path / "out" / "sub" / "b.txt")
    with pytest.raises(UserError) as caught:
        verify(tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'out' / 'sub' / 'b.txt'}: {message}")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: os.truncate(path, 3), "3 bytes; expected 11 bytes"),
        (Path.unlink, "missing; expected 11 bytes"),
    ],
)
def test_a_folder_with_lost_files_is_not_finished(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    out = tmp_path / "out"
    make(out)
    harm(out / "sub" / "b.txt")
    with pytest.raises(UserError) as caught:
        make(out)
    assert str(caught.value).startswith(f"{out / 'sub' / 'b.txt'}: {message}")
    make(out, overwrite=True)
    verify(out)
    assert make(out).finished


def test_plain_is_what_json_gives_back(tmp_path: Path) -> None:
    values = plain({"config": Config(tmp_path), "list": [(1, Path("a"))], 3: None})
    assert json.loads(json.dumps(values)) == values
    assert values["config"]["out"] == str(tmp_path)
    assert values["list"] == [[1, "a"]]


def test_where_an_input_lies_does_not_matter(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "in.txt").write_text("same")
    made = []
    for place in ("a", "b"):
        path = tmp_path / place / "in.txt"
        config = {"text": path, "others": [path], "seed": 1, "workers": len(made)}
        with building(tmp_path / "out", kind="toy", config=config, inputs={"text": path}) as build:
            made.append(build.finished)
    assert made == [False, True]
    assert "workers" not in read_manifest(tmp_path / "out").config


def test_overwrite_leaves_somebodys_own_folder_alone(tmp_path: Path) -> None:
    own = _a_folder(tmp_path).parent
    with (
        pytest.raises(UserError, match="not a folder made by hanmo"),
        building(own, kind="toy", config={}, overwrite=True),
    ):
        pass
    assert (own / "thesis.txt").read_text() == "mine"


def test_a_file_is_checked_against_the_manifest_above_it(tmp_path: Path) -> None:
    make(tmp_path / "out")
    for name in ("a.txt", "sub/b.txt"):
        path = tmp_path / "out" / name
        assert checked(path) == path
        path.write_text(path.read_text().swapcase())
        with pytest.raises(UserError, match=f"{name}: SHA-256 differs"):
            checked(path)
    stranger = tmp_path / "stranger.txt"
    assert checked(stranger) == stranger
    listed_nowhere = tmp_path / "out" / "new.txt"
    assert checked(listed_nowhere) == listed_nowhere


def test_what_cannot_be_continued_is_thrown_away(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def broken_off(seed: int) -> None:
        config = {"seed": seed}
        with (
            pytest.raises(Killed),
            building(out, kind=KIND, config=config, resumes=False) as build,
        ):
            assert not list(build.dir.glob("*.txt"))
            (build.dir / "half.txt").write_text("half")
            raise Killed

    broken_off(1)
    broken_off(1)
    broken_off(2)
    assert (tmp_path / "out.partial" / "half.txt").exists()


def test_a_setting_that_is_new_since_then_was_at_its_default(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["config"]["seed"]
    path.write_text(json.dumps(manifest))
    assert make(out).finished
    with pytest.raises(UserError, match="seed was None, now 2"):
        make(out, seed=2)


@pytest.mark.parametrize("text", ['{"name": "a web page"}', "[1]", "no JSON"])
def test_somebody_elses_manifest_is_none_of_ours(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model" / "vocab.txt"
    path.parent.mkdir()
    path.write_text("mine")
    for folder in (tmp_path, path.parent):
        (folder / "manifest.json").write_text(text)
        assert checked(path) == path


def test_another_format_version_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out")
    monkeypatch.setattr(artifact, "FORMAT_VERSION", artifact.FORMAT_VERSION + 1)
    with pytest.raises(UserError, match="format version 1, not 2"):
        make(tmp_path / "out")
    assert make(tmp_path / "out", overwrite=True).finished is False


def test_a_manifest_is_parsed_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out")
    calls = []
    real = json.loads
    monkeypatch.setattr(json, "loads", lambda text: calls.append(1) or real(text))
    for _ in range(3):
        assert checked(tmp_path / "out" / "a.txt").is_file()
    assert len(calls) <= 1
    manifest = tmp_path / "out" / "manifest.json"
    raw = real(manifest.read_text())
    raw["files"]["a.txt"]["bytes"] += 1
    manifest.write_text(json.dumps(raw))
    with pytest.raises(UserError, match="expected"):
        checked(tmp_path / "out" / "a.txt")


def test_overwrite_replaces_its_own_kind_only(tmp_path: Path) -> None:
    with building(tmp_path / "out", kind="model", config={}) as build:
        (build.dir / "weights").write_text("dear")
    with pytest.raises(UserError, match=r"a folder of kind 'model', and this makes .* 'corpus'"):
        make(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "weights").read_text() == "dear"
    (tmp_path / "out" / "manifest.json").write_text("{")  # damaged: nobody's
    assert make(tmp_path / "out", overwrite=True).counts == {"files": 2}
