"""What a checkpoint must hold: the encoder's tensors, and every head whole or not at all.

    held(contents)     # {"encoder": 23_470_848, "mlm_head": 612_352}: parts and their parameters
    check(contents, "bert_model.ckpt")

Shapes are those of hanmo's own modules, built without memory (torch's meta device), so there is one
definition of each.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hanmo.convert.contents import GENERATOR, Contents, Stored
from hanmo.convert.forms import PARTS
from hanmo.core.errors import UserError
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import Encoder
from hanmo.model.heads import MaskedLmHead, Pooler
from hanmo.model.replaced import Discriminate

Shape = tuple[int | None, ...]  # None: any length

# Part → beginning of its tensors' names. What belongs to none is a head of hanmo's own.
BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "encoder": ("bert.embeddings.", "bert.embeddings_project.", "bert.encoder."),
    "pooler": ("bert.pooler.",),
    "mlm_head": ("cls.predictions.",),
    "pair_head": ("cls.seq_relationship.",),
    "replaced_head": ("discriminator_predictions.",),
    "label_heads": ("tags.",),
    "classifier": ("classifier.",),
    "span_head": ("qa_outputs.",),
}


def part_of(name: str) -> str:
    """Return the part that a tensor belongs to; "own" for hanmo's further heads."""
    return next((part for part, starts in BEGINNINGS.items() if name.startswith(starts)), "own")


def held(contents: Contents) -> dict[str, int]:
    """Return the parts there are and their parameters; a generator's are "generator encoder" …."""
    counts: dict[str, int] = {}
    for name, tensor in contents.tensors.items():
        part = part_of(name.removeprefix(GENERATOR))
        part = f"generator {part}" if name.startswith(GENERATOR) else part
        counts[part] = counts.get(part, 0) + tensor.size
    order = list(PARTS)
    return dict(
        sorted(counts.items(), key=lambda i: (" " in i[0], order.index(i[0].rpartition(" ")[2])))
    )


def check(contents: Contents, where: str) -> None:
    """Compare names and shapes with what the configuration asks for.

    Args:
        contents: the checkpoint.
        where: what it was read from, for messages.

    Raises:
        UserError: tensors that are missing or of another shape, all of them listed; what the
            weights themselves say where the configuration is another model's.
    """
    problems = _problems(contents.half("discriminator"))
    if contents.generator is not None:
        problems += [f"{GENERATOR}{text}" for text in _problems(contents.half("generator"))]
    else:
        problems += [
            f"{name}: of a generator whose encoder is not there"
            for name in contents.tensors
            if name.startswith(GENERATOR)
        ]
    for key, slot in contents.slots.items():
        tensor = contents.tensors.get(key.rpartition("/")[0])
        if tensor is not None and tensor.shape != slot.shape:
            problems.append(f"{key}: {_shown(slot.shape)}, expected {_shown(tensor.shape)}")
    if not problems:
        return
    shown = "\n  ".join(_named(text, contents.theirs) for text in problems)
    raise UserError(
        f"{where}: does not fit its configuration{_why(contents)}; {len(problems)} tensors:\n"
        f"  {shown}"
    )


def _named(problem: str, theirs: Mapping[str, str]) -> str:
    """Put the source's own name of a tensor before a line about it."""
    name = theirs.get(problem.partition(": ")[0])
    return f"{name} = {problem}" if name else problem


def _problems(one: Contents) -> list[str]:
    found: list[str] = []
    there = {part_of(name) for name in one.tensors} | {"encoder"}
    there |= {"label_heads"} if one.layers else set()
    for part in BEGINNINGS:
        if part not in there:
            continue
        expected = shapes(one.config, part, one.layers)
        own = {name: tensor for name, tensor in one.tensors.items() if part_of(name) == part}
        for name in sorted(expected.keys() - own.keys()):
            found.append(f"{name}: missing, expected {_shown(expected[name])}")
        for name in sorted(own.keys() - expected.keys()):
            found.append(f"{name}: unknown to the {PARTS[part]} of this shape")
        for name in sorted(own.keys() & expected.keys()):
            if not _fits(own[name].shape, expected[name]):
                found.append(
                    f"{name}: {_shown(own[name].shape)}, expected {_shown(expected[name])}"
                )
    return found


