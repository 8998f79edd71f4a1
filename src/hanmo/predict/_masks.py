"""Texts with [MASK]s: where they are, which stand together, and what pieces may fill them.

In: a text such as "我在[MASK][MASK]工作。". Out: `Masked`, the model's input with the places of
each masked word. [MASK]s with nothing between them are one word; a blank between them makes two.
All other text is ordinary, "[SEP]" too; letters may be upper or lower case, in "[mask]" as well.

    read_masked("去[MASK][MASK]", tokenizer, max_length=512).words     # ((2, 3),)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.errors import UserError
from hanmo.text.tokenizer import Tokenizer

MASK_TEXT = re.compile(r"\[mask\]", re.IGNORECASE)
Span = tuple[int, int]

_CONTINUES = "##"
_LATIN = re.compile(r"[0-9a-z]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Masked:
    """A model input with masked words.

    Attributes:
        text: what the user gave.
        ids: int32 [n] pieces, [CLS] and [SEP] included.
        words: the places in `ids` of each masked word.
        spans: the characters [start, end) of `text` that each masked word stands for.
    """

    text: str
    ids: NDArray[np.int32]
    words: tuple[tuple[int, ...], ...]
    spans: tuple[Span, ...]


def read_masked(text: str, tokenizer: Tokenizer, *, max_length: int) -> Masked:
    """Read a text with [MASK]s.

    Args:
        text: one text, at least one [MASK] in it.
        tokenizer: the model's.
        max_length: longest input of the model in pieces, [CLS] and [SEP] included.

    Raises:
        UserError: empty text, no [MASK], or too many pieces.
    """
    require_text(text)
    masks = [match.span() for match in MASK_TEXT.finditer(text)]
    if not masks:
        raise UserError(
            f"no [MASK] in {shorten(text)!r}; put [MASK] for each piece to predict, in Chinese "
            "one for each character: 我在[MASK][MASK]工作。"
        )
    between = zip([0, *(end for _, end in masks)], [*(a for a, _ in masks), len(text)], strict=True)
    parts = [encoding.ids for encoding in tokenizer.encode_batch([text[a:b] for a, b in between])]
    chunks, places, n = [np.array([tokenizer.cls_id], dtype=np.int32)], [], 1
    for part in parts[:-1]:
        n += len(part)
        places.append(n)
        chunks += [part, np.array([tokenizer.mask_id], dtype=np.int32)]
        n += 1
    ids = np.concatenate([*chunks, parts[-1], np.array([tokenizer.sep_id], dtype=np.int32)])
    require_length(len(ids), max_length, text)
    words, spans = _group(places, masks)
    return Masked(text, ids, words, spans)


def require_text(value: Any, name: str = "text") -> str:
    """Return a value that is a text with something in it.

    Raises:
        UserError: no text, nothing but white space, or half a character (a lone surrogate).
    """
    if not isinstance(value, str):
        raise UserError(f"{name}: got {shorten(str(value))!r}; expected a text")
    if not value.strip():
        raise UserError(f"empty {name}; expected a sentence")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{name}: character {error.start + 1} is a lone surrogate, half of a character; "
            "expected Unicode text"
        ) from None
    return value


def require_length(
    n_pieces: int, max_length: int, text: str, *, way: str = "cut the text into sentences"
) -> None:
    """Raise UserError if an input of `n_pieces` pieces, specials included, is too long."""
    if n_pieces > max_length:
        raise UserError(
            f"text of {n_pieces:,} pieces with [CLS] and [SEP] ({shorten(text)!r}); this model "
            f"takes {max_length:,}; {way}"
        )


def shorten(text: str, width: int = 30) -> str:
    """Cut a text for a message."""
    return text if len(text) <= width else text[: width - 1] + "…"


def join_pieces(pieces: Sequence[str]) -> str:
    """Write pieces as text: no "##", a blank between two Latin words.

    Example: `["new", "york", "##er"]` → "new yorker"; `["上", "海"]` → "上海".
    """
    text = ""
    for piece in pieces:
        plain = piece.removeprefix(_CONTINUES)
        if piece == plain and text and _LATIN.match(text[-1]) and _LATIN.match(plain):
            text += " "
        text += plain
    return text


def fillers(tokenizer: Tokenizer, size: int) -> NDArray[np.bool_]:
    """Mark the pieces that some text is made of: bool [size], the model's number of pieces.

    Left out: specials, reserved entries, and "##" before a character that the tokenizer sets apart,
    as it does with Chinese ones: BERT's vocabulary has thousands of these and no text gives one.
    """
    allowed = np.zeros(size, dtype=np.bool_)  # a model may have more rows than pieces
    allowed[tokenizer.random_ids] = True
    continuing = [i for i, piece in enumerate(tokenizer.vocab) if piece.startswith(_CONTINUES)]
    words = ["a" + tokenizer.vocab[i].removeprefix(_CONTINUES) for i in continuing]
    for i, encoding in zip(continuing, tokenizer.encode_batch(words), strict=True):
        later = (tokenizer.vocab[piece] for piece in encoding.ids[1:])
        allowed[i] &= all(piece.startswith(_CONTINUES) for piece in later)
    return allowed


def _group(
    places: Sequence[int], masks: Sequence[Span]
) -> tuple[tuple[tuple[int, ...], ...], tuple[Span, ...]]:
    """Join [MASK]s with nothing between them into words."""
    words: list[list[int]] = []
    spans: list[Span] = []
    for place, (start, end) in zip(places, masks, strict=True):
        if spans and spans[-1][1] == start:
            words[-1].append(place)
            spans[-1] = (spans[-1][0], end)
        else:
            words.append([place])
            spans.append((start, end))
    return tuple(map(tuple, words)), tuple(spans)
