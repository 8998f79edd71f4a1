"""Find out what somebody gave: an archive as downloaded, a folder, one file of it.

    with opened(Path("chinese_lert_base_L-12_H-768_A-12.zip"), scratch) as source:
        source.contents, source.title

Archives are unpacked to a scratch folder, only what a model needs, and only below it.
"""

import contextlib
import dataclasses
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from hanmo.convert.contents import GENERATOR, Contents
from hanmo.convert.folders import read_folder
from hanmo.convert.git_lfs import refuse_pointer
from hanmo.convert.paddle import PARAMETERS, is_paddle, read_paddle
from hanmo.convert.shapes import part_of
from hanmo.convert.tf1_reading import read_tf1
from hanmo.convert.vocabulary import read_vocabulary
from hanmo.convert.weights_file import read_weights
from hanmo.core.errors import UserError
from hanmo.core.log import Progress
from hanmo.model.checkpoint import OLD_WEIGHTS, WEIGHTS

_CHUNK = 1 << 22
_MOST_TIMES = 200  # as large as its archive: more is no model
_PARAMETERS = ".pdparams"
_NEEDED = (".json", ".txt", ".index", ".bin", ".safetensors", _PARAMETERS, "checkpoint")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a user may say of a source.

    Attributes:
        model_config: its configuration, where none or the wrong one lies beside it.
        vocab: its vocabulary, likewise.
        layout: layout of a TensorFlow 1 checkpoint; by default its variables tell.
        ignore: variables of it to leave out, patterns with `*`.
        generator: the generator of an ELECTRA whose discriminator the source is.
    """

    model_config: Path | None = None
    vocab: Path | None = None
    layout: str | None = None
    ignore: Sequence[str] = ()
    generator: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint as found: its form, and what it holds."""

    title: str
    contents: Contents


@contextlib.contextmanager
def opened(path: Path, scratch: Path, options: Options) -> Iterator[Source]:
    """Open a checkpoint of any form.

    Args:
        path: a zip archive, a folder, or a file of a checkpoint.
        scratch: folder for what an archive holds; removed at the end.
        options: what the user says of it.

    Raises:
        UserError: nothing there, of no known form, of two forms at once, or damaged.
    """
    if path.suffix.lower() != ".zip":
        yield read(path, options)
        return
    unpack(path, scratch)
    try:
        source = read(_model_folder(scratch, path), options)
        yield dataclasses.replace(source, title=f"{source.title}, in a zip archive")
    except UserError as error:  # the user knows the archive, not where it was unpacked
        raise UserError(str(error).replace(str(scratch), str(path))) from error.__cause__
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read(path: Path, options: Options) -> Source:
    """Read a checkpoint that is no archive."""
    form = form_of(path)
    folder = path if path.is_dir() else path.parent
    if form != "tf1" and (options.ignore or options.layout):
        flag = "--ignore" if options.ignore else "--layout"
        raise UserError(f"{flag}: belongs to TensorFlow 1 checkpoints; {path} is none")
    if form == "tf1":
        contents, layout = read_tf1(
            path, config=options.model_config, layout=options.layout, ignore=options.ignore
        )
        source = Source(f"TensorFlow 1 checkpoint ({layout.title})", contents)
    elif form == "paddle":
        file = None if path.is_dir() else path
        contents = read_paddle(folder, file=file, config_file=options.model_config)
        source = Source("PaddleNLP folder", contents)
    else:
        file = None if path.is_dir() else path
        contents = read_folder(folder, file=file, config=options.model_config)
        ours = isinstance(contents.raw.get("hanmo"), dict)
        source = Source("hanmo model folder" if ours else "Hugging Face folder", contents)
    if options.vocab is not None:
        contents = dataclasses.replace(source.contents, vocabulary=read_vocabulary(options.vocab))
        source = dataclasses.replace(source, contents=contents)
    if options.generator is not None:
        second = read(options.generator, Options())
        source = dataclasses.replace(
            source, contents=_joined(source.contents, second.contents, options.generator)
        )
    return source


def _joined(first: Contents, second: Contents, path: Path) -> Contents:
    """Make one ELECTRA of a discriminator and a generator that were published apart."""
    if first.generator is not None:
        raise UserError("--generator: the source has a generator already; leave it out")
    for name, one in (("source", first), ("generator", second)):
        if not one.config.family.discriminates:
            raise UserError(
                f"--generator {path}: the {name} is a {one.config.model_type}; expected an "
                "ELECTRA's discriminator as the source and its generator here"
            )
    if "replaced_head" in map(part_of, second.tensors):
        raise UserError(f"--generator {path}: a discriminator; expected the generator")
    if "replaced_head" not in map(part_of, first.tensors):
        raise UserError(
            "--generator: the source has no replaced-token head; expected an ELECTRA's "
            "discriminator as it was pre-trained"
        )
    tensors = {GENERATOR + name: tensor for name, tensor in second.tensors.items()}
    return dataclasses.replace(
        first,
        tensors={**first.tensors, **tensors},
        generator=second.config,
        raw_generator=second.raw,
    )


