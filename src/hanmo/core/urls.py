"""Paths that are URLs (``s3://…``, ``hdfs://…``): each has a local twin, a path like any other.

The twin of ``s3://bucket/a/b`` is ROOT/s3/bucket/a/b, where ROOT is ``$HANMO_REMOTE``, or else
``hanmo/remote`` in the user's cache folder. Commands hold twins; what reads and writes files knows
them (`hanmo.core.remote`), and messages and manifests say the URL. A twin that is pickled becomes
the twin of its URL on the machine that reads it, wherever that one has its ROOT.

    path = as_path("s3://corpora/zhwiki/corpus")     # a path; of other texts, the path they name
    shown(path / "manifest.json")                    # "s3://corpora/zhwiki/corpus/manifest.json"
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError, nearest

if sys.platform == "win32":
    from pathlib import WindowsPath as _LocalPath
else:
    from pathlib import PosixPath as _LocalPath

ROOT = "HANMO_REMOTE"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_LOCAL = ("file", "local")
# What a folder's name cannot be, or means, on a local disk.
_ESCAPES = {"%": "%25", "\0": "%00"}
_NAMES = {"": "%", ".": "%2E", "..": "%2E%2E"}


class Twin(_LocalPath):
    """The local twin of a URL; a path, but pickled as the URL."""

    def __reduce__(self) -> Any:
        url = url_of(self)
        return (twin, (url,)) if url is not None else super().__reduce__()


def as_path(text: str | Path) -> Path:
    """Return the path that a text names: the twin of a URL, else just that path; paths stay.

    Raises:
        UserError: a URL whose protocol fsspec does not know, or several in one.
    """
    if isinstance(text, Path):
        return text
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    if found[1].lower() in _LOCAL:
        return Path(found[2])
    _check(text, found[1].lower())
    return twin(text)


def _check(url: str, scheme: str) -> None:
    from fsspec.registry import known_implementations, registry

    if "::" in url:
        raise UserError(f"{url}: a URL in a URL; expected one, such as s3://bucket/folder")
    if scheme not in known_implementations and scheme not in registry:
        known = ("s3", "hdfs", "gs", "abfs", "memory", "file")
        raise UserError(f"{url}: no protocol {scheme!r}{nearest(scheme, known)}")


def twin(url: str) -> Twin:
    """Return the local twin of a URL; slashes at its end do not count."""
    found = _URL.fullmatch(url)
    if found is None:
        raise UserError(f"{url}: not a URL; expected PROTOCOL://…")
    place, _, below = found[2].partition("/")
    below = below.rstrip("/")
    names = [place, *(below.split("/") if below else [])]
    return Twin(root(), found[1].lower(), *map(_escaped, names))


def url_of(path: Path) -> str | None:
    """Return the URL whose twin a path is; None for a path that is none."""
    if not os.fspath(path).startswith(f"{root()}{os.sep}"):
        return None
    scheme, *names = path.relative_to(root()).parts
    if not names or scheme.startswith("."):
        return None
    place, *below = map(_plain, names)
    return f"{scheme}://" + "/".join([place, *below])


def below(folder: Path, name: str) -> Path:
    """Return the twin of what a store calls `name` below a folder."""
    return folder.joinpath(*map(_escaped, name.split("/")))


def stored_names(path: Path) -> tuple[str, ...]:
    """Return the parts of a path as its store has them: `a%25b` of a twin is `a%b` there."""
    return tuple(map(_plain, path.parts)) if is_remote(path) else path.parts


def is_remote(path: Path) -> bool:
    """Whether a path stands for what is in the store: a `Twin`, not a plain path to its copy."""
    return isinstance(path, Twin)


def shown(path: Path) -> str:
    """Say a path as its user does: a twin by its URL."""
    return url_of(path) or str(path)


def with_urls(text: str) -> str:
    """Put URLs where a text names twins."""
    start = f"{root()}{os.sep}"
    if start not in text:
        return text
    pattern = re.escape(start) + r"([A-Za-z][A-Za-z0-9+.-]*)/(%(?=/))?"
    return re.sub(pattern, r"\1://", text)


def root() -> Path:
    """Return the folder of all twins."""
    given = os.environ.get(ROOT)
    if given:
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache) / "hanmo/remote" if cache else Path.home() / ".cache/hanmo/remote"


def _escaped(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    return "".join(_ESCAPES.get(one, one) for one in name)


def _plain(name: str) -> str:
    if name == _NAMES[""]:
        return ""
    back = {code: one for one, code in _ESCAPES.items()} | {"%2E": "."}
    return re.sub("%(?:25|00|2E)", lambda code: back[code[0]], name)
