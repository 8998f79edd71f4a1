"""What runs a network over sequences: batches by a budget of pieces, in a chosen precision.

In: sequences with the positions that are asked. Out: what the network says there, in their order.
A kind of answer knows an `Engine` alone, so that it does not matter what runs the network.

    engine = open_engine(How(precision="bf16"), folder, build, pad_id=0)
    engine.map(sequences, ("label",))["label"]         # float32 [M, labels]
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hanmo.data.ragged import Array, Corrupted
from hanmo.model.trainable import Batch
from hanmo.predict._how import How
from hanmo.tasks.batches import map_batches
from hanmo.train.devices import prepare

# Name of a masked LM's scores of pieces, which are computed only where they are asked for.
PIECES = "pieces"
_TOKENS = 8192  # of a batch
Reduce = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


class Engine(Protocol):
    """A network that is ready to run.

    Attributes:
        name: what it is, for people: "torch fp32".
        max_length: longest sequence, in pieces.
    """

    name: str
    max_length: int

    def map(
        self,
        sequences: Sequence[Corrupted],
        heads: Sequence[str] | None = None,
        reduce: Reduce | None = None,
    ) -> dict[str, Array]:
        """Run the network.

        Args:
            sequences: with M asked positions in all.
            heads: names of the scores that are wanted; default: all but `PIECES`.
            reduce: a batch's scores, float32 [m, classes] each, → what is kept of them, [m, …], so
                that scores of a whole vocabulary are never kept for all positions.

        Returns:
            Name → [M, …], positions in the order of `sequences`.
        """
        ...


def layer_head(number: int) -> str:
    """Return the name under which a layer's output is given; 1 is the first layer."""
    return f"layer_{number}"


def open_engine(how: How, folder: Path, build: Callable[[], nn.Module], *, pad_id: int) -> Engine:
    """Load a model into an engine.

    Args:
        how: it is run.
        folder: the model's.
        build: loads the model into torch, a `Trainable`.
        pad_id: what fills rows.

    Raises:
        UserError: no file for that engine, a library that is not installed, and all that `build`
            raises.
    """
    from hanmo.predict import _onnx

    if how.engine == "torch":
        _onnx.refuse_without_weights(folder)
        return Torch(build(), how, pad_id)
    if how.engine == "onnx":
        return _onnx.open_best(folder, how, pad_id)
    return _onnx.fastest(folder, how, build, pad_id)


class Torch:
    """A model of ours, run by torch."""

    def __init__(self, model: nn.Module, how: How, pad_id: int) -> None:
        device = prepare(how.precision)
        self.name = f"torch {device.precision}"
        kind = torch.bfloat16 if device.precision == "bf16" else torch.float32
        # Autocast would make bf16 of the weights anew in every pass.
        network: Any = model.eval().to(device.name, kind)
        self._model = network
        self._device, self._pad_id, self._budget = device.name, pad_id, how.batch_tokens or _TOKENS
        self.max_length = int(network.encoder.config.max_position_embeddings)

    def map(
        self,
        sequences: Sequence[Corrupted],
        heads: Sequence[str] | None = None,
        reduce: Reduce | None = None,
    ) -> dict[str, Array]:
        def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
            scores: Mapping[str, Tensor] = self._scores(arrays, heads)
            scores = scores if reduce is None else reduce(scores)
            return {name: values.cpu().numpy() for name, values in scores.items()}

        if not sequences:
            return {}
        with torch.inference_mode():
            return map_batches(
                sequences,
                run,
                max_length=self.max_length,
                pad_id=self._pad_id,
                budget=self._budget,
            )

    def _scores(
        self, arrays: Mapping[str, Array], heads: Sequence[str] | None
    ) -> dict[str, Tensor]:
        outputs = self._model.outputs(Batch.from_arrays(arrays, self._device))
        scores = dict(outputs.logits)
        if heads is not None and PIECES in heads:
            scores[PIECES] = self._model.piece_logits(outputs)
        return {name: scores[name].float() for name in (scores if heads is None else heads)}