def shapes(
    config: EncoderConfig, part: str, layers: Mapping[str, tuple[str, ...]]
) -> dict[str, Shape]:
    """Return name → shape of all tensors of a part."""
    if part == "label_heads":
        return {
            f"tags.{name}.{kind}": shape
            for name, labels in layers.items()
            for kind, shape in (
                ("weight", (len(labels), config.embedding_width)),
                ("bias", (len(labels),)),
            )
        }
    if part in {"classifier", "span_head"}:
        head = "classifier" if part == "classifier" else "qa_outputs"
        # A task's head may read several states at once, as that of pairs of spans does.
        return {f"{head}.weight": (None, None), f"{head}.bias": (None,)}
    return dict(_built(config, part))


class _NoValues(TorchFunctionMode):
    """Modules are built without their first values; drawing them imports much of torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return func(*args, **(kwargs or {}))


def _built(config: EncoderConfig, part: str) -> Iterator[tuple[str, Shape]]:
    with torch.device("meta"), _NoValues():
        module: nn.Module
        if part == "encoder":
            prefix, module = "bert.", Encoder(config.padded)  # folders have all layers alike
        elif part == "pooler":
            prefix, module = "bert.pooler.", Pooler(config)
        elif part == "mlm_head":
            prefix, module = "cls.", MaskedLmHead(config)
        elif part == "pair_head":
            prefix, module = "cls.seq_relationship.", nn.Linear(config.hidden_size, 2)
        else:
            prefix, module = "discriminator_predictions.", Discriminate(config)
    for name, tensor in module.state_dict().items():
        yield prefix + name, tuple(tensor.shape)


def measured(tensors: Mapping[str, Stored]) -> dict[str, int]:
    """Read the numbers of a configuration off the tensors themselves, as far as they tell.

    Args:
        tensors: under our names.
    """
    numbers: dict[str, int] = {}
    words = tensors.get("bert.embeddings.word_embeddings.weight")
    if words is not None and len(words.shape) == 2:
        numbers["vocab_size"], numbers["embedding_size"] = words.shape
    positions = tensors.get("bert.embeddings.position_embeddings.weight")
    if positions is not None and positions.shape:
        numbers["max_position_embeddings"] = positions.shape[0]
    segments = tensors.get("bert.embeddings.token_type_embeddings.weight")
    numbers["type_vocab_size"] = segments.shape[0] if segments is not None else 0
    wide = tensors.get("bert.encoder.layer.0.intermediate.dense.weight")
    if wide is not None and len(wide.shape) == 2:
        numbers["intermediate_size"], numbers["hidden_size"] = wide.shape
    start = "bert.encoder.layer."
    layers = {name.removeprefix(start).split(".")[0] for name in tensors if name.startswith(start)}
    numbers["num_hidden_layers"] = len(layers)
    return numbers


def _why(contents: Contents) -> str:
    """Say which numbers of the configuration the weights contradict."""
    config = contents.config
    stated = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "embedding_size": config.embedding_width,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
    }
    if not config.family.shares_layers:
        stated["num_hidden_layers"] = config.num_hidden_layers
    found = measured(contents.tensors)
    other = {k: found[k] for k in stated if found.get(k, stated[k]) != stated[k]}
    if not other:
        return ""
    text = ", ".join(f"{key} {stated[key]}, by its weights {value}" for key, value in other.items())
    hidden = other.get("hidden_size")
    if config.family.discriminates and hidden is not None:
        if hidden * 4 == config.hidden_size:
            text += "; these are a generator's weights with its discriminator's configuration: "
            text += "give it the generator's config.json"
        elif hidden == config.hidden_size * 4:
            text += "; these are a discriminator's weights with its generator's configuration: "
            text += "give it the discriminator's config.json"
    return f" ({text})"


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        wanted in {None, length} for length, wanted in zip(shape, expected, strict=True)
    )


def _shown(shape: Shape) -> str:
    return "[" + ", ".join("any" if n is None else str(n) for n in shape) + "]"
