"""The thin mouth: help without torch, exit codes, one line for what a user can mend."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hanmo import __version__, cli, samples
from hanmo.core import registry
from hanmo.core.errors import UserError

COMMANDS = registry.names("hanmo.commands")
FLAGS = [name.replace("_", "-") for name in COMMANDS]
HEAVY = ("torch", "transformers", "pyarrow", "datatrove", "sklearn", "matplotlib", "tokenizers")


def python(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, **options
    )


def hanmo_in_a_process(*words: str) -> tuple[int, str, str, list[str]]:
    """Run a command line in a fresh process: code, stdout, stderr, heavy modules imported."""
    program = (
        "import json, sys\n"
        "from hanmo.cli import main\n"
        f"code = main({list(words)!r})\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.stderr.write(json.dumps([code, heavy]))\n"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    *errors, last = done.stderr.splitlines()
    code, heavy = json.loads(last)
    return code, done.stdout, "\n".join(errors), heavy


def test_help_lists_every_command_with_its_summary_and_imports_nothing_heavy() -> None:
    code, out, err, heavy = hanmo_in_a_process("--help")
    assert (code, err, heavy) == (0, "", [])
    listed = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert sorted(listed) == sorted(FLAGS)
    for name in COMMANDS:
        summary = registry.summary("hanmo.commands", name)
        assert summary
        assert listed[name.replace("_", "-")].endswith(f" {summary}")


def test_the_road_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0].replace("-", "_") for line in lines if line.startswith("  ")]
    road = [name for name in cli._ROAD if name in COMMANDS]
    assert listed == road + sorted(set(COMMANDS) - set(road))


@pytest.mark.parametrize("command", FLAGS)
def test_the_help_of_a_command_names_its_flags_and_does_not_import_torch(command: str) -> None:
    code, out, err, heavy = hanmo_in_a_process(command, "--help")
    assert (code, err) == (0, "")
    assert "torch" not in heavy
    assert "transformers" not in heavy
    assert f"hanmo {command}" in out
    # jsonargparse lists positional settings without a flag.
    for flag in ("--config", "--json"):
        assert flag in out


@pytest.mark.parametrize("words", [["-V"], ["--version"]])
def test_the_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    assert capsys.readouterr() == (f"hanmo {__version__}\n", "")


def test_python_m_hanmo_is_the_command() -> None:
    done = python("-m", "hanmo", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("hanmo: no command 'nonsense' (known: annotate")
    assert python("-m", "hanmo", "-V").stdout == f"hanmo {__version__}\n"


# From here on `toy` is the only command; what its run does is given by each test.


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace(run=lambda config: None)
    monkeypatch.setattr(registry, "names", lambda package: ["toy_stage"])
    monkeypatch.setattr(registry, "load", lambda package, name: module)
    monkeypatch.setattr(cli.configuration, "parse", lambda name, module, argv: list(argv))
    return module


def outcome(
    toy: SimpleNamespace, run: Any, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    toy.run = run
    code = cli.main(["toy-stage", *words])
    return (code, *capsys.readouterr())


def raising(error: BaseException) -> Any:
    def run(config: Sequence[str]) -> Mapping[str, Any]:
        raise error

    return run


def test_an_unknown_command_gets_the_nearest(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("toystage", "toy_stage"):
        assert cli.main([name]) == 2
        err = capsys.readouterr().err
        assert err == (
            f"hanmo: no command {name!r}; did you mean 'toy-stage'? (known: toy-stage); "
            "see: hanmo --help\n"
        )


def test_a_result_is_shown_for_people(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"documents": 1234567, "share": 0.123456, "done": True, "out": Path("work/a")}
    assert outcome(toy, lambda _: result, capsys) == (
        0,
        "documents  1,234,567\nshare      0.1235\ndone       True\nout        work/a\n",
        "",
    )
    assert outcome(toy, lambda _: {"text": "表", "n": 1}, capsys) == (0, "表\n", "")
    assert outcome(toy, lambda _: None, capsys) == (0, "", "")
    assert outcome(toy, lambda _: {}, capsys) == (0, "", "")


def test_json_is_one_object(toy: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    result = {"documents": 1234567, "名": "字", "out": Path("work/a"), "text": "a\nb"}
    code, out, err = outcome(toy, lambda _: result, capsys, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out) == {**result, "out": "work/a"}
    assert "字" in out


@pytest.mark.parametrize("code", [0, 130, 143])
def test_a_stopped_run_hands_on_its_exit_code(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    got, out, _ = outcome(toy, lambda _: {"steps": 5, "exit_code": code}, capsys)
    assert (got, out) == (code, "steps  5\n")


def test_what_a_user_can_mend_is_one_line_and_code_2(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    error = UserError("a.txt:3: not UTF-8\n  a library's\n\tsecond line")
    assert outcome(toy, raising(error), capsys) == (
        2,
        "",
        "hanmo: a.txt:3: not UTF-8 a library's second line\n",
    )


def test_a_full_disk_is_one_line_and_says_how_to_go_on(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error = OSError(number, os.strerror(number), "work/part.bin")
        assert outcome(toy, raising(error), capsys) == (
            2,
            "",
            f"hanmo: work/part.bin: {os.strerror(number)}; free some space and run the same "
            "command again (pretrain: with --resume)\n",
        )


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EROFS, errno.ENOTDIR])
def test_other_mendable_system_errors(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    error = OSError(number, os.strerror(number), "work/x")
    line = f"hanmo: work/x: {os.strerror(number)}\n"
    assert outcome(toy, raising(error), capsys) == (2, "", line)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), OSError(errno.EIO, "I/O error"), OSError("no number")]
)
def test_a_bug_keeps_its_traceback(
    toy: SimpleNamespace, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    with pytest.raises(type(error), match=str(error).replace("[", r"\[")):
        outcome(toy, raising(error), capsys)


def test_a_bug_is_code_1() -> None:
    program = (
        "from hanmo import cli\n"
        "def run(name, argv):\n    raise ZeroDivisionError\n"
        "cli._run = run\nraise SystemExit(cli.main(['toy']))\n"
    )
    done = python("-c", program)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_ctrl_c_is_130(toy: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(toy, raising(KeyboardInterrupt()), capsys) == (
        130,
        "",
        "hanmo: stopped; the same command continues where it was\n",
    )


def test_ctrl_c_of_a_command_that_begins_anew(
    toy: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.AFTER_STOP = "the same command begins anew"
    monkeypatch.setitem(sys.modules, "hanmo.commands.toy_stage", toy)
    said = outcome(toy, raising(KeyboardInterrupt()), capsys)[2]
    assert said == "hanmo: stopped; the same command begins anew\n"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_enough_is_no_error(lines: int) -> None:
    program = (
        "import sys\nfrom hanmo import cli\n"
        f"def run(name, argv):\n    sys.stdout.write('text\\n' * {lines})\n    return 0\n"
        "cli._run = run\nsys.stdin.read()\nraise SystemExit(cli.main(['toy']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()  # gone before the first line, as `head -0` is
    process.stdout = None
    _, err = process.communicate(b"go")
    assert (process.returncode, err) == (0, b"")


def test_help_marks_what_is_required_and_names_plug_ins() -> None:
    _, out, _, _ = hanmo_in_a_process("pretrain", "--help")
    words = " ".join(out.split())
    assert (
        "--steps STEPS Length of training in optimiser steps; schedules refer to it. (required)"
        in words
    )
    assert "Shipped: distill, electra, lert, mac, mlm, pert" in words
    assert "(default: None)" not in words


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", ">&- 2>&-"])
def test_closed_and_ascii_output_is_no_mistake(closed: str) -> None:
    line = f"{sys.executable} -m hanmo --help {closed}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ("\\u7ff0\\u58a8" in done.stdout) == (not closed.startswith(">"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_stops_a_stage_which_then_continues(workers: str, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    text = samples.folder() / "text"
    prepare = ["prepare", str(text), "--out", str(corpus), "--part-chars", "8000"]
    assert cli.main(prepare) == 0
    words = ["-m", "hanmo", "annotate", str(corpus), "--out", str(out), "--workers", workers]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as process:
        markers = tmp_path / "out.partial" / ".state" / "tasks" / "completions"
        while process.poll() is None and not (markers.is_dir() and any(markers.iterdir())):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    last = errors.splitlines()[-1]
    assert last == "hanmo: stopped by SIGTERM; the same command continues where it was"
    assert "Traceback" not in errors
    assert any(markers.iterdir())
    assert not out.exists()
    done = python(*words)
    assert done.returncode == 0, done.stderr
    assert out.is_dir()
