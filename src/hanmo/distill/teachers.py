"""Teachers: what is asked of them for a batch, live or from what they said before.

    answer = teacher.answer(batch, watched)      # LiveTeacher, StoredTeacher
    answer.rows(0, 512)                          # logits of the first asked positions
    answer.seen.hidden[4]                        # [N, H_T]

Shapes: N places of real pieces, M asked positions, E embeddings, V vocabulary.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hanmo.core.errors import UserError
from hanmo.distill.soft import Rows, Scores
from hanmo.model import checkpoint
from hanmo.model.config import EncoderConfig, read_config
from hanmo.model.encoder import Encoder, Seen
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.mlm_head import judge_model
from hanmo.model.trainable import ASKED, Batch, Outputs


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """Layers of a model that somebody wants to see."""

    hidden: frozenset[int] = frozenset()
    attention: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher says of a batch.

    Attributes:
        seen: of the watched layers.
        outputs: of its heads; None where they were stored.
        rows: logits of the vocabulary at the asked positions; None where nobody scores pieces.
    """

    seen: Seen
    outputs: Outputs | None = None
    rows: Rows | None = None


class Teacher(Protocol):
    """Somebody who has answers; no part of the module that is trained."""

    config: EncoderConfig

    def answer(self, batch: Batch, watch: Watch) -> Answer:
        """Say what it thinks of a batch; without gradients."""
        ...

    def apply(self, move: Callable[[nn.Module], Any]) -> None:
        """Do to its model, if it has one here, what is done to the student: move to a device."""
        ...


class LiveTeacher:
    """A model that runs on every batch, in evaluation mode.

    Args:
        model: a `Trainable`, or an encoder alone, of which only layers can be asked.
        top_k: keep only the most likely pieces of each row, as stored answers do.
    """

    def __init__(self, model: nn.Module, *, top_k: int | None = None) -> None:
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._top_k = top_k
        encoder: Any = model if isinstance(model, Encoder) else model.encoder
        self._encoder: Encoder = encoder
        self.config: EncoderConfig = encoder.config

    def apply(self, move: Callable[[nn.Module], Any]) -> None:
        """Move the model."""
        move(self._model)

    @torch.no_grad()
    def answer(self, batch: Batch, watch: Watch) -> Answer:
        """Run the model."""
        model: Any = self._model
        with self._encoder.watching(watch.hidden, watch.attention) as seen:
            if model is self._encoder:
                model(*batch.inputs, batch.positions, batch.layout)
                return Answer(seen)
            outputs = model.outputs(batch)
        if not isinstance(model, MaskedLm):
            return Answer(seen, outputs)
        return Answer(seen, outputs, self._rows(model, outputs.at_positions))

    def _rows(self, model: MaskedLm, at_positions: Tensor) -> Rows:
        device, dtype = at_positions.device.type, at_positions.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        x = at_positions.to(dtype)
        embedding = model.encoder.embeddings.word_embeddings.weight.to(dtype)
        bias = model.cls.predictions.bias.to(dtype)

        def rows(begin: int, end: int) -> Scores:
            with torch.autocast(device, enabled=False):
                logits = F.linear(x[begin:end], embedding, bias)
            if self._top_k is None:
                return Scores(logits)
            best = logits.float().topk(min(self._top_k, logits.shape[1]))
            return Scores(best.values, best.indices)

        return rows


def stored_name(number: int, name: str) -> str:
    """Name the target of a batch that has what teacher `number`, from 0, said under `name`."""
    return f"{ASKED}{number}/{name}"


@dataclasses.dataclass(frozen=True, slots=True)
class StoredOutputs:
    """A teacher whose logits at the asked positions come with the batch.

    Attributes:
        config: its shape.
        number: which teacher it is.
        names: of its logits.
    """

    config: EncoderConfig
    number: int
    names: tuple[str, ...]

    def apply(self, move: Callable[[nn.Module], Any]) -> None:
        """Nothing is here to be moved."""

    def answer(self, batch: Batch, watch: Watch) -> Answer:
        """Take what was stored."""
        logits = {name: batch.targets[stored_name(self.number, name)] for name in self.names}
        return Answer(Seen(), Outputs(next(iter(logits.values())), logits))


@dataclasses.dataclass(frozen=True, slots=True)
class StoredAnswers:
    """A teacher of text whose answers were stored (`data/answers.py`) and come with the batch.

    Attributes:
        config: its shape.
        number: which teacher it is.
        logits: whether logits come too.
        top_k: how many of the stored pieces count; None: all.
    """

    config: EncoderConfig
    number: int
    logits: bool
    top_k: int | None = None

    def apply(self, move: Callable[[nn.Module], Any]) -> None:
        """Nothing is here to be moved."""

    def answer(self, batch: Batch, watch: Watch) -> Answer:
        """Take what was stored."""
        hidden = {
            layer: batch.layout.take(batch.targets[f"hidden/{self.number}/{layer}"].flatten(0, 1))
            for layer in watch.hidden
        }
        if not self.logits:
            return Answer(Seen(hidden))
        values = batch.targets[stored_name(self.number, "logits")][:, : self.top_k]
        classes = batch.targets[stored_name(self.number, "classes")][:, : self.top_k]
        return Answer(
            Seen(hidden), rows=lambda begin, end: Scores(values[begin:end], classes[begin:end])
        )


def load_teacher(folder: Path, *, head: bool, top_k: int | None = None) -> LiveTeacher:
    """Load a teacher that predicts pieces.

    Args:
        folder: a model folder of any family.
        head: its masked-LM head is needed; else its encoder alone is loaded.
        top_k: see `LiveTeacher`.

    Raises:
        UserError: no model there, or a masked-LM head that is missing or was never trained.
    """
    if not head:
        return LiveTeacher(checkpoint.load_encoder(folder, dropout=0.0))
    model = checkpoint.load_masked_lm(folder, dropout=0.0)
    found = judge_model(model.cls)
    if not found.trained:
        raise UserError(
            f"{folder}: its masked-LM head was never trained ({'; '.join(found.reasons)}), as in "
            "several published models, so its soft targets would be noise; train the head with "
            f"hanmo pretrain --objective mlm --init {folder}, or match layers alone: "
            "--distill.soft-weight 0"
        )
    return LiveTeacher(model, top_k=top_k)


def read_shape(folder: Path) -> EncoderConfig:
    """Return a teacher's shape, without its weights."""
    return read_config(folder / checkpoint.CONFIG)
