"""The contract between a training loop and whatever is trained.

Everything trainable (an objective's module, a fine-tuning head, later distillation) maps a `Batch`
to `Outputs` and those to named `Losses`; so there is one training loop.

Shapes: R rows, L length, H hidden, M positions the loss looks at, S sequences.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hanmo.model.layout import Layout

REAL_PIECES = "input_ids"  # the name in `Batch.totals` of the number of real pieces
_COUNT = "count/"  # as `data.batches.collate` names them


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows of sequences, and what is asked at some of their positions.

    Attributes:
        input_ids: [R, L] piece ids, padded.
        token_type_ids: [R, L] segments.
        position_ids: [R, L] position within the sequence, starting at 0 for each.
        sequence_ids: [R, L] 0 for padding, k for the k-th sequence of the row; pieces attend only
            within their sequence.
        positions: [M] flat indices r * L + c: where the loss looks (masked pieces, [CLS] …).
        targets: name → [M] expected ids or values; -1 is "missing", left out of that loss.
        totals: name → number of targets of the whole step, which a loss divides by: the losses of
            a step's parts then add up to the loss of the step, however it is cut; under
            `REAL_PIECES` its number of real pieces.
        n_pieces: number of real (non-padding) pieces.
        real: [N] flat indices of the real pieces.
        firsts: [S] flat indices of the sequences' first pieces, where something is asked about
            whole sequences; the answers are the targets "partners".
        counts: name → what the objective counted, for the log.
        layout: of `sequence_ids`.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    sequence_ids: Tensor
    positions: Tensor
    targets: Mapping[str, Tensor]
    totals: Mapping[str, int]
    n_pieces: int
    real: Tensor
    firsts: Tensor | None = None
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    layout: Layout | None = None

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Any],
        device: str | torch.device = "cpu",
        *,
        totals: Mapping[str, int] | None = None,
    ) -> "Batch":
        """Make a batch of a loader's numpy arrays; keys that are no field above are targets.

        Args:
            arrays: as `data.batches.collate` returns them.
            device: where the tensors go.
            totals: of the whole step; default: these arrays are the whole step.
        """
        counts = {k.removeprefix(_COUNT): int(v) for k, v in arrays.items() if not v.ndim}
        arrays = {key: array for key, array in arrays.items() if array.ndim}
        tensors = {
            key: torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
            for key, array in arrays.items()
        }
        own = {f.name for f in dataclasses.fields(cls)} & tensors.keys()
        targets = {key: value for key, value in tensors.items() if key not in own}
        given = {key: tensors[key] for key in own}
        # Counted before they go to the device: asking it would stop it.
        if totals is None:
            totals = {key: count_targets(arrays[key]) for key in targets}
            totals[REAL_PIECES] = int((arrays["sequence_ids"] > 0).sum())
        places = np.flatnonzero(arrays["sequence_ids"])
        real = torch.from_numpy(places).to(device, non_blocking=True)
        n_pieces = len(places)
        return cls(
            **given,
            targets=targets,
            totals=totals,
            n_pieces=n_pieces,
            counts=counts,
            real=real,
            layout=Layout.of(np.asarray(arrays["sequence_ids"]), device),
        )

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What an encoder takes, in its order."""
        return self.input_ids, self.token_type_ids, self.position_ids, self.sequence_ids


def count_targets(array: NDArray[Any]) -> int:
    """Return how many targets are there: -1 is missing, floating-point ones never are."""
    return len(array) if array.dtype.kind == "f" else int((array >= 0).sum())


@dataclasses.dataclass(frozen=True, slots=True)
class Outputs:
    """What a forward pass gives at the asked positions; the encoder skips what nobody asks for.

    Attributes:
        at_positions: [M, H] what the heads read.
        logits: name → [M, classes]; may leave out an expensive head that only its loss needs.
    """

    at_positions: Tensor
    logits: Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """A scalar to descend, its named parts for the log (detached), and their weights if any."""

    total: Tensor
    parts: Mapping[str, Tensor]
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Trainable(Protocol):
    """A torch module with these three members."""

    encoder: nn.Module

    def outputs(self, batch: Batch) -> Outputs:
        """Run the model forward."""
        ...

    def losses(self, outputs: Outputs, batch: Batch, *, progress: float) -> Losses:
        """Score outputs; `progress` is the share of training done, in [0, 1]."""
        ...
