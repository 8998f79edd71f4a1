"""What a distillation is made of: teachers, soft and hard targets, temperature and matches.

The fields are the options of `hanmo pretrain --objective distill` (`--distill.teacher …`) and of
`hanmo finetune --method distill`. Terms and defaults are TextBrewer's (facts/07) unless said.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hanmo.core.errors import UserError, nearest

if TYPE_CHECKING:
    from hanmo.distill.matches import Match

Schedule = Literal["none", "linear-decay", "linear-growth"]
# progress in [0, 1] → what the weight is multiplied by.
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "none": lambda progress: 1.0,
    "linear-decay": lambda progress: 1.0 - progress,
    "linear-growth": lambda progress: progress,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Options of a distillation.

    Attributes:
        teacher: Model folders to learn from; of several, each says the same share of the soft loss.
        soft_weight: Weight of the loss against the teachers' probabilities.
        soft_schedule: How that weight goes over training: none, linear-decay (to 0) or
            linear-growth (from 0).
        soft_loss: "ce" (cross entropy of probabilities) or "mse" (of logits, each divided by the
            temperature).
        hard_weight: Weight of the student's own loss against the labels.
        hard_schedule: How that weight goes over training.
        temperature: Logits of both are divided by it before they become probabilities.
        temperature_schedule: "none", "flsw" (higher where student and teacher agree; Wen et al.
            2019) or "cwsm" (higher where the student is sure), one temperature an answer.
        beta: How far those schedules move the temperature.
        gamma: Exponent of "flsw".
        t_squared: Multiply the soft loss by the temperature squared (Hinton et al. 2015), as
            DistilBERT does; TextBrewer and MiniRBT do not.
        matches: Layers to be made alike, each LAYER_T,LAYER_S,FEATURE,LOSS,WEIGHT(,PROJECTION), as
            in 8,2,hidden,hidden_mse,1,linear; layer 0 is the embeddings, 4+8 two layers. Feature
            hidden has the losses hidden_mse, cos, pkd, and of two layers gram (fsp) and nst (mmd);
            attention has attention_mse, attention_ce, attention_mse_sum, attention_ce_mean.
            Projections are linear, relu and tanh.
    """

    teacher: tuple[Path, ...] = ()
    soft_weight: float = 1.0
    soft_schedule: Schedule = "none"
    soft_loss: Literal["ce", "mse"] = "ce"
    hard_weight: float = 0.0
    hard_schedule: Schedule = "none"
    temperature: float = 8.0
    temperature_schedule: Literal["none", "flsw", "cwsm"] = "none"
    beta: float = 1.0
    gamma: float = 1.0
    t_squared: bool = False
    matches: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse values that make no distillation.

        Raises:
            UserError: says which option, what it got and what was expected.
        """
        for name in ("soft_weight", "hard_weight", "gamma"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"distill.{name}: got {value}; expected 0 or more")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"distill.temperature: got {self.temperature}; expected more than 0")
        if not math.isfinite(self.beta):
            raise UserError(f"distill.beta: got {self.beta}; expected a number")
        for name, known in (
            ("soft_schedule", tuple(SCHEDULES)),
            ("hard_schedule", tuple(SCHEDULES)),
            ("soft_loss", ("ce", "mse")),
            ("temperature_schedule", ("none", "flsw", "cwsm")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise UserError(f"distill.{name}: no {value!r}{nearest(value, known)}")
        if not (self.soft_weight or self.matches):
            raise UserError(
                "distill: nothing to learn from a teacher: soft_weight is 0 and there are no "
                "matches; leave distillation out, or give one of them"
            )
        twice = sorted({match for match in self.matches if self.matches.count(match) > 1})
        if twice:
            raise UserError(f"distill.matches: {twice[0]!r} given twice; raise its weight instead")
        if self.parsed and len(self.teacher) > 1:
            raise UserError(
                f"distill.matches: compare layers with those of one teacher; got "
                f"{len(self.teacher)} teachers; give one, or no matches"
            )

    @property
    def parsed(self) -> "tuple[Match, ...]":
        """The matches.

        Raises:
            UserError: one is not written as they are.
        """
        from hanmo.distill.matches import parse_match  # torch, which help does without

        return tuple(parse_match(text) for text in self.matches)
