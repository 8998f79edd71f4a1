"""Embed texts: a vector a text, from the last layers of any encoder.

In: a text. Out: its vector, the mean over its pieces ([CLS] and [SEP] among them) or what stands at
[CLS], of the last layer or the mean of the last few. A model that was only pre-trained gives
vectors in which like texts are near each other, on the whole; the mean of pieces does so better
than [CLS], which nobody trained to stand for the text. Any folder with an encoder will do.

    hanmo predict work/lert embed "今天天气很好。" --pool mean --last-layers 2 --json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hanmo.core.errors import UserError
from hanmo.data.ragged import Corrupted
from hanmo.model.checkpoint import CONFIG
from hanmo.model.config import read_config
from hanmo.predict._engine import Engine, layer_head, open_engine
from hanmo.predict._how import DEFAULT, How
from hanmo.predict._masks import require_length, require_text
from hanmo.predict._model import open_tokenizer
from hanmo.predict._networks import bare_network
from hanmo.predict._predictor import TEXT, Answer, Predictor, Row
from hanmo.text.tokenizer import Tokenizer

_VECTOR = "vector"
_CUT = "shorten it, or let it be cut with --cut"
_DIGITS = 6  # of the numbers, significant ones: float32 has seven
_SHOWN = 6  # numbers of the readable table


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of embed.

    Attributes:
        pool: What stands for a text: the mean of its pieces, or [CLS].
        last_layers: Last layers whose mean is taken.
        normalize: Give vectors of length 1, so that their product is the cosine.
        cut: Cut texts that are too long instead of refusing them; the answer says so ("truncated").
    """

    pool: Literal["mean", "cls"] = "mean"
    last_layers: int = 1
    normalize: bool = False
    cut: bool = False

    def load(self, folder: Path, *, top_k: int = 5, how: How = DEFAULT) -> Predictor:
        """Open an encoder.

        Args:
            folder: any model folder.
            top_k: not used: a vector has no alternatives.
            how: the model is run.

        Raises:
            UserError: no model folder, or more layers than it has.
        """
        config = read_config(folder / CONFIG)
        depth = config.num_hidden_layers
        if not 1 <= self.last_layers <= depth:
            raise UserError(
                f"--last-layers: got {self.last_layers}; this model has {depth} layers: expected "
                f"1 to {depth}"
            )
        heads = tuple(layer_head(depth - back) for back in range(self.last_layers))
        tokenizer = open_tokenizer(folder, config.vocab_size, how)
        engine = open_engine(how, folder, lambda: bare_network(folder), pad_id=tokenizer.pad_id)
        embedder = _Embedder(tokenizer, engine, heads, self)
        return Predictor(
            fields=(TEXT,),
            read=embedder.read,
            cost=lambda query: len(query.ids),
            answer=embedder.answer,
            columns=("dimensions", "length", "vector"),
            rows=_rows,
            engine=engine.name,
        )


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    ids: np.ndarray  # int32 [n], [CLS] and [SEP] included
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Embedder:
    tokenizer: Tokenizer
    engine: Engine
    heads: tuple[str, ...]
    options: Predict

    def read(self, row: Row) -> _Query:
        text = require_text(row[TEXT])
        pieces = self.tokenizer.encode(text).ids
        room = self.engine.max_length - 2
        if not self.options.cut:
            require_length(len(pieces) + 2, room + 2, text, way=_CUT)
        sides = (self.tokenizer.cls_id, self.tokenizer.sep_id)
        ids = np.array([sides[0], *pieces[:room], sides[1]], dtype=np.int32)
        return _Query(text, ids, len(pieces) > room)

    def answer(self, queries: Sequence[_Query]) -> list[Answer]:
        if not queries:
            return []
        asked = [self._asked(query) for query in queries]
        sequences = [
            Corrupted({"input_ids": query.ids}, positions, {})
            for query, positions in zip(queries, asked, strict=True)
        ]
        found = self.engine.map(sequences, self.heads, _mean)[_VECTOR]  # [M, H]
        bounds = np.cumsum([0, *map(len, asked)])[:-1]
        means = np.add.reduceat(found, bounds) / np.array([[len(one)] for one in asked])
        if self.options.normalize:
            means /= np.linalg.norm(means, axis=1, keepdims=True)
        return [
            {TEXT: query.text, "embedding": [float(f"{x:.{_DIGITS}g}") for x in vector.tolist()]}
            | ({"truncated": True} if query.truncated else {})
            for query, vector in zip(queries, means, strict=True)
        ]

    def _asked(self, query: _Query) -> np.ndarray:
        return np.arange(1 if self.options.pool == "cls" else len(query.ids))


def _mean(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_VECTOR: torch.stack([*scores.values()]).mean(0)}


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    vector = answer["embedding"]
    shown = " ".join(f"{x:.4f}" for x in vector[:_SHOWN])
    return [(str(len(vector)), f"{np.linalg.norm(vector):.4f}", f"{shown} …")]
