"""BERT's encoder with Hugging Face's parameter names, for packed rows.

Several sequences may share a row: `sequence_ids` makes attention block-diagonal, so that nothing
leaks between them (transformers' sdpa path leaks: facts/15). Equal to `transformers.BertModel`
within 1e-5 in fp32 (tests/parity/test_encoder.py).

Everything but attention runs on the real pieces alone, without padding: in packed rows of 128 a
fifth of the places are empty. And what follows the last attention runs at the asked positions
alone: nobody reads the others (a masked-LM step asks for 15 %, a classifier for [CLS]).

Shapes: R rows, L length, N real pieces (N ≤ R·L), M asked positions, H hidden, A heads,
D = H / A.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hanmo.model.activations import activation
from hanmo.model.attention import SelfAttention
from hanmo.model.config import EncoderConfig
from hanmo.model.dropout import Dropout
from hanmo.model.layout import Layout


class Embeddings(nn.Module):
    """Word + position + segment embeddings, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        h = config.embedding_width
        self.word_embeddings = nn.Embedding(config.vocab_size, h)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, h)
        if config.type_vocab_size:
            self.token_type_embeddings = nn.Embedding(config.type_vocab_size, h)
        self.has_segments = config.type_vocab_size > 0
        self.LayerNorm = nn.LayerNorm(h, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Embed [N] ids → [N, E]."""
        embedded = self.word_embeddings(input_ids) + self.position_embeddings(position_ids)
        if self.has_segments:
            embedded = embedded + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(embedded))


class SublayerOutput(nn.Module):
    """Dense, dropout, residual, layer normalisation."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """[N, width], [N, H] → [N, H]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Attention(nn.Module):
    """Self-attention with its output sublayer (names: attention.self, attention.output)."""

    def __init__(self, config: EncoderConfig, layer: int = 0) -> None:
        super().__init__()
        self.self = SelfAttention(config, layer)
        self.output = SublayerOutput(config.heads_of(layer) * config.head_size, config)

    def forward(self, x: Tensor, layout: Layout, asked: Tensor | None = None) -> Tensor:
        """[N, H] → [N, H], or [M, H]."""
        residual = x if asked is None else x.index_select(0, layout.among_real(asked))
        return self.output(self.self(x, layout, asked), residual)


class Intermediate(nn.Module):
    """The widening half of the feed-forward block."""

    def __init__(self, config: EncoderConfig, layer: int = 0) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_of(layer))
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """[N, H] → [N, F]."""
        return self.activation(self.dense(x))


class Layer(nn.Module):
    """One transformer layer, post-norm as in BERT; pruned ones have sizes of their own."""

    def __init__(self, config: EncoderConfig, number: int = 0) -> None:
        super().__init__()
        self.attention = Attention(config, number)
        self.intermediate = Intermediate(config, number)
        self.output = SublayerOutput(config.intermediate_of(number), config)

    def forward(self, x: Tensor, layout: Layout, asked: Tensor | None = None) -> Tensor:
        """[N, H] → [N, H], or [M, H]."""
        x = self.attention(x, layout, asked)
        return self.output(self.intermediate(x), x)


@dataclasses.dataclass(slots=True)
class Seen:
    """What the layers of a forward pass computed on the way, for whoever watches.

    Attributes:
        hidden: layer → [N, H], its output; 0 is what goes into the first one.
        attention: layer, from 1 → [N, 3, A, D], its queries, keys and values.
    """

    hidden: dict[int, Tensor] = dataclasses.field(default_factory=dict)
    attention: dict[int, Tensor] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """Which layers are watched, and what was seen of them in the latest forward pass."""

    hidden: frozenset[int]
    attention: frozenset[int]
    seen: Seen

    def before(self, number: int, attention: SelfAttention, x: Tensor) -> None:
        """Layer `number` + 1 is about to run on `x`."""
        if number in self.hidden:
            self.seen.hidden[number] = x
        attention.kept = [] if number + 1 in self.attention else None

    def after(self, number: int, attention: SelfAttention) -> None:
        """It has run."""
        if attention.kept:
            self.seen.attention[number + 1] = attention.kept[0]
        attention.kept = None


