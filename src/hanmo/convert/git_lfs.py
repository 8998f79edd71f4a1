"""Git LFS pointers: what a clone without `git lfs` has in the place of a large file.

    refuse_pointer(Path("bert_model.ckpt.index"))

Source: the specification of Git LFS, docs/spec.md.
"""

import re
from pathlib import Path

from hanmo.core.errors import UserError

_BEGINNING = b"version https://git-lfs.github.com/spec/v1"
_LONGEST = 1024  # bytes; the specification asks for less


def refuse_pointer(path: Path) -> None:
    """Raise if a file is a pointer; a file that is absent is none.

    Raises:
        UserError: `path` is a pointer; says how large the file itself is.
    """
    if not path.is_file() or path.stat().st_size >= _LONGEST:
        return
    text = path.read_bytes()
    if not text.startswith(_BEGINNING):
        return
    size = re.search(rb"^size (\d{1,15})$", text, re.MULTILINE)
    of = f" of a file of {int(size[1]):,} bytes" if size else ""
    raise UserError(
        f"{path}: a Git LFS pointer ({len(text)} bytes){of}; expected the file itself; run "
        "`git lfs pull` where it was cloned, or download the file from the model's page"
    )
