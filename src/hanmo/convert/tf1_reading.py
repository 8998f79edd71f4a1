"""TensorFlow 1 checkpoints as contents: which layout, which configuration, which names.

contents, layout = read_tf1(Path("chinese_L-12_H-768_A-12"))
"""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from numpy.typing import NDArray

from hanmo.convert.contents import GENERATOR, Contents, Stored
from hanmo.convert.folders import own_entries
from hanmo.convert.names import OWN, STEP, Layout, Rules, layouts
from hanmo.convert.shapes import measured
from hanmo.convert.tf1.bundle import Bundle, find_prefix
from hanmo.convert.tf1_configs import (
    config_files,
    encoder_config,
    generator_config,
    tokenizer_flags,
)
from hanmo.convert.vocabulary import read_vocabulary
from hanmo.core.errors import UserError, nearest

# Endings of an optimiser's slots → ours. Google's programs have the first two, for LAMB as well;
# TensorFlow's own Adam the others.
_SLOTS: Mapping[str, str] = {
    "/adam_m": "m",
    "/adam_v": "v",
    "/Adam": "m",
    "/Adam_1": "v",
}
# Scalars of training programs that no model needs.
_SCALARS = frozenset(
    {"beta1_power", "beta2_power", "loss_scale", "current_loss_scale", "good_steps"}
)
_SEGMENTS = "bert.embeddings.token_type_embeddings.weight"


def read_tf1(
    path: Path,
    *,
    config: Path | None = None,
    layout: str | None = None,
    ignore: Sequence[str] = (),
) -> tuple[Contents, Layout]:
    """Read a checkpoint of TensorFlow 1.

    Args:
        path: its folder, its prefix, or one of its files.
        config: its configuration; by default the JSON file beside it.
        layout: name of the layout; by default the variables tell it.
        ignore: variables to leave out, as patterns with `*`.

    Raises:
        UserError: no checkpoint, a damaged one, an unknown layout, no configuration and none that
            the shapes tell, or variables that no rule knows: all of them listed.
    """
    prefix = find_prefix(path)
    bundle = Bundle(prefix)
    variables, slots, notes = _sorted_out(bundle, ignore)
    known = _layout(variables, prefix, layout)
    if known.adapt is not None:
        variables = known.adapt(variables)
        notes.append(f"read as {known.title}: shared weights are multiplied out and copied")
    files = config_files(prefix, known)
    alone = _is_lone_generator(variables, known)
    if config is not None:
        files["generator" if alone else ""] = config
    first = Rules.of(known.rules, layers=1).renamed(variables)
    generator, raw_generator = generator_config(variables, known, files, notes, measured(first))
    if alone:
        assert generator is not None
        encoder, raw = generator, raw_generator
        generator, raw_generator = None, {}
    else:
        encoder, raw = encoder_config(first, known, files, notes, prefix)
    depth = max(encoder.num_distinct_layers, generator.num_distinct_layers if generator else 0)
    rules = Rules.of(known.rules, layers=depth)
    tensors = _named(variables, rules, prefix)
    if alone:
        tensors = {name.removeprefix(GENERATOR): tensor for name, tensor in tensors.items()}
    elif generator is not None and known.shares_embeddings:
        tensors = _with_shared(tensors)
    if not encoder.family.segments:
        _require_zero(tensors.pop(_SEGMENTS, None), prefix)
    named_slots = _named_slots(slots, rules, notes)
    if alone:
        named_slots = {name.removeprefix(GENERATOR): t for name, t in named_slots.items()}
    file = files.get("generator" if alone else "")
    layers, _ = own_entries(raw, file or prefix)
    if not raw.get("hanmo"):
        layers = dict(known.layers)
    absent = [name for name in layers if f"tags.{name}.weight" not in tensors]
    if absent and raw.get("hanmo"):
        notes.append(f"its configuration lists label heads ({', '.join(absent)}); none is there")
    layers = {name: labels for name, labels in layers.items() if name not in absent}
    if absent and raw:
        raw = {**raw, "hanmo": {**raw.get("hanmo", {}), "layers": _plain(layers)}}
    contents = Contents(
        encoder,
        tensors,
        generator=generator,
        layers=layers,
        raw=raw,
        raw_generator=raw_generator,
        slots=named_slots,
        step=next((_stored(bundle, name) for name in bundle.names if _is_step(name)), None),
        vocabulary=read_vocabulary(prefix.parent),
        flags=tokenizer_flags(file),
        notes=tuple(notes),
        theirs={rule.ours: rule.theirs for rule in rules.flat},
    )
    return contents, known


def _plain(layers: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(labels) for name, labels in layers.items()}


def _is_lone_generator(variables: Mapping[str, Stored], layout: Layout) -> bool:
    """Whether an ELECTRA's checkpoint holds its generator alone."""
    starts = {name.partition("/encoder/")[0] for name in variables if "/encoder/" in name}
    return layout.shares_embeddings and starts == {"generator"}


