r"""WordPiece vocabularies: read, check, write.

The file has one piece a line; the line number is the id. Lines end at "\n" only: entries 343 and
13502 of BERT's Chinese vocabulary contain U+2028, and a reader that splits there shifts every
later id (huggingface/transformers#825).

    pieces = read_vocab(Path("vocab.txt"))      # 21,128 strings
"""

import json
from collections.abc import Sequence
from pathlib import Path

from hanmo.core import remote
from hanmo.core.artifact import checked
from hanmo.core.errors import UserError
from hanmo.core.files import read_lines, write_atomic

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIALS = (PAD, UNK, CLS, SEP, MASK)
VOCAB_FILE = "vocab.txt"
HUB_FILE = "tokenizer.json"


def read_vocab(path: Path) -> list[str]:
    """Read and check a vocabulary: a vocab.txt, a tokenizer.json, or a folder that holds one.

    Of the two in one folder vocab.txt is read; transformers 5 saves tokenizer.json alone.

    Raises:
        UserError: no such file, one that changed since hanmo made its folder, no entries, an empty
            or doubled entry, or a special piece missing.
    """
    file = vocab_file(path)
    if not remote.is_file(file):
        raise UserError(
            f"{file}: no such vocabulary; expected a vocab.txt with one piece a line, "
            "or a folder that holds one (or a tokenizer.json)"
        )
    checked(file)
    vocab = _hub_vocab(file) if file.suffix == ".json" else [piece for _, piece in read_lines(file)]
    check_vocab(vocab, str(file))
    return vocab


def vocab_file(path: Path) -> Path:
    """Return the file that `read_vocab` reads: `path` itself, or the one in that folder."""
    if not remote.is_folder(path):
        return path
    found = [path / name for name in (VOCAB_FILE, HUB_FILE) if remote.is_file(path / name)]
    return found[0] if found else path / VOCAB_FILE


def _hub_vocab(path: Path) -> list[str]:
    try:
        model = json.loads(remote.read_bytes(path))["model"]
        kind, ids = model["type"], model["vocab"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a tokenizer.json of transformers ({error!r})") from None
    if kind != "WordPiece" or sorted(ids.values()) != list(range(len(ids))):
        raise UserError(
            f"{path}: a {kind} model of {len(ids):,} entries; expected WordPiece with ids 0, 1, …"
        )
    return sorted(ids, key=ids.__getitem__)


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
