"""BERT's uncased Chinese tokenizer: pieces with character spans in the given text.

In: texts. Out: `Encoding(ids, spans)`, without [CLS] and [SEP]. Ids and spans are those of
transformers' BertTokenizer (`hanmo.text.wordpiece` has the steps, `hanmo.text.char_table` the
speed). A literal "[MASK]" in a text is ordinary text ("[", "ma", "##sk", "]") unless
`specials=True`.

Where the crate's Unicode tables (of 2015) differ from Google's Python script:

- private-use characters are dropped, not [UNK]; unassigned ones are [UNK] in both;
- U+2B820-2B91F are not set apart, so neighbours share one [UNK];
- a final Σ gives σ, not ς;
- about 100 punctuation marks and 380 combining marks added since count as letters.

    Tokenizer.load(Path("vocab.txt")).encode("中国 Hello").spans    # [[0, 1], [1, 2], [3, 8]]
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanmo.core.files import write_atomic, write_json
from hanmo.text.char_table import CharTable, Joined
from hanmo.text.vocab import (
    CLS,
    HUB_FILE,
    MASK,
    PAD,
    SEP,
    SPECIALS,
    UNK,
    VOCAB_FILE,
    check_vocab,
    read_vocab,
    write_vocab,
)
from hanmo.text.wordpiece import build_hub

_RESERVED = re.compile(r"\[unused\d+\]|<[ST]>")  # <S> and <T> stand in Google's vocabulary
_SPECIAL_TEXT = re.compile("(" + "|".join(re.escape(piece) for piece in SPECIALS) + ")")
_NAMES = {
    "pad_token": PAD,
    "unk_token": UNK,
    "cls_token": CLS,
    "sep_token": SEP,
    "mask_token": MASK,
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """Pieces of one text.

    Attributes:
        ids: int32 [n].
        spans: int32 [n, 2], characters [start, end) of the text given; neighbours share a span
            where one character gives several pieces (한 is three).
    """

    ids: NDArray[np.int32]
    spans: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """A vocabulary and its tokenizer; cheap to pickle.

    Attributes:
        vocab: pieces in the order of their ids.
        size: number of pieces.
        id_of: {piece: id}.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special pieces.
        special_ids: these five.
        random_ids: int32, ids fit as random replacements: not special, not reserved ([unusedN]).
    """

    def __init__(self, vocab: Sequence[str], *, source: str = "vocabulary") -> None:
        check_vocab(vocab, source)
        self.vocab = list(vocab)
        self.size = len(self.vocab)
        self.id_of = {piece: i for i, piece in enumerate(self.vocab)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.id_of[piece] for piece in SPECIALS
        )
        self.special_ids = frozenset(self.id_of[piece] for piece in SPECIALS)
        ordinary = [i for i, piece in enumerate(self.vocab) if not _RESERVED.fullmatch(piece)]
        self.random_ids: NDArray[np.int32] = np.array(
            [i for i in ordinary if i not in self.special_ids], dtype=np.int32
        )
        self._table = CharTable(self.id_of)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a `vocab.txt` (or `tokenizer.json`), or the one in a folder.

        Raises:
            UserError: no such file, or not a usable vocabulary (see `read_vocab`).
        """
        return cls(read_vocab(path if isinstance(path, Path) else Path(path)), source=str(path))

    def __reduce__(self) -> tuple[type["Tokenizer"], tuple[list[str]]]:
        return Tokenizer, (self.vocab,)

    def encode(self, text: str, *, specials: bool = False) -> Encoding:
        """Split one text into pieces.

        Args:
            text: any string.
            specials: let "[MASK]", "[SEP]", ... in the text stand for the special pieces.
        """
        if specials:
            return self._encode_specials(text)
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Split many texts into pieces: the same as `encode` of each, but faster."""
        return [Encoding(ids, spans) for ids, spans in self._table.encode_batch(texts)]

    def encode_joined(self, texts: Sequence[str]) -> Joined:
        """Split texts into pieces as if they stood in one long text, a character between them.

        Returns:
            int64 [n, 3], id, first character and character after of every piece, in that long
            text; int64 [texts], where each text starts in it; int64 [texts], its pieces.
        """
        return self._table.encode_joined(texts)

    def _encode_specials(self, text: str) -> Encoding:
        parts = _SPECIAL_TEXT.split(text)  # ordinary text at even places, specials at odd ones
        plain = self.encode_batch(parts[0::2])
        ids: list[NDArray[np.int32]] = []
        spans: list[NDArray[np.int32]] = []
        start = 0
        for place, part in enumerate(parts):
            if place % 2:
                ids.append(np.array([self.id_of[part]], dtype=np.int32))
                spans.append(np.array([[start, start + len(part)]], dtype=np.int32))
            else:
                ids.append(plain[place // 2].ids)
                spans.append(plain[place // 2].spans + np.int32(start))
            start += len(part)
        return Encoding(np.concatenate(ids), np.concatenate(spans))

    def save(self, folder: Path, *, max_length: int = 512) -> None:
        """Write the four files from which transformers' AutoTokenizer makes the same tokenizer.

        Args:
            folder: an existing folder (a checkpoint); `config.json` with `model_type` is not ours.
            max_length: longest input of the model in pieces, for transformers' truncation.
        """
        write_vocab(folder / VOCAB_FILE, self.vocab)
        write_atomic(folder / HUB_FILE, build_hub(self.id_of).to_str(pretty=True))
        write_json(
            folder / "tokenizer_config.json",
            _NAMES
            | {
                "tokenizer_class": "BertTokenizer",
                "do_lower_case": True,
                "tokenize_chinese_chars": True,
                "strip_accents": None,
                "model_max_length": max_length,
            },
        )
        write_json(folder / "special_tokens_map.json", _NAMES)