def _sorted_out(
    bundle: Bundle, ignore: Sequence[str]
) -> tuple[dict[str, Stored], dict[str, Stored], list[str]]:
    """Tell weights from an optimiser's moments; leave out what was asked to be."""
    variables: dict[str, Stored] = {}
    slots: dict[str, Stored] = {}
    left, notes = [], []
    for name in bundle.names:
        if _is_step(name):
            continue
        if name in _SCALARS or any(fnmatch.fnmatchcase(name, pattern) for pattern in ignore):
            left.append(name)
            continue
        stored = _stored(bundle, name)
        ending = next((end for end in _SLOTS if name.endswith(end)), None)
        if ending is None:
            variables[name] = stored
        else:
            slots[f"{name.removesuffix(ending)}/{_SLOTS[ending]}"] = stored
    if left:
        notes.append(f"left out: {', '.join(left)}")
    return variables, slots, notes


def _is_step(name: str) -> bool:
    return name.rpartition("/")[2] == STEP  # LERT's program makes it within a scope


def _stored(bundle: Bundle, name: str) -> Stored:
    entry = bundle.entry(name)
    if entry.dtype is None:
        raise UserError(
            f"{bundle.prefix}: {name} is of type {entry.type_name}, no numbers; leave it out with "
            f"--ignore '{name}'"
        )
    return Stored(entry.shape, entry.dtype, lambda: _read(bundle, name))


def _read(bundle: Bundle, name: str) -> NDArray:
    """Read a tensor; the pages of the one before are given back."""
    bundle.let_go()
    return bundle.read(name)


def _layout(names: Iterable[str], prefix: Path, asked: str | None) -> Layout:
    """Return the layout that was asked for, or whose marks are there and are the most."""
    known = layouts()
    if asked is not None:
        if asked not in known:
            shown = [name.replace("_", "-") for name in known]
            raise UserError(f"--layout: no {asked!r}{nearest(asked.replace('_', '-'), shown)}")
        return known[asked]
    there = set(names)
    fitting = [layout for layout in known.values() if there.issuperset(layout.marks)]
    if not fitting:
        some = ", ".join(sorted(there)[:5])
        raise UserError(
            f"{prefix}: of no known layout ({', '.join(known)}); its first variables: {some}; "
            "give a layout with --layout, or say what program made it"
        )

    def likeness(one: Layout) -> tuple[int, bool, bool, bool]:
        # A LERT without its heads has BERT's variables: its configuration's name tells it.
        named = (prefix.parent / one.configs[0]).is_file()
        return len(one.marks), bool(there.intersection(one.tells)), named, not one.tells

    return max(fitting, key=likeness)


def _named(variables: Mapping[str, Stored], rules: Rules, prefix: Path) -> dict[str, Stored]:
    """Give variables our names.

    Raises:
        UserError: variables that no rule knows.
    """
    own = {n.removeprefix(OWN): t for n, t in variables.items() if n.startswith(OWN)}
    known = {rule.theirs for rule in rules.flat}
    unknown = [n for n in variables if n not in known and not n.startswith(OWN)]
    if unknown:
        listed = "\n  ".join(f"{name} {list(variables[name].shape)}" for name in unknown)
        raise UserError(
            f"{prefix}: {len(unknown)} variables that belong to no part of such a model; leave "
            f"them out with --ignore PATTERN, or give another configuration:\n  {listed}"
        )
    return {**rules.renamed(variables), **own}


def _named_slots(slots: Mapping[str, Stored], rules: Rules, notes: list[str]) -> dict[str, Stored]:
    named, left = {}, []
    by_name = {rule.theirs: rule for rule in rules.flat}
    for key, stored in slots.items():
        theirs, _, kind = key.rpartition("/")
        rule = by_name.get(theirs)
        if theirs.startswith(OWN):
            named[f"{theirs.removeprefix(OWN)}/{kind}"] = stored
        elif rule is None:
            left.append(key)
        else:
            named[f"{rule.ours}/{kind}"] = stored.transposed if rule.turned else stored
    if left:
        notes.append(f"optimiser's state of unknown variables left out: {', '.join(left)}")
    return named


def _with_shared(tensors: dict[str, Stored]) -> dict[str, Stored]:
    """Give a generator the discriminator's embeddings, unless it has its own."""
    shared = {
        f"{GENERATOR}{name}": tensor
        for name, tensor in tensors.items()
        if name.startswith("bert.embeddings.")
    }
    return {**shared, **tensors}


def _require_zero(segments: Stored | None, prefix: Path) -> None:
    if segments is not None and segments.read().any():
        raise UserError(
            f"{prefix}: its configuration is a DistilBERT's, which tells no segments apart, but "
            "its token_type_embeddings are not zero; convert it as a BERT: give a "
            "bert_config.json of its numbers with --model-config"
        )
