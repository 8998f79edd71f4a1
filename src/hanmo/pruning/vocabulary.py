"""Keep the pieces that a corpus has: a smaller embedding matrix, the same answers on such text.

In: counts by id. Out: the ids that stay, in their old order, and the model with them alone: the
embeddings, the output bias and an ELECTRA's generator are cut, special ids are mapped. Method:
TextPruner's vocabulary pruning (facts/07).

    ids = kept_ids(counts, tokenizer.special_ids, min_count=1)
    keep_pieces(model, ids)

WordPiece takes the longest piece that fits, so a word whose pieces all stay is cut as before.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hanmo.core.errors import UserError, nearest
from hanmo.data.shards import ShardSet
from hanmo.pruning.model_folder import WORDS, ModelFolder, special_id_keys
from hanmo.text.tokenizer import Tokenizer

Counts = NDArray[np.int64]
_BIAS = "cls.predictions.bias"
_INNER = "##"  # begins a piece that continues a word
_AT_ONCE = 512  # texts


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """What becomes of a corpus's pieces.

    Attributes:
        total: pieces of the corpus.
        kept: of those, pieces that stay.
        split: pieces that are cut into smaller ones that stay.
        unknown: pieces that become [UNK].
    """

    total: int
    kept: int
    split: int
    unknown: int


def count_texts(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[Counts]:
    """Count the pieces of texts, some hundred texts at a time: int64 [V] each."""
    waiting: list[str] = []
    for text in texts:
        waiting.append(text)
        if len(waiting) == _AT_ONCE:
            yield _counted(waiting, tokenizer)
            waiting = []
    if waiting:
        yield _counted(waiting, tokenizer)


def count_shards(shards: ShardSet, size: int) -> Iterator[Counts]:
    """Count the ids of shards, shard by shard: int64 [V] each."""
    for shard in shards.shards:
        yield np.bincount(shard.ids, minlength=size).astype(np.int64)


def _counted(texts: Sequence[str], tokenizer: Tokenizer) -> Counts:
    ids = np.concatenate([one.ids for one in tokenizer.encode_batch(texts)])
    return np.bincount(ids, minlength=tokenizer.size).astype(np.int64)


def kept_ids(
    counts: Counts, specials: Collection[int], *, min_count: int, further: Collection[int] = ()
) -> Counts:
    """Return the ids that stay, ascending.

    Args:
        counts: [V] how often each piece was seen.
        specials: always stay.
        min_count: a piece that was seen so often stays.
        further: stay however often they were seen.
    """
    stays = counts >= min_count
    stays[[*specials, *further]] = True
    return np.flatnonzero(stays)


def listed_ids(pieces: Iterable[tuple[int, str]], tokenizer: Tokenizer, source: str) -> list[int]:
    """Look up pieces that a file lists.

    Args:
        pieces: line number and piece.
        tokenizer: knows them.
        source: the file, for messages.

    Raises:
        UserError: one that the vocabulary lacks.
    """
    found = []
    for number, piece in pieces:
        if piece not in tokenizer.id_of:
            raise UserError(
                f"{source}:{number}: {piece!r} is no piece of the model's vocabulary"
                f"{nearest(piece, tokenizer.id_of)}; expected one piece a line"
            )
        found.append(tokenizer.id_of[piece])
    return found


def coverage(counts: Counts, ids: Counts, pieces: Sequence[str]) -> Coverage:
    """Say what the vocabulary `ids` makes of a corpus with these counts; by pieces, not by words.

    Args:
        counts: int64 [V].
        ids: those that stay.
        pieces: the whole vocabulary, V.
    """
    kept = {pieces[i] for i in ids}
    lost = np.setdiff1d(np.flatnonzero(counts), ids)
    divisible = [i for i in lost if _divisible(pieces[i], kept)]
    total, stay = int(counts.sum()), int(counts[ids].sum())
    split = int(counts[divisible].sum())
    return Coverage(total, stay, split, total - stay - split)


def _divisible(piece: str, kept: Collection[str]) -> bool:
    """Whether WordPiece cuts a piece that is gone into pieces that stay."""
    prefix = _INNER if piece.startswith(_INNER) and len(piece) > len(_INNER) else ""
    rest = piece.removeprefix(prefix)
    while rest:
        fitting = (n for n in range(len(rest), 0, -1) if prefix + rest[:n] in kept)
        length = next(fitting, 0)
        if not length:
            return False
        rest, prefix = rest[length:], _INNER
    return True


def keep_pieces(model: ModelFolder, ids: Counts) -> ModelFolder:
    """Return the model with the pieces `ids` alone, ascending; their rows are as they were."""
    index = torch.from_numpy(ids)
    new = {int(old): number for number, old in enumerate(ids)}
    raw: dict[str, Any] = dict(model.raw)
    # Ids that are not the tokenizer's name no piece any more.
    raw |= {key: new.get(raw[key]) for key in special_id_keys(raw)}
    return dataclasses.replace(
        model,
        config=dataclasses.replace(
            model.config, vocab_size=len(ids), pad_token_id=new[model.pieces.index("[PAD]")]
        ),
        weights=_rows(model.weights, index),
        raw=raw,
        pieces=tuple(model.pieces[i] for i in ids),
        generator=None if model.generator is None else keep_pieces(model.generator, ids),
    )


def _rows(weights: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    return {
        name: tensor.index_select(0, index) if name in {WORDS, _BIAS} else tensor
        for name, tensor in weights.items()
    }
