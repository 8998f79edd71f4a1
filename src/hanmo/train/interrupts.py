"""Stop a training run at the end of a step: SIGINT and SIGTERM are remembered, not obeyed.

with Interrupts() as interrupts:
for record in records:
if interrupts.caught: ...save and leave...
"""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Remember SIGINT and SIGTERM instead of dying, so that the step is finished and saved.

    Attributes:
        caught: the signal, None so far. A second one raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.caught:  # a second Ctrl-C means now
            raise KeyboardInterrupt
        self.caught = signal.Signals(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
