"""A model's vocabulary and how its tokenizer treats case, from one form to another.

The bytes of `vocab.txt` are kept as they are, once they are known to be a vocabulary. hanmo's own
tokenizer is BERT's uncased one; the flags of others are kept in the files that transformers reads.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.convert.git_lfs import refuse_pointer
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import HUB_FILE, VOCAB_FILE, read_vocab, vocab_file

TOKENIZER_CONFIG = "tokenizer_config.json"
# Flags of transformers' BertTokenizer as hanmo's tokenizer is, and what tokenizer.json calls them.
_FLAGS: Mapping[str, tuple[Any, str]] = {
    "do_lower_case": (True, "lowercase"),
    "strip_accents": (None, "strip_accents"),
    "tokenize_chinese_chars": (True, "handle_chinese_chars"),
}


def read_vocabulary(path: Path) -> bytes | None:
    """Return the bytes of a folder's or file's vocabulary, or None where a folder has none.

    Raises:
        UserError: not a vocabulary: no UTF-8, an empty or doubled entry, a special piece missing.
    """
    file = vocab_file(path)
    if path.is_dir() and not file.is_file():
        return None
    refuse_pointer(file)
    pieces = read_vocab(file)
    if file.suffix == ".json":  # tokenizer.json is all there is
        return "".join(f"{piece}\n" for piece in pieces).encode()
    return file.read_bytes()


def n_pieces(vocabulary: bytes) -> int:
    """Return the number of entries."""
    return len(vocabulary.rstrip(b"\r\n").split(b"\n"))


def read_flags(folder: Path) -> dict[str, Any]:
    """Return the flags of a folder's tokenizer that are not as hanmo's tokenizer is."""
    path = folder / TOKENIZER_CONFIG
    if not path.is_file():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    return {
        flag: raw[flag]
        for flag, (usual, _) in _FLAGS.items()
        if isinstance(raw, dict) and raw.get(flag, usual) != usual
    }


def write_tokenizer(
    folder: Path, vocabulary: bytes, flags: Mapping[str, Any], *, max_length: int
) -> None:
    """Write the files of transformers' BertTokenizer.

    Args:
        folder: where.
        vocabulary: bytes of vocab.txt.
        flags: where the tokenizer is not BERT's uncased one.
        max_length: longest input of the model in pieces.
    """
    write_atomic(folder / VOCAB_FILE, vocabulary)
    Tokenizer(read_vocab(folder / VOCAB_FILE)).save(folder, max_length=max_length)
    write_atomic(folder / VOCAB_FILE, vocabulary)  # byte for byte, CR and all
    if not flags:
        return
    path = folder / TOKENIZER_CONFIG
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **flags})
    raw = json.loads((folder / HUB_FILE).read_text(encoding="utf-8"))
    for flag, value in flags.items():
        raw["normalizer"][_FLAGS[flag][1]] = value
    write_json(folder / HUB_FILE, raw)
