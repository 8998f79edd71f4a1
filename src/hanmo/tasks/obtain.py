"""Put a task's files into its folder: from their official places, or from a file at hand.

In: a task and its folder. Out: the files of its splits there, and `downloads.json`, which says of
each where it came from and its SHA-256. What is there and right is left as it is. A download whose
checksum is not the known one is kept aside as NAME.rejected.

    obtain(find_task("ocnli"), Path("data/ocnli"))
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import COMPRESSIONS, open_bytes, sha256, write_json
from hanmo.core.lock import exclusive
from hanmo.tasks import archives
from hanmo.tasks.download import Open, fetch, forget
from hanmo.tasks.task import Download, Task

RECORD = "downloads.json"
VERIFIED = "verified"
_UNKNOWN = "unverified: no checksum is known"


@dataclasses.dataclass(frozen=True, slots=True)
class Got:
    """What became of a file of a task.

    Attributes:
        file: its name.
        state: "there", "downloaded", "taken" (from a file at hand) or "on request".
        sha256: of what was downloaded or taken (of an archive, not of its member); else empty.
        note: whether it was verified, or what to do.
    """

    file: str
    state: str
    sha256: str = ""
    note: str = ""


def folder_of(task: Task, data: Path) -> Path:
    """Return the folder of a task's files: the one of its name below DIR, or DIR/NAME.

    Raises:
        UserError: several folders of its name.
    """
    names = (task.name, *task.folders)
    if data.name in names:
        return data
    found = sorted({path for name in names for path in data.rglob(name) if path.is_dir()})
    if len(found) > 1:
        raise UserError(
            f"task {task.name}: several folders: {', '.join(map(str, found))}; narrow --data"
        )
    return found[0] if found else data / task.name


def obtain(
    task: Task,
    folder: Path,
    *,
    given: Path | None = None,
    accept_changed: bool = False,
    open_url: Open | None = None,
) -> list[Got]:
    """Download or take what is missing.

    Args:
        task: whose files.
        folder: where to; made when it is absent.
        given: a file or archive at hand, to be used instead of the network.
        accept_changed: take what has another checksum than the known one.
        open_url: opens addresses (`download.fetch`).

    Raises:
        UserError: nothing is known to download; no connection; another checksum; a file there that
            is not the right one; an archive without the wanted members.
    """
    if task.embedded:
        return [Got(name, "there", note="comes with hanmo") for (name, *_) in task.splits.values()]
    if not (task.downloads or task.request or given):
        raise UserError(
            f"task {task.name}: no download is known; "
            + (f"get its files from {task.source}" if task.source else "its file names no source")
        )
    work = _Work(task, folder, accept_changed, open_url)
    if not (task.downloads or given):
        return work.on_request()
    with exclusive(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if given is not None:
            return work.take(given)
        got = [one for download in task.downloads for one in work.obtain(download)]
        return got + work.on_request()


@dataclasses.dataclass(frozen=True, slots=True)
class _Work:
    task: Task
    folder: Path
    accept_changed: bool
    open_url: Open | None

    def obtain(self, download: Download) -> list[Got]:
        """Download a file unless all that it gives is there."""
        wanted = _wanted(download)
        there = {name: self._there(name) for name in wanted}
        partial = self.folder / f".{download.file}.partial"
        if all(there.values()):
            forget(partial, whole=True)  # where a kill came after unpacking
            return [self._checked(download, name, path) for name, path in there.items() if path]
        rejected = self.folder / f"{download.file}.rejected"
        if self.accept_changed and rejected.is_file():
            rejected.replace(partial)
        else:
            advice = f"see {self.task.source}; --from FILE takes one that you fetched yourself"
            fetch(
                download.url,
                partial,
                advice=advice,
                checked=bool(download.sha256),
                open_url=self.open_url,
            )
        digest, note = sha256(partial), _UNKNOWN
        if download.sha256:
            note = VERIFIED
            if digest != download.sha256:
                note = "changed by its publisher, accepted"
                if not self.accept_changed:
                    partial.replace(rejected)
                    forget(partial)
                    raise UserError(_mismatch(download.url, digest, download.sha256, rejected))
        missing = tuple(name for name, path in there.items() if path is None)
        made = self._install(partial, download, missing, move=True)
        forget(partial)
        self._record(made, download.url, digest, verified=note == VERIFIED)
        return [Got(path.name, "downloaded", digest, note) for path in made]

    def take(self, given: Path) -> list[Got]:
        """Use a file or archive at hand."""
        if not given.is_file():
            raise UserError(f"--from {given}: no such file")
        digest = _digest(given)
        download = self._meant(given, digest)
        note = _UNKNOWN
        if download.sha256:
            note = VERIFIED if digest == download.sha256 else "another checksum, accepted"
            if digest != download.sha256 and not self.accept_changed:
                raise UserError(_mismatch(str(given), digest, download.sha256, given))
        made = self._install(given, download, _wanted(download), move=False)
        self._record(made, given.name, digest, verified=note == VERIFIED)
        return [Got(path.name, "taken", digest, note) for path in made]

    def on_request(self) -> list[Got]:
        """Name the splits that are still missing and have to be asked for."""
        if not self.task.request:
            return []
        missing = [
            names[0]
            for names in self.task.splits.values()
            if not any(self._there(name) for name in names)
        ]
        return [Got(name, "on request", note=self.task.request) for name in missing]

    def _there(self, name: str) -> Path | None:
        paths = [self.folder / (name + suffix) for suffix in ("", *COMPRESSIONS)]
        return next((path for path in paths if path.is_file()), None)

    def _checked(self, download: Download, name: str, path: Path) -> Got:
        """Compare a file that is there with its known checksum, or with the record's."""
        known = self._records().get(name, {}).get("sha256", "")
        published = "" if download.members else download.sha256
        if not (known or published):
            return Got(name, "there", note=_UNKNOWN)
        digest = _digest(path)
        if digest == published:
            return Got(name, "there", note=VERIFIED)
        if digest == known:
            return Got(name, "there", note="as it was obtained")
        if not self.accept_changed:
            raise UserError(
                f"{path}: there, but not the file of {download.url}: sha256 {digest}, expected "
                f"{published or known}; move it away to get it again, or pass --accept-changed to "
                "keep it"
            )
        self._record([path], "", digest, verified=False)
        return Got(name, "there", digest, "another checksum, accepted")

    def _meant(self, given: Path, digest: str) -> Download:
        """Return which download a file at hand is, by its checksum, its name, or what it holds."""
        downloads = self.task.downloads
        plain = given.stem if given.suffix in COMPRESSIONS else given.name
        for download in downloads:
            if digest == download.sha256 or plain == download.file:
                return download
        if archives.is_zip(given) and len([one for one in downloads if one.members]) == 1:
            return next(one for one in downloads if one.members)
        names = [name for split in self.task.splits.values() for name in split]
        if archives.is_zip(given):
            inside = {Path(member).name for member in archives.members(given)}
            found = {n: n for split in self.task.splits.values() for n in _first(split, inside)}
            if found:
                return Download("", given.name, members=found)
        if plain in names:
            return Download("", plain)
        expected = dict.fromkeys([*(one.file for one in downloads), *names])
        raise UserError(
            f"--from {given}: no file of task {self.task.name}; expected {', '.join(expected)}, or "
            "a zip archive with them"
        )

    def _install(
        self, path: Path, download: Download, wanted: tuple[str, ...], *, move: bool
    ) -> list[Path]:
        if download.members:
            members = {end: name for end, name in download.members.items() if name in wanted}
            made = archives.unpack(path, members, self.folder)
            if move:
                path.unlink()
            return made
        suffix = path.suffix if path.suffix in COMPRESSIONS else ""
        target = self.folder / (download.file + suffix)
        if move:
            path.replace(target)
        elif path.resolve() != target.resolve():
            temporary = self.folder / f".{target.name}.copying"
            shutil.copyfile(path, temporary)
            temporary.replace(target)
        return [target]

    def _records(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            raw = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{self.folder / RECORD}: not JSON: {error}; remove it") from None
        return raw if isinstance(raw, dict) else {}

    def _record(self, files: list[Path], source: str, digest: str, *, verified: bool) -> None:
        """Note where files came from; `digest` is that of the download that held them."""
        new = {
            (path.stem if path.suffix in COMPRESSIONS else path.name): {
                "from": source,
                "download_sha256": digest,
                "sha256": _digest(path),
                "verified": verified,
            }
            for path in files
        }
        write_json(self.folder / RECORD, {**self._records(), **new})


def _wanted(download: Download) -> tuple[str, ...]:
    return tuple(download.members.values()) or (download.file,)


def _first(names: tuple[str, ...], inside: set[str]) -> list[str]:
    """Return the first of a split's file names that an archive has, if any."""
    return [name for name in names if name in inside][:1]


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, unpacked where it is compressed."""
    with open_bytes(path) as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def _mismatch(where: str, got: str, expected: str, kept: Path) -> str:
    return (
        f"{where}: sha256 {got}; expected {expected}; the publisher may have replaced it, or this "
        f"is not the file but a server's message; look at {kept}, then pass --accept-changed to "
        "take it"
    )
