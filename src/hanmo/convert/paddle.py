"""Model folders of PaddleNLP, both ways: BERT's and ELECTRA's, for users of PaddleHub.

write_paddle(contents, Path("chinese-lert-base-paddle"))

model_state.pdparams   the parameters; PaddleNLP can write them as model.safetensors, too
config.json            model_config.json in versions before 2.4.6 (BERT) and 2.6 (ELECTRA)
vocab.txt, tokenizer_config.json
heads.safetensors      what PaddleNLP has no place for: linguistic heads, hanmo's own
generator/             of an ELECTRA
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.convert.contents import GENERATOR, Contents, Stored
from hanmo.convert.folders import architecture, hub_config, named_class, own_entries
from hanmo.convert.names import Rules
from hanmo.convert.paddle_names import CLASSES, COPIES, HEADS, RULES
from hanmo.convert.pdparams import as_bfloat16, read_parameters, write_parameters
from hanmo.convert.shapes import part_of
from hanmo.convert.vocabulary import TOKENIZER_CONFIG, read_flags, read_vocabulary
from hanmo.convert.weights_file import read_weights, write_weights
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.model.checkpoint import CONFIG, WEIGHTS
from hanmo.model.checkpoint import HEADS as HEADS_FILE
from hanmo.model.config import EncoderConfig, config_of, read_raw_config
from hanmo.text.vocab import VOCAB_FILE

PARAMETERS = "model_state.pdparams"
OLD_CONFIG = "model_config.json"
# Arguments of PaddleNLP's models before there was config.json.
_ARGUMENTS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("max_position_embeddings", "type_vocab_size", "initializer_range", "pad_token_id"),
)
# Entries of its config.json that are kept: what the outputs of a task's head are called.
_LABELS = ("id2label", "label2id", "num_labels", "classifier_dropout")


def write_paddle(contents: Contents, folder: Path) -> str:
    """Write a folder that PaddleNLP opens.

    Args:
        contents: a BERT or an ELECTRA.
        folder: made if absent.

    Returns:
        A warning about what it computes otherwise ("": none).

    Raises:
        UserError: another family.
    """
    family = contents.config.model_type
    if family not in RULES:
        raise UserError(
            f"--to paddle: a model of the family {family}; PaddleNLP's names are known for "
            f"{' and '.join(RULES)} alone"
        )
    folder.mkdir(parents=True, exist_ok=True)
    one = contents.half("discriminator")
    kind = class_of(one)
    rules = _rules(one.config, kind)
    named: dict[str, Stored] = {}
    heads: dict[str, Stored] = {}
    for name, tensor in sorted(one.tensors.items()):
        rule = rules.by_ours.get(name)
        if rule is None:
            heads[name] = tensor
        else:
            named[rule.theirs] = tensor.transposed if rule.turned else tensor
    if "cls.predictions.decoder_bias" in named:
        named |= {copy: named[original] for copy, original in COPIES.items()}
    write_parameters(folder / PARAMETERS, named)
    if heads:
        write_weights(folder / HEADS_FILE, heads)
    known, warning = _activation(one.config)
    shown = dataclasses.replace(one, config=dataclasses.replace(one.config, hidden_act=known))
    raw, tokenizer = hub_config(one), f"{one.config.family.title}Tokenizer"
    theirs = {"architectures": [kind], "hidden_act": known, "tokenizer_class": tokenizer}
    write_json(folder / CONFIG, {**raw, **theirs, "hanmo": {"config": raw}})
    write_json(folder / OLD_CONFIG, _old_config(shown, kind))
    if contents.vocabulary is not None:
        write_atomic(folder / VOCAB_FILE, contents.vocabulary)
        write_json(
            folder / TOKENIZER_CONFIG,
            {"do_lower_case": True, "init_class": tokenizer, **contents.flags},
        )
    if contents.generator is not None:
        write_paddle(contents.half("generator"), folder / "generator")
    return warning


def class_of(one: Contents) -> str:
    """Return the class of PaddleNLP that opens a model with its heads."""
    named = named_class(hub_config(one))
    if named in CLASSES:
        return CLASSES[named]
    made = architecture({part_of(name) for name in one.tensors})
    return CLASSES[made.replace("Bert", one.config.family.title, 1)]


def is_paddle(names: Iterable[str]) -> bool:
    """Whether tensors of these names are PaddleNLP's: its layers are Paddle's own."""
    return any(name.endswith("encoder.layers.0.self_attn.q_proj.weight") for name in names)


def read_paddle(
    folder: Path, *, file: Path | None = None, config_file: Path | None = None
) -> Contents:
    """Read a folder of PaddleNLP.

    Args:
        folder: the folder.
        file: the file of its parameters; by default the one in it.
        config_file: its configuration; by default the one in it.

    Raises:
        UserError: no configuration, a damaged file, parameters that no rule knows, or an output
            matrix of its own where hanmo's heads use the embeddings.
    """
    path = config_file or _config_in(folder)
    raw = _configuration(path)
    own = raw.get("hanmo")
    ours: Mapping[str, Any] = own.get("config", {}) if isinstance(own, dict) else {}
    if not isinstance(ours, dict):
        raise UserError(f'{path}: "hanmo" holds no configuration; expected one, or no such entry')
    # PaddleNLP keeps entries that it does not know; a model that it has trained and saved since has
    # other heads and another activation. Its own files tell its version.
    before = {} if "paddlenlp_version" in raw else ours
    config = config_of(before or raw, path)
    if config.model_type not in RULES:
        raise UserError(f"{path}: a {config.model_type}; expected {' or '.join(RULES)}")
    file = file or _parameters(folder)
    stored = _prefixed(_stored(file), config.family.prefix)
    kind, notes = _kind(raw, stored, config)
    rules = _rules(config, kind)
    _check(stored, rules, file)
    tensors = rules.renamed(stored)
    layers: dict[str, tuple[str, ...]] = {}
    _, step = own_entries(before, path)
    if (folder / HEADS_FILE).is_file():
        tensors |= read_weights(folder / HEADS_FILE)
        layers, _ = own_entries(ours, path)
    if raw.get("pool_act", "tanh") != "tanh" and "bert.pooler.dense.weight" in tensors:
        notes.append(
            f"its pooler's activation is {raw['pool_act']}; hanmo's and transformers' is tanh"
        )
    contents = Contents(
        config,
        tensors,
        layers=layers,
        step=None if step is None else Stored.of(np.array(step)),
        raw=before or _hub_entries(raw, kind, tensors),
        vocabulary=read_vocabulary(folder),
        flags=read_flags(folder),
        notes=tuple(notes),
    )
    if (folder / "generator" / CONFIG).is_file():
        second = read_paddle(folder / "generator")
        contents = dataclasses.replace(
            contents,
            generator=second.config,
            raw_generator=second.raw,
            tensors={**tensors, **{GENERATOR + n: t for n, t in second.tensors.items()}},
        )
    return contents


def _rules(config: EncoderConfig, kind: str) -> Rules:
    rules = (*RULES[config.model_type], *HEADS.get(kind, ()))
    return Rules.of(rules, layers=config.num_hidden_layers)


def _activation(config: EncoderConfig) -> tuple[str, str]:
    """Return what PaddleNLP is told, and a warning if that is not the same.

    Its layers look the name up in paddle.nn.functional, which has no tanh form under one.
    """
    if config.hidden_act in {"gelu", "relu"}:
        return config.hidden_act, ""
    return "gelu", (
        f"PaddleNLP's models have no activation {config.hidden_act}; its configuration says gelu, "
        "the erf form, with which outputs differ by up to some 1e-3"
    )


def _old_config(one: Contents, kind: str) -> dict[str, Any]:
    numbers = dataclasses.asdict(one.config)
    base = f"{one.config.family.title}Model"
    inner = {**{name: numbers[name] for name in _ARGUMENTS}, "init_class": base}
    if one.config.family.factorised:
        inner["embedding_size"] = one.config.embedding_width
    if kind == base:
        return inner
    classes = one.tensors.get("classifier.bias")
    labels = {} if classes is None or kind not in HEADS else {"num_classes": classes.shape[0]}
    return {"init_args": [inner], **labels, "init_class": kind}


def _config_in(folder: Path) -> Path:
    old = folder / OLD_CONFIG
    return old if old.is_file() and not (folder / CONFIG).is_file() else folder / CONFIG


def _configuration(path: Path) -> dict[str, Any]:
    """Return a configuration, an old one in today's form."""
    raw = read_raw_config(path)
    if "init_class" not in raw:
        return raw
    kind = str(raw["init_class"])
    if isinstance(inner := raw.get("init_args"), list) and inner and isinstance(inner[0], dict):
        raw = inner[0]
    family = "electra" if kind.startswith("Electra") else "bert"
    return {**raw, "model_type": family, "architectures": [kind]}


