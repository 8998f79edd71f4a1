"""The shipped model comes out again, byte for byte, by the command that its NOTICE states."""

import shlex
from pathlib import Path

import pytest

from hanmo import cli
from hanmo.annotate._crf_model import SHIPPED, TASKS, tagger_path
from hanmo.core.artifact import read_manifest
from hanmo.core.files import sha256

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def stated_command(notice: str) -> list[str]:
    """The words after `hanmo` of the command, which goes over several lines."""
    command = notice[notice.index("hanmo train-annotator") :]
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "hanmo"
    return words[1:]


def test_the_stated_command_gives_the_same_bytes(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = stated_command((SHIPPED / "NOTICE").read_text(encoding="utf-8"))
    for name in {word for word in words if ".xz" in word}:
        [found] = data_dir.rglob(name)
        Path(name).symlink_to(found.resolve())
    assert cli.main(words) == 0
    made = Path(words[words.index("--out") + 1])
    for task in TASKS:
        name = tagger_path(made, task).name
        shipped = read_manifest(SHIPPED).files[name]["sha256"]
        assert sha256(SHIPPED / name) == shipped
        assert sha256(made / name) == shipped, name
