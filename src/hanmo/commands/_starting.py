"""What a pre-training run starts from: a shape, or a model and some of its layers."""

import dataclasses
from typing import Any, TypeAlias

from hanmo.core.errors import UserError
from hanmo.core.log import say
from hanmo.model import checkpoint
from hanmo.model.config import EncoderConfig, read_config, size_named
from hanmo.model.pruned import equal_layers
from hanmo.text.tokenizer import Tokenizer

# `pretrain.Config`; importing it here would be a cycle.
Options: TypeAlias = Any


def shape_of(config: Options, tokenizer: Tokenizer) -> EncoderConfig:
    layers = chosen_layers(config)
    if config.init is None:
        return dataclasses.replace(size_named(config.size or ""), vocab_size=tokenizer.size)
    shape = read_config(config.init / "config.json")
    if layers is not None:
        if shape.family.shares_layers:
            raise UserError(
                f"--layers: got {config.layers}; the layers of {config.init} share their weights "
                "(ALBERT), so there is none to choose"
            )
        if max(layers) >= shape.num_hidden_layers:
            raise UserError(
                f"--layers: got {config.layers}; {config.init} has the layers 0 to "
                f"{shape.num_hidden_layers - 1}"
            )
        shape = shape.with_layers(layers)
    if config.size is not None:
        wanted = dataclasses.replace(size_named(config.size), vocab_size=shape.vocab_size)
        if wanted.parameters() != shape.parameters():
            raise UserError(
                f"--size {config.size}: {_said(wanted)}; {config.init} has another, "
                f"{_said(shape)}; leave --size out (where a recipe says it: --size none)"
            )
    if Tokenizer.load(config.init).vocab != tokenizer.vocab:
        raise UserError(
            f"{config.init}: its vocabulary is not the one that {config.shards} was encoded with; "
            f"encode with --vocab {config.init}/vocab.txt"
        )
    return shape


def _said(shape: EncoderConfig) -> str:
    return (
        f"{shape.num_hidden_layers} layers, {shape.hidden_size} wide, {shape.num_attention_heads} "
        f"heads, {shape.intermediate_size} within, {shape.parameters():,} parameters"
    )


def chosen_layers(config: Options) -> list[int] | None:
    """Return the layers of `init` that are kept, from 0; None for all.

    Raises:
        UserError: not a list of numbers with commas, or one without `init`.
    """
    if config.layers is None:
        return None
    try:
        layers = [int(word) for word in config.layers.split(",")]
    except ValueError:
        layers = []
    if not layers or min(layers) < 0:
        raise UserError(f"--layers: got {config.layers!r}; expected numbers from 0, as in 0,1,2")
    if config.init is None:
        raise UserError("--layers: chooses layers of a model; pass --init MODEL too")
    return layers


def start_from(model: Any, config: Options) -> None:
    """Give a model the weights of `init`, or of its chosen layers, and say what was not there.

    Raises:
        UserError: as `checkpoint.load_into`, or a layer that is no copy of the one it was made of.
    """
    layers = chosen_layers(config)
    # Projections of a run before belong to its matches.
    loaded = checkpoint.load_into(model, config.init, layers=layers, skip=("projections.",))
    if loaded.fresh:
        say(f"init: not in {config.init}, so random: {', '.join(loaded.fresh)}")
    if loaded.unused:
        say(f"init: in {config.init}, but not in this model: {', '.join(loaded.unused)}")
    if layers is not None:
        copies = model.encoder.state_dict(prefix="bert.")
        n = equal_layers(copies, checkpoint.read_weights(config.init), layers)
        say(f"init: layers {config.layers} of {config.init}, {n} tensors, each compared: equal")


def check_teachers(model: Any, config: Options, longest: int) -> None:
    """Refuse teachers that cannot read the run's sequences.

    Raises:
        UserError: too few positions, or one segment where there are pairs.
    """
    for number, teacher in enumerate(getattr(model, "teachers", ()), 1):
        check_teacher(teacher.config, longest, config.partner, f"distill.teacher: number {number}")


def check_teacher(shape: EncoderConfig, longest: int, partner: str, what: str) -> None:
    """Refuse a teacher of that shape.

    Raises:
        UserError: as `check_teachers`.
    """
    if longest > shape.max_position_embeddings:
        raise UserError(
            f"{what} has {shape.max_position_embeddings} positions; the run's sequences have up to "
            f"{longest} pieces: lower --max-length (or the lengths of --phases)"
        )
    if partner != "none" and shape.type_vocab_size == 1:
        raise UserError(
            f"{what} knows one segment; --partner {partner} makes pairs of two: leave it out"
        )