def _parameters(folder: Path) -> Path:
    path = folder / PARAMETERS
    return path if path.is_file() or not (folder / WEIGHTS).is_file() else folder / WEIGHTS


def _stored(path: Path) -> dict[str, Stored]:
    if path.suffix != ".safetensors":
        return read_parameters(path)
    return {name: as_bfloat16(tensor) for name, tensor in read_weights(path).items()}


def _prefixed(stored: Mapping[str, Stored], prefix: str) -> dict[str, Stored]:
    """Name an encoder's parameters as they are called in a model with a head."""
    bare = not any(name.startswith(prefix) for name in stored)
    return {f"{prefix}{name}" if bare else name: tensor for name, tensor in stored.items()}


def _kind(
    raw: Mapping[str, Any], stored: Mapping[str, Stored], config: EncoderConfig
) -> tuple[str, list[str]]:
    """Return the class, by the configuration; by the names where that has no head of a task."""
    kind = named_class(raw)
    if kind in HEADS or not any(name.startswith("classifier.") for name in stored):
        return kind, []
    of_tokens = config.family.discriminates and "classifier.weight" in stored
    made = f"{config.family.title}For{'Token' if of_tokens else 'Sequence'}Classification"
    return made, [f"its configuration names no task; taken for a {made}"]


def _check(stored: Mapping[str, Stored], rules: Rules, file: Path) -> None:
    known = {rule.theirs for rule in rules.flat} | COPIES.keys()
    unknown = sorted(stored.keys() - known)
    if unknown:
        raise UserError(
            f"{file}: {len(unknown)} parameters that belong to no part of such a model: "
            f"{', '.join(unknown)}"
        )
    for copy, original in COPIES.items():
        wanted = stored.get(original)
        if copy in stored and not (wanted is not None and stored[copy].same(wanted)):
            raise UserError(
                f"{file}: {copy} is a parameter of its own; hanmo's heads use {original} there, as "
                "the published models do"
            )


def _hub_entries(
    raw: Mapping[str, Any], kind: str, tensors: Mapping[str, Stored]
) -> dict[str, Any]:
    """Return the entries of transformers' config.json that the numbers do not tell."""
    theirs = {name: hub for hub, name in CLASSES.items()}
    found: dict[str, Any] = {key: raw[key] for key in _LABELS if key in raw}
    outputs = tensors.get("classifier.bias")
    if outputs is not None:
        found.setdefault("num_labels", outputs.shape[0])
    return found | ({"architectures": [theirs[kind]]} if kind in theirs else {})