class Layers(nn.Module):
    """The stack, under the name `encoder.layer`.

    Attributes:
        recompute: keep of each layer only its input, and run it again in the backward pass: a third
            more work for a fraction of the memory, the same numbers.
        watched: where what these layers compute is put down, if anybody watches.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config, n) for n in range(config.num_distinct_layers))
        self.depth = config.num_hidden_layers
        self.recompute = False
        self.watched: Watched | None = None

    def forward(self, x: Tensor, layout: Layout, asked: Tensor | None = None) -> Tensor:
        """[N, H] → [N, H], or [M, H]."""
        watched = self.watched
        # A layer that is watched computes everything, the last one too.
        in_full = watched is not None and self.depth in watched.hidden
        for number in range(self.depth):
            layer: Any = self.layer[number % len(self.layer)]  # ALBERT: the same one again
            wanted = asked if number == self.depth - 1 and not in_full else None
            if watched is not None:
                watched.before(number, layer.attention.self, x)
            if self.recompute and self.training:
                x = checkpoint(layer, x, layout, wanted, use_reentrant=False)
            else:
                x = layer(x, layout, wanted)
            if watched is not None:
                watched.after(number, layer.attention.self)
        if watched is not None and in_full:
            watched.seen.hidden[self.depth] = x
            return x if asked is None else x.index_select(0, layout.among_real(asked))
        return x


class Encoder(nn.Module):
    """Embeddings and layers: the part of every model that is worth keeping."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        if config.projects:
            self.embeddings_project = nn.Linear(config.embedding_width, config.hidden_size)
        self.encoder = Layers(config)

    @contextlib.contextmanager
    def watching(self, hidden: Iterable[int] = (), attention: Iterable[int] = ()) -> Iterator[Seen]:
        """Put down what these layers compute in a forward pass within.

        Args:
            hidden: layers whose outputs are wanted; 0 is what goes into the first one.
            attention: layers whose queries and keys are wanted, from 1.
        """
        watched = Watched(frozenset(hidden), frozenset(attention), Seen())
        self.encoder.watched = watched if watched.hidden or watched.attention else None
        try:
            yield watched.seen
        finally:
            self.encoder.watched = None

    def forward(  # noqa: PLR0917 - in the order of `Batch.inputs`
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor,
        positions: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        """Encode packed rows.

        Args:
            input_ids: [R, L] piece ids.
            token_type_ids: [R, L] segments.
            position_ids: [R, L] positions within each sequence.
            sequence_ids: [R, L] 0 = padding; pieces of one row with the same id see each other.
            positions: [M] flat indices r · L + c of real pieces whose hidden states are wanted;
                default: all.
            layout: of `sequence_ids`, where the batch has it ready.

        Returns:
            [R, L, H] hidden states, those of padding mean nothing; or [M, H] at `positions`.
        """
        if layout is None:
            layout = Layout.of(sequence_ids.cpu().numpy(), sequence_ids.device)
        ids = (layout.take(array.flatten()) for array in (input_ids, token_type_ids, position_ids))
        x = self.embeddings(*ids)
        if self.config.projects:
            x = self.embeddings_project(x)
        x = self.encoder(x, layout, positions)  # [N, H] or [M, H]
        if positions is not None:
            return x
        return layout.spread(x).view(*sequence_ids.shape, -1)


def compile_between_products(model: nn.Module) -> None:
    """Let torch.compile fuse what lies between the matrix products of every layer.

    Bias, GELU, dropout, residual and normalisation become one kernel each way, which on GPUs spares
    most of the memory traffic. Attention stays as it is: its kernels are fused already.
    """
    # A kernel for each width, with and without gradients, and again for a second network.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for part in model.modules():
        if isinstance(part, SublayerOutput | Intermediate):
            part.compile(dynamic=True, fullgraph=True)


def initialise(module: nn.Module, std: float, generator: torch.Generator) -> None:
    """Initialise as BERT: normal truncated at two deviations, zero biases, unit norms.

    Args:
        module: visited with all its parts, in definition order.
        std: `initializer_range`.
        generator: makes the weights depend on the run's seed alone.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
