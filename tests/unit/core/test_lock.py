"""One writer at a time, by real processes: refused while one lives, free when it was killed."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import store_cases
from hanmo.core import lock, remote
from hanmo.core.artifact import building
from hanmo.core.errors import UnreachableError, UserError
from hanmo.core.lock import exclusive
from hanmo.core.urls import as_path

HOLD = """
import sys, time
from pathlib import Path
from hanmo.core.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(out: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "below" / "out"
    message = r"another hanmo \(process {}\) is writing it"
    with holder(out) as process:
        with pytest.raises(UserError, match=message.format(process.pid)), exclusive(out):
            pass
        with (
            pytest.raises(UserError, match=message.format(process.pid)),
            building(out, kind="corpus", config={}),
        ):
            pass
        with exclusive(tmp_path / "below" / "other"):
            pass
    assert [path.name for path in out.parent.iterdir()] == [".out.lock"], "the killed one's"
    with exclusive(out):
        assert (out.parent / ".out.lock").read_text() == f"{os.getpid()}\n"
    assert not list(out.parent.iterdir())


def test_the_lock_is_let_go_of_after_a_failure(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "out"):
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_a_finished_folder_holds_needs_no_lock(tmp_path: Path) -> None:
    with building(tmp_path / "out", kind="corpus", config={}):
        pass
    with holder(tmp_path / "out"), building(tmp_path / "out", kind="corpus", config={}) as build:
        assert build.finished


def test_a_full_disk_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left") as caught, exclusive(tmp_path / "out"):
        pass
    assert caught.value.filename == str(tmp_path / ".out.lock")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    with exclusive(tmp_path / "out"):
        assert (tmp_path / ".out.lock").exists()


def test_a_sign_of_life_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails, here or in the store: else another machine would come in after a while."""
    store_cases.use(tmp_path, monkeypatch)
    monkeypatch.setattr(lock, "RENEWED", 0.01)
    real = remote.write
    full = OSError(errno.ENOSPC, "No space left on device")
    failures: list[Exception] = [full, full, UnreachableError("the line is down")]
    renewed = threading.Event()

    def write(path: Path, data: bytes) -> None:
        if written and failures:
            raise failures.pop(0)
        real(path, data)
        written.append(data)
        if not failures:
            renewed.set()

    written: list[bytes] = []
    monkeypatch.setattr(remote, "write", write)
    with exclusive(as_path("shelf://work/out")):
        assert renewed.wait(60)
    told = capsys.readouterr().err
    assert told.startswith("shelf://work/.out.lock: cannot be renewed ([Errno 28] No space left")
    assert told.count("\n") == 1, "told once"
    assert not (tmp_path / "shelf/work/.out.lock").exists()


@pytest.mark.parametrize("fails", [True, False])
def test_a_store_that_is_gone_does_not_hide_what_ended_the_stage(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_cases.use(tmp_path, monkeypatch)

    def remove(path: Path) -> None:
        raise UnreachableError("the line is down")

    def work() -> None:
        with exclusive(as_path("shelf://work/out")):
            monkeypatch.setattr(remote, "remove", remove)
            if fails:
                raise UserError("part 3 failed")

    if fails:
        with pytest.raises(UserError, match="part 3 failed"):
            work()
    else:
        work()
    assert "shelf://work/.out.lock: stays there (the line is down)" in capsys.readouterr().err
    monkeypatch.undo()
