"""Model folders of PaddleNLP, both ways: BERT's and ELECTRA's, for users of PaddleHub.

write_paddle(contents, Path("chinese-lert-base-paddle"))

model_state.pdparams   the parameters
config.json            for today's PaddleNLP; model_config.json for those before version 2.5
vocab.txt, tokenizer_config.json
heads.safetensors      what PaddleNLP has no place for: linguistic heads, hanmo's own
generator/             of an ELECTRA
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.convert.contents import GENERATOR, Contents, Stored
from hanmo.convert.folders import hub_config
from hanmo.convert.names import Rules
from hanmo.convert.paddle_names import CLASSES, RULES, TIED
from hanmo.convert.pdparams import read_parameters, write_parameters
from hanmo.convert.weights_file import read_weights, write_weights
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.model.checkpoint import CONFIG, HEADS
from hanmo.model.config import read_config
from hanmo.text.vocab import VOCAB_FILE

PARAMETERS = "model_state.pdparams"
_OLD_CONFIG = "model_config.json"
# Arguments of PaddleNLP's models before version 2.5.
_ARGUMENTS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("max_position_embeddings", "type_vocab_size", "initializer_range", "pad_token_id"),
)


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
    rules = Rules.of(RULES[family], layers=one.config.num_hidden_layers)
    named: dict[str, Stored] = {}
    heads: dict[str, Stored] = {}
    for name, tensor in sorted(one.tensors.items()):
        rule = rules.by_ours.get(name)
        if rule is None:
            heads[name] = tensor
        else:
            named[rule.theirs] = tensor.transposed if rule.turned else tensor
    if "cls.predictions.bias" in one.tensors and family == "bert":
        named |= {theirs: one.tensors[ours] for theirs, ours in TIED.items()}
    write_parameters(folder / PARAMETERS, named)
    if heads:
        write_weights(folder / HEADS, heads)
    raw = hub_config(one)
    base = CLASSES[f"{one.config.family.title}Model"]
    kind = CLASSES.get((raw.get("architectures") or [""])[0], base)
    own = {**raw.get("hanmo", {}), **({"config": dict(one.raw)} if one.raw else {})}
    write_json(folder / CONFIG, {**raw, "architectures": [kind], "hanmo": own})
    write_json(folder / _OLD_CONFIG, _old_config(one, kind, base))
    if contents.vocabulary is not None:
        write_atomic(folder / VOCAB_FILE, contents.vocabulary)
        tokenizer = f"{one.config.family.title}Tokenizer"
        write_json(
            folder / "tokenizer_config.json", {"do_lower_case": True, "init_class": tokenizer}
        )
    if contents.generator is not None:
        write_paddle(contents.half("generator"), folder / "generator")
    if one.config.hidden_act not in {"gelu", "relu"}:
        return (
            f"PaddleNLP before 2.5 has no activation {one.config.hidden_act}; its gelu is the erf "
            "form, with which outputs differ by up to some 1e-3"
        )
    return ""


def read_paddle(folder: Path) -> Contents:
    """Read a folder of PaddleNLP.

    Raises:
        UserError: no configuration, a damaged file, or parameters that no rule knows.
    """
    config = read_config(folder / CONFIG)
    raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config.model_type not in RULES:
        raise UserError(f"{folder}: a {config.model_type}; expected {' or '.join(RULES)}")
    stored = read_parameters(folder / PARAMETERS)
    rules = Rules.of(RULES[config.model_type], layers=config.num_hidden_layers)
    known = {rule.theirs for rule in rules.flat} | TIED.keys()
    unknown = sorted(stored.keys() - known)
    if unknown:
        raise UserError(
            f"{folder / PARAMETERS}: {len(unknown)} parameters that belong to no part of such a "
            f"model: {', '.join(unknown)}"
        )
    tensors = rules.renamed(stored)
    if (folder / HEADS).is_file():
        tensors |= read_weights(folder / HEADS)
    own = raw.get("hanmo", {}) if isinstance(raw.get("hanmo"), dict) else {}
    before: Mapping[str, Any] = own.get("config", {})
    layers = (before.get("hanmo") or own).get("layers", {})
    vocabulary = folder / VOCAB_FILE
    contents = Contents(
        config,
        tensors,
        layers={name: tuple(labels) for name, labels in layers.items()},
        raw=before,
        vocabulary=vocabulary.read_bytes() if vocabulary.is_file() else None,
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


def _old_config(one: Contents, kind: str, base: str) -> dict[str, Any]:
    numbers = dataclasses.asdict(one.config)
    arguments = {name: numbers[name] for name in _ARGUMENTS}
    if one.config.family.factorised:
        arguments["embedding_size"] = one.config.embedding_width
    inner = {**arguments, "init_class": base}
    return inner if kind == base else {"init_args": [inner], "init_class": kind}
