"""A file of lines, made one after the other, that an interrupted run can be continued from.

    with line_file(out, identity, resume=True) as lines:
        for line in itertools.islice(work, lines.done, None):
            lines.write(line)

Lines go to `OUT.partial`, and what they are made of is told in `OUT.partial.json`; when all are
there the file gets its name. A kill costs the line that was being written, and what the system had
not yet been given.
"""

import contextlib
import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from hanmo.core.errors import UserError
from hanmo.core.files import COMPRESSIONS, parsed, write_json
from hanmo.core.lock import exclusive

_PARTIAL, _TOLD = ".partial", ".partial.json"


@dataclasses.dataclass(slots=True)
class Lines:
    """The file in the making.

    Attributes:
        done: lines that an earlier run left.
    """

    done: int
    _stream: IO[bytes]
    _partial: Path

    def earlier(self) -> Iterator[str]:
        """Yield the lines that an earlier run left."""
        with self._partial.open(encoding="utf-8", newline="\n") as stream:
            yield from itertools.islice(stream, self.done)

    def write(self, line: str) -> None:
        """Append a line; it has no end of its own."""
        self._stream.write(line.encode() + b"\n")

    def flush(self) -> None:
        """Give the system what was written, so that a kill no longer costs it."""
        self._stream.flush()


@contextlib.contextmanager
def line_file(
    out: Path, identity: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
) -> Iterator[Lines]:
    """Make the file `out` line by line.

    Args:
        out: its folder is made if absent.
        identity: what the lines are made of; compared on continuing.
        resume: go on where an interrupted run stopped; without one, begin.
        overwrite: replace a finished file, or what an interrupted run left.

    Raises:
        UserError: a file is there, or an interrupted run's of other settings; another process
            writes it; a name that asks for compression, in which one cannot go on.
    """
    if out.suffix in COMPRESSIONS:
        raise UserError(f"{out}: is written line by line, plain; leave out {out.suffix}")
    if out.is_dir():
        raise UserError(f"{out}: is a folder; expected the name of a file")
    with exclusive(out):
        partial, told = out.with_name(out.name + _PARTIAL), out.with_name(out.name + _TOLD)
        if out.exists() and not overwrite:
            raise UserError(f"{out}: is there already; --overwrite replaces it")
        plain = json.loads(json.dumps(identity, sort_keys=True, default=str))
        if partial.exists() and told.exists() and not overwrite:
            _check(partial, parsed(told), plain, resume=resume)
            done = _whole_lines(partial)
        else:
            partial.unlink(missing_ok=True)
            write_json(told, plain)
            done = 0
        with partial.open("ab") as stream:
            yield Lines(done, stream, partial)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(out)
        told.unlink()


def identity_of(out: Path) -> Mapping[str, Any]:
    """Return what the lines of an interrupted run are made of; nothing where there is none."""
    told = out.with_name(out.name + _TOLD)
    return parsed(told) if told.is_file() else {}


def _check(
    partial: Path, made: Mapping[str, Any], wanted: Mapping[str, Any], *, resume: bool
) -> None:
    if not resume:
        raise UserError(
            f"{partial}: an interrupted run left it; --resume continues it, --overwrite begins anew"
        )
    others = [
        key for key in sorted(made.keys() | wanted.keys()) if made.get(key) != wanted.get(key)
    ]
    if others:
        changes = "; ".join(f"{key} was {made.get(key)}, now {wanted.get(key)}" for key in others)
        raise UserError(
            f"{partial}: is of a run with other settings ({changes}); use those, or begin anew "
            "with --overwrite"
        )


def _whole_lines(path: Path) -> int:
    """Count the lines of a file and cut off what follows the last one."""
    done, end, place = 0, 0, 0
    with path.open("rb+") as stream:
        while chunk := stream.read(1 << 20):
            done += chunk.count(b"\n")
            last = chunk.rfind(b"\n")
            if last >= 0:
                end = place + last + 1
            place += len(chunk)
        stream.truncate(end)
    return done
