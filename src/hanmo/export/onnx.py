"""Write a network as ONNX, in fp32 or with int8 products, and compare it with torch.

The graph takes `input_ids`, `attention_mask` and `token_type_ids`, int64 [B, L], and `positions`,
int64 [M]: flat indices r · L + c of the pieces that are asked. It gives each of the network's heads
[M, classes] and every layer's output there, `layer_1` … `layer_N` [M, H]. All axes are dynamic. In
its metadata, under "hanmo", stand the names of the heads, the longest sequence, and who wrote it.

With int8 the weights of products are quantised per output channel, their inputs as they come; small
heads, embeddings and attention itself stay fp32. Scores move a little: `compare` says how much.
"""

import dataclasses
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hanmo import __version__
from hanmo.core.errors import MissingLibraryError
from hanmo.data.ragged import Array, Corrupted
from hanmo.export.padded import Asked, padded
from hanmo.predict._engine import N_ASKED, PIECES, Engine, Network, layer_head
from hanmo.predict._onnx import INPUTS, META, onnxruntime

_OPSET = 20  # the first with GELU
_PRODUCTS = ("MatMul", "Gemm")
_LEAST_OUTPUTS = 64  # of a product that is quantised: heads of few labels cost nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """How far two engines' scores of a head are apart.

    Attributes:
        positions: how many were compared.
        greatest: of |a - b| over all scores.
        scale: standard deviation of the scores, to compare it with.
        same_best: share of the positions whose best class is the same.
    """

    positions: int
    greatest: float
    scale: float
    same_best: float


class _Graph(nn.Module):
    """A network as a function of tensors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.model: Any = padded(network.module)
        self.heads, self.depth = network.heads, network.depth

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` returns."""
        return [*self.heads, *(layer_head(n + 1) for n in range(self.depth))]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, positions: Tensor
    ) -> tuple[Tensor, ...]:
        batch = Asked(input_ids, attention_mask, token_type_ids, positions)
        with self.model.encoder.watching(hidden=range(1, self.depth + 1)) as seen:
            outputs = self.model.outputs(batch)
        scores = dict(outputs.logits)
        if PIECES in self.heads:
            scores[PIECES] = self.model.piece_logits(outputs)
        for n in range(1, self.depth):
            scores[layer_head(n)] = seen.hidden[n].index_select(0, positions)
        scores[layer_head(self.depth)] = seen.hidden[self.depth]
        return tuple(scores[name] for name in self.outputs)


def write(network: Network, path: Path) -> None:
    """Write a network as ONNX in fp32.

    Raises:
        MissingLibraryError: the libraries of the extra `onnx` are not installed.
    """
    onnx = _libraries()
    graph = _Graph(network).eval()
    example = _example(graph.model.encoder.config.vocab_size)
    dynamic = torch.export.Dim.DYNAMIC
    rows = {0: dynamic, 1: dynamic}
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=list(INPUTS),
            output_names=graph.outputs,
            dynamic_shapes=(rows, rows, rows, {0: dynamic}),
        )
    assert program is not None
    model = program.model_proto
    facts = {
        "heads": network.heads,
        "max_length": graph.model.encoder.config.max_position_embeddings,
        "version": __version__,
    }
    onnx.helper.set_model_props(model, {META: json.dumps(facts)})
    onnx.save(model, path)


def quantize(source: Path, path: Path) -> None:
    """Write an fp32 graph again with int8 products.

    Raises:
        MissingLibraryError: the libraries of the extra `onnx` are not installed.
    """
    onnx = _libraries()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # Shapes that the exporter noted down contradict those of quantised tensors (facts/15).
    del model.graph.value_info[:]
    _transpose(model.graph)
    _part(model.graph)
    sizes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    small = [
        node.name
        for node in _products(model.graph)
        if any(min(sizes.get(name, (_LEAST_OUTPUTS,))) < _LEAST_OUTPUTS for name in node.input)
    ]
    props = {one.key: one.value for one in model.metadata_props}
    with _quiet():
        quantize_dynamic(
            model,
            path,
            weight_type=QuantType.QInt8,
            # Seven bits: without VNNI, processors add two products of eight bits in sixteen, which
            # overflow, and a file is to answer alike wherever it goes.
            reduce_range=True,
            per_channel=True,
            op_types_to_quantize=list(_PRODUCTS),
            # The quantiser first makes a MatMul of a Gemm, under this name.
            nodes_to_exclude=[*small, *(f"{name}_MatMul" for name in small)],
            extra_options={"MatMulConstBOnly": True},
        )
    written = onnx.load(path)
    onnx.helper.set_model_props(written, props)
    onnx.save(written, path)


def _transpose(graph: Any) -> None:
    """Keep weights as their products read them.

    The exporter leaves a transposition before weights that several products read, such as those of
    ALBERT's one layer, and the quantiser takes no product whose weights are not there as they are.
    """
    from onnx import numpy_helper

    weights = {one.name: one for one in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        if node.input[0] in weights:
            order = next((list(one.ints) for one in node.attribute if one.name == "perm"), None)
            values = np.transpose(numpy_helper.to_array(weights[node.input[0]]), order)
            made = numpy_helper.from_array(np.ascontiguousarray(values), node.output[0])
            graph.initializer.append(made)
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)


def _part(graph: Any) -> None:
    """Give products weights of their own where others read them too.

    The quantiser transposes the weights of a Gemm in place: embeddings that also score pieces would
    be looked up in a transposed table. Those that MatMuls alone read may be shared.
    """
    uses = Counter(name for node in graph.node for name in node.input)
    shared = Counter(name for node in graph.node if node.op_type == "MatMul" for name in node.input)
    weights = {one.name: one for one in graph.initializer}
    for node in _products(graph):
        for place, name in enumerate(node.input):
            if name in weights and uses[name] > 1 and uses[name] != shared[name]:
                own = graph.initializer.add()
                own.CopyFrom(weights[name])
                own.name = node.input[place] = f"{name}/{node.name}"


def _products(graph: Any) -> list[Any]:
    return [node for node in graph.node if node.op_type in _PRODUCTS]


def compare(
    first: Engine, second: Engine, sequences: Sequence[Array], heads: Sequence[str]
) -> dict[str, Difference]:
    """Compare two engines on the same inputs.

    Args:
        first: the reference.
        second: the other one.
        sequences: int32 [n] pieces each, of at least `N_ASKED`; each is asked at some positions
            spread over it.
        heads: names of the scores to compare.
    """
    asked = [
        Corrupted(
            {"input_ids": ids},
            np.linspace(0, len(ids) - 1, N_ASKED).round().astype(np.int64),
            {},
        )
        for ids in sequences
    ]
    found = {}
    for head in heads:
        a, b = (one.map(asked, (head,))[head].astype(np.float64) for one in (first, second))
        found[head] = Difference(
            positions=len(a),
            greatest=float(np.abs(a - b).max()),
            scale=float(a.std()),
            same_best=float(np.mean(a.argmax(1) == b.argmax(1))),
        )
    return found


def told(difference: Difference) -> dict[str, Any]:
    """Return a difference as it is printed and kept."""
    return {
        "positions": difference.positions,
        "greatest_difference": float(f"{difference.greatest:.3g}"),
        "scores_deviation": float(f"{difference.scale:.3g}"),
        "same_best": round(difference.same_best, 4),
    }


def _example(vocab_size: int) -> tuple[Tensor, ...]:
    """Inputs to follow the network with; no two axes have the same length."""
    b, n = 3, 7
    ids = torch.arange(b * n).view(b, n) % vocab_size
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return ids, mask, torch.zeros_like(ids), torch.arange(2 * N_ASKED)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' talk of their own affairs from users."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "root", "")]
    before = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def _libraries() -> Any:
    onnxruntime()
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it, and says so at great length
    except ImportError:
        raise MissingLibraryError("hanmo export needs: pip install 'hanmo[onnx]'") from None
    return onnx
