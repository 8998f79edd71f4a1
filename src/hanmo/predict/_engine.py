"""What runs a network over sequences: batches by a budget of pieces, in a chosen precision.

In: sequences with the positions that are asked. Out: what the network says there, in their order.
A kind of answer knows an `Engine` alone, so that it does not matter what runs the network.

    engine = open_engine(How(precision="bf16"), folder, build, pad_id=0)
    engine.map(sequences, ("label",))["label"]         # float32 [M, labels]
"""

import dataclasses
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
# Positions at which a sequence is asked, in trials: a multiple of what any kind of task asks at.
N_ASKED = 5
_TOKENS = 8192  # of a batch
Reduce = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A network of ours and the names of its scores.

    Attributes:
        module: a `Trainable`, in evaluation mode.
        heads: names of its scores at the asked positions.
        lacks: scores that it has but that mean nothing → why.
    """

    module: nn.Module
    heads: tuple[str, ...]
    lacks: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Number of layers."""
        encoder: Any = self.module.encoder
        return int(encoder.config.num_hidden_layers)

    @property
    def max_length(self) -> int:
        """Longest sequence, in pieces."""
        encoder: Any = self.module.encoder
        return int(encoder.config.max_position_embeddings)


class Engine(Protocol):
    """A network that is ready to run.

    Attributes:
        name: what it is, for people: "torch fp32".
        max_length: longest sequence, in pieces.
        heads: names of the scores that it gives, besides every layer's output (`layer_head`).
        lacks: scores that its network has but that mean nothing → why.
    """

    name: str
    max_length: int
    heads: tuple[str, ...]
    lacks: Mapping[str, str]

    def map(
        self,
        sequences: Sequence[Corrupted],
        heads: Sequence[str] | None = None,
        reduce: Reduce | None = None,
    ) -> dict[str, Array]:
        """Run the network.

        Args:
            sequences: with M asked positions in all.
            heads: names of the scores that are wanted; default: all of its own but `PIECES`.
            reduce: a batch's scores, float32 [m, classes] each, → what is kept of them, [m, …], so
                that scores of a whole vocabulary are never kept for all positions.

        Returns:
            Name → [M, …], positions in the order of `sequences`.
        """
        ...


def layer_head(number: int) -> str:
    """Return the name under which a layer's output is given; 1 is the first layer."""
    return f"layer_{number}"


def open_engine(how: How, folder: Path, build: Callable[[], Network], *, pad_id: int) -> Engine:
    """Load a model into an engine, or take the one that `how` shares.

    Args:
        how: it is run.
        folder: the model's.
        build: loads the network into torch.
        pad_id: what fills rows.

    Raises:
        UserError: no file for that engine, a library that is not installed, and all that `build`
            raises.
    """
    if how.shared is None:
        return _open(how, folder, build, pad_id)
    if folder not in how.shared:
        how.shared[folder] = _open(how, folder, build, pad_id)
    engine: Engine = how.shared[folder]
    return engine


def _open(how: How, folder: Path, build: Callable[[], Network], pad_id: int) -> Engine:
    from hanmo.predict import _onnx

    if how.engine == "torch":
        _onnx.refuse_without_weights(folder)
        return Torch(build(), how, pad_id)
    if how.engine == "onnx":
        return _onnx.open_best(folder, how, pad_id)
    return _onnx.fastest(folder, how, build, pad_id)


class Torch:
    """A network of ours, run by torch."""

    def __init__(self, network: Network, how: How, pad_id: int) -> None:
        device = prepare(how.precision)
        self.name = f"torch {device.precision}"
        kind = torch.bfloat16 if device.precision == "bf16" else torch.float32
        # Autocast would make bf16 of the weights anew in every pass.
        self._model: Any = network.module.eval().to(device.name, kind)
        self._device, self._pad_id = device.name, pad_id
        self._budget = how.batch_tokens or _TOKENS
        self._depth, self.max_length = network.depth, network.max_length
        self.heads, self.lacks = network.heads, network.lacks

    def map(
        self,
        sequences: Sequence[Corrupted],
        heads: Sequence[str] | None = None,
        reduce: Reduce | None = None,
    ) -> dict[str, Array]:
        wanted = [name for name in self.heads if name != PIECES] if heads is None else list(heads)

        def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
            scores: Mapping[str, Tensor] = self._scores(arrays, wanted)
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

    def _scores(self, arrays: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Tensor]:
        batch = Batch.from_arrays(arrays, self._device)
        layers = {layer_head(n + 1): n + 1 for n in range(self._depth)}
        asked = {layers[name] for name in wanted if name in layers}
        scores = {layer_head(n): x for n, x in self._layers(batch, asked).items()}
        if len(asked) < len(wanted):
            outputs = self._model.outputs(batch)
            scores |= outputs.logits
            if PIECES in wanted:
                scores[PIECES] = self._model.piece_logits(outputs)
        return {name: scores[name].float() for name in wanted}

    def _layers(self, batch: Batch, numbers: set[int]) -> dict[int, Tensor]:
        """Return layers' outputs at the asked positions: number → [M, H]."""
        if not numbers:
            return {}
        between = numbers - {self._depth}
        with self._model.encoder.watching(hidden=between) as seen:
            last = self._model.encoder(*batch.inputs, batch.positions, batch.layout)
        places = batch.layout.among_real(batch.positions)
        found = {n: seen.hidden[n].index_select(0, places) for n in between}
        return found | ({self._depth: last} if self._depth in numbers else {})
