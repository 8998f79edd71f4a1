"""One process at a time on an output: two runs that write into one folder would tear it.

The lock is an flock of `.NAME.lock` beside the output, so the system lets go of it when its holder
dies, however it dies; the file is removed when the work ends. A file that a killed run left locks
nothing.

Behind a URL that keeps apart the processes of one machine. Against others an object of that name
says who writes, and is renewed every minute: a fresh one of another machine refuses. Two that begin
within the same second are not kept apart.

    with exclusive(Path("work/corpus")): ...
"""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanmo.core import remote
from hanmo.core.errors import UserError
from hanmo.core.log import say
from hanmo.core.urls import is_remote, root, shown

RENEWED = 60.0  # seconds between two signs of life
FRESH = 300.0  # seconds without one after which an owner counts as gone


@contextlib.contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold the lock of the output `out`; its parents are made when they are absent.

    Raises:
        UserError: another process has it, or one of the parents is a file.
    """
    path = out.parent / f".{out.name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{error.filename}: is a file; expected a folder for {out}") from None
    handle = _take(path, out)
    try:
        with _owned(path, out) if is_remote(path) else contextlib.nullcontext():
            yield
    finally:
        path.unlink(missing_ok=True)  # while it is still ours
        os.close(handle)


def _take(path: Path, out: Path) -> int:
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there two runs are not kept apart
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "of another machine"
            os.close(handle)
            raise UserError(
                f"{out}: another hanmo (process {holder}) is writing it; wait for that one, or "
                "choose another --out"
            ) from None
        except OSError:  # a file system without locks, as some network ones
            return handle
        # The holder before us may have removed the very file that we opened.
        if path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):
            try:
                os.truncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
            except OSError as error:  # a full disk, which does not say where
                path.unlink(missing_ok=True)
                os.close(handle)
                raise OSError(error.errno, error.strerror, str(path)) from None
            return handle
        os.close(handle)


@contextlib.contextmanager
def _owned(path: Path, out: Path) -> Iterator[None]:
    """Say in the store who writes there, as long as this goes on."""
    owner = {"host": platform.node(), "root": str(root()), "process": os.getpid()}
    _refuse_other(path, out, owner)
    ended = threading.Event()

    def write() -> None:
        remote.write(path, json.dumps({**owner, "time": time.time()}).encode())

    def renew() -> None:
        failing = False
        while not ended.wait(RENEWED):
            try:
                write()
                failing = False
            except (UserError, OSError) as error:  # network or disk may be well in a minute
                if not failing:
                    say(
                        f"{shown(path)}: cannot be renewed ({error}); is tried every "
                        f"{RENEWED:.0f} seconds; after {FRESH:.0f} another machine may write there"
                    )
                failing = True

    write()
    renewing = threading.Thread(target=renew, name="owner", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        try:
            remote.remove(path)
        except (UserError, OSError) as error:  # what ended the stage, if anything, is worse
            say(
                f"{shown(path)}: stays there ({error}); it keeps other machines from writing for "
                f"{FRESH:.0f} seconds"
            )


def _refuse_other(path: Path, out: Path, owner: dict[str, Any]) -> None:
    try:
        other = json.loads(remote.read_bytes(path))
        age = time.time() - other["time"]
        # Of this machine it is a killed run's: a living one would have the flock.
        same = all(other[key] == owner[key] for key in ("host", "root"))
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        return  # nobody's
    if not same and age < FRESH:
        raise UserError(
            f"{shown(out)}: another hanmo (process {other['process']} on {other['host']}) is "
            f"writing it: it gave a sign of life {max(0, age):.0f} seconds ago; wait for that one, "
            f"or, if it is dead, until there was none for {FRESH:.0f} seconds, or delete "
            f"{shown(path)}"
        )
