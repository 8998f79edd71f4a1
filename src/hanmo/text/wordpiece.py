"""BERT's WordPiece as the `tokenizers` crate does it, set up as transformers' BertTokenizer.

In: a vocabulary {piece: id} and texts. Out: ids and character spans. The steps: clean, blanks
around CJK characters, strip accents, lower-case, split at blanks and punctuation, greedy longest
match; a word over 100 characters is one [UNK] (Google's script says 200; every published PyTorch
tokenizer has 100).

This is the exact and slow road (half a million pieces a second); `hanmo.text.char_table` takes it
only for what it has not seen yet.

    build({"[UNK]": 0, "中": 1}).encode("中").ids    # [1]
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hanmo.text.vocab import CLS, SEP, SPECIALS, UNK

if TYPE_CHECKING:
    import tokenizers

MAX_WORD_CHARS = 100
_SURROGATE = re.compile("[\ud800-\udfff]")
Rows = NDArray[np.int32]  # [n, 3]: id, start, end


def build(id_of: dict[str, int]) -> "tokenizers.Tokenizer":
    """Set the crate up without added tokens, so that no text is special."""
    from tokenizers import Tokenizer as Crate
    from tokenizers import decoders, normalizers, pre_tokenizers
    from tokenizers.models import WordPiece

    crate = Crate(WordPiece(id_of, unk_token=UNK, max_input_chars_per_word=MAX_WORD_CHARS))
    crate.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    crate.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    crate.decoder = decoders.WordPiece(prefix="##")
    return crate


def build_hub(id_of: dict[str, int]) -> "tokenizers.Tokenizer":
    """Set the crate up as a tokenizer.json for transformers: special pieces and their template."""
    from tokenizers import processors

    crate = build(id_of)
    crate.add_special_tokens(list(SPECIALS))
    crate.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, id_of[CLS]), (SEP, id_of[SEP])],
    )
    return crate


def encode_rows(crate: "tokenizers.Tokenizer", texts: Sequence[str]) -> list[Rows]:
    """Encode texts; each result is int32 [n, 3] of (id, first character, character after)."""
    encoded = crate.encode_batch([replace_surrogates(t) for t in texts], add_special_tokens=False)
    rows = []
    for one in encoded:
        table = np.empty((len(one.ids), 3), dtype=np.int32)
        table[:, 0] = one.ids
        table[:, 1:] = np.array(one.offsets, dtype=np.int32).reshape(-1, 2)
        rows.append(table)
    return rows


def replace_surrogates(text: str) -> str:
    """Put U+FFFD, which is dropped, for lone surrogates, which UTF-8 cannot hold; one for one."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
