from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.core.line_file import line_file

IDENTITY = {"model": "a", "top_k": 3}


def broken(out: Path, lines: list[str], tail: bytes = b"") -> Path:
    """Leave what a killed run leaves: some lines, and the beginning of one."""
    with pytest.raises(RuntimeError), line_file(out, IDENTITY) as made:
        for line in lines:
            made.write(line)
        raise RuntimeError
    partial = out.with_name(out.name + ".partial")
    partial.write_bytes(partial.read_bytes() + tail)
    return partial


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "answers.jsonl"
    with line_file(out, IDENTITY) as lines:
        assert lines.done == 0
        lines.write("一")
        lines.flush()
        assert not out.exists()
        lines.write("二")
    assert out.read_text(encoding="utf-8") == "一\n二\n"
    assert [path.name for path in out.parent.iterdir()] == ["answers.jsonl"]


@given(st.lists(st.text("ab，", max_size=3), max_size=5), st.text("xy，", max_size=4))
def test_a_kill_costs_the_line_that_was_being_written(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], tail: str
) -> None:
    out = tmp_path_factory.mktemp("lines") / "out"
    broken(out, before, tail.encode()[:-1])
    with line_file(out, IDENTITY, resume=True) as lines:
        assert lines.done == len(before)
        lines.write("last")
    assert out.read_text(encoding="utf-8").split("\n") == [*before, "last", ""]


def test_what_is_there_is_not_lost_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    partial = broken(out, ["a"])
    with pytest.raises(UserError, match="--resume continues it"), line_file(out, IDENTITY):
        pass
    other = {**IDENTITY, "top_k": 5}
    with (
        pytest.raises(UserError, match=r"other settings \(top_k was 3, now 5\)"),
        line_file(out, other, resume=True),
    ):
        pass
    assert partial.read_text() == "a\n"
    with line_file(out, other, overwrite=True) as lines:
        assert lines.done == 0
        lines.write("b")
    with pytest.raises(UserError, match="is there already"), line_file(out, other, resume=True):
        pass
    assert out.read_text() == "b\n"
    with line_file(out, other, overwrite=True) as lines:
        lines.write("c")
    assert out.read_text() == "c\n"


@pytest.mark.parametrize(("name", "message"), [("x.gz", "leave out .gz"), (".", "is a folder")])
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message), line_file(tmp_path / name, IDENTITY):
        pass
