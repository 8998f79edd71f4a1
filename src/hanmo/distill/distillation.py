"""A student that learns from teachers: itself a Trainable, for the loop that trains everything.

Teacher and student run on the same packed batch. The module's parts are the student's, under the
student's names, and projections: what is trained, saved and shared among processes is the student.
Teachers are no part of it.

    loss = soft_weight · soft targets + hard_weight · the student's own loss + Σ weight · match

Shapes: N places of real pieces, M asked positions, V vocabulary.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hanmo.core.errors import UserError
from hanmo.distill.matches import Match, check_matches, projections
from hanmo.distill.places import Places
from hanmo.distill.settings import SCHEDULES, Settings
from hanmo.distill.soft import Weights, soft_sum, vocabulary_sum
from hanmo.distill.teachers import Answer, Teacher, Watch
from hanmo.model import partner
from hanmo.model.encoder import Encoder, Seen
from hanmo.model.trainable import POSITIONS, Batch, Losses, Outputs

_EPSILON = 1e-5  # as masked_lm.py's: a batch without labels


@dataclasses.dataclass(frozen=True, slots=True)
class StudentOutputs(Outputs):
    """Outputs, and what was seen of the student's layers."""

    seen: Seen = dataclasses.field(default_factory=Seen)


class Distillation(nn.Module):
    """Student and teachers; subclasses say what the soft targets are.

    Args:
        student: a `Trainable`; its parts become this module's.
        teachers: one or more.
        settings: see there.

    Raises:
        UserError: settings that make no distillation, or matches that do not fit the models.
    """

    own_heads_of_ours = ("projections.",)

    def __init__(self, student: Any, teachers: Sequence[Teacher], settings: Settings) -> None:
        super().__init__()
        settings.check()
        if not teachers:
            raise UserError("distill.teacher: none given; expected a model folder, or several")
        for name, part in student.named_children():
            self.add_module(name, part)
        if dict(student.named_parameters(recurse=False)):
            raise TypeError(f"{type(student).__name__} has parameters outside of its parts")
        # In tuples, which torch does not look into: neither is a part of this module.
        self._held = (student, tuple(teachers))
        self.settings = settings
        self.matches: tuple[Match, ...] = settings.parsed
        shape = student.encoder.config
        check_matches(self.matches, teachers[0].config, shape)
        self.projections = projections(self.matches, teachers[0].config, shape)
        self._watch, self._watched = (
            Watch(*(_layers(self.matches, side, feature) for feature in ("hidden", "attention")))
            for side in ("student", "teacher")
        )
        self.architecture: str = student.architecture
        self.layers = dict(getattr(student, "layers", {}))

    @property
    def student(self) -> Any:
        """The model that learns."""
        return self._held[0]

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """The models that it learns from."""
        return self._held[1]

    @property
    def encoder(self) -> Encoder:
        """The student's."""
        encoder: Encoder = self.student.encoder
        return encoder

    @property
    def own_heads(self) -> tuple[str, ...]:
        """Weights that transformers does not know."""
        return (*getattr(self.student, "own_heads", ()), *self.own_heads_of_ours)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distillation":
        """Teachers go where the student goes."""
        super()._apply(fn, recurse)
        for teacher in self.teachers:
            teacher.apply(lambda model: model._apply(fn))
        return self

    def train(self, mode: bool = True) -> "Distillation":
        """The student alone has modes; teachers stay in evaluation."""
        super().train(mode)
        self.student.training = mode
        return self

    def outputs(self, batch: Batch) -> StudentOutputs:
        """Run the student forward."""
        with self.encoder.watching(self._watch.hidden, self._watch.attention) as seen:
            made = self.student.outputs(batch)
        return StudentOutputs(made.at_positions, made.logits, seen)

    def losses(self, outputs: StudentOutputs, batch: Batch, *, progress: float) -> Losses:
        """Ask the teachers, compare."""
        settings = self.settings
        weights = {
            "soft": settings.soft_weight * SCHEDULES[settings.soft_schedule](progress),
            "hard": settings.hard_weight * SCHEDULES[settings.hard_schedule](progress),
        }
        answers = [teacher.answer(batch, self._watched) for teacher in self.teachers]
        total, parts = self._targets(outputs, answers, batch, weights, progress)
        total = total + _untouched(outputs)
        for match, loss in self._compared(outputs.seen, answers[0].seen, Places.of(batch)):
            parts[match.text] = loss.detach()
            total = total + match.weight * loss
        scheduled = {
            name: weight
            for name, weight in weights.items()
            if getattr(settings, f"{name}_schedule") != "none"
        }
        return Losses(total, parts, scheduled)

    def _compared(self, own: Seen, theirs: Seen, places: Places) -> list[tuple[Match, Tensor]]:
        made = []
        for number, match in enumerate(self.matches):
            ours, shown = getattr(own, match.feature), getattr(theirs, match.feature)
            student = [ours[layer].float() for layer in match.student]
            if match.projection != "none":
                student = [self.projections[str(number)](layer).float() for layer in student]
            teacher = [shown[layer].float() for layer in match.teacher]
            # Differences of products in half precision are mostly rounding.
            with torch.autocast(student[0].device.type, enabled=False):
                made.append((match, match.how.compare(student, teacher, places)))
        return made

    def _targets(
        self,
        outputs: StudentOutputs,
        answers: Sequence[Answer],
        batch: Batch,
        weights: Mapping[str, float],
        progress: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted soft and hard loss, and their parts for the log."""
        raise NotImplementedError(f"{type(self).__name__} says what its soft targets are")

    def forward(self, batch: Batch, progress: float = 0.0) -> Losses:
        """Compose `outputs` and `losses`."""
        return self.losses(self.outputs(batch), batch, progress=progress)


class TextDistillation(Distillation):
    """A masked LM learns what its teachers would write at the asked positions.

    Args:
        pieces: name of the target that holds the original pieces; -1 where nothing was masked.
    """

    pieces = "pieces"

    def _targets(
        self,
        outputs: StudentOutputs,
        answers: Sequence[Answer],
        batch: Batch,
        weights: Mapping[str, float],
        progress: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        head, encoder = self.student.cls, self.encoder
        soft_rows, hard_rows = batch.totals[POSITIONS], batch.totals[self.pieces]
        total, soft, hard = vocabulary_sum(
            outputs.at_positions,
            encoder.embeddings.word_embeddings.weight,
            head.predictions.bias,
            batch.targets[self.pieces],
            [answer.rows for answer in answers if answer.rows is not None],
            settings=self.settings,
            weights=Weights(
                weights["soft"] / max(1, soft_rows) if self.settings.soft_weight else None,
                weights["hard"] / (hard_rows + _EPSILON) if self.settings.hard_weight else None,
            ),
        )
        parts = {}
        if self.settings.soft_weight:
            parts["soft"] = soft / max(1, soft_rows)
        if self.settings.hard_weight:
            parts["mlm"] = hard / (hard_rows + _EPSILON)
        made = partner.with_partner(Losses(total, parts), outputs, batch)
        return made.total, dict(made.parts)


class TaskDistillation(Distillation):
    """A model of a task learns its teachers' logits.

    A head whose logits are no distribution each says what they are: `distributions(outputs, batch)`
    returns name → (rows [M', C], rows of the whole step).
    """

    def _targets(
        self,
        outputs: StudentOutputs,
        answers: Sequence[Answer],
        batch: Batch,
        weights: Mapping[str, float],
        progress: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        total, parts = outputs.at_positions.new_zeros((), dtype=torch.float32), {}
        if self.settings.soft_weight:
            soft = self._soft(outputs, answers, batch)
            parts["soft"] = soft.detach()
            total = total + weights["soft"] * soft
        if self.settings.hard_weight:
            own = self.student.losses(outputs, batch, progress=progress)
            parts |= own.parts
            total = total + weights["hard"] * own.total
        return total, parts

    def _soft(self, outputs: StudentOutputs, answers: Sequence[Answer], batch: Batch) -> Tensor:
        own = distributions(self.student, outputs, batch)
        theirs = [
            distributions(self.student, answer.outputs, batch)
            for answer in answers
            if answer.outputs is not None
        ]
        total = outputs.at_positions.new_zeros((), dtype=torch.float32)
        for name, (rows, n) in own.items():
            total = total + soft_sum(rows, [one[name][0] for one in theirs], self.settings) / n
        return total


def distributions(model: Any, outputs: Outputs, batch: Batch) -> Mapping[str, tuple[Tensor, int]]:
    """Return what a model's logits are as distributions: name → rows [M', C], rows of the step."""
    of = getattr(model, "distributions", None)
    if of is not None:
        found: Mapping[str, tuple[Tensor, int]] = of(outputs, batch)
        return found
    return {name: (rows, batch.totals[POSITIONS]) for name, rows in outputs.logits.items()}


def _layers(matches: Sequence[Match], side: str, feature: str) -> frozenset[int]:
    return frozenset(
        layer for match in matches if match.feature == feature for layer in getattr(match, side)
    )


def _untouched(outputs: Outputs) -> Tensor:
    """0, with a gradient of 0 for heads that no loss looks at: DDP waits for every parameter's."""
    return sum(
        (logits.sum() * 0.0 for logits in outputs.logits.values()), outputs.at_positions.sum() * 0.0
    )
