r"""Files of a report replace only files that the same command made.

In: a path and the sign that such a file has: how it begins, or what a picture's notes say.

    refuse_other(Path("table.md"), "# Scores\n", "hanmo report")
"""

from pathlib import Path

from hanmo.core.errors import UserError

PNG_HEAD = 4096  # bytes of a PNG that hold its notes


def refuse_other(path: Path, sign: str, maker: str, *, within: int = 0) -> None:
    """Refuse to replace a file that does not begin with a sign, or has it `within` some bytes.

    Raises:
        UserError: `path` is a folder, or a file that the command `maker` did not make.
    """
    if not path.is_file():
        if path.exists():
            raise UserError(f"{path}: is a folder; expected a file for the table")
        return
    with path.open("rb") as stream:
        head = stream.read(within or len(sign.encode()))
    if sign.encode() in head:
        return
    raise UserError(
        f"{path}: exists and was not made by {maker}; choose another --out, or pass --overwrite"
    )
