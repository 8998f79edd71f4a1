"""The `hanmo` command: finds a command by its name, parses, runs, prints.

Commands are the files of `hanmo.commands`; only the chosen one is imported, so that `hanmo --help`
stays under half a second and never imports torch. Exit codes: 0 done, 2 the user can mend it (one
line on stderr), 1 anything else, 130 / 143 stopped by Ctrl-C / SIGTERM.
"""

import contextlib
import errno
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hanmo import __version__
from hanmo.core import config as configuration
from hanmo.core import ranks, registry
from hanmo.core.errors import UserError, nearest
from hanmo.core.local_copies import with_local_copies
from hanmo.core.log import complain, say
from hanmo.core.urls import with_urls

_COMMANDS = "hanmo.commands"
# The order of the road; commands that are not listed follow in alphabetical order.
_ROAD = (
    "demo",
    "prepare",
    "annotate",
    "train_annotator",
    "train_vocab",
    "encode",
    "inspect",
    "pretrain",
    "models",
    "tasks",
    "finetune",
    "evaluate",
    "report",
    "sizes",
    "predict",
    "export",
    "serve",
    "prune",
)
_MENDABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else "--help"
    _open_output()
    try:
        with _terminable():
            return _main(name, words)
    except _TerminatedError:
        say(f"hanmo: stopped by SIGTERM; {_what_follows(name)}")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        say(f"hanmo: stopped; {_what_follows(name)}")
        return 128 + signal.SIGINT


def _what_follows(name: str) -> str:
    """Say what the same command does after it was stopped; commands that begin anew say so."""
    module = sys.modules.get(f"{_COMMANDS}.{name.replace('-', '_')}")
    return str(getattr(module, "AFTER_STOP", "the same command continues where it was"))


def _main(name: str, words: Sequence[str]) -> int:
    try:
        if name in ("-h", "--help", "help", "-V", "--version"):
            sys.stdout.write(f"hanmo {__version__}\n" if name in ("-V", "--version") else _help())
            code = 0
        else:
            code = _run(name, words[1:])
        sys.stdout.flush()
        return code
    except UserError as error:
        # Libraries' own words, which some messages quote, may have several lines.
        complain(f"{_speaker()}: " + " ".join(line.strip() for line in str(error).splitlines()))
        return 2
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output, such as head, has enough
            _drop_output()
            return 0
        if error.errno not in _MENDABLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{_speaker()}: {where}{error.strerror}{_advice(error)}")
        return 2


def _speaker() -> str:
    """Name whose error it is: processes of one training may meet different ones."""
    return f"hanmo (process {ranks.rank()})" if ranks.rank() else "hanmo"


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM came: as Ctrl-C, so that stages close their files and end their workers."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack; training loops, which finish their step, set their own."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open_output() -> None:
    """Make output possible where it is closed, and writable where its encoding lacks Chinese."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(name: str, argv: Sequence[str]) -> int:
    known = {command.replace("_", "-") for command in registry.names(_COMMANDS)}
    if name not in known:
        raise UserError(f"no command {name!r}{nearest(name, known)}; see: hanmo --help")
    module = registry.load(_COMMANDS, name)
    try:
        config = configuration.parse(name, module, argv)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    config = with_local_copies(config, getattr(module, "REMOTE", ()))
    result = module.run(config)
    if result is not None and not ranks.rank():
        _show(result, as_json="--json" in argv)
    return int(result.get("exit_code", 0)) if isinstance(result, Mapping) else 0


def _drop_output() -> None:
    """Let what is still buffered go nowhere, or Python complains of the pipe when it ends."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    shown = {key: value for key, value in result.items() if key != "exit_code"}
    if not shown:  # what there was to say was written as it came
        return
    if as_json:
        value = result.get("json", result)
        sys.stdout.write(with_urls(json.dumps(value, ensure_ascii=False, default=str)) + "\n")
        return
    text = result.get("text")
    if isinstance(text, str):
        sys.stdout.write(with_urls(text if text.endswith("\n") else text + "\n"))
        return
    width = max((len(key) for key in shown), default=0)
    for key, value in shown.items():
        sys.stdout.write(f"{key:<{width}}  {with_urls(_readable(value))}\n")


def _readable(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "; free some space and run the same command again (pretrain: with --resume)"
    return ""


def _help() -> str:
    names = registry.names(_COMMANDS)
    ordered = [name for name in _ROAD if name in names]
    ordered += [name for name in names if name not in _ROAD]
    lines = [
        f"hanmo {__version__} (翰墨): raw Chinese text → words and labels → encoder → a score",
        "",
        "usage: hanmo COMMAND … (hanmo COMMAND --help shows its flags)",
        "",
    ]
    for name in ordered:
        lines.append(f"  {name.replace('_', '-'):<16} {registry.summary(_COMMANDS, name)}")
    lines += ["", "All commands take --config FILE (TOML or JSON) and --json.", ""]
    return "\n".join(lines)
