"""A stage's folder: built under a temporary name, finished when `manifest.json` exists.

    with building(out, kind="corpus", config=config, inputs={"corpus": path}) as build:
        if build.finished:
            return build.counts
        ...write files into build.dir, count in build.counts...

The folder is `OUT.partial` until everything is written; then the manifest (kind, version,
resolved configuration, digests of inputs and files, counts) is written last and the folder is
renamed. A killed stage leaves `OUT.partial`, which the same command continues (docs/formats.md).
Where `out` is the twin of a URL all this happens in the store (`hanmo.core.remote`).
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hanmo.core import remote
from hanmo.core.errors import UserError
from hanmo.core.executor import end_all_jobs
from hanmo.core.files import parsed, sha256, sync_folder, write_atomic, write_json
from hanmo.core.identity import NOT_CONTENT, Tolerance, differences, how_settings, plain
from hanmo.core.lock import exclusive
from hanmo.core.outputs import refuse_inside, refuse_other_kind
from hanmo.core.urls import is_remote, shown, url_of

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
STATE = ".state"
_STARTED = "building.json"
_REFUSED = "refused"  # beside it: the last run ended with a mistake of the user's


class OtherSettingsError(UserError):
    """A folder is there that was made with other settings or from other inputs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What a finished folder says of itself."""

    kind: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    counts: Mapping[str, int | float]
    files: Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(slots=True)
class Build:
    """A folder in the making: write into `dir`, keep resumable state in `state_dir`."""

    dir: Path
    counts: dict[str, int | float]
    finished: bool = False

    @property
    def state_dir(self) -> Path:
        """Scratch folder that survives a kill and is removed when the stage is finished."""
        folder = self.dir / STATE
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def has_progress(self) -> bool:
        """Whether a task of an earlier run is done."""
        return any("completions" in path.parts for path in remote.listing(self.dir / STATE))


@contextlib.contextmanager
def building(
    out: Path,
    *,
    kind: str,
    config: Any,
    inputs: Mapping[str, Path] | None = None,
    overwrite: bool = False,
    resumes: bool = True,
) -> Iterator[Build]:
    """Build the folder `out`; yields a `Build` whose `finished` says there is nothing to do.

    Args:
        out: the folder to make; its parents are made too.
        kind: what the folder holds, checked by its readers.
        config: dataclass or mapping; compared on continuing, stored in the manifest.
        inputs: name → file or finished folder whose digest is stored.
        overwrite: replace a finished or half-built folder made with other settings.
        resumes: what an interrupted run left can be continued; else it is thrown away.

    Raises:
        UserError: `out` exists and was made with other settings, is another kind of folder, holds
            an input or somebody else's files, or is being written by another process.
    """
    refuse_inside(out, (inputs or {}).values())
    settings = plain(config)
    outside = NOT_CONTENT | how_settings(config)
    identity = {
        "kind": kind,
        "version": FORMAT_VERSION,
        "config": {key: settings[key] for key in settings if key not in outside},
        "inputs": {name: digest(path) for name, path in sorted((inputs or {}).items())},
    }
    free = Tolerance.of(config)
    if not _already_there(out, identity, overwrite, free):
        with exclusive(out):
            # Another run may have finished it while we came here.
            if not _already_there(out, identity, overwrite, free):
                yield from _built(out, identity, free, overwrite=overwrite, resumes=resumes)
                return
    partial = out.with_name(out.name + remote.PARTIAL)
    if is_remote(out) and [*remote.listing(partial)] == [partial / MANIFEST]:
        remote.remove_tree(partial)  # a move of it that was killed in its middle
    yield Build(out, dict(read_manifest(out, kind).counts), finished=True)


def _built(
    out: Path, identity: dict[str, Any], free: Tolerance, *, overwrite: bool, resumes: bool
) -> Iterator[Build]:
    partial = out.with_name(out.name + remote.PARTIAL)
    if _start(partial, identity, free, overwrite=overwrite, resumes=resumes):
        _publish(partial, out)
        yield Build(out, dict(read_manifest(out, identity["kind"]).counts), finished=True)
        return
    build = Build(partial, {})
    try:
        yield build
    except UserError as error:
        # Whoever mends the mistake changes settings or inputs, and may start again then; a full
        # disk or a worker that died (they have a cause) is no mistake. But what is done is kept.
        is_mistake = error.__cause__ is None and remote.is_folder(partial / STATE)
        if is_mistake and not build.has_progress:
            write_atomic(partial / STATE / _REFUSED, "")
        raise
    _finish(build, identity, out)


def digest(path: Path) -> str:
    """Say what a file or folder holds, wherever it lies and however it was made.

    It is the SHA-256 of a file; of the list of files and their digests of a finished folder (not
    of its manifest, which also tells settings that leave the bytes alone); of a plain folder's
    files.
    """
    if remote.is_file(path):
        with remote.borrowed(path):
            return sha256(path)
    if remote.is_file(path / MANIFEST):
        text = json.dumps(read_manifest(path).files, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    if not remote.is_folder(path):
        raise UserError(f"{path}: no such file or folder")
    total = hashlib.sha256()
    for file in remote.listing(path):
        with remote.borrowed(file):
            total.update(f"{file.relative_to(path)} {sha256(file)}\n".encode())
    return total.hexdigest()


def read_manifest(folder: Path, kind: str | tuple[str, ...] | None = None) -> Manifest:
    """Read a finished folder's manifest.

    Raises:
        UserError: no such folder, not finished, damaged, of a newer format or of another kind.
    """
    path = remote.fetched(folder / MANIFEST)
    if not path.is_file():
        raise UserError(_why_unfinished(folder))
    try:
        raw = parsed(path)
        manifest = Manifest(**{f.name: raw[f.name] for f in dataclasses.fields(Manifest)})
        if not (isinstance(manifest.version, int) and isinstance(manifest.files, Mapping)):
            raise TypeError("version or files")
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged manifest ({error}); make the folder again") from None
    if manifest.version > FORMAT_VERSION:
        raise UserError(
            f"{path}: format version {manifest.version}; this hanmo reads up to {FORMAT_VERSION}; "
            "upgrade hanmo"
        )
    kinds = (kind,) if isinstance(kind, str) else kind
    if kinds and manifest.kind not in kinds:
        expected = " or ".join(map(repr, kinds))
        raise UserError(f"{folder}: a folder of kind {manifest.kind!r}; expected {expected}")
    return manifest


def verify(folder: Path) -> None:
    """Check size and SHA-256 of every file that the manifest names.

    Raises:
        UserError: a file is missing, cut short or changed; names the file.
    """
    for name, facts in read_manifest(folder).files.items():
        _verify(folder, name, facts)


def is_ours(folder: Path) -> bool:
    """Whether a folder is one that hanmo finished: other programs write manifest.json files too."""
    if is_remote(folder) and url_of(folder) is None:
        return False  # above all buckets
    try:
        raw = parsed(remote.fetched(folder / MANIFEST))
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and {"kind", "version", "files"} <= raw.keys()


def checked(path: Path) -> Path:
    """Return `path`, compared with the manifest that names it: of its folder, or of the one above.

    A file that no manifest names is returned as it is: it is not hanmo's.

    Raises:
        UserError: the file was cut short or changed since it was made; names it.
    """
    for folder in (path.parent, path.parent.parent):
        if is_ours(folder):
            name = path.relative_to(folder).as_posix()
            facts = read_manifest(folder).files.get(name)
            if facts is not None:
                _verify(folder, name, facts)
            break
    return path


def _verify(folder: Path, name: str, facts: Mapping[str, Any]) -> None:
    path = remote.fetched(folder / name)
    if not path.is_file():
        raise UserError(f"{path}: missing, though {folder / MANIFEST} lists it")
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise UserError(
            f"{path}: {size:,} bytes; expected {facts['bytes']:,}: cut short or overwritten; "
            "make the folder again"
        )
    if sha256(path) != facts["sha256"]:
        raise UserError(f"{path}: SHA-256 differs from the manifest; make the folder again")


def _already_there(out: Path, identity: dict[str, Any], overwrite: bool, free: Tolerance) -> bool:
    if remote.is_file(out):
        raise UserError(f"{out}: is a file; expected a folder to make; choose another --out")
    if not remote.exists(out):
        return False
    if not remote.is_file(out / MANIFEST):
        # Files are moved one by one in a store: what is there may be the half of it.
        moving = is_remote(out) and is_ours(out.with_name(out.name + remote.PARTIAL))
        # Never replaced, --overwrite or not: somebody's own files.
        if not moving and remote.children(out):
            raise UserError(
                f"{out}: exists and is not a folder made by hanmo; choose another --out"
            )
        return False
    if overwrite:
        if is_ours(out):
            refuse_other_kind(out, parsed(remote.fetched(out / MANIFEST))["kind"], identity["kind"])
        return False
    manifest = read_manifest(out)
    made = {name: getattr(manifest, name) for name in identity}
    changed = differences(made, identity, free)
    if changed:
        raise OtherSettingsError(
            f"{out}: already finished with other settings ({'; '.join(changed)}); "
            "choose another --out, or pass --overwrite to replace it"
        )
    check_whole(out)
    return True


def check_whole(folder: Path) -> None:
    """Refuse a finished folder whose files are gone or cut short, by their sizes alone.

    Raises:
        UserError: names the first file.
    """
    sizes = remote.listing(folder)
    for name, facts in read_manifest(folder).files.items():
        if (size := sizes.get(folder / name)) != facts["bytes"]:
            raise UserError(
                f"{folder / name}: {'missing' if size is None else f'{size:,} bytes'}; expected "
                f"{facts['bytes']:,} bytes; pass --overwrite to make the folder again"
            )


def _start(
    partial: Path, identity: dict[str, Any], free: Tolerance, *, overwrite: bool, resumes: bool
) -> bool:
    """Begin or continue a folder; True when all of it is there and only its name is missing."""
    started, manifest = partial / STATE / _STARTED, partial / MANIFEST
    refused = started.with_name(_REFUSED)
    left = next((path for path in (manifest, started) if remote.is_file(path)), None)
    if left is not None and not overwrite and (resumes or left == manifest):
        changed = differences(json.loads(remote.read_bytes(left)), identity, free)
        if changed and not remote.exists(refused):
            raise OtherSettingsError(
                f"{partial}: left by an interrupted run with other settings "
                f"({'; '.join(changed)}); repeat those settings to continue it, "
                "or pass --overwrite to start again"
            )
        remote.remove(refused)
        if not changed:
            return left == manifest
    if remote.exists(partial):
        ours = left is not None or (
            remote.is_folder(partial) and {p.name for p in remote.children(partial)} <= {STATE}
        )
        if not ours:
            raise UserError(
                f"{partial}: in the way, and not made by hanmo; move it or choose another --out"
            )
        end_all_jobs(partial / STATE)  # they would write into the new one
        remote.remove_tree(partial)
    remote.forget(partial)
    started.parent.mkdir(parents=True)
    write_json(started, identity)
    return False


def _finish(build: Build, identity: dict[str, Any], out: Path) -> None:
    partial = build.dir
    files = remote.recorded(partial) if is_remote(partial) else _files(partial)
    manifest = json.loads(json.dumps({**identity, "counts": {}, "files": files}, sort_keys=True))
    manifest["counts"] = build.counts  # in the order in which the command tells them
    text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    write_atomic(partial / MANIFEST, text)
    _publish(partial, out)


def _files(partial: Path) -> dict[str, dict[str, Any]]:
    """Return size and digest of the files of a folder; all of it is on the disk then."""
    files = {}
    for path in sorted(partial.rglob("*")):
        name = path.relative_to(partial).as_posix()
        if not path.is_file() or name == MANIFEST or name.startswith(f"{STATE}/"):
            continue
        if path.name.startswith("."):
            path.unlink()  # what a killed `write_atomic` left
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
            files[name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    return files


def _publish(partial: Path, out: Path) -> None:
    """Give a complete folder its name; killed anywhere in here, the next run does it again."""
    if is_remote(out):
        _publish_remote(partial, out)
        return
    sync_folder(partial)
    shutil.rmtree(partial / STATE, ignore_errors=True)
    old = out.with_name(out.name + ".replaced")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(out.parent)


def _publish_remote(partial: Path, out: Path) -> None:
    """Move the files one by one, the manifest last: until then the next run finds it in partial."""
    files = read_manifest(partial).files
    remote.remove(out / MANIFEST)
    for path in remote.listing(out):
        if path.relative_to(out).as_posix() not in files:
            remote.remove(path)  # of the folder that is replaced
    here = {path.relative_to(partial).as_posix() for path in remote.listing(partial)}
    remote.move_all(sorted(here & files.keys()), partial, out)
    sizes = {path.relative_to(out).as_posix(): n for path, n in remote.listing(out).items()}
    for name, facts in files.items():
        if sizes.get(name) != facts["bytes"]:
            raise UserError(
                f"{shown(out / name)}: {sizes.get(name, 0):,} bytes; expected {facts['bytes']:,}: "
                "somebody else writes there, too; run again with --overwrite"
            )
    remote.remove_tree(partial / STATE)
    remote.move(partial / MANIFEST, out / MANIFEST)
    remote.remove_tree(partial)
    remote.forget(out)


def _why_unfinished(folder: Path) -> str:
    partial = folder.with_name(folder.name + remote.PARTIAL)
    if remote.is_folder(partial):
        return (
            f"{folder}: not finished ({partial.name} is there): run its command again to continue"
        )
    if not remote.exists(folder):
        return f"{folder}: no such folder"
    if remote.is_file(folder):
        return f"{folder}: is a file; expected a folder with {MANIFEST}"
    return f"{folder}: no {MANIFEST}: not a finished folder made by hanmo"
