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

# Names in `Batch.totals` of how many there are in the whole step: real pieces, sequences, asked
# positions, and pairs of pieces of one sequence.
REAL_PIECES, SEQUENCES, POSITIONS, PAIRS = "input_ids", "sequence_ids", "positions", "pairs"
# Targets that say something of every asked position in several numbers, [M, …], begin with this.
ASKED = "asked/"
_COUNT = "count/"  # as `data.batches.collate` names them
# Arrays of a batch that are no targets.
_INPUTS = frozenset(
    {"input_ids", "token_type_ids", "position_ids", "sequence_ids", "positions", "firsts"}
)


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
        targets: name → [M] expected ids or values; -1, and NaN of numbers, is "missing", left out
            of that loss.
        totals: name → number of targets of the whole step, which a loss divides by: the losses of
            a step's parts then add up to the loss of the step, however it is cut; under
            `REAL_PIECES`, `SEQUENCES`, `POSITIONS` and `PAIRS` how many of these it has.
        n_pieces: number of real (non-padding) pieces.
        layout: where the real pieces are, and who may attend to whom.
        firsts: [S] flat indices of the sequences' first pieces, where something is asked about
            whole sequences; the answers are the targets "partners".
        counts: name → what the objective counted, for the log.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    sequence_ids: Tensor
    positions: Tensor
    targets: Mapping[str, Tensor]
    totals: Mapping[str, int]
    n_pieces: int
    layout: Layout
    firsts: Tensor | None = None
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)

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
        tensors = {
            key: torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
            for key, array in arrays.items()
            if array.ndim
        }
        ids = np.asarray(arrays["sequence_ids"])
        # Counted before they go to the device: asking it would stop it.
        return cls(
            **{key: tensors[key] for key in _INPUTS & tensors.keys()},
            targets={key: value for key, value in tensors.items() if key not in _INPUTS},
            totals=totals_of(arrays) if totals is None else totals,
            n_pieces=int(np.count_nonzero(ids)),
            layout=Layout.of(ids, device),
            counts={k.removeprefix(_COUNT): int(v) for k, v in arrays.items() if not v.ndim},
        )

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What an encoder takes, in its order."""
        return self.input_ids, self.token_type_ids, self.position_ids, self.sequence_ids


def totals_of(arrays: Mapping[str, Any]) -> dict[str, int]:
    """Return the `Batch.totals` of a loader's arrays, taken as a whole step."""
    targets = {key: array for key, array in arrays.items() if array.ndim and key not in _INPUTS}
    totals = {key: count_targets(array) for key, array in targets.items() if array.ndim == 1}
    real = np.flatnonzero(arrays["sequence_ids"])
    # Each sequence lies in one run, whose positions begin at 0.
    starts = np.flatnonzero(arrays["position_ids"].reshape(-1)[real] == 0)
    lengths = np.diff(np.append(starts, len(real)))
    return totals | {
        REAL_PIECES: len(real),
        SEQUENCES: len(starts),
        POSITIONS: len(arrays["positions"]),
        PAIRS: int((lengths**2).sum()),
    }


def count_targets(array: NDArray[Any]) -> int:
    """Return how many targets are there: -1 is missing, of floating-point ones NaN is."""
    present = ~np.isnan(array) if array.dtype.kind == "f" else array >= 0
    return int(present.sum())


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
