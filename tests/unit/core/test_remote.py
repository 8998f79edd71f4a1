"""Files behind URLs: twins and their names, copies, writing, failures and their messages."""

import contextlib
import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core import fsspec_store, lock, remote
from hanmo.core.artifact import building, checked, digest, read_manifest
from hanmo.core.errors import MissingLibraryError, UserError
from hanmo.core.execute import run_tasks
from hanmo.core.files import read_lines, sha256, write_atomic
from hanmo.core.lock import exclusive
from hanmo.core.urls import Twin, as_path, is_remote, root, shown, twin, url_of, with_urls


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HANMO_REMOTE", str(tmp_path / "remote"))
    monkeypatch.setattr(fsspec_store, "PAUSES", (0.0, 0.0))
    clear()
    yield
    clear()


def clear() -> None:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def put(url: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(url, data)


names = st.text(
    st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=12
) | st.sampled_from(["", ".", "..", "%", "%2E", "%25", "*", "[a]", "a b", "中文", "?x#y"])


@given(st.sampled_from(["s3", "hdfs", "memory"]), names, st.lists(names, max_size=4), names)
def test_a_twin_says_its_url(scheme: str, place: str, folders: list[str], last: str) -> None:
    url = f"{scheme}://" + "/".join([place, *folders, last or "x"])
    path = twin(url)
    assert url_of(path) == url
    assert path.is_relative_to(root())
    assert path == Path(os.path.normpath(path)), "nothing in it means a folder above"
    copy = pickle.loads(pickle.dumps(path))
    assert (copy, type(copy)) == (path, Twin)


@given(st.lists(names, min_size=1, max_size=3), st.lists(names, min_size=1, max_size=3))
def test_different_urls_have_different_twins(one: list[str], other: list[str]) -> None:
    first, second = ("s3://b/" + "/".join([*parts, "x"]) for parts in (one, other))
    assert (twin(first) == twin(second)) == (first == second)


def test_what_is_a_url(tmp_path: Path) -> None:
    assert as_path("work/s3:/x") == Path("work/s3:/x")
    assert as_path("file:///data/x") == Path("/data/x")
    assert as_path("S3://b/x/") == root() / "s3/b/x"
    assert url_of(as_path("hdfs:///user/x")) == "hdfs:///user/x"
    assert is_remote(as_path("memory://a") / "b")
    assert not is_remote(Path(os.fspath(as_path("memory://a"))))
    for text, message in [
        ("s4://b", "s4://b: no protocol 's4' .known: abfs, file, gs"),
        ("zip://x::s3://b/y", "a URL in a URL"),
    ]:
        with pytest.raises(UserError, match=message):
            as_path(text)
    assert (
        with_urls(f"{as_path('s3://b/x')}: missing; {tmp_path}") == f"s3://b/x: missing; {tmp_path}"
    )
    assert with_urls(f"'{as_path('hdfs:///user/x')}'") == "'hdfs:///user/x'"


def test_a_pickled_twin_is_one_of_the_other_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pickle.dumps(as_path("s3://b/x") / "y")
    monkeypatch.setenv("HANMO_REMOTE", str(tmp_path / "elsewhere"))
    assert pickle.loads(packed) == tmp_path / "elsewhere/s3/b/x/y"


def test_looking_at_a_store() -> None:
    for name in ("a/one", "a/b/two", "a/*", "ab"):
        put(f"memory://top/{name}", name.encode())
    folder = as_path("memory://top/a")
    assert [p.name for p in remote.children(folder)] == ["*", "b", "one"]
    assert {p.relative_to(folder).as_posix(): n for p, n in remote.listing(folder).items()} == {
        "*": 3,
        "b/two": 7,
        "one": 5,
    }
    assert remote.is_folder(folder)
    assert not remote.is_file(folder)
    assert remote.is_file(folder / "one")
    assert not remote.exists(folder / "on")
    assert remote.children(folder / "none") == []
    assert remote.listing(folder / "none") == {}
    remote.remove(folder / "*")
    assert remote.is_file(folder / "one"), "a name is no pattern"
    remote.remove_tree(folder)
    assert not remote.exists(folder)
    assert remote.is_file(as_path("memory://top/ab"))


def test_copies_follow_the_store() -> None:
    path = as_path("memory://top/text.txt")
    put(shown(path), "一\n".encode())
    assert [line for _, line in read_lines(path)] == ["一"]
    stamp = path.stat().st_ino
    assert remote.fetched(path).stat().st_ino == stamp, "not fetched again"
    put(shown(path), "二\n".encode())
    assert [line for _, line in read_lines(path)] == ["二"]
    with remote.borrowed(path):
        assert path.exists()
    assert path.exists(), "it was there before"
    path.unlink()
    with remote.borrowed(path):
        assert path.exists()
    assert not path.exists()
    remote.fetched(path)
    remote.remove(path)
    with pytest.raises(UserError, match="no such file"):
        list(read_lines(path))


def test_what_is_written_is_in_the_store_alone() -> None:
    path = as_path("memory://out/a/b.txt")
    write_atomic(path, "文")
    assert remote.read_bytes(path) == "文".encode()
    assert [p for p in root().rglob("*") if p.is_file()] == []
    assert sha256(path) == sha256(path)


def build(out: Path, text: str = "x", **settings: Any) -> dict[str, Any]:
    with building(out, kind="t", config={"text": text}, **settings) as made:
        if not made.finished:
            write_atomic(made.dir / "part-0", text)
            (made.dir / "below").mkdir(exist_ok=True, parents=True)
            write_atomic(made.dir / "below/part-1", text * 2)
            made.counts["n"] = len(text)
        return dict(made.counts)


def test_a_folder_in_the_store_is_as_one_on_the_disk(tmp_path: Path) -> None:
    local, far = tmp_path / "out", as_path("memory://top/out")
    for out in (local, far):
        assert build(out, "字") == build(out, "字") == {"n": 1}
    assert read_manifest(far) == read_manifest(local)
    assert digest(far) == digest(local)
    stored = fsspec.filesystem("memory").find("/top")
    assert sorted(stored) == [f"/top/out/{n}" for n in ("below/part-1", "manifest.json", "part-0")]
    with pytest.raises(UserError, match=r"already finished with other settings"):
        build(far, "语")
    assert build(far, "语言", overwrite=True) == {"n": 2}
    assert remote.read_bytes(far / "part-0") == "语言".encode()
    put("memory://top/mine/x", b"")
    with pytest.raises(UserError, match="not a folder made by hanmo"):
        build(as_path("memory://top/mine"))
    with pytest.raises(UserError, match="is a file"):
        build(as_path("memory://top/mine/x"))


@pytest.mark.parametrize("nth", range(1, 30))
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_build_stopped_at_any_step_is_done_again(
    nth: int, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost for good at the nth change of the store, a move in its middle too."""
    out = as_path("memory://top/out")
    if overwrite:
        build(out, "old")
        put("memory://top/out/other", b"of the old one")
    store = type(fsspec.filesystem("memory"))
    calls = 0

    class Lost(BaseException):
        pass

    def counted(action: Any) -> Any:
        def act(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= nth:
                raise Lost
            return action(*arguments, **options)

        return act

    with monkeypatch.context() as broken:
        for name in ("put_file", "rm_file", "cp_file"):
            broken.setattr(store, name, counted(getattr(store, name)))
        with contextlib.suppress(Lost):
            build(out, "new", overwrite=overwrite)
    for number in range(2):
        assert build(out, "new", overwrite=overwrite and number == 0) == {"n": 3}
    stored = fsspec.filesystem("memory").find("/top")
    left = [name for name in stored if not name.startswith("/top/.")]
    assert left == [f"/top/out/{n}" for n in ("below/part-1", "manifest.json", "part-0")]
    assert remote.read_bytes(out / "below/part-1") == b"newnew"


def test_damage_is_found() -> None:
    out = as_path("memory://top/out")
    build(out, "text")
    put("memory://top/out/part-0", b"tex")
    with pytest.raises(UserError, match=r"part-0: 3 bytes; expected 4: cut short"):
        checked(out / "part-0")
    put("memory://top/out/part-0", b"texd")
    with pytest.raises(UserError, match=r"part-0: SHA-256 differs"):
        checked(out / "part-0")


def test_nobody_looks_above_the_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    put("memory://top/vocab.txt", b"x")
    asked = []
    store = type(fsspec.filesystem("memory"))
    real = store.info

    def info(self: Any, name: str, **options: Any) -> Any:
        asked.append(name)
        return real(self, name, **options)

    monkeypatch.setattr(store, "info", info)
    assert checked(as_path("memory://top/vocab.txt")).name == "vocab.txt"
    assert set(asked) == {"/top/manifest.json"}


def test_a_file_cut_short_while_it_was_made_is_found() -> None:
    out = as_path("memory://top/out")
    message = r"memory://top/out.partial/part-0: 1 bytes; expected 4"
    with (
        pytest.raises(UserError, match=message),
        building(out, kind="t", config={}) as made,
    ):
        write_atomic(made.dir / "part-0", "text")
        put("memory://top/out.partial/part-0", b"t")


class Failing:
    """Breaks a method of the memory store some times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, *errors: Any) -> None:
        store = type(fsspec.filesystem("memory"))
        real, self.errors, self.calls = getattr(store, name), list(errors), 0

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return real(*arguments, **options)

        monkeypatch.setattr(store, name, call)


def test_a_network_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_path("memory://top/x")
    failing = Failing(monkeypatch, "put_file", ConnectionError("reset"), TimeoutError())
    write_atomic(path, "text")
    assert failing.calls == 3
    Failing(monkeypatch, "cat_file", ConnectionError("reset"))
    assert remote.read_bytes(path) == b"text"


@pytest.mark.parametrize(
    ("errors", "calls", "message"),
    [
        ([ConnectionError("reset")] * 3, 3, r"memory://top/x: cannot read it \(ConnectionError"),
        ([PermissionError("no")], 1, r"\(PermissionError: no\); check the address, .* credentials"),
        ([ValueError("NoCredentials")], 1, r"memory://top/x: cannot read it .*credentials"),
    ],
)
def test_a_network_that_does_not(
    errors: list[Exception], calls: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_path("memory://top/x")
    put(shown(path), b"text")
    failing = Failing(monkeypatch, "get_file", *errors)
    with pytest.raises(UserError, match=message) as caught:
        remote.fetched(path)
    assert failing.calls == calls
    assert caught.value.__cause__ is not None, "no mistake in the settings: the run may continue"
    assert not path.exists()


def test_a_full_disk_here_is_not_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_path("memory://top/x")
    put(shown(path), b"text")
    Failing(monkeypatch, "get_file", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        remote.fetched(path)


def test_a_download_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_path("memory://top/x")
    put(shown(path), b"text")
    store = type(fsspec.filesystem("memory"))

    def short(self: Any, name: str, target: str, **options: Any) -> None:
        Path(target).write_bytes(b"te")

    monkeypatch.setattr(store, "get_file", short)
    with pytest.raises(UserError, match=r"memory://top/x: got 2 of 4 bytes"):
        remote.fetched(path)
    assert [p.name for p in path.parent.iterdir()] == []


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingLibraryError, match=r"s3://b/x: .*pip install 'hanmo\[s3\]'"):
        remote.exists(as_path("s3://b/x"))


def test_nobody_asks_for_fsspec_without_a_url() -> None:
    program = (
        "import sys\nfrom hanmo.cli import main\n"
        "assert main(['--help']) == main(['encode', '--help']) == 0\n"
        "from hanmo.core import artifact, execute, files, remote\n"
        "assert 'fsspec' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_two_machines_do_not_write_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = as_path("memory://top/out")
    with exclusive(out):
        with pytest.raises(UserError, match="another hanmo"), exclusive(out):
            pass  # on this machine
        monkeypatch.setenv("HANMO_REMOTE", str(tmp_path / "elsewhere"))
        message = r"memory://top/out: another hanmo \(process \d+ on .*or delete memory://top/\.out"
        with pytest.raises(UserError, match=message), exclusive(as_path("memory://top/out")):
            pass
        monkeypatch.setattr(lock, "FRESH", -1.0)  # it gave no sign of life for long
        with exclusive(as_path("memory://top/out")):
            pass
        monkeypatch.setenv("HANMO_REMOTE", str(tmp_path / "remote"))
    assert not remote.exists(as_path("memory://top/.out.lock"))


def step(folder: Path, rank: int) -> dict[str, int]:
    """Write a file and count."""
    write_atomic(folder / f"part-{rank}", str(rank))
    return {"n": rank}


def test_tasks_on_a_machine_that_has_seen_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine has another root, and no folder of the build."""
    from functools import partial

    out = as_path("memory://top/out")
    state = out / ".state/tasks"

    class Elsewhere:
        def run(self, run_one: Any, ranks: list[int], **_: Any) -> Iterator[Any]:
            packed = pickle.dumps(run_one)
            for rank in ranks:
                with monkeypatch.context() as there:
                    there.setenv("HANMO_REMOTE", str(tmp_path / f"machine-{rank}"))
                    pickle.loads(packed)(rank)
                yield rank, None

    for _ in range(2):
        made = run_tasks(
            partial(step, out),
            3,
            workers=1,
            state_dir=state,
            title="t",
            executor=Elsewhere(),  # type: ignore[arg-type]
        )
        assert made == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert remote.read_bytes(out / "part-2") == b"2"
    assert [p.name for p in remote.children(state / "completions")] == ["00000", "00001", "00002"]
