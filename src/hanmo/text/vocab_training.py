"""Make a WordPiece vocabulary of one's own, in the layout of BERT's Chinese one.

In: words with counts (`count_words`, after BERT's own cleaning and splitting). Out: pieces in the
order of their ids: [PAD], [unused1] … [unused99], [UNK] [CLS] [SEP] [MASK], characters, longer
pieces, "##" pieces. CJK characters and punctuation always stand alone, so only Latin words,
numbers, kana and the like are merged, by the `tokenizers` crate's WordPieceTrainer. Its ids for
characters follow the order of a hash table; here every character has its id before it starts, so
equal counts give equal bytes.

    train_vocab(count_words(["中国 abc"]), size=200, min_frequency=1)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from hanmo.core.errors import UserError
from hanmo.text.vocab import CLS, MASK, PAD, SEP, UNK
from hanmo.text.wordpiece import MAX_WORD_CHARS, build, replace_surrogates

HEAD = (PAD, *(f"[unused{i}]" for i in range(1, 100)), UNK, CLS, SEP, MASK)
_PREFIX = "##"
_LINES = 256  # normalised together
_COPIES = 4096  # of one word in one string for the trainer


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count the words of texts as the tokenizer sees them: cleaned, lower-case, split."""
    crate = build({UNK: 0})
    chunks: Counter[str] = Counter()
    lines = iter(texts)
    while group := list(islice(lines, _LINES)):
        normal = crate.normalizer.normalize_str(replace_surrogates("\n".join(group)))
        chunks.update(normal.split())
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in crate.pre_tokenizer.pre_tokenize_str(chunk):
            words[word] += count
    return words


def train_vocab(
    words: Mapping[str, int], *, size: int = 21128, min_frequency: int = 2, twins: bool = False
) -> list[str]:
    """Choose the pieces of a vocabulary.

    Args:
        words: counts by word, as `count_words` gives them.
        size: most entries; fewer come back when the text has no more pairs to merge.
        min_frequency: least count of a character or of a pair that is merged.
        twins: give every character that stands alone a "##" twin, as Google's vocabulary has;
            the tokenizer never makes these pieces.

    Returns:
        Pieces in the order of their ids; the same for the same counts in any order.

    Raises:
        UserError: `size` leaves no room for characters, or no character is frequent enough.
    """
    room = size - len(HEAD)
    if room < 1:
        raise UserError(f"size is {size}; expected more than {len(HEAD)} (BERT's reserved pieces)")
    usable = {word: n for word, n in words.items() if n > 0 and len(word) <= MAX_WORD_CHARS}
    starts, insides = _alphabet(usable, room, min_frequency, twins)
    if not starts:
        raise UserError(f"no character occurs {min_frequency} times; give more text")
    reserved = [*HEAD, *starts, *(_PREFIX + char for char in insides)]
    merged = _merge(usable, reserved, starts | insides, size, min_frequency)
    ordinary = [*sorted(starts), *(piece for piece in merged if not piece.startswith(_PREFIX))]
    inner = [*(_PREFIX + char for char in sorted(insides))]
    return [*HEAD, *ordinary, *inner, *(piece for piece in merged if piece.startswith(_PREFIX))]


def _alphabet(
    words: Mapping[str, int], room: int, min_frequency: int, twins: bool
) -> tuple[set[str], set[str]]:
    """Choose characters, most frequent first: those that start a piece, those inside words."""
    totals: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for char in word:
            totals[char] += count
        inside.update(word if twins and len(word) == 1 else word[1:])
    starts: set[str] = set()
    for char, count in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        cost = 2 if char in inside else 1
        if cost <= room and count >= min_frequency:
            room -= cost
            starts.add(char)
    return starts, starts & inside


def _merge(
    words: Mapping[str, int], reserved: list[str], alphabet: set[str], size: int, min_frequency: int
) -> list[str]:
    """Merge pairs inside words until `size` entries; return the new pieces in order."""
    from tokenizers import Tokenizer as Crate
    from tokenizers import pre_tokenizers, trainers
    from tokenizers.models import WordPiece

    crate = Crate(WordPiece(unk_token=UNK))
    crate.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=sorted(reserved),
        continuing_subword_prefix=_PREFIX,
        show_progress=False,
    )
    long_words = {w: n for w, n in words.items() if len(w) > 1 and alphabet.issuperset(w)}
    crate.train_from_iterator(_copies(long_words), trainer=trainer)
    ids = crate.get_vocab(with_added_tokens=False)
    return sorted(ids.keys() - set(reserved), key=ids.__getitem__)


def _copies(words: Mapping[str, int]) -> Iterator[str]:
    """Yield every word as often as it was counted, in strings of bounded length."""
    for word, count in words.items():
        whole, rest = divmod(count, _COPIES)
        for n in [_COPIES] * whole + [rest] * (rest > 0):
            yield " ".join([word] * n)
