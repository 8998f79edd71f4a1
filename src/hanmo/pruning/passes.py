"""The passes of iterative pruning: measure, remove a share, measure what is left, and so on.

Between passes what is gone is zeroed, which gives the same numbers as cutting it. One pass is
one-shot pruning; more of them keep more of the score, for a little time (TextPruner's own figures:
85.2 in one pass, 90.9 in eight, facts/07).
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

from hanmo.model.encoder import Encoder
from hanmo.pruning.choose import Kept, choose
from hanmo.pruning.cut import silence, whole
from hanmo.pruning.importance import Importance

Order = Literal["together", "heads-first", "ffn-first"]


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """What is to be left.

    Attributes:
        heads: of a layer, or on average where `even_heads` is false; None: all.
        neurons: likewise.
        even_heads: the same number in every layer.
        even_neurons: likewise.
        multiple_of: feed-forward sizes are multiples of it.
        iterations: passes, of heads and of neurons.
        order: both in each pass, or first all passes of the one.
    """

    heads: int | None
    neurons: int | None
    even_heads: bool = True
    even_neurons: bool = True
    multiple_of: int = 1
    iterations: int = 1
    order: Order = "together"

    def steps(self) -> Iterator[tuple[bool, bool, int]]:
        """Yield (heads?, neurons?, which iteration) of each pass."""
        both = (self.heads is not None, self.neurons is not None)
        parts = [both]
        if self.order != "together" and all(both):
            parts = [(True, False), (False, True)]
            parts = parts[::-1] if self.order == "ffn-first" else parts
        for heads, neurons in parts:
            for iteration in range(1, self.iterations + 1):
                yield heads, neurons, iteration


def prune(encoder: Encoder, measure: Callable[[], Importance], goal: Goal) -> tuple[Kept, Kept]:
    """Choose what stays, pass by pass; the encoder ends with zeros where something went.

    Args:
        encoder: of the model that is measured.
        measure: importance of what is left in it now.
        goal: what is to be left.

    Returns:
        Heads and neurons of each layer that stay.
    """
    config = encoder.config
    layers = range(config.num_distinct_layers)
    heads = whole([config.heads_of(layer) for layer in layers])
    neurons = whole([config.intermediate_of(layer) for layer in layers])
    for with_heads, with_neurons, iteration in goal.steps():
        found = measure()
        if with_heads and goal.heads is not None:
            heads = choose(
                found.heads,
                heads,
                goal=goal.heads,
                iteration=iteration,
                iterations=goal.iterations,
                even=goal.even_heads,
            )
        if with_neurons and goal.neurons is not None:
            neurons = choose(
                found.neurons_both if goal.even_neurons else found.neurons,
                neurons,
                goal=goal.neurons,
                iteration=iteration,
                iterations=goal.iterations,
                even=goal.even_neurons,
                multiple=goal.multiple_of,
            )
        silence(encoder, heads, neurons)
    return heads, neurons
