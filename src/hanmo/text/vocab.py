r"""WordPiece vocabularies: read, check, write.

The file has one piece a line; the line number is the id. Lines end at "\n" only: entries 343 and
13502 of BERT's Chinese vocabulary contain U+2028, and a reader that splits there shifts every
later id (huggingface/transformers#825).

    pieces = read_vocab(Path("vocab.txt"))      # 21,128 strings
"""

from collections.abc import Sequence
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.files import read_lines, write_atomic

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIALS = (PAD, UNK, CLS, SEP, MASK)
VOCAB_FILE = "vocab.txt"


def read_vocab(path: Path) -> list[str]:
    """Read and check a vocabulary file, or the `vocab.txt` of a folder.

    Raises:
        UserError: no such file, no entries, an empty or doubled entry, or a special piece missing.
    """
    file = path / VOCAB_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"{file}: no such vocabulary; expected a vocab.txt with one piece a line, "
            "or a folder that holds one"
        )
    vocab = [piece for _, piece in read_lines(file)]
    check_vocab(vocab, str(file))
    return vocab


def check_vocab(vocab: Sequence[str], source: str) -> None:
    """Raise UserError, naming `source` and the line, unless a tokenizer can use `vocab`."""
    if not vocab:
        raise UserError(f"{source}: empty vocabulary; expected one piece a line")
    lines: dict[str, int] = {}
    for number, piece in enumerate(vocab, start=1):
        if not piece:
            raise UserError(f"{source}:{number}: empty entry; expected one piece a line")
        if piece in lines:
            raise UserError(
                f"{source}:{number}: {piece!r} stands already on line {lines[piece]}; "
                "every piece has one id, so rename or remove one of the two"
            )
        lines[piece] = number
    missing = [piece for piece in SPECIALS if piece not in lines]
    if missing:
        raise UserError(
            f"{source}: no {' '.join(missing)} among {len(vocab):,} entries; "
            "add each on a line of its own (BERT: [PAD] first; new lines at the end keep the ids)"
        )


def write_vocab(path: Path, vocab: Sequence[str]) -> None:
    """Write a vocabulary file, one piece a line.

    Raises:
        UserError: as `read_vocab`, or a piece holds a line feed.
    """
    check_vocab(vocab, str(path))
    for number, piece in enumerate(vocab, start=1):
        if "\n" in piece or "\r" in piece:
            raise UserError(f"{path}:{number}: {piece!r} holds a line break; pieces cannot")
    write_atomic(path, "\n".join(vocab) + "\n")
