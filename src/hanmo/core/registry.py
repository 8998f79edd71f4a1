"""A folder of modules is a registry: a plug-in is a file whose name is its name.

`names("hanmo.objectives")` lists the files of that package (helpers start with "_");
`load("hanmo.objectives", "lert")` imports one when it is asked for. A dotted name or a path to a
`.py` file loads somebody else's module, so a plug-in may live outside the package.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hanmo.core.errors import UserError, nearest


def names(package: str) -> list[str]:
    """Sorted names of the plug-ins in a package folder; nothing is imported but the package."""
    return sorted(path.stem for path in _folder(package).glob("[a-z]*.py"))


def load(package: str, name: str) -> ModuleType:
    """Import the plug-in `name` of `package`, a dotted module, or a path to a `.py` file.

    Raises:
        UserError: no such plug-in (names the nearest one), or no such outside module.
    """
    if name.endswith(".py"):
        return _load_file(Path(name))
    module = f"{package}.{name.replace('-', '_')}" if "." not in name else name
    known = names(package)
    if "." not in name and name.replace("-", "_") not in known:
        kind = package.rpartition(".")[2]
        raise UserError(
            f"{kind}: no {name!r}{nearest(name, map(_shown, known))}; a dotted module or a path to "
            "a .py file loads your own"
        )
    if not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"{name}: neither a module's name nor a path to a .py file")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise UserError(f"{module}: no such module; is its folder on PYTHONPATH?") from None


def member(package: str, name: str, attribute: str) -> Any:
    """Return what a plug-in gives under the name that its package agreed on.

    Raises:
        UserError: as `load`, or the module has no such thing.
    """
    module = load(package, name)
    if not hasattr(module, attribute):
        raise UserError(f"{name}: the module has no {attribute!r}; see CONTRIBUTING.md")
    return getattr(module, attribute)


def outside_source(package: str, name: str) -> Path | None:
    """Return the file of somebody else's plug-in; None for one of the package.

    What a stage makes depends on it as on any other input.

    Raises:
        UserError: as `load`.
    """
    file = load(package, name).__file__
    return None if file is None or Path(file).parent == _folder(package) else Path(file)


def summary(package: str, name: str) -> str:
    """First line of a plug-in's docstring, read from its source without importing it."""
    path = _folder(package) / f"{name.replace('-', '_')}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return docstring.partition("\n")[0] if docstring else ""


def _shown(name: str) -> str:
    """Write a plug-in's name as the command line has it."""
    return name.replace("_", "-")


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{package}: not a package folder")
    return Path(next(iter(spec.submodule_search_locations)))


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path}: no such plug-in file")
    # The path is in the name, so that two files of one name do not shadow each other; the module
    # stays in sys.modules because dataclasses and pickling look it up there.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"hanmo_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
