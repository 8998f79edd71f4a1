"""Files behind URLs: read through a local copy, written to the store at once, whole or not at all.

Every function takes paths, local ones or twins of URLs (`hanmo.core.urls`), and asks the store for
the latter, through fsspec, which is imported only then. The store is the truth; what lies at a twin
is a copy that may be deleted. A file that is written (`push`) is complete when it can be seen, and
its size and SHA-256 are noted in the folder that is being built, so that nobody needs to fetch it
to know them.

    json.loads(read_bytes(as_path("s3://corpora/zhwiki/manifest.json")))
    with borrowed(part) as path: ...        # the local copy goes when its reader is through
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hanmo.core.errors import UnreachableError, UserError
from hanmo.core.fsspec_store import WHOLE, each, gone, open_store, put_file, rename, tried, version
from hanmo.core.log import Progress
from hanmo.core.urls import below, is_remote, root, shown

PARTIAL = ".partial"  # end of the name of a folder that is being made
DIGESTS = ".state/digests"  # below it: size and SHA-256 of each of its files
_STAMPS = ".stamps"  # below the root: which version of an object a local copy is


def exists(path: Path) -> bool:
    """Whether a file or folder is there."""
    return path.exists() if not is_remote(path) else _info(path) is not None


def is_file(path: Path) -> bool:
    """Whether a file is there."""
    return path.is_file() if not is_remote(path) else (_info(path) or {}).get("type") == "file"


def is_folder(path: Path) -> bool:
    """Whether a folder is there; in an object store, whether any name begins so."""
    if not is_remote(path):
        return path.is_dir()
    return (_info(path) or {}).get("type") == "directory"


def size(path: Path) -> int:
    """Return the bytes of a file.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not is_remote(path):
        return path.stat().st_size
    info = _info(path)
    if info is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), shown(path))
    return int(info["size"])


def children(folder: Path) -> list[Path]:
    """Return the files and folders directly in a folder, by name; none when it is not there."""
    if not is_remote(folder):
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def ask(store: Any, name: str) -> list[str]:
        store.invalidate_cache()  # other machines write there, too
        try:
            return [str(one) for one in store.ls(name, detail=False)]
        except FileNotFoundError:
            return []

    names = {_below(folder, name).partition("/")[0] for name in tried(folder, "list it", ask)}
    return [below(folder, name) for name in sorted(names) if name]


def listing(folder: Path) -> dict[Path, int]:
    """Return all files below a folder with their sizes, by name."""
    if not is_remote(folder):
        return {one: one.stat().st_size for one in sorted(folder.rglob("*")) if one.is_file()}

    def ask(store: Any, name: str) -> Mapping[str, Any]:
        store.invalidate_cache()
        try:
            found: Mapping[str, Any] = store.find(name, detail=True)
        except FileNotFoundError:
            return {}
        return found

    found = tried(folder, "list it", ask)
    sizes = {_below(folder, name): int(info["size"] or 0) for name, info in found.items()}
    named = {below(folder, name): n for name, n in sizes.items() if name and name[-1] != "/"}
    return dict(sorted(named.items()))


def fetched(path: Path) -> Path:
    """Return a path with, for a twin, an up-to-date local copy of the file there, if there is one.

    Raises:
        UnreachableError: the store cannot be reached, or gave less than it says it has.
    """
    if not is_remote(path):
        return path
    info = _info(path)
    if info is None:
        path.unlink(missing_ok=True)  # of an object that is gone
        return path
    if info["type"] == "directory":
        return path
    known = version(info)
    stamp = root() / _STAMPS / path.relative_to(root())
    if _same(path, stamp, known):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    os.close(handle)
    temporary = Path(name)
    try:
        tried(path, "read it", lambda store, name: store.get_file(name, str(temporary)))
        if (got := temporary.stat().st_size) != info["size"]:
            error = UnreachableError(
                f"{shown(path)}: got {got:,} of {info['size']:,} bytes; run again"
            )
            raise error from OSError(errno.EIO, "cut short")
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(known), encoding="utf-8")
    return path


def fetched_tree(path: Path) -> Path:
    """Return a path with, for a twin, local copies of the file or all files of the folder there.

    Raises:
        UserError: there is nothing, or as `fetched`.
    """
    if is_remote(path):
        if not exists(path):
            raise UserError(f"{shown(path)}: no such file or folder")
        if is_file(path):
            return fetched(path)
        wanted = listing(path)
        for old in path.rglob("*"):
            if old.is_file() and old not in wanted:
                old.unlink()
        with Progress(f"copy {shown(path)}", sum(wanted.values()) / 2**20, "MiB") as bar:
            for file, n_bytes in wanted.items():
                fetched(file)
                bar.advance(n_bytes / 2**20)
    return path


