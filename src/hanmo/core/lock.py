"""One process at a time on an output: two runs that write into one folder would tear it.

The lock is an flock of `.NAME.lock` beside the output, so the system lets go of it when its holder
dies, however it dies; the file is removed when the work ends. A file that a killed run left locks
nothing.

    with exclusive(Path("work/corpus")): ...
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hanmo.core.errors import UserError


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
            os.truncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            return handle
        os.close(handle)
