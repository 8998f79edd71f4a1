"""Cut texts that are longer than LTP's encoder.

LTP truncates at 512 pieces, [CLS] and [SEP] included, and says nothing: the rest of the text gets
no words. So a longer text is cut here first, where it disturbs least: after the end of a sentence,
else after a comma or blank, else between two words of the tokenizer, else between two characters;
each part but the last is at least half full.

Example: ``divide("…" , encode, 510)`` gives ``[Part(0, 480, 480), Part(480, 700, 220)]``.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

_SENTENCE_ENDS = frozenset("。！？!?；;\n")
_CLAUSE_ENDS = frozenset("，,、：:）)」』”’》")

# Text -> encoding of the tokenizers library (`offsets`, `word_ids`), without [CLS] and [SEP].
Encode: TypeAlias = Callable[[str], Any]


class Part(NamedTuple):
    """A part of a text.

    Attributes:
        start: Its first character.
        end: The character after its last one.
        n_pieces: Its pieces, without [CLS] and [SEP].
    """

    start: int
    end: int
    n_pieces: int


def divide(text: str, encode: Encode, most: int) -> list[Part]:
    """Return parts that tile the text, none of more than `most` pieces."""
    encoding = encode(text)
    if len(encoding.offsets) <= most:
        return [Part(0, len(text), len(encoding.offsets))]
    cuts = [0, *_cuts(text, encoding, most), len(text)]
    parts: list[Part] = []
    for start, end in pairwise(cuts):
        # A part may have more pieces than before: cut in two, a long foreign word is another word.
        one = text[start:end]
        inner = (
            divide(one, encode, most)
            if len(one) > 1
            else [Part(0, 1, min(most, len(encode(one).offsets)))]
        )
        parts += [Part(start + x.start, start + x.end, x.n_pieces) for x in inner]
    return parts


def _cuts(text: str, encoding: Any, most: int) -> list[int]:
    """Return the characters at which the parts after the first begin."""
    offsets, words = encoding.offsets, encoding.word_ids
    cuts: list[int] = []
    first = 0
    while len(offsets) - first > most:
        candidates = range(first + most // 2 + 1, first + most + 1)
        fit = [i for i in candidates if offsets[i][0] >= offsets[i - 1][1]]
        # `fit` is empty only where one character has hundreds of pieces, which no text has.
        first = max(fit, key=lambda i: (_merit(text, offsets, words, i), i))
        cuts.append(offsets[first][0])
    return cuts


def _merit(text: str, offsets: Sequence[tuple[int, int]], words: Sequence[int], piece: int) -> int:
    """Say how good it is to begin a part with this piece."""
    before, here = offsets[piece - 1][1], offsets[piece][0]
    last = text[before - 1]
    if last in _SENTENCE_ENDS:
        return 3
    if last in _CLAUSE_ENDS or text[before:here].strip() != text[before:here]:
        return 2
    return int(words[piece] != words[piece - 1])