@contextmanager
def borrowed(path: Path) -> Iterator[Path]:
    """Give the local copy of a file that nobody else reads now; it goes, unless it was there."""
    was_there = path.exists()
    try:
        yield fetched(path)
    finally:
        if not was_there and is_remote(path):
            path.unlink(missing_ok=True)
            (root() / _STAMPS / path.relative_to(root())).unlink(missing_ok=True)


def read_bytes(path: Path) -> bytes:
    """Return what a file holds; of a twin, without a local copy.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not is_remote(path):
        return path.read_bytes()
    data: bytes = tried(path, "read it", lambda store, name: store.cat_file(name))
    return data


def push(local: Path, path: Path) -> None:
    """Put a complete local file to a twin's place in the store; note it in its build folder.

    Raises:
        UnreachableError: the store cannot be reached, or has not all of it afterwards.
    """
    n_bytes = local.stat().st_size
    place = _digest_place(path)
    with local.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest() if place else ""

    whole = shown(path).partition(":")[0] in WHOLE

    def put(store: Any, name: str) -> None:
        try:
            found = put_file(store, local, name, whole=whole)
        except FileNotFoundError as error:  # no such bucket; or somebody writes it, too
            raise OSError(errno.EIO, str(error)) from error
        if found != n_bytes:
            raise OSError(errno.EIO, f"it has {found:,} of {n_bytes:,} bytes")

    tried(path, "write it", put)
    if place is not None:
        write(place, json.dumps({"bytes": n_bytes, "sha256": sha256}).encode())


def write(path: Path, data: bytes) -> None:
    """Write a small file to a twin's place in the store."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "data"
        local.write_bytes(data)
        push(local, path)


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of each file of a build folder, as `push` noted them.

    Raises:
        UserError: a file is not of the size that was written.
    """
    sizes = {file.relative_to(folder).as_posix(): n for file, n in listing(folder).items()}
    names = [name for name in sizes if not name.startswith(".state/") and "/." not in f"/{name}"]
    places = [_digest_place(folder / name) for name in names]
    notes = each(read_bytes, [place for place in places if place is not None])
    found = {name: json.loads(note) for name, note in zip(names, notes, strict=True)}
    for name, facts in found.items():
        if facts["bytes"] != sizes[name]:
            raise UserError(
                f"{shown(folder / name)}: {sizes[name]:,} bytes; expected {facts['bytes']:,}: cut "
                "short or overwritten; run again with --overwrite"
            )
    return found


def move(old: Path, new: Path) -> None:
    """Move a file within a store, over one that may be there."""
    _, target = open_store(new)
    tried(old, "move it", lambda store, name: rename(store, name, target))


def move_all(names: Iterable[str], old: Path, new: Path) -> None:
    """Move files from a folder to another one, several at a time."""
    wanted = list(names)
    with Progress(f"move to {shown(new)}", len(wanted), "files") as bar:

        def one(name: str) -> None:
            move(old / name, new / name)
            bar.advance()

        each(one, wanted)


def remove(path: Path) -> None:
    """Remove a file; nothing happens when it is not there."""
    path.unlink(missing_ok=True)
    if is_remote(path):
        tried(path, "remove it", gone)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it; nothing happens when it is not there."""
    if not is_remote(folder):
        if folder.exists():
            shutil.rmtree(folder)
        return
    each(remove, listing(folder))

    def remove_folders(store: Any, name: str) -> None:
        with suppress(FileNotFoundError):  # object stores have none
            store.rm(name, recursive=True)

    if exists(folder):
        tried(folder, "remove it", remove_folders)
    forget(folder)


def forget(path: Path) -> None:
    """Delete the local copies of a twin, or of what is below it."""
    if is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(root() / _STAMPS / path.relative_to(root()), ignore_errors=True)


def _digest_place(path: Path) -> Path | None:
    """Return where the digest of a file of a build folder is noted; None for other files."""
    for folder in path.parents:
        if folder.name.endswith(PARTIAL):
            name = path.relative_to(folder).as_posix()
            if name.startswith(".state/") or name == "manifest.json":
                return None
            return folder / DIGESTS / f"{name.replace('/', '%2F')}.json"
    return None


def _info(path: Path) -> dict[str, Any] | None:
    def ask(store: Any, name: str) -> dict[str, Any] | None:
        store.invalidate_cache()
        try:
            info: dict[str, Any] = store.info(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return info

    return tried(path, "look at it", ask)


def _same(path: Path, stamp: Path, known: list[str]) -> bool:
    try:
        noted = json.loads(stamp.read_text(encoding="utf-8"))
        return bool(noted == known and str(path.stat().st_size) == known[0])
    except (OSError, ValueError):
        return False


def _below(folder: Path, name: str) -> str:
    """Return the name below a folder of what the store calls so; "" for what is not below it."""
    _, above = open_store(folder)
    start = above.strip("/") + "/"
    name = name.lstrip("/")
    return name[len(start) :] if name.startswith(start) else ""
