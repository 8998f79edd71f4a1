"""Folders of raw text with links in them: nothing is left out without a word."""

from pathlib import Path

import pytest

from hanmo.core.artifact import building
from hanmo.core.errors import UserError
from hanmo.corpus.inputs import find_inputs


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for name in ("raw/a.txt", "elsewhere/deep/b.txt", "raw/.hidden.txt", "other.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("长江流入东海。\n", encoding="utf-8")
    (tmp_path / "raw" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw" / "c.txt").symlink_to(tmp_path / "other.txt")
    return tmp_path / "raw"


def test_links_are_followed(raw: Path) -> None:
    found = find_inputs([raw])
    assert [one.source for one in found] == ["a.txt", "c.txt", "linked/deep/b.txt"]


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [("x.txt", "nowhere", "x.txt: a link to nothing"), ("up", ".", "up: a link to a folder above")],
)
def test_links_that_lead_nowhere_are_told(raw: Path, name: str, target: str, told: str) -> None:
    (raw / name).symlink_to(raw / target)
    with pytest.raises(UserError, match=told):
        find_inputs([raw])
    errors: list[str] = []
    found = find_inputs([raw], unknown=lambda path, _, error: errors.append(f"{path} {error}"))
    assert len(found) == 3
    assert len(errors) == 1 and told in errors[0]


def test_a_folder_that_cannot_be_read_is_told(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.iterdir

    def iterdir(path: Path):
        if path.name == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(UserError, match="deep: cannot be read"):
        find_inputs([raw])


def test_a_folder_of_hanmos_own_among_raw_text_is_told(raw: Path) -> None:
    with building(raw / "deep" / "made", kind="corpus", config={}) as build:
        (build.dir / "part-00000.jsonl.zst").write_bytes(b"")
    with pytest.raises(UserError, match=r"deep/made: a folder of kind 'corpus' .* move it away"):
        find_inputs([raw])
    told: list[str] = []
    found = find_inputs([raw], unknown=lambda _, relative, __: told.append(str(relative)))
    assert len(found) == 3
    assert told == ["deep/made"]


def test_what_is_left_out_is_named_by_its_place(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A/README.md", "B/README.md"):
        (raw / name).parent.mkdir()
        (raw / name).write_text("不是语料", encoding="utf-8")
    (raw / "B" / "x.txt").symlink_to(raw / "nowhere")
    told: list[tuple[Path, str]] = []

    def note(path: Path, relative: Path, _: UserError) -> None:
        told.append((path, relative.as_posix()))

    monkeypatch.chdir(raw)
    for folder in (raw, Path(), Path("B/README.md")):
        told.clear()
        find_inputs([folder, raw / "a.txt"] if folder.suffix else [folder], unknown=note)
        names = ["B/x.txt", "A/README.md", "B/README.md"]
        assert [name for _, name in told] == (["README.md"] if folder.suffix else names)
        assert all(path.name == Path(name).name for path, name in told)


def test_what_an_interrupted_command_left_is_no_raw_text(raw: Path) -> None:
    left = raw / "deep" / "corpus.partial"
    (left / ".state").mkdir(parents=True)
    (left / "part-00000.jsonl").write_text("")
    with pytest.raises(UserError, match=r"corpus\.partial: what an interrupted command left"):
        find_inputs([raw])
    told: list[str] = []
    assert len(find_inputs([raw], unknown=lambda path, *_: told.append(path.name))) == 3
    assert told == ["corpus.partial"]
