"""Contents as TensorFlow 1 checkpoints, as upstream's programs read them.

    layout, notes = write_tf1(contents, Path("copy"))

Variables that no upstream program has (heads of hanmo's own) are written under "hanmo/"; upstream
programs pass over them. The configuration of a model that hanmo wrote stands whole under "hanmo" in
the JSON file, so that it comes back as it was.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hanmo.convert.contents import GENERATOR, Contents, Stored
from hanmo.convert.forms import PARTS
from hanmo.convert.names import OWN, STEP, Layout, Rules, layouts
from hanmo.convert.shapes import part_of
from hanmo.convert.tf1.writer import TensorSource, write_bundle
from hanmo.convert.tf1_configs import GENERATOR_CONFIG, their_config
from hanmo.core.files import write_atomic, write_json
from hanmo.model.families import FAMILIES
from hanmo.text.vocab import VOCAB_FILE

_EPSILON = 1e-12  # of tf.contrib.layers.layer_norm (facts/05)


def write_tf1(
    contents: Contents, folder: Path, *, optimizer: bool = False
) -> tuple[Layout, list[str]]:
    """Write a checkpoint as upstream's programs read it, with its configuration and vocabulary.

    Args:
        contents: the checkpoint.
        folder: made if absent.
        optimizer: write Adam's moments and the step too.

    Returns:
        The layout, and notes on what upstream's program would not see or compute otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layout = _layout_for(contents)
    rules = _rules(layout, contents)
    variables: dict[str, Stored] = {}
    alone = is_lone_generator(contents)
    tensors = dict(contents.tensors)
    if alone:
        tensors = {_in_checkpoint(name): tensor for name, tensor in tensors.items()}
    elif layout.shares_embeddings and contents.generator is not None:
        tensors = _without_shared(tensors)
    for name, tensor in tensors.items():
        theirs, stored = _there(name, tensor, rules)
        variables[theirs] = stored
    notes = _apart(tensors, rules, layout)
    if not contents.config.family.segments:
        shape = (2, contents.config.embedding_width)
        variables["bert/embeddings/token_type_embeddings"] = Stored.of(np.zeros(shape, np.float32))
    if optimizer:
        for name, tensor in contents.slots.items():
            parameter, _, kind = name.rpartition("/")
            parameter = _in_checkpoint(parameter) if alone else parameter
            theirs, stored = _there(parameter, tensor, rules)
            variables[f"{theirs}/adam_{kind}"] = stored
    if contents.step is not None:
        variables[STEP] = Stored.of(contents.step.read().astype(np.int64))
    write_bundle(
        folder / layout.checkpoint,
        [
            TensorSource(name, tensor.dtype, tensor.shape, tensor.read)
            for name, tensor in sorted(variables.items(), key=lambda item: item[0].encode())
        ],
    )
    notes += _write_configs(contents, layout, folder)
    if contents.vocabulary is not None:
        write_atomic(folder / VOCAB_FILE, contents.vocabulary)
    if contents.flags:
        shown = ", ".join(f"{name} {value}" for name, value in contents.flags.items())
        notes.append(f"its tokenizer has {shown}: tell upstream's program the same")
    return layout, notes


def is_lone_generator(contents: Contents) -> bool:
    """Whether this is an ELECTRA's generator without its discriminator."""
    parts = {part_of(name) for name in contents.tensors}
    one = contents.config.family.discriminates and contents.generator is None
    return one and "mlm_head" in parts and "replaced_head" not in parts


def _in_checkpoint(name: str) -> str:
    """Name a lone generator's tensor as in a checkpoint of both, whose embeddings are shared."""
    return name if name.startswith("bert.embeddings.") else f"{GENERATOR}{name}"


def _rules(layout: Layout, contents: Contents) -> Rules:
    """Return the layout's renames, but for heads that its program computes otherwise."""
    rules = layout.rules
    if contents.config.family.pooler != FAMILIES[layout.family].pooler:
        otherwise = {"pooler", "classifier"}
        rules = tuple(rule for rule in rules if part_of(rule.ours) not in otherwise)
    return Rules.of(rules, layers=_depth(contents))


def _apart(tensors: Mapping[str, Stored], rules: Rules, layout: Layout) -> list[str]:
    """Say which parts upstream's program has no names for."""
    parts = {part_of(n.removeprefix(GENERATOR)) for n in tensors if n not in rules.by_ours}
    if not parts:
        return []
    shown = ", ".join(title for part, title in PARTS.items() if part in parts)
    return [f"{shown}: under hanmo/ in the checkpoint, which {layout.title}'s programs pass over"]


def _without_shared(tensors: dict[str, Stored]) -> dict[str, Stored]:
    """Leave out a generator's embeddings where they are the discriminator's, all of them."""
    own = [name for name in tensors if name.startswith(f"{GENERATOR}bert.embeddings.")]
    pairs = [(tensors[name], tensors.get(name.removeprefix(GENERATOR))) for name in own]
    same = all(
        two is not None and one.shape == two.shape and np.array_equal(one.read(), two.read())
        for one, two in pairs
    )
    return {name: t for name, t in tensors.items() if name not in own} if same else tensors


def _depth(contents: Contents) -> int:
    second = contents.generator
    return max(contents.config.num_distinct_layers, second.num_distinct_layers if second else 0)


def _layout_for(contents: Contents) -> Layout:
    """Return the layout that has a place for most of the tensors, and for its labels."""
    family = contents.config.model_type
    wanted = family if FAMILIES[family].segments else "bert"
    fitting = [
        one
        for one in layouts().values()
        if one.family == wanted
        and one.adapt is None
        and (not one.layers or (contents.layers and _published(contents, one)))
    ]
    places = [
        sum(rule.ours in contents.tensors for rule in Rules.of(one.rules, layers=1).flat)
        for one in fitting
    ]
    return fitting[int(np.argmax(places))]


def _published(contents: Contents, layout: Layout) -> bool:
    """Whether the label heads are the published ones, row by row."""
    return all(layout.layers.get(name) == tags for name, tags in contents.layers.items())


def _there(name: str, tensor: Stored, rules: Rules) -> tuple[str, Stored]:
    rule = rules.by_ours.get(name)
    if rule is None:
        return f"{OWN}{name}", tensor
    return rule.theirs, tensor.transposed if rule.turned else tensor


def _write_configs(contents: Contents, layout: Layout, folder: Path) -> list[str]:
    """Write the JSON files; returns a warning about the activation, if there is need."""
    warning = []
    name = GENERATOR_CONFIG if is_lone_generator(contents) else layout.configs[0]
    halves = [(contents.half("discriminator"), name)]
    if contents.generator is not None:
        halves.append((contents.half("generator"), GENERATOR_CONFIG))
    for half, name in halves:
        act, computable = layout.activation_there(half.config.hidden_act)
        if not computable:
            warning = [
                f"{layout.title}'s own program computes another form of GELU than this model's "
                f"({half.config.hidden_act}): its outputs there differ by up to some 1e-3"
            ]
        if half.config.layer_norm_eps != _EPSILON:
            warning.append(
                f"{layout.title}'s own program normalises with an epsilon of {_EPSILON}, this "
                f"model with {half.config.layer_norm_eps}"
            )
        write_json(folder / name, their_config(half, act))
    return warning
