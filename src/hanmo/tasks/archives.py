"""Wanted members of a zip archive, and no others.

In: an archive and, for each member, how its path ends. Out: its bytes under a name of ours: where a
member says that it lies is never a place on disk, so that no archive writes outside the folder.
Members with "..", absolute paths and links are taken for none of the wanted ones. A member that
would unpack to an absurd size is refused before anything is unpacked.

    unpack(Path("XNLI-1.0.zip"), {"xnli.dev.tsv": "xnli.dev.tsv"}, Path("data/xnli"))
"""

import errno
import hashlib
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE

_BEGINNING = b"PK\x03\x04"
_MACOS = "__MACOSX/"
# Texts pack to a third or a tenth; what is both larger and denser is no dataset.
_LARGEST, _DENSEST = 256 * MEBIBYTE, 200


def is_zip(path: Path) -> bool:
    """Say whether a file is a zip archive.

    Raises:
        UserError: it should be one, by its name or its first bytes, and is not.
    """
    if zipfile.is_zipfile(path):
        return True
    with path.open("rb") as stream:
        begins = stream.read(len(_BEGINNING)) == _BEGINNING
    if begins or path.suffix.lower() == ".zip":
        what = "its end is missing" if begins else "not a zip archive"
        raise _damaged(path, what)
    return False


def is_damage(error: Exception) -> bool:
    """Say whether a codec could not go on; errors of the disk are none."""
    if isinstance(error, OSError):  # a number is the system's; EINVAL: a place before the file
        return error.errno in {None, errno.EINVAL}
    codecs = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError)
    # zstandard's own error type is only importable when the library is.
    return isinstance(error, codecs) or type(error).__name__ == "ZstdError"


def members(path: Path) -> list[str]:
    """Return the paths of the files in an archive that may be unpacked.

    Raises:
        UserError: no zip archive, or a damaged one.
    """
    return [info.filename for info in _infos(path) if _is_safe(info)]


def refuse_links(path: Path, names: Collection[str]) -> None:
    """Raise a `UserError` if an archive has a link under one of these names."""
    for info in _infos(path):
        if _is_link(info) and PurePosixPath(info.filename).name in names:
            raise _link(path, info)


def digests(path: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of members by the names that are wanted.

    Args:
        path: a zip archive.
        wanted: as for `unpack`.

    Raises:
        UserError: as `unpack`.
    """
    found = {}
    for name, chunks in _contents(path, wanted):
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        found[name] = digest.hexdigest()
    return found


def unpack(path: Path, wanted: Mapping[str, str], folder: Path) -> list[Path]:
    """Unpack members under the names that are wanted.

    Args:
        path: a zip archive.
        wanted: end of a member's path ("train.json", "a/train.json") → file name in the folder.
        folder: where to; files of these names are replaced.

    Raises:
        UserError: a wanted member is not there, there twice, a link or absurdly large, or the
            archive is damaged.
    """
    made = []
    for name, chunks in _contents(path, wanted):
        target, temporary = folder / name, folder / f".{name}.unpacking"
        try:
            with temporary.open("wb") as stream:
                stream.writelines(chunks)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        temporary.replace(target)
        made.append(target)
    return made


def _contents(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield (name that is wanted, bytes); all members are chosen before the first is read."""
    there = _infos(path)
    chosen = {name: _only(path, there, end) for end, name in wanted.items()}
    for info in chosen.values():
        _check_size(path, info)
    with zipfile.ZipFile(path) as archive:
        for name, info in chosen.items():
            yield name, _chunks(archive, path, info)


def _chunks(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as source:
            while chunk := source.read(MEBIBYTE):
                yield chunk
    except Exception as error:
        what = f"member {info.filename} cannot be unpacked ({error})"
        if is_damage(error):
            raise _damaged(path, what) from None
        if isinstance(error, RuntimeError):  # a password, or a way of packing that Python lacks
            raise UserError(f"{path}: {what}") from None
        raise


def _infos(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except Exception as error:
        if not (is_damage(error) or isinstance(error, NotImplementedError)):
            raise
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: damaged archive: {what}; fetch it again")


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _is_safe(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    inside = ".." not in parts and not info.filename.startswith(("/", "\\"))
    drive = bool(parts) and ":" in parts[0]
    return inside and not drive and not _is_link(info) and not info.is_dir()


def _only(path: Path, infos: Sequence[zipfile.ZipInfo], end: str) -> zipfile.ZipInfo:
    """Return the one member whose path ends so."""
    named = [info for info in infos if f"/{info.filename}".endswith(f"/{end}")]
    found = [info for info in named if _is_safe(info) and not info.filename.startswith(_MACOS)]
    if len(found) == 1:
        return found[0]
    for info in named:
        if not found and _is_link(info):
            raise _link(path, info)
    there = [info.filename for info in infos if _is_safe(info)]
    names = ", ".join(there[:12]) + (f" … ({len(there)} in all)" if len(there) > 12 else "")
    raise UserError(f"{path}: {len(found)} members that end in {end}; expected one; there: {names}")


def _link(path: Path, info: zipfile.ZipInfo) -> UserError:
    return UserError(
        f"{path}: member {info.filename} is a link; links are not taken, pack the file itself"
    )


def _check_size(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a member that would fill the disk; no more than it says is ever unpacked."""
    packed = min(info.compress_size, path.stat().st_size)
    if info.file_size > _LARGEST and info.file_size > _DENSEST * packed:
        raise UserError(
            f"{path}: member {info.filename} would unpack from {packed:,} to {info.file_size:,} "
            f"bytes, more than {_DENSEST} times its packed size; not unpacked"
        )
