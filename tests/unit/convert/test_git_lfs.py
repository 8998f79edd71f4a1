"""Git LFS pointers in the place of files."""

from pathlib import Path

import pytest
from bundle_cases import POINTER

from hanmo.convert.git_lfs import refuse_pointer
from hanmo.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (POINTER, r"a Git LFS pointer \(134 bytes\) of a file of 411,577,344 bytes; expected"),
        (POINTER.splitlines()[0], r"a Git LFS pointer \(42 bytes\); expected the file itself"),
    ],
)
def test_a_pointer_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bert_model.ckpt.index"
    path.write_text(text, encoding="ascii")
    with pytest.raises(UserError, match=rf"bert_model\.ckpt\.index: {message}") as caught:
        refuse_pointer(path)
    assert "git lfs pull" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"version 3", POINTER.encode() + bytes(2000)])
def test_other_files_are_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    refuse_pointer(tmp_path / "a")
    refuse_pointer(tmp_path / "absent")
    refuse_pointer(tmp_path)
