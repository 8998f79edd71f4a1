"""Phases of a training: other lengths and batches one after the other, from the same shards.

BERT-wwm is 100,000 steps at length 128 and then 100,000 at 512 (facts/02); each phase has its own
warm-up and decay, as the two runs that upstream made of them. Weights and moments go on.

    phases = parse(["100000x128x2560", "100000x512x384@5e-5"], learning_rate=1e-4)
    phases.at(120_000).max_length     # 512
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from hanmo.core.errors import UserError

_FORM = re.compile(r"(\d+) *[x×] *(\d+) *[x×] *(\d+) *(?:@ *([0-9.eE+-]+))?")


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """Steps `begin` to `end` at one length.

    Attributes:
        number: from 0.
        begin: first step.
        end: one after the last step.
        max_length: longest sequence in pieces.
        batch_size: sequences a step.
        learning_rate: peak.
        warmup: steps of warm-up.
    """

    number: int
    begin: int
    end: int
    max_length: int
    batch_size: int
    learning_rate: float
    warmup: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.end - self.begin


@dataclasses.dataclass(frozen=True, slots=True)
class Phases:
    """All phases of a run, in their order."""

    phases: tuple[Phase, ...]

    def __iter__(self) -> Iterator[Phase]:
        return iter(self.phases)

    def __len__(self) -> int:
        return len(self.phases)

    @property
    def steps(self) -> int:
        """Number of steps of all."""
        return self.phases[-1].end

    @property
    def max_length(self) -> int:
        """The longest of all lengths."""
        return max(phase.max_length for phase in self.phases)

    def at(self, step: int) -> Phase:
        """The phase of a step, from 0."""
        return next(phase for phase in self.phases if step < phase.end)

    def learning_rate(self, step: int, schedule: Callable[..., float]) -> float:
        """The learning rate of a step, from 0."""
        phase = self.at(step)
        share = schedule(step - phase.begin, total=phase.steps, warmup=phase.warmup)
        return phase.learning_rate * share


def single(
    steps: int, max_length: int, batch_size: int, learning_rate: float, warmup: int | None
) -> Phases:
    """One phase; the default warm-up is a tenth of it."""
    warmup = steps // 10 if warmup is None else warmup
    return Phases((Phase(0, 0, steps, max_length, batch_size, learning_rate, warmup),))


def parse(texts: Sequence[str], *, learning_rate: float, warmup: int | None = None) -> Phases:
    """Read phases, each STEPSxLENGTHxBATCH or STEPSxLENGTHxBATCH@LEARNING_RATE.

    Args:
        texts: at least one.
        learning_rate: peak of phases that state none.
        warmup: steps of warm-up of each phase; default: a tenth of it.

    Raises:
        UserError: another form, or a number that is 0.
    """
    phases: list[Phase] = []
    begin = 0
    for number, text in enumerate(texts):
        match = _FORM.fullmatch(text.strip())
        values = [int(word) for word in match.groups()[:3]] if match else [0]
        try:
            rate = float(match[4]) if match and match[4] else learning_rate
        except ValueError:
            rate = 0.0
        if not all(values) or not rate > 0:
            raise UserError(
                f"phases: got {text!r}; expected STEPSxLENGTHxBATCH, as in 100000x128x2560, or "
                "STEPSxLENGTHxBATCH@LEARNING_RATE"
            )
        steps, length, batch = values
        own = steps // 10 if warmup is None else warmup
        phases.append(Phase(number, begin, begin + steps, length, batch, rate, own))
        begin += steps
    return Phases(tuple(phases))
