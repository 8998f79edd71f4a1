"""The contract of a method of fine-tuning: what is trained instead of the model alone.

A method is a file in `methods/` with a frozen dataclass `Method`; its fields are its options
(`hanmo finetune --method distill --distill.teacher …`). The model that is scored and saved is the
one that the kind of task built; a method says what else takes part in training it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from hanmo.core import registry
from hanmo.data.ragged import Corrupted
from hanmo.tasks.prepared import Prepared
from hanmo.tasks.task import Task

PACKAGE = "hanmo.tasks.methods"


class Device(Protocol):
    """Where training runs (`train.devices.Device`)."""

    @property
    def name(self) -> str:
        """Torch's name."""
        ...

    def autocast(self) -> AbstractContextManager[object]:
        """Precision of the forward pass."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Trainee:
    """What the loop trains, and on what.

    Attributes:
        module: a `Trainable` whose parameters include the model's.
        sequences: of the training split.
        notes: what is to be said of it in the run's record.
    """

    module: Any
    sequences: Sequence[Corrupted]
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Method(Protocol):
    """See the module's docstring."""

    def for_run(self, task: str, seed: int) -> "Method":
        """Return the method of one run: {task} and {seed} in its paths are put in."""
        ...

    def check_fit(self, task: Task, model: Path) -> None:
        """Refuse what can be known to be wrong before data or weights are read.

        An evaluation asks this of all its runs before the first one.

        Args:
            task: with the run's settings.
            model: folder that training starts from.

        Raises:
            UserError: options or files that do not fit the task or the model.
        """
        ...

    @property
    def files(self) -> Mapping[str, Path]:
        """Name → a file that the run depends on."""
        ...

    def trainee(
        self,
        model: nn.Module,
        prepared: Prepared,
        sequences: Sequence[Corrupted],
        *,
        device: Device,
        seed: int,
    ) -> Trainee:
        """Say what is trained.

        Args:
            model: as the kind of task built it, on the device.
            prepared: the task.
            sequences: of its training split.
            device: where it runs.
            seed: of new weights.

        Raises:
            UserError: options or files that do not fit the task or the model.
        """
        ...


def make_method(name: str, options: Mapping[str, Any]) -> Method:
    """Load a method by name (or dotted module, or path) and give it its options."""
    made: Method = registry.member(PACKAGE, name, "Method")(**options)
    return made
