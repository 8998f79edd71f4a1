"""Commands as processes of their own, and an annotator slow enough to be killed at its work."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SLOW = '''
"""An annotator that takes its time, so that a kill finds it at work."""
import dataclasses, os, time
from hanmo.annotate.annotators.jieba import Annotator as Quick

@dataclasses.dataclass(frozen=True, slots=True)
class Annotator:
    @property
    def layers(self):
        return ("pos",)

    def annotate(self, texts):
        time.sleep(float(os.environ.get("SECONDS_A_BATCH", "0")))
        return Quick().annotate(texts)
'''


def hanmo(*words: object) -> list[str]:
    """Return a command line of hanmo."""
    return [sys.executable, "-m", "hanmo", *map(str, words)]


@contextmanager
def disk(folder: Path, mib: int) -> Iterator[Path]:
    """Make a disk of a few MiB; skips the test where that needs more rights than it has."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.call(command):
        pytest.skip("cannot mount a small disk here (not root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
