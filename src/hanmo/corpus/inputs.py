"""From the paths of the command line to the list of files to read, each with a name of its own.

A folder stands for the files below it, links to files and folders followed, in the order of their
names; those that start with "." are passed over. The name begins the ids of the file's documents:
`wiki.txt.xz` gives `wiki-0`, `wiki-1`, …; files of one stem in several folders are told apart by
their folders (`AA-wiki`).

    find_inputs([Path("raw")])    # [InputFile(path=raw/wiki.txt.xz, name="wiki")]
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from hanmo.core import registry, remote
from hanmo.core.artifact import MANIFEST, STATE, is_ours, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.files import COMPRESSIONS, format_suffix, stem
from hanmo.core.urls import is_remote, stored_names

Refuse = Callable[[Path, Path, UserError], None]  # path, path below the folder asked for, why

READERS = "hanmo.corpus.readers"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to read.

    Attributes:
        path: Where it is.
        name: Start of its documents' ids, unique among the inputs.
        source: What its documents give as their source: the path below the folder asked for.
        format: Name of a reader in `corpus/readers/`.
    """

    path: Path
    name: str
    source: str
    format: str

    @property
    def label(self) -> str:
        """What it is called among the inputs of a folder: the ids of its documents depend on it."""
        usual = self.name == stem(Path(self.source))
        return self.source if usual else f"{self.source} as {self.name}"


def find_inputs(
    paths: Sequence[Path],
    *,
    form: str = AUTO,
    unknown: Refuse | None = None,
) -> list[InputFile]:
    """List the files of some files and folders, in the order given; a folder's are sorted.

    Args:
        paths: Files and folders.
        form: Format of all files; "auto" goes by their suffixes.
        unknown: Called with the path, and the path below the folder asked for, of a file whose
            suffix is unknown, a broken link or a folder that cannot be read, which is then left
            out; without it such a thing is an error.

    Raises:
        UserError: Nothing given, a path does not exist, a folder holds no file or cannot be read, a
            file's suffix is unknown, its name is not UTF-8, one file is named twice, or there is no
            such format.
    """

    def refuse(path: Path, relative: Path, error: UserError) -> None:
        if unknown is None:
            raise error
        unknown(path, relative, error)

    if form != AUTO:
        registry.member(READERS, form, "read")
    if not paths:
        raise UserError("no input: give at least one file or folder of text")
    found = [(file, relative) for path in paths for file, relative in _expand(path, refuse)]
    _refuse_repeats([file for file, _ in found])
    _refuse_names([file for file, _ in found])
    formats: dict[Path, str] = {}
    for file, relative in found:
        try:
            formats[file] = _format(file) if form == AUTO else form
        except UserError as error:
            refuse(file, relative, error)
    stems = Counter(stem(relative) for _, relative in found)
    inputs = [
        InputFile(
            path=file,
            name=stem(relative) if stems[stem(relative)] == 1 else _long_name(file, relative),
            source=relative.as_posix(),
            format=formats[file],
        )
        for file, relative in found
        if file in formats
    ]
    names = Counter(item.name for item in inputs)
    return [
        item if names[item.name] == 1 else replace(item, name=f"{number}-{item.name}")
        for number, item in enumerate(inputs)
    ]


def _expand(path: Path, refuse: Refuse) -> list[tuple[Path, Path]]:
    """Return (file, its path below the folder asked for)."""
    if remote.is_file(path):
        return [(path, Path(stored_names(path)[-1]))]
    if not remote.is_folder(path):
        raise UserError(f"{path}: no such file or folder")
    if is_ours(path):
        raise UserError(
            f"{path}: a folder of kind {read_manifest(path).kind!r} that hanmo made; expected raw "
            "text"
        )

    def tell(one: Path, error: UserError) -> None:
        below = stored_names(one)[len(path.parts) :] or [path.name or str(path)]
        refuse(one, Path(*below), error)

    files = remote.listing(path) if is_remote(path) else sorted(_local_files(path, tell, ()))
    below = [Path(file.relative_to(path)) for file in files]
    shown = [file for file in below if not any(part.startswith(".") for part in file.parts)]
    for made in [file.parent for file in shown if file.name == MANIFEST]:
        if is_ours(path / made):
            kind = read_manifest(path / made).kind
            tell(
                path / made,
                UserError(
                    f"{path / made}: a folder of kind {kind!r} that hanmo made, among the raw text "
                    f"of {path}; move it away"
                ),
            )
            shown = [file for file in shown if not file.is_relative_to(made)]
    for made in {
        above for file in shown for above in file.parents if above.suffix == remote.PARTIAL
    }:
        if remote.exists(path / made / STATE):
            refuse(
                path / made,
                made,
                UserError(
                    f"{path / made}: what an interrupted command left, among the raw text of "
                    f"{path}; run that command again, or move it away"
                ),
            )
            shown = [file for file in shown if not file.is_relative_to(made)]
    if not shown:
        raise UserError(f"{path}: the folder holds no file; expected text to read")
    depth = len(path.parts)
    return [(path / file, Path(*stored_names(path / file)[depth:])) for file in shown]


def _local_files(
    folder: Path, tell: Callable[[Path, UserError], None], above: tuple[Path, ...]
) -> Iterator[Path]:
    """Yield the files below a folder; a link back to a folder above it is not followed."""
    here = folder.resolve()
    if here in above:
        tell(folder, UserError(f"{folder}: a link to a folder above it; remove the link"))
        return
    try:
        children = list(folder.iterdir())
    except OSError as error:
        tell(folder, UserError(f"{folder}: cannot be read ({error.strerror})"))
        return
    for child in children:
        if child.name.startswith("."):
            continue
        if child.is_dir():
            yield from _local_files(child, tell, (*above, here))
        elif child.exists():
            yield child
        else:
            tell(child, UserError(f"{child}: a link to nothing; remove or mend it"))


def _long_name(file: Path, relative: Path) -> str:
    folders = relative.parts[:-1] or stored_names(file)[-2:-1]
    return "-".join([*folders, stem(relative)])


@lru_cache(maxsize=1)
def _readers() -> Mapping[str, ModuleType]:
    return {name: registry.load(READERS, name) for name in registry.names(READERS)}


def _format(file: Path) -> str:
    suffix = format_suffix(file).lower()
    is_packed = file.suffix in COMPRESSIONS
    for name, reader in _readers().items():
        by_name = getattr(reader, "NAMES", None)
        if by_name is not None and by_name.fullmatch(stem(file)) and not suffix:
            return name
        if suffix in reader.SUFFIXES and (getattr(reader, "PACKED", True) or not is_packed):
            return name
    suffixes = [suffix for reader in _readers().values() for suffix in reader.SUFFIXES]
    raise UserError(
        f"{file}: unknown suffix; expected {' '.join(sorted(suffixes))}, all but .parquet also "
        f"with {' '.join(COMPRESSIONS)} behind it; rename the file, leave it out, or say with "
        "--format what it is"
    )


def _refuse_repeats(files: Sequence[Path]) -> None:
    counts = Counter(file.resolve() for file in files)
    for file in files:
        if counts[file.resolve()] > 1:
            raise UserError(f"{file}: named more than once among the inputs; name it once")


def _refuse_names(files: Sequence[Path]) -> None:
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{str(file).encode(errors='replace').decode()}: the file's name is not UTF-8, "
                "but documents carry it as their source; rename the file"
            ) from None
