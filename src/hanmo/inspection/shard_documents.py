"""Documents of shards: pieces joined into words again, with the labels that training sees.

In: a `ShardSet` and its vocabulary. Out: `Document`s, as of sentences. Shards keep no ids: a
document is called by its number in the folder, from 0. A text is found by its pieces.

    shard_documents(shards, tokenizer, Choice(names=("17",)))
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.tagsets import MISSING
from hanmo.core.errors import UserError
from hanmo.core.log import Progress
from hanmo.data.documents import Documents
from hanmo.data.shard_file import let_go
from hanmo.data.shards import ShardSet
from hanmo.inspection.folders import Choice, Document
from hanmo.inspection.lines import Line, line_of_pieces
from hanmo.text.tokenizer import Tokenizer

BLOCK = 1 << 20  # pieces searched or counted at a time


@dataclass(frozen=True, slots=True)
class Located:
    """A document of shards, and where the first piece shown of it lies.

    Attributes:
        document: What is shown.
        shard: Number of its shard.
        piece: Offset of the first piece shown, in that shard.
    """

    document: Document
    shard: int
    piece: int


def shard_documents(shards: ShardSet, tokenizer: Tokenizer, choice: Choice) -> list[Located]:
    """Read the documents that are chosen, in the order of the folder.

    Raises:
        UserError: a name that is no number, a document that is not there, or none with the text.
    """
    bounds = np.cumsum([0, *(len(part.document_starts) - 1 for part in shards.shards)])
    if choice.names:
        numbers = sorted({_number(name, int(bounds[-1])) for name in choice.names})
        places = [(number, 0) for number in numbers]
    elif choice.find is not None:
        places = _holding(shards, tokenizer, choice.find, choice.first, bounds)
        if not places:
            raise UserError(f"{shards.folder}: no document with the pieces of {choice.find!r}")
    else:
        places = [(number, 0) for number in range(min(choice.first, int(bounds[-1])))]
    made = []
    for number, begin in places:
        shard = int(np.searchsorted(bounds[1:], number, side="right"))
        local = number - int(bounds[shard])
        part = shards.shards[shard]
        first, last = part.document_starts[local : local + 2].tolist()
        shown = range(first + begin, min(last, first + begin + choice.sentences))
        lines = tuple(sentence_line(part, one, shards, tokenizer) for one in shown)
        document = Document(str(number), lines, begin, last - first)
        made.append(Located(document, shard, int(part.sentence_starts[first + begin])))
    return made


def _number(name: str, n: int) -> int:
    if not name.isascii() or not name.isdigit() or int(name) >= n:
        raise UserError(
            f"--document: got {name!r}; expected a number from 0 to {n - 1:,}: shards keep no ids"
        )
    return int(name)


def sentence_line(part: Documents, sentence: int, shards: ShardSet, tokenizer: Tokenizer) -> Line:
    """Write a sentence of a shard with its words and their labels."""
    here = slice(*part.sentence_starts[sentence : sentence + 2].tolist())
    labels = {
        layer: [None if one == MISSING else names[one] for one in part.layers[layer][here].tolist()]
        for layer, names in shards.layers.items()
    }
    pieces = [tokenizer.vocab[one] for one in part.ids[here].tolist()]
    unknown = tokenizer.vocab[tokenizer.unk_id]
    return line_of_pieces(pieces, part.word_starts[here].tolist(), labels, unknown=unknown)


def _holding(
    shards: ShardSet, tokenizer: Tokenizer, text: str, first: int, bounds: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Return numbers of documents that hold a text, each with its first sentence that does."""
    wanted = tokenizer.encode(text).ids
    if not len(wanted):
        raise UserError(f"--find: got {text!r}; expected a text with at least one piece")
    found: dict[int, int] = {}
    with Progress("look for the text", len(shards.shards), "shards") as bar:
        for shard, part in enumerate(shards.shards):
            for hit in _hits(part, wanted):
                sentence = int(np.searchsorted(part.sentence_starts, hit, side="right")) - 1
                # Not across the end of a sentence: neighbours there are no text.
                if hit + len(wanted) > part.sentence_starts[sentence + 1]:
                    continue
                local = int(np.searchsorted(part.document_starts, sentence, side="right")) - 1
                number = local + int(bounds[shard])
                found.setdefault(number, sentence - int(part.document_starts[local]))
                if len(found) >= first:
                    return list(found.items())
            let_go(part.ids)
            bar.advance()
    return list(found.items())


def _hits(part: Documents, wanted: NDArray[np.int32]) -> Iterator[int]:
    n = len(part.ids) - len(wanted) + 1
    for begin in range(0, n, BLOCK):
        stop = min(n, begin + BLOCK)
        places = np.arange(begin, stop)
        for offset, one in enumerate(wanted.tolist()):
            places = places[part.ids[places + offset] == one]
        yield from places.tolist()
