"""Plug-ins: the files of a package, a dotted module, or a path."""

import subprocess
import sys
from pathlib import Path

import pytest

from hanmo.core import registry
from hanmo.core.errors import UserError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of plug-ins, one of which may not be imported."""
    folder = tmp_path / "plugs_for_test"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "_shared.py").write_text("")
    (folder / "mlm.py").write_text('"""Masks pieces.\n\nMore.\n"""\nNAME = "mlm"\n')
    (folder / "word_wise.py").write_text("NAME = 'word_wise'\n")
    (folder / "broken.py").write_text('"""Must not be imported."""\nraise ZeroDivisionError\n')
    (folder / "needy.py").write_text("import a_library_that_is_not_there\n")
    (folder / "inner" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave `sys.modules` as it was."""
    for name in [name for name in sys.modules if "plugs_for_test" in name]:
        monkeypatch.delitem(sys.modules, name)


def test_names_are_the_files_and_nothing_is_imported(package: str) -> None:
    assert registry.names(package) == ["broken", "mlm", "needy", "word_wise"]
    assert not [name for name in sys.modules if name.startswith(f"{package}.")]


def test_a_summary_is_the_first_line_and_nothing_is_imported(package: str) -> None:
    names = ["mlm", "broken", "word-wise"]
    assert [registry.summary(package, name) for name in names] == [
        "Masks pieces.",
        "Must not be imported.",
        "",
    ]
    assert not [name for name in sys.modules if name.startswith(f"{package}.")]


def test_load_imports_what_is_asked_for(package: str) -> None:
    assert registry.load(package, "mlm").NAME == "mlm"
    assert registry.load(package, "word-wise").NAME == "word_wise"
    assert registry.load(package, "word_wise") is registry.load(package, "word-wise")
    assert f"{package}.broken" not in sys.modules


@pytest.mark.parametrize("name", ["mml", "Mlm", "mlm2"])
def test_an_unknown_name_gets_the_nearest(package: str, name: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.load(f"{package}", name)
    assert str(caught.value) == (
        f"{package}: no {name!r}; did you mean 'mlm'? (known: broken, mlm, needy, word-wise); a "
        "dotted module or a path to a .py file loads your own"
    )


@pytest.mark.parametrize("name", ["_shared", "", "__init__", "../mlm", ".mlm", "./mlm", "inner"])
def test_helpers_and_odd_names_are_no_plug_ins(package: str, name: str) -> None:
    with pytest.raises(UserError):
        registry.load(package, name)


def test_errors_of_a_plug_in_are_its_own(package: str) -> None:
    with pytest.raises(ZeroDivisionError):
        registry.load(package, "broken")
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        registry.load(package, "needy")


def test_a_dotted_name_loads_somebody_elses_module(package: str) -> None:
    assert registry.load("hanmo.objectives", f"{package}.mlm").NAME == "mlm"
    with pytest.raises(UserError, match=r"mine\.objective: no such module; is its folder on PYTHO"):
        registry.load("hanmo.objectives", "mine.objective")
    with pytest.raises(UserError, match=r"no such module"):
        registry.load("hanmo.objectives", f"{package}.none")


def test_a_path_loads_a_file_and_pickles(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(
            "import dataclasses\n@dataclasses.dataclass\nclass Objective:\n"
            f"    name: str = {folder!r}\n"
        )
    loaded = [
        registry.load("hanmo.objectives", str(tmp_path / f / "same.py")) for f in ["one", "two"]
    ]
    assert [module.Objective().name for module in loaded] == ["one", "two"]
    assert registry.load("hanmo.objectives", str(tmp_path / "one" / "same.py")) is loaded[0]
    assert sys.modules[loaded[0].__name__] is loaded[0]
    with pytest.raises(UserError, match=r"none\.py: no such plug-in file"):
        registry.load("hanmo.objectives", str(tmp_path / "none.py"))


def test_a_file_that_fails_is_not_half_loaded(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("raise ZeroDivisionError\n")
    with pytest.raises(ZeroDivisionError):
        registry.load("hanmo.objectives", str(path))
    path.write_text("NAME = 'mended'\n")
    assert registry.load("hanmo.objectives", str(path)).NAME == "mended"


def test_what_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a package folder"):
        registry.names("hanmo.core.files")


def test_the_projects_own_registries_answer_without_torch() -> None:
    program = (
        "import sys\nfrom hanmo.core import registry\n"
        "for package in ('hanmo.objectives', 'hanmo.commands', 'hanmo.annotate.annotators',\n"
        "                'hanmo.tasks.kinds'):\n"
        "    for name in registry.names(package):\n"
        "        assert registry.summary(package, name).endswith('.'), (package, name)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_plugin_without_what_its_package_agreed_on(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("Annotate = 1\n")
    with pytest.raises(UserError, match=r"mine\.py: the module has no 'Annotator'"):
        registry.member("hanmo.annotate.annotators", str(tmp_path / "mine.py"), "Annotator")
    assert registry.member("hanmo.core.executors", "local", "Executor")
