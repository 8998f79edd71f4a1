"""File systems of fsspec: opened by the twin of a URL, asked again when the network fails.

Written for `hanmo.core.remote`, which the rest uses. Names with `*` or `[` are ordinary here: only
functions of fsspec are called that do not take patterns.

    tried(path, "list it", lambda store, name: store.ls(name))
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from hanmo.core.errors import MissingLibraryError, UnreachableError, UserError
from hanmo.core.urls import shown

T = TypeVar("T")

PAUSES = (0.5, 2.0)  # seconds before the second and third attempt
_THREADS = 8
# Objects appear whole or not at all there; elsewhere a file gets its name when it is complete.
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"}
_VERSIONS = ("ETag", "etag", "checksum", "mtime", "LastModified", "last_modified", "created")
_LONGEST = 300  # characters of a library's own words
_EXTRAS = {"s3": "s3", "s3a": "s3"}
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_LOCAL_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

_ADVICE = "check the address, the network and the credentials of the store (docs/scaling.md)"


def each(action: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    """Do something with each of some items, several at a time, as asking a store wants it."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(action, items))


def put_file(store: Any, local: Path, name: str, *, whole: bool) -> int:
    """Write a file and return the size that it has in the store."""
    if whole:
        store.put_file(str(local), name)
    else:
        folder, _, last = name.rpartition("/")
        store.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{last}.{os.urandom(6).hex()}"
        store.put_file(str(local), temporary)
        rename(store, temporary, name)
    store.invalidate_cache()
    return int(store.info(name)["size"])


def rename(store: Any, old: str, new: str) -> None:
    """Give a file another name, over one that may have it."""
    from fsspec import AbstractFileSystem

    if type(store).mv is not AbstractFileSystem.mv:
        gone(store, new)  # some refuse to rename over a file
        parent = new.rpartition("/")[0]
        store.makedirs(parent, exist_ok=True)
        store.mv(old, new)
        return
    store.cp_file(old, new)
    store.rm_file(old)


def gone(store: Any, name: str) -> None:
    """Remove a file that may have been removed."""
    with suppress(FileNotFoundError):
        store.rm_file(name)


def version(info: Mapping[str, Any]) -> list[str]:
    """Return what changes when a file does: its size, and a digest or time as the store has it."""
    mark = next((str(info[key]) for key in _VERSIONS if info.get(key) is not None), "")
    return [str(info["size"]), mark]


def open_store(path: Path) -> tuple[Any, str]:
    """Return fsspec's file system for a twin, and what it calls the twin's file.

    Raises:
        MissingLibraryError: of the protocol.
        UnreachableError: the address makes no sense to it.
    """
    from fsspec.core import url_to_fs

    url = shown(path)
    scheme = url.partition(":")[0]
    try:
        store, name = url_to_fs(url)
    except (ImportError, ModuleNotFoundError) as error:
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'hanmo[{extra}]'" if extra else f"install what it asks for: {error}"
        raise MissingLibraryError(f"{url}: no library for {scheme}://; {how}") from None
    except (ValueError, OSError) as error:
        raise UnreachableError(f"{url}: cannot be opened ({_brief(error)}); {_ADVICE}") from error
    return store, str(name)


def tried(path: Path, doing: str, action: Callable[[Any, str], T]) -> T:
    """Ask a twin's store for something, three times when it fails as networks do.

    Args:
        path: a twin.
        doing: what is done, for the message: "read it".
        action: takes the file system and what it calls the file.

    Raises:
        FileNotFoundError: it is not there.
        UnreachableError: anything else that the store says.
    """
    store, name = open_store(path)
    for pause in (*PAUSES, None):
        try:
            return action(store, name)
        except FileNotFoundError:
            raise
        except Exception as error:
            if isinstance(error, UserError) or getattr(error, "errno", None) in _LOCAL_TROUBLE:
                raise
            if pause is None or isinstance(error, _FINAL) or not isinstance(error, OSError):
                told = f"{shown(path)}: cannot {doing} ({_brief(error)}); {_ADVICE}"
                raise UnreachableError(told) from error
            time.sleep(pause)
    raise AssertionError


def _brief(error: Exception) -> str:
    """Say an error in a line; some list every place where they looked for a library."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
