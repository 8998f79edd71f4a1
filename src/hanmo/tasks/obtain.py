"""Put a task's files into its folder: from their official places, or from a file at hand.

In: a task and its folder. Out: the files of its splits there, and `downloads.json`, which says of
each where it came from and its SHA-256. What is there and right is left as it is, and a file that
somebody else put there is never replaced. A download, or a member of an archive, whose checksum is
not the known one is kept aside as NAME.rejected.

    obtain(find_task("ocnli"), Path("data/ocnli"))
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.files import COMPRESSIONS, sha256
from hanmo.core.lock import exclusive
from hanmo.tasks import archives, records
from hanmo.tasks.download import Open, fetch, forget
from hanmo.tasks.records import REJECTED, Records, content_digest, plain
from hanmo.tasks.task import Download, Task

RECORD = records.FILE
VERIFIED = "verified"
_UNKNOWN = "unverified: no checksum is known"
_ACCEPTED = "another checksum, accepted"


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
            is not the right one; an archive that is damaged or without the wanted members.
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
class _Source:
    """A file that was downloaded, or is at hand.

    Attributes:
        path: where it lies.
        where: its name in messages.
        origin: its name in the record.
        download: what it should be.
        digest: its SHA-256; of a compressed file at hand, that of its content.
        note: whether it was verified.
        move: it is ours.
    """

    path: Path
    where: str
    origin: str
    download: Download
    digest: str
    note: str
    move: bool


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
        rejected = self.folder / f"{download.file}{REJECTED}"
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
                    differs = _differs(digest, (download.sha256,))
                    raise UserError(_mismatch(download.url, [differs], [rejected]))
        # What was rejected may have been a member of another archive.
        origin = self._records.origin(rejected.name, digest) or download.url
        missing = tuple(name for name, path in there.items() if path is None)
        source = _Source(partial, download.url, origin, download, digest, note, move=True)
        try:
            got = self._install(source, missing)
        except UserError as error:
            partial.replace(rejected)  # else the same command would find it again
            forget(partial)
            raise UserError(str(error).replace(str(partial), str(rejected))) from None
        forget(partial, whole=True)
        return got

    def take(self, given: Path) -> list[Got]:
        """Use a file or archive at hand."""
        if not given.is_file():
            raise UserError(f"--from {given}: no such file")
        digest = content_digest(given)
        download = self._meant(given, digest)
        note = _UNKNOWN
        if download.sha256:
            note = VERIFIED if digest == download.sha256 else _ACCEPTED
            if digest != download.sha256 and not self.accept_changed:
                differs = _differs(digest, (download.sha256,))
                raise UserError(_mismatch(str(given), [differs], [given]))
        source = _Source(given, str(given), given.name, download, digest, note, move=False)
        return self._install(source, _wanted(download))

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

    @property
    def _records(self) -> Records:
        return Records(self.folder)

    def _there(self, name: str) -> Path | None:
        return next(iter(self._forms(name)), None)

    def _forms(self, name: str) -> list[Path]:
        """Return the files of a name that are there, plain or compressed."""
        paths = [self.folder / (name + suffix) for suffix in ("", *COMPRESSIONS)]
        return [path for path in paths if path.is_file()]

    def _known(self, name: str) -> tuple[str, ...]:
        """Return the known checksums of a file by itself, whatever it comes in."""
        return tuple(
            one.sha256
            for one in self.task.downloads
            if one.file == name and one.sha256 and not one.members
        )

    def _checked(self, download: Download, name: str, path: Path) -> Got:
        """Compare a file that is there with its known checksum, or with the record's."""
        known = self._records.read().get(name, {}).get("sha256", "")
        published = self._known(name)
        if not (known or published):
            return Got(name, "there", note=_UNKNOWN)
        digest = content_digest(path)
        if digest in published:
            return Got(name, "there", note=VERIFIED)
        if digest == known:
            return Got(name, "there", note="as it was obtained")
        if not self.accept_changed:
            expected = " or ".join(published) or known
            raise UserError(
                f"{path}: there, but not the file of {download.url}: sha256 {digest}, expected "
                f"{expected}; move it away to get it again, or pass --accept-changed to keep it"
            )
        self._records.add({path: False}, "", digest)
        return Got(name, "there", digest, _ACCEPTED)

    def _meant(self, given: Path, digest: str) -> Download:
        """Return which download a file at hand is, by its checksum, its name, or what it holds."""
        downloads = self.task.downloads
        name = plain(given)
        for download in downloads:
            if digest == download.sha256:
                return download
        zipped = archives.is_zip(given)
        for download in downloads:
            if name == download.file:
                return download
        if zipped and len([one for one in downloads if one.members]) == 1:
            return next(one for one in downloads if one.members)
        names = [one for split in self.task.splits.values() for one in split]
        if zipped:
            inside = {Path(member).name for member in archives.members(given)}
            found = {n: n for split in self.task.splits.values() for n in _first(split, inside)}
            for split in self.task.splits.values():
                if not inside.intersection(split):
                    archives.refuse_links(given, split)
            if found:
                return Download("", given.name, members=found)
        if name in names:
            return Download("", name)
        expected = dict.fromkeys([*(one.file for one in downloads), *names])
        raise UserError(
            f"--from {given}: no file of task {self.task.name}; expected {', '.join(expected)}, or "
            "a zip archive with them"
        )

    def _install(self, source: _Source, names: tuple[str, ...]) -> list[Got]:
        """Put what a file holds into the folder, where it is not there already."""
        members = {end: one for end, one in source.download.members.items() if one in names}
        contents = dict.fromkeys(names, source.digest)
        notes = dict.fromkeys(names, source.note)
        if members:
            contents = archives.digests(source.path, members)
            notes |= self._compared(source, members, contents)
        kept: dict[str, Path] = {}
        old: list[Path] = []
        for name, digest in contents.items():
            right, ours = self._in_the_way(name, digest)
            kept |= {name: right} if right else {}
            old += ours
        if members:
            new = {end: name for end, name in members.items() if name not in kept}
            made = archives.unpack(source.path, new, self.folder) if new else []
        else:
            made = [] if kept else [self._put(source)]
        noted = {path: notes[plain(path)] for path in made}
        self._records.add(
            {path: note == VERIFIED for path, note in noted.items()}, source.origin, source.digest
        )
        accepted = {
            path: False
            for name, path in kept.items()
            if notes[name] == _ACCEPTED and not self._records.origin(name, contents[name])
        }
        self._records.add(accepted, "", source.digest)
        for path in {*old} - {*made}:  # in another compression; read before the new one
            path.unlink()
        state = "downloaded" if source.move else "taken"
        return [
            *(Got(path.name, state, source.digest, note) for path, note in noted.items()),
            *(Got(path.name, "there", note=notes[name]) for name, path in kept.items()),
        ]

    def _compared(
        self, source: _Source, members: Mapping[str, str], contents: Mapping[str, str]
    ) -> dict[str, str]:
        """Compare members with the known checksums of the same files; return what to say of them.

        Raises:
            UserError: one differs; it is kept aside.
        """
        known = {name: sums for name in contents if (sums := self._known(name))}
        changed = [name for name, sums in known.items() if contents[name] not in sums]
        if changed and not self.accept_changed:
            aside = {end: f"{name}{REJECTED}" for end, name in members.items() if name in changed}
            kept = archives.unpack(source.path, aside, self.folder)
            self._records.add(dict.fromkeys(kept, False), source.origin, source.digest)
            differ = [f"{name}: {_differs(contents[name], known[name])}" for name in changed]
            raise UserError(_mismatch(source.where, differ, kept))
        for name in changed:
            aside_before = f"{name}{REJECTED}"
            if self._records.origin(aside_before, contents[name]):
                (self.folder / aside_before).unlink(missing_ok=True)
        return {name: _ACCEPTED if name in changed else VERIFIED for name in known}

    def _in_the_way(self, name: str, digest: str) -> tuple[Path | None, list[Path]]:
        """Return the file that is right already, if any, and those of an earlier get.

        Raises:
            UserError: a file of that name is neither.
        """
        ours: list[Path] = []
        for path in self._forms(name):
            found = content_digest(path)
            if found == digest:
                return path, ours
            if not self._records.origin(name, found):
                raise UserError(
                    f"{path}: there already with other content (sha256 {found}), and not put there "
                    "by hanmo tasks get; move it away first, it is not overwritten"
                )
            ours.append(path)
        return None, ours

    def _put(self, source: _Source) -> Path:
        """Put a file that is no archive under its name."""
        suffix = source.path.suffix if source.path.suffix in COMPRESSIONS else ""
        target = self.folder / (source.download.file + suffix)
        if source.move:
            source.path.replace(target)
        else:
            temporary = self.folder / f".{target.name}.copying"
            shutil.copyfile(source.path, temporary)
            temporary.replace(target)
        return target


def _wanted(download: Download) -> tuple[str, ...]:
    return tuple(download.members.values()) or (download.file,)


def _first(names: tuple[str, ...], inside: set[str]) -> list[str]:
    """Return the first of a split's file names that an archive has, if any."""
    return [name for name in names if name in inside][:1]


def _differs(got: str, expected: tuple[str, ...]) -> str:
    return f"sha256 {got}; expected {' or '.join(expected)}"


def _mismatch(where: str, differ: Sequence[str], kept: Sequence[Path]) -> str:
    return (
        f"{where}: {'; '.join(differ)}; the publisher may have replaced it, or this is not the "
        f"file but a server's message; look at {', '.join(map(str, kept))}, then pass "
        "--accept-changed to take it"
    )
