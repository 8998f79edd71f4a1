r"""The files of a checkpoint: from what a user names to the prefix that all of them share.

    find_prefix(Path("chinese_L-12_H-768_A-12"))          # …/bert_model.ckpt
    find_prefix(Path("run/model.ckpt-1000.index"))        # run/model.ckpt-1000

PREFIX.index                  names, types, shapes, places
PREFIX.data-00000-of-00001    the numbers, in one or more files
PREFIX.meta                   the graph; not read
checkpoint                    a text that names the prefix of the folder's newest checkpoint
"""

import contextlib
import re
from pathlib import Path

from hanmo.convert.git_lfs import refuse_pointer
from hanmo.convert.tf1.table import MAGIC
from hanmo.core.errors import UserError

STATE = "checkpoint"
_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_NAMED = re.compile(rb"^\s*model_checkpoint_path\s*:\s*([\"'])(.*)\1\s*$", re.MULTILINE)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)")
_LONGEST_STATE = 1 << 20
_MOST_LISTED = 5
_MEND_V1 = (
    "a checkpoint of TensorFlow's first format (V1: one file, no .index); expected the second; "
    "restore it in TensorFlow and save it with tf.compat.v1.train.Saver(write_version=2)"
)


def index_path(prefix: Path) -> Path:
    """Return where the index of a checkpoint lies."""
    return prefix.with_name(f"{prefix.name}.index")


def data_path(prefix: Path, shard: int, shards: int) -> Path:
    """Return where a data file of a checkpoint lies."""
    return prefix.with_name(f"{prefix.name}.data-{shard:05}-of-{shards:05}")


def find_prefix(path: Path) -> Path:
    """Return the prefix of a checkpoint.

    Args:
        path: a prefix; one of a checkpoint's files; or a folder, of which its `checkpoint` file
            names one, or which has a single one.

    Raises:
        UserError: there is none, or several; says of a V1 checkpoint or a Git LFS pointer that it
            is one.
    """
    if path.is_dir():
        return _in_folder(path)
    if index_path(path).is_file():
        return path
    prefix = path.with_name(_SUFFIX.sub("", path.name))
    if prefix != path and index_path(prefix).is_file():
        return prefix
    for candidate in (path, prefix):
        refuse_pointer(candidate)
        if _is_v1(candidate):
            raise UserError(f"{candidate}: {_MEND_V1}")
    what = "is no TensorFlow checkpoint" if path.is_file() else "no such checkpoint"
    raise UserError(
        f"{path}: {what}: expected a folder, a prefix such as bert_model.ckpt, or one of its "
        f"files, and there is no {index_path(prefix).name} beside it"
    )


def _in_folder(folder: Path) -> Path:
    found = sorted(path.with_suffix("") for path in folder.glob("*.index") if path.is_file())
    named = _named(folder / STATE)
    if named is not None and named.name:
        # The folder may have been moved since, so of the path its last part counts as well.
        for prefix in (folder / named, folder / named.name):
            with contextlib.suppress(OSError):  # no name that a file can have
                if index_path(prefix).is_file():
                    return prefix
    if len(found) == 1:
        return found[0]
    if not found:
        for path in sorted(folder.iterdir()):
            if _is_v1(path):
                raise UserError(f"{path}: {_MEND_V1}")
        raise UserError(f"{folder}: no TensorFlow checkpoint: expected a .index file in it")
    listed = ", ".join(prefix.name for prefix in found[:_MOST_LISTED])
    more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    raise UserError(
        f"{folder}: {len(found)} checkpoints ({listed}{more}), and no `{STATE}` file that names "
        f"one of them; name one: {found[0]}"
    )


def _named(state: Path) -> Path | None:
    """Return the path that a `checkpoint` file names; nothing without such a file."""
    if not state.is_file():
        return None
    with state.open("rb") as file:
        match = _NAMED.search(file.read(_LONGEST_STATE))
    if match is None:
        return None
    raw = _ESCAPE.sub(_unescaped, match[2])
    return Path(raw.replace(b"\0", b"").decode(errors="replace"))


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 0xFF]) if code.isdigit() else code


def state_text(prefix: Path) -> str:
    """Return the text of the `checkpoint` file that names a prefix in its own folder."""
    name = re.sub(r"[\x00-\x1f\"\\]", lambda found: f"\\{ord(found[0]):03o}", prefix.name)
    return f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n'


def _is_v1(path: Path) -> bool:
    """Whether a file that is not a V2 index is a table, as a V1 checkpoint is."""
    if not path.is_file() or path.stat().st_size < len(MAGIC):
        return False
    with path.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC
