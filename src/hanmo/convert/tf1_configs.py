"""Configurations of TensorFlow 1 checkpoints: found, read in upstream's words, guessed, written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.convert.contents import Contents, Stored
from hanmo.convert.folders import hub_config
from hanmo.convert.git_lfs import refuse_pointer
from hanmo.convert.names import Layout
from hanmo.convert.shapes import measured
from hanmo.core.errors import UserError
from hanmo.model.config import EncoderConfig, config_of, read_raw_config
from hanmo.model.families import FAMILIES

GENERATOR_CONFIG = "generator_config.json"
_OF_EMBEDDINGS = ("vocab_size", "max_position_embeddings", "type_vocab_size", "embedding_size")


def config_files(prefix: Path, layout: Layout) -> dict[str, Path]:
    """Find configurations beside a checkpoint: "" → the model's, "generator" → its generator's."""
    files = sorted(prefix.parent.glob("*.json"))
    generators = [path for path in files if "generator" in path.name]
    others = [path for path in files if path not in generators]
    found = {}
    wanted = [path for name in layout.configs for path in others if path.name == name]
    wanted += [p for p in others if "discriminator" in p.name] + [
        p for p in others if "config" in p.name
    ]
    if wanted:
        found[""] = wanted[0]
    if generators:
        found["generator"] = generators[0]
    return found


def encoder_config(
    tensors: Mapping[str, Stored],
    layout: Layout,
    files: Mapping[str, Path],
    notes: list[str],
    prefix: Path,
) -> tuple[EncoderConfig, dict[str, Any]]:
    """Return a model's configuration, and hanmo's own `config.json` if it stands in the file.

    Args:
        tensors: under our names; where no file is there their shapes are measured.
        layout: the checkpoint's.
        files: as `config_files` returns them.
        notes: gets what was assumed.
        prefix: the checkpoint, for messages.

    Raises:
        UserError: a file that is no such configuration; none, and shapes that do not tell.
    """
    if "" in files:
        return _read_config(files[""], layout)
    found = measured(tensors)
    config = _guessed(found, layout, f"{prefix}: no configuration beside it")
    notes.append(_assumed(config))
    return config, {}


def generator_config(
    variables: Mapping[str, Stored],
    layout: Layout,
    files: Mapping[str, Path],
    notes: list[str],
    shared: Mapping[str, int],
) -> tuple[EncoderConfig | None, dict[str, Any]]:
    """Return the configuration of an ELECTRA's generator, if its weights are there.

    Args:
        variables: under their own names.
        layout: the checkpoint's.
        files: as `config_files` returns them.
        notes: gets what was assumed.
        shared: what the shared embeddings tell, as `measured` returns it.
    """
    start = "generator/encoder/layer_0/"
    if not any(name.startswith(start) for name in variables):
        return None, {}
    if "generator" in files:
        return _read_config(files["generator"], layout)
    wide = variables[f"{start}intermediate/dense/kernel"].shape  # [Hg, F]
    layers = {n.split("/")[2] for n in variables if n.startswith("generator/encoder/layer_")}
    config = _guessed(
        {
            **{key: shared[key] for key in _OF_EMBEDDINGS if key in shared},
            "hidden_size": wide[0],
            "intermediate_size": wide[1],
            "num_hidden_layers": len(layers),
        },
        layout,
        "the generator: no configuration beside it",
        GENERATOR_CONFIG,
    )
    notes.append(f"generator: {_assumed(config)}")
    return config, {}


def _guessed(
    found: Mapping[str, int], layout: Layout, where: str, name: str | None = None
) -> EncoderConfig:
    """Make a configuration of the tensors' shapes; heads are 64 wide, as published models' are."""
    missing = {"vocab_size", "hidden_size", "intermediate_size"} - found.keys()
    hidden = found.get("hidden_size", 0)
    shared = FAMILIES[layout.family].shares_layers or layout.adapt is not None
    if missing or shared or hidden % 64:
        raise UserError(
            f"{where}, and its shapes do not tell the numbers of layers and of attention heads; "
            f"put its {name or layout.configs[0]} there"
            + ("" if name else ", or give it with --model-config")
        )
    act = layout.activation("gelu")
    numbers: dict[str, Any] = {**found, "num_attention_heads": max(1, hidden // 64)}
    if not FAMILIES[layout.family].factorised:
        numbers.pop("embedding_size", None)
    return EncoderConfig(**numbers, hidden_act=act, model_type=layout.family)


def _assumed(config: EncoderConfig) -> str:
    return (
        "no configuration beside it: taken from the shapes "
        f"({config.num_hidden_layers} layers of {config.hidden_size}), with "
        f"{config.num_attention_heads} attention heads (64 wide) and {config.hidden_act}"
    )


def _read_config(path: Path, layout: Layout) -> tuple[EncoderConfig, dict[str, Any]]:
    """Read a configuration, in the words of the layout's program or with hanmo's own in it."""
    refuse_pointer(path)
    raw = read_raw_config(path)
    own = raw.get("hanmo")
    if isinstance(own, dict) and isinstance(own.get("config"), dict):
        return config_of(own["config"], path), own["config"]
    if raw.get("model_type", layout.family) != layout.family:
        raise UserError(
            f"{path}: of a {raw['model_type']}, but the checkpoint has the variables of "
            f"{layout.title}; give its own configuration with --model-config"
        )
    act = raw.get("hidden_act", "gelu")
    if "model_type" not in raw:  # upstream's own file, not one of transformers'
        act = layout.activation(act)
    numbers = {**raw, "model_type": layout.family, "hidden_act": act}
    if not FAMILIES[layout.family].factorised:  # albert_zh: what was narrow is multiplied out
        numbers.pop("embedding_size", None)
    # One of transformers' files stays as it is.
    return config_of(numbers, path), raw if "architectures" in raw else {}


def their_config(half: Contents, act: str) -> dict[str, Any]:
    """Return a configuration in upstream's words.

    Args:
        half: a model; its `config.json` is kept under "hanmo".
        act: its activation as upstream calls it.
    """
    config = half.config
    numbers: dict[str, Any] = {
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        "directionality": "bidi",
        "hidden_act": act,
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "hidden_size": config.hidden_size,
        "initializer_range": config.initializer_range,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "type_vocab_size": config.type_vocab_size or 2,
        "vocab_size": config.vocab_size,
    }
    if config.family.factorised:
        numbers["embedding_size"] = config.embedding_width
    if config.family.shares_layers:
        numbers |= {"num_hidden_groups": 1, "inner_group_num": 1, "net_structure_type": 0}
        numbers |= {"gap_size": 0, "num_memory_blocks": 0, "down_scale_factor": 1}
    flags = {"tokenizer": dict(half.flags)} if half.flags else {}
    return numbers | {"hanmo": {"config": hub_config(half), **flags}}


def tokenizer_flags(path: Path | None) -> dict[str, Any]:
    """Return the flags of a tokenizer that stand in a configuration written by hanmo."""
    raw = {} if path is None or not path.is_file() else read_raw_config(path)
    own = raw.get("hanmo")
    flags = own.get("tokenizer", {}) if isinstance(own, dict) else {}
    return dict(flags) if isinstance(flags, dict) else {}
