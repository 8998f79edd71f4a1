"""Matches: layers of a teacher and a student that are to become alike.

A match is written LAYER_T,LAYER_S,FEATURE,LOSS,WEIGHT(,PROJECTION); TextBrewer's entries have the
same parts (facts/07). Layer 0 is the embeddings; losses that compare two layers with each other
take two, as 0+4. A projection leads from the student's width to the teacher's.

    parse_match("8,2,hidden,hidden_mse,1,linear")
    parse_match("0+8,0+2,hidden,nst,1")
"""

import dataclasses
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from hanmo.core.errors import UserError, nearest
from hanmo.distill.losses import LOSSES, Loss
from hanmo.model.config import EncoderConfig

FEATURES = ("hidden", "attention")
PROJECTIONS = ("none", "linear", "relu", "tanh")
_FORM = "LAYER_T,LAYER_S,FEATURE,LOSS,WEIGHT(,PROJECTION), as in 8,2,hidden,hidden_mse,1,linear"


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """One match.

    Attributes:
        teacher: its layers, one or two.
        student: its layers, as many.
        feature: "hidden" (outputs of layers) or "attention" (scores before the softmax).
        loss: a name of `LOSSES`.
        weight: of the loss.
        projection: of the student's hidden states: "none", "linear", "relu" or "tanh" (a linear
            layer with that activation behind it).
        text: as it was written.
    """

    teacher: tuple[int, ...]
    student: tuple[int, ...]
    feature: str
    loss: str
    weight: float
    projection: str
    text: str

    @property
    def how(self) -> Loss:
        """The loss."""
        return LOSSES[self.loss]


def parse_match(text: str) -> Match:
    """Read a match.

    Raises:
        UserError: another form, or no such feature, loss or projection.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) not in (5, 6):
        raise UserError(f"distill.matches: {text!r}: {len(words)} parts; expected {_FORM}")
    layers_t, layers_s, feature, loss, weight = words[:5]
    projection = words[5] if len(words) == 6 else "none"
    for what, word, known in (
        ("feature", feature, FEATURES),
        ("loss", loss, tuple(LOSSES)),
        ("projection", projection, PROJECTIONS),
    ):
        if word not in known:
            raise UserError(
                f"distill.matches: {text!r}: no {what} {word!r}{nearest(word, known)}; expected "
                f"one of {', '.join(known)}"
            )
    try:
        teacher, student = (tuple(map(int, one.split("+"))) for one in (layers_t, layers_s))
        number = float(weight)
    except ValueError:
        raise UserError(
            f"distill.matches: {text!r}: a layer or weight is no number; expected {_FORM}"
        ) from None
    match = Match(teacher, student, feature, loss, number, projection, text)
    _check(match)
    return match


def _check(match: Match) -> None:
    how, where = match.how, f"distill.matches: {match.text!r}"
    if match.feature != how.feature:
        raise UserError(f"{where}: {match.loss} compares {how.feature}, not {match.feature}")
    for side in (match.teacher, match.student):
        if len(side) != how.layers:
            wanted = "two layers, as 0+4" if how.layers == 2 else "one layer"
            raise UserError(f"{where}: {match.loss} takes {wanted}, of each; got {len(side)}")
    if not 0 <= match.weight < float("inf"):
        raise UserError(f"{where}: weight {match.weight}; expected a number, 0 or more")
    if match.projection != "none" and not how.same_width:
        raise UserError(
            f"{where}: {match.loss} needs no projection: its numbers do not depend on the width; "
            "leave it out"
        )


def check_matches(matches: Iterable[Match], teacher: EncoderConfig, student: EncoderConfig) -> None:
    """Check matches against the shapes of both models.

    Raises:
        UserError: a layer that does not exist, a projection that is missing, or different heads
            where attention is compared head by head.
    """
    for match in matches:
        where = f"distill.matches: {match.text!r}"
        first = 1 if match.feature == "attention" else 0
        for whose, layers, shape in (
            ("teacher", match.teacher, teacher),
            ("student", match.student, student),
        ):
            for layer in layers:
                if not first <= layer <= shape.num_hidden_layers:
                    counted = "" if first else ", 0 being the embeddings"
                    raise UserError(
                        f"{where}: the {whose} has no layer {layer} with {match.feature}; expected "
                        f"{first} to {shape.num_hidden_layers}{counted}"
                    )
        wide, narrow = teacher.hidden_size, student.hidden_size
        if match.how.same_width and match.projection == "none" and wide != narrow:
            raise UserError(
                f"{where}: the student is {narrow} wide, the teacher {wide}: a projection is "
                f"missing; expected {match.text.rstrip(',')},linear"
            )
        _check_heads(match, teacher, student, where)


def _check_heads(match: Match, teacher: EncoderConfig, student: EncoderConfig, where: str) -> None:
    if not match.how.same_heads:
        return
    # The layers of an ALBERT are one.
    heads = [
        shape.heads_of((layers[0] - 1) % shape.num_distinct_layers)
        for shape, layers in ((teacher, match.teacher), (student, match.student))
    ]
    if heads[0] != heads[1]:
        other = {"attention_mse": "attention_mse_sum", "attention_ce": "attention_ce_mean"}
        raise UserError(
            f"{where}: the teacher has {heads[0]} heads, the student {heads[1]}; expected as many, "
            f"or {other[match.loss]}, which puts heads together"
        )


class Projection(nn.Module):
    """A linear layer from the student's width to the teacher's, and an activation.

    Initialised as everything else of the student's; trained by the same optimiser (facts/07).
    """

    def __init__(self, student: int, teacher: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(student, teacher)
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """[…, D_S] → […, D_T]."""
        x = self.dense(x)
        if self._activation == "relu":
            return x.relu()
        return x.tanh() if self._activation == "tanh" else x


def projections(
    matches: Sequence[Match], teacher: EncoderConfig, student: EncoderConfig
) -> nn.ModuleDict:
    """Make the projections of matches, under their numbers; a match of its own has one of its own.

    A match of two layers has one for both.
    """
    return nn.ModuleDict(
        {
            str(number): Projection(student.hidden_size, teacher.hidden_size, match.projection)
            for number, match in enumerate(matches)
            if match.projection != "none"
        }
    )
