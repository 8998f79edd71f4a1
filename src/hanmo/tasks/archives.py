"""Wanted members of a zip archive, and no others.

In: an archive and, for each member, how its path ends. Out: its bytes under a name of ours: where a
member says that it lies is never a place on disk, so that no archive writes outside the folder.
Members with "..", absolute paths and links are taken for none of the wanted ones.

    unpack(Path("XNLI-1.0.zip"), {"xnli.dev.tsv": "xnli.dev.tsv"}, Path("data/xnli"))
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE


def is_zip(path: Path) -> bool:
    """Say whether a file is a zip archive."""
    return zipfile.is_zipfile(path)


def members(path: Path) -> list[str]:
    """Return the paths of the files in an archive that may be unpacked.

    Raises:
        UserError: no zip archive, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [info.filename for info in archive.infolist() if _is_safe(info)]
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: not a zip archive ({error}); fetch it again") from None


def unpack(path: Path, wanted: Mapping[str, str], folder: Path) -> list[Path]:
    """Unpack members under the names that are wanted.

    Args:
        path: a zip archive.
        wanted: end of a member's path ("train.json", "a/train.json") → file name in the folder.
        folder: where to; files of these names are replaced.

    Raises:
        UserError: a wanted member is not there or there twice, or the archive is damaged.
    """
    there = members(path)
    chosen = {name: _only(path, there, end) for end, name in wanted.items()}
    made = []
    with zipfile.ZipFile(path) as archive:
        for name, member in chosen.items():
            target, temporary = folder / name, folder / f".{name}.unpacking"
            try:
                with archive.open(member) as source, temporary.open("wb") as stream:
                    shutil.copyfileobj(source, stream, MEBIBYTE)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
                temporary.unlink(missing_ok=True)
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's, not the archive's
                raise UserError(
                    f"{path}: member {member} cannot be unpacked ({error}); fetch it again"
                ) from None
            temporary.replace(target)
            made.append(target)
    return made


def _is_safe(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    inside = ".." not in parts and not info.filename.startswith(("/", "\\"))
    drive = bool(parts) and ":" in parts[0]
    link = stat.S_ISLNK(info.external_attr >> 16)
    return inside and not drive and not link and not info.is_dir()


def _only(path: Path, there: list[str], end: str) -> str:
    """Return the one member whose path ends so."""
    found = [member for member in there if f"/{member}".endswith(f"/{end}")]
    found = [member for member in found if not member.startswith("__MACOSX/")]
    if len(found) != 1:
        names = ", ".join(there[:12]) + (f" … ({len(there)} in all)" if len(there) > 12 else "")
        raise UserError(
            f"{path}: {len(found)} members that end in {end}; expected one; there: {names}"
        )
    return found[0]