def form_of(path: Path) -> str:
    """Say what form a checkpoint has: "tf1", "paddle" or "folder".

    Raises:
        UserError: nothing there, of no known form, or of two.
    """
    if path.suffix in {".safetensors", ".bin"} and path.is_file():
        return _form_of_weights(path)
    if path.suffix == _PARAMETERS:
        return "paddle"
    others = {".zip", ".gz", ".tar", ".tgz", ".json", ".txt"}
    if path.is_file() and path.suffix.lower() in others:
        raise UserError(
            f"{path}: no checkpoint; expected a folder, a .zip archive (another archive must be "
            "unpacked), a prefix, or a file of weights"
        )
    if not path.is_dir():
        return "tf1"  # a prefix, or a file of it; `find_prefix` says what is wrong
    found = {
        "folder": [name for name in (WEIGHTS, OLD_WEIGHTS) if (path / name).is_file()],
        "tf1": [
            file.name for file in sorted(path.glob("*.index")) if ".safetensors" not in file.name
        ],
        "paddle": [PARAMETERS] if (path / PARAMETERS).is_file() else [],
    }
    forms = [form for form, files in found.items() if files]
    if len(forms) > 1:
        names = " and ".join(found[form][0] for form in forms)
        raise UserError(
            f"{path}: holds {names}; say which one is meant: "
            f"{' or '.join(str(path / found[form][0]) for form in forms)}"
        )
    if forms:
        return _form_of_weights(path / found["folder"][0]) if forms[0] == "folder" else forms[0]
    if (path / f"{WEIGHTS}.index.json").is_file():
        return "folder"
    if (path / f"{PARAMETERS}.index.json").is_file():
        raise UserError(
            f"{path}: parameters in several files ({PARAMETERS}.index.json); expected one "
            f"{PARAMETERS}: save it with save_pretrained(…, max_shard_size='100GB')"
        )
    if any(path.glob("*.data-?????-of-?????")) or (path / "checkpoint").is_file():
        return "tf1"
    there = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
    raise UserError(
        f"{path}: no checkpoint in it; expected {WEIGHTS}, {OLD_WEIGHTS}, a TensorFlow 1 "
        f"checkpoint (.index and .data files) or {PARAMETERS}; there is: {there}"
    )


def _form_of_weights(path: Path) -> str:
    """Tell transformers' weights from PaddleNLP's, which it can write as safetensors, too."""
    if path.suffix == ".safetensors" and is_paddle(read_weights(path)):
        return "paddle"
    return "folder"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack what a model needs; what is there of an earlier, killed run is overwritten.

    Raises:
        UserError: no zip archive, a damaged or encrypted one, or more than the disk holds.
    """
    refuse_pointer(archive)
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [one for one in zipped.infolist() if _is_needed(one.filename)]
            total = sum(one.file_size for one in members)
            folder.mkdir(parents=True, exist_ok=True)
            packed = archive.stat().st_size
            if total > _MOST_TIMES * max(packed, 1 << 20):
                raise UserError(
                    f"{archive}: {packed:,} bytes that unpack to {total:,}; weights do not pack so "
                    "well: not unpacked"
                )
            free = shutil.disk_usage(folder).free
            if total > free:
                raise UserError(
                    f"{archive}: holds {total:,} bytes unpacked; {free:,} are free in {folder}"
                )
            with Progress("unpack", total, "bytes") as bar:
                for one in members:
                    _extract(zipped, one, folder, bar)
    except FileNotFoundError:
        raise UserError(f"{archive}: no such file") from None
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        *(EOFError, RuntimeError, NotImplementedError),
    ) as error:
        raise UserError(f"{archive}: not a zip archive that can be read: {error}") from None


def _extract(zipped: zipfile.ZipFile, one: zipfile.ZipInfo, folder: Path, bar: Progress) -> None:
    parts = [part for part in one.filename.split("/") if part not in {"", ".", ".."}]
    target = folder.joinpath(*parts)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{one.filename!r} in the archive names a place outside of it; not unpacked"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    left = one.file_size
    with zipped.open(one) as source, target.open("wb") as out:
        while left > 0 and (chunk := source.read(min(_CHUNK, left))):
            out.write(chunk)
            left -= len(chunk)
            bar.advance(len(chunk))


def _is_needed(name: str) -> bool:
    last = PurePosixPath(name).name
    if name.endswith("/") or last.startswith(".") or "__MACOSX" in name:
        return False
    return last.endswith(_NEEDED) or ".data-" in last


def _model_folder(scratch: Path, archive: Path) -> Path:
    """Return the folder of an unpacked archive that holds the model."""
    folders = sorted(
        {
            file.parent
            for file in scratch.rglob("*")
            if file.is_file()
            and (file.suffix in {".index", ".safetensors", ".bin"} or file.name == PARAMETERS)
        }
    )
    # A generator's folder lies within its discriminator's.
    outer = [one for one in folders if not any(other in one.parents for other in folders)]
    if len(outer) == 1:
        return outer[0]
    listed = ", ".join(str(one.relative_to(scratch)) for one in outer) or "no checkpoint"
    raise UserError(
        f"{archive}: expected one model in it, found {listed}; unpack it and give the folder"
    )
