"""Rules of the whole house that a linter cannot see: imports, sizes, names, drawers."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hanmo
from hanmo.core import registry

ROOT = Path(hanmo.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
LONGEST = 400  # lines; most files have 60 to 200
DRAWERS = ("util", "common", "helper", "misc", "stuff", "shared", "tools")
OPTIONAL = (
    "jieba",
    "ltp",
    "ltp_extension",
    "opencc",
    "s3fs",
    "tensorboard",
    "trafilatura",
    "transformers",
    "warcio",
)
PLUGINS = (
    "hanmo.objectives",
    "hanmo.annotate.annotators",
    "hanmo.tasks.kinds",
    "hanmo.commands",
    "hanmo.predict",
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_module_imports_without_network_and_optional_libraries() -> None:
    modules = [module_name(path) for path in SOURCES if path.stem != "__main__"]
    program = (
        "import importlib, socket, sys, threading\n"
        "def refuse(*_, **__):\n    raise AssertionError('a socket at import')\n"
        "socket.socket.connect = socket.socket.bind = refuse\n"
        "socket.create_connection = socket.getaddrinfo = refuse\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
        "handlers, hook = __import__('logging').getLogger().handlers[:], sys.excepthook\n"
        f"for name in {modules!r}:\n    importlib.import_module(name)\n"
        "assert __import__('logging').getLogger().handlers == handlers, 'logging was set up'\n"
        "assert sys.excepthook is hook\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert 'torch' not in sys.modules or not sys.modules['torch'].cuda.is_initialized()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_file_opens_with_its_purpose_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "no module docstring"
    assert docstring.split("\n\n")[0].strip().endswith((".", "?", ":", "`")), "no full sentence"
    assert len(docstring) > 30
    assert text.count("\n") <= LONGEST


def test_there_are_no_drawers() -> None:
    names = [path.stem if path.stem != "__init__" else path.parent.name for path in SOURCES]
    drawers = [name for name in names if any(word in name.split("_") for word in _plurals())]
    assert drawers == []


def _plurals() -> list[str]:
    return [form for word in DRAWERS for form in (word, f"{word}s")]


def _compared_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every constant that something is compared with, or matched against."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides: list[ast.expr] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        else:
            continue
        for side in sides:
            for inner in ast.walk(side):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.lineno, inner.value


def _registered() -> dict[str, str]:
    """Return the name of each plug-in → its own file; both spellings."""
    own = {}
    for package in PLUGINS:
        for name in registry.names(package):
            path = f"{package.removeprefix('hanmo.').replace('.', '/')}/{name}.py"
            own[name] = own[name.replace("_", "-")] = path
    return own


def test_nobody_asks_for_a_name() -> None:
    own = _registered()
    asked = []
    for path in SOURCES:
        for line, text in _compared_texts(ast.parse(path.read_text(encoding="utf-8"))):
            if text in own and own[text] != relative(path):
                asked.append(f"{relative(path)}:{line}: compares with {text!r}")
    assert asked == []


def test_the_check_for_names_finds_them() -> None:
    tree = ast.parse(
        'if x == "lert": pass\nif "mlm" in y: pass\nif x in ("crf", "a"): pass\n'
        'match x:\n    case "jieba": pass\nz = {"conllu": 1}\n'
    )
    assert sorted(_compared_texts(tree)) == [
        (1, "lert"),
        (2, "mlm"),
        (3, "a"),
        (3, "crf"),
        (5, "jieba"),
    ]
    assert {"lert", "mlm", "crf", "jieba", "conllu", "classification"} <= _registered().keys()


def test_examples_in_docstrings_and_code_name_no_machine_paths() -> None:
    words = ("/tmp/", "/home/", "/root/", "TODO", "FIXME", "XXX")
    found = [
        f"{relative(path)}: {word}"
        for path in SOURCES
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []
