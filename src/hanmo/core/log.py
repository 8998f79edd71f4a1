"""What a run says: one live progress line on stderr, and JSON lines in a file.

On a terminal the progress line is redrawn in place (rich); elsewhere (a log file, CI) a plain
line is written every few seconds. Both show the share done, the speed and the time left.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from hanmo.core import ranks
from hanmo.core.urls import with_urls

_PLAIN_INTERVAL = 15.0
_SILENT = 2.0  # shorter jobs say nothing off a terminal


def say(text: str) -> None:
    """Write one line to stderr; of several training processes only the first speaks."""
    if not ranks.rank():
        complain(text)


def complain(text: str) -> None:
    """Write one line to stderr whichever process this is: an error is never lost."""
    sys.stderr.write(with_urls(text) + "\n")
    sys.stderr.flush()


class Progress:
    """A progress line with speed and time left; silent for jobs under two seconds off a terminal.

    Example:
        with Progress("annotate", total=120, unit="parts") as bar:
            bar.advance(1, words="1.2 M")
    """

    def __init__(self, title: str, total: float | None = None, unit: str = "") -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0.0
        self._skipped = 0.0
        self._said = -1.0
        self._fields = ""
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        self._start = self._last = time.monotonic()
        if sys.stderr.isatty() and not ranks.rank():
            self._bar, self._task = _rich_bar(self._title, self._total, self._unit)
            self._bar.start()
        return self

    def skip(self, n: float) -> None:
        """Count work that an earlier run had done: shown as done, left out of the speed."""
        self._skipped += n
        self.advance(n)

    def advance(self, n: float = 1, **fields: object) -> None:
        """Add `n` to what is done and show `fields` behind the line."""
        self._done += n
        if fields:
            self._fields = "  ".join(f"{key} {value}" for key, value in fields.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, fields=self._fields)
        elif time.monotonic() - self._last >= _PLAIN_INTERVAL:
            self._last, self._said = time.monotonic(), self._done
            say(self._line())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif (
            kind is None and time.monotonic() - self._start >= _SILENT and self._said != self._done
        ):
            say(self._line())

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        speed = (self._done - self._skipped) / seconds
        parts = [f"{self._title}: {self._done:,.0f}"]
        if self._total:
            parts[0] += f"/{self._total:,.0f} {self._unit} ({self._done / self._total:.0%})"
        else:
            parts[0] += f" {self._unit}"
        if self._total and 0 < self._done < self._total and speed > 0:
            parts.append(f"ETA {duration((self._total - self._done) / speed)}")
        else:
            parts.append(duration(seconds))
        return "  ".join([*parts, self._fields] if self._fields else parts)


def duration(seconds: float) -> str:
    """`75` → `1:15`; `4000` → `1:06:40`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _rich_bar(title: str, total: float | None, unit: str) -> tuple[Any, Any]:
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn(unit),
        progress.TimeElapsedColumn(),
        progress.TextColumn("ETA"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[fields]}"),
        console=Console(stderr=True),
    )
    return bar, bar.add_task(title, total=total, fields="")


class RunLog:
    """JSON lines appended to a file, flushed line by line; optionally TensorBoard scalars too."""

    def __init__(self, path: Path, tensorboard: Path | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._board = _summary_writer(tensorboard) if tensorboard else None
        self._stream = path.open("a", encoding="utf-8")

    def write(self, **record: Any) -> None:
        """Append one record; numbers go to TensorBoard under their key at `record["step"]`."""
        with self._named_errors():
            self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._stream.flush()
        if self._board is not None:
            for key, value in record.items():
                if isinstance(value, int | float) and key != "step":
                    self._board.add_scalar(key, value, record.get("step", 0))

    def close(self) -> None:
        """Close the file and the TensorBoard writer."""
        if self._board is not None:
            self._board.close()
        with self._named_errors():
            self._stream.close()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = error.filename or self._stream.name  # a full disk does not say where
            raise


@contextlib.contextmanager
def run_log(path: Path, tensorboard: Path | None = None) -> Iterator[RunLog]:
    """Open a `RunLog` and close it at the end, whatever happens."""
    log = RunLog(path, tensorboard)
    try:
        yield log
    finally:
        log.close()


def _summary_writer(folder: Path) -> Any:
    import importlib

    from hanmo.core.errors import UserError

    try:
        # By name: this package must not import torch unless TensorBoard is asked for.
        module = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise UserError("--tensorboard needs the extra: pip install 'hanmo[tensorboard]'") from None
    return module.SummaryWriter(log_dir=str(folder))
