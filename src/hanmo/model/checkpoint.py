"""Model folders: what hanmo writes is at the same time what transformers opens.

    config.json          Hugging Face's, plus a key "hanmo" (label layers, where it came from)
    model.safetensors    weights under Hugging Face's names, tied ones once
    heads.safetensors    heads that transformers does not know (LERT's label heads), if any
    generator/           ELECTRA's, a model folder of its own
    vocab.txt, tokenizer.json, tokenizer_config.json, special_tokens_map.json

Reading takes any BERT folder: safetensors, or `pytorch_model.bin` through the weights-only
unpickler (facts/09: no pickle from outside).
"""

import dataclasses
import json
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hanmo.core.artifact import checked
from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic, write_json
from hanmo.model.config import EncoderConfig, hugging_face_config, read_config
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.families import Family
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.pruned import pad, strip, with_layers

WEIGHTS, HEADS, CONFIG = "model.safetensors", "heads.safetensors", "config.json"
OLD_WEIGHTS = "pytorch_model.bin"
WEIGHT_FILES = (WEIGHTS, OLD_WEIGHTS)
_PREFIX = "bert."
_MLM_PREFIX = "cls.predictions."
_POOLER = "bert.pooler."
# Written by transformers beside what they repeat: ending of the file's name → our name of the
# tensor that it must equal, or "" for a table of numbers 0, 1, 2 …
_WORDS = "bert.embeddings.word_embeddings.weight"
_REPEATED: Mapping[str, str] = {
    "embeddings.position_ids": "",
    "embeddings.token_type_ids": "",
    "cls.predictions.decoder.weight": _WORDS,
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "predictions.decoder.weight": _WORDS,
    "predictions.decoder.bias": "cls.predictions.bias",
    "generator_lm_head.weight": _WORDS,
    "vocab_projector.weight": _WORDS,
}
# Old names of layer normalisation, as in the first PyTorch conversions of TF checkpoints.
_OLD_NAMES = ((".gamma", ".weight"), (".beta", ".bias"))


def save_model(
    folder: Path,
    model: nn.Module,
    *,
    tokenizer: Any,
    extra: Mapping[str, Any] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    **config: Any,
) -> None:
    """Write a model folder (see the module's docstring).

    Args:
        folder: made if absent.
        model: has `encoder` and `architecture`; its state dict uses Hugging Face's names, but for
            the encoder's, which may be any. `own_heads`, if it has that, are prefixes of weights
            that transformers does not know.
        tokenizer: a `hanmo.text.tokenizer.Tokenizer`; writes its own files.
        extra: stored in `config.json` under "hanmo".
        weights: its state dict, where its parameters hold shares alone.
        config: further keys of `config.json`, such as `id2label`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    companions = _companions(model)
    whole = model.state_dict() if weights is None else weights
    own_name = _encoder_name(model)
    state = {
        _renamed(name, own_name, _PREFIX): tensor.contiguous().cpu()
        for name, tensor in whole.items()
        if not name.startswith(tuple(f"{companion}." for companion in companions))
    }
    state = pad(state, _config(model))
    family = _config(model).family
    prefixes = tuple(getattr(model, "own_heads", ()))
    heads = {name: tensor for name, tensor in state.items() if name.startswith(prefixes)}
    there = names_on_disk((n for n in state if n not in heads), family)
    known = {there[n]: tensor for n, tensor in state.items() if n in there}
    write_atomic(folder / WEIGHTS, save(known, metadata={"format": "pt"}))
    if heads:
        write_atomic(folder / HEADS, save(heads, metadata={"format": "pt"}))
    for name, companion in companions.items():
        shape = {key: value for key, value in config.items() if key.endswith("dropout_prob")}
        own = {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in whole.items()
            if key.startswith(f"{name}.")
        }
        save_model(folder / name, companion, tokenizer=tokenizer, weights=own, **shape)
    layers = {name: list(tags) for name, tags in getattr(model, "layers", {}).items()}
    encoder: Any = model.encoder
    architecture: Any = model.architecture
    own = {**({"layers": layers} if layers else {}), **(extra or {})}
    write_json(
        folder / CONFIG, hugging_face_config(encoder.config, architecture, hanmo=own, **config)
    )
    tokenizer.save(folder, max_length=encoder.config.max_position_embeddings)


def read_extra(folder: Path) -> dict[str, Any]:
    """Return what hanmo wrote of its own into `config.json`; empty for others' models."""
    read_config(folder / CONFIG)
    raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return dict(raw.get("hanmo", {}))


def random_encoder(config: EncoderConfig, *, seed: int) -> Encoder:
    """Return an encoder with BERT's random initialisation."""
    encoder = Encoder(config)
    initialise(encoder, config.initializer_range, torch.Generator().manual_seed(seed))
    return encoder


def load_encoder(folder: Path, *, dropout: float | None = None) -> Encoder:
    """Load the encoder of any BERT folder.

    Args:
        folder: hanmo's or Hugging Face's.
        dropout: overrides both dropouts of the configuration.

    Raises:
        UserError: not a model folder, or weights that are missing or of another shape.
    """
    encoder = Encoder(with_dropout(read_config(folder / CONFIG), dropout))
    state = read_weights(folder)
    _load(encoder, _encoder_weights(state), folder)
    return encoder


def load_masked_lm(folder: Path, *, dropout: float | None = None) -> MaskedLm:
    """Load encoder, MLM head and, when the folder has them, label heads.

    Raises:
        UserError: as `load_encoder`, or a folder without an MLM head.
    """
    layers = {name: tuple(tags) for name, tags in read_extra(folder).get("layers", {}).items()}
    given = read_tensors(folder)
    shape = read_config(folder / CONFIG)
    ours = our_names(given, shape.family)
    state = strip({ours[name]: tensor for name, tensor in given.items()}, shape, folder)
    for name, tensor in given.items():
        wanted = state.get(original_of(name) or "")
        if wanted is not None and not torch.equal(tensor, wanted):
            raise UserError(untied(folder, name))
    if not any(name.startswith(_MLM_PREFIX) for name in state):
        generator = folder / "generator"
        if (generator / CONFIG).is_file():
            raise UserError(
                f"{folder}: an ELECTRA discriminator, which has no masked-LM head; its generator "
                f"has one: {generator}"
            )
        raise UserError(
            f"{folder}: has no masked-LM head (no weights named {_MLM_PREFIX}…); expected a "
            "pre-trained model that kept its head, such as one made by hanmo pretrain"
        )
    model = MaskedLm(with_dropout(shape, dropout), layers=layers)
    if layers:
        state |= _read_file(folder / HEADS)
    _load(model, {n: t for n, t in state.items() if not n.startswith("bert.pooler.")}, folder)
    return model


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """Names of the model's parameters that a folder lacked, and of its weights that it left out."""

    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def load_into(
    model: nn.Module,
    folder: Path,
    *,
    layers: Sequence[int] | None = None,
    skip: tuple[str, ...] = (),
) -> Loaded:
    """Start a model from a checkpoint's weights; what the folder lacks stays as it is.

    Weights of the folder that the model lacks (a pooler, a classifier) are left out.

    Args:
        model: has `encoder`.
        folder: hanmo's or Hugging Face's.
        layers: layer i of the model starts from layer `layers[i]` of the folder; default: from i.
        skip: beginnings of names that are not taken.

    Raises:
        UserError: not a model folder, no encoder weights, or another shape.
    """
    found = _read_state(model, folder, layers)
    state = {n: t for n, t in found.items() if not n.startswith(skip)}
    wanted = model.state_dict()
    own_name = _encoder_name(model)
    fresh = sorted(wanted.keys() - state.keys())
    parts = (f"{own_name}embeddings.", f"{own_name}encoder.")
    lost = [name for name in fresh if name.startswith(parts)]
    if lost:
        raise UserError(
            f"{folder}: lacks {len(lost)} weights of the encoder, such as {lost[0]}; expected a "
            "BERT model of the shape that its config.json states"
        )
    _load(model, {**{name: wanted[name] for name in fresh}, **state}, folder)
    return Loaded(tuple(fresh), tuple(sorted(state.keys() - wanted.keys())))


def with_dropout(config: EncoderConfig, dropout: float | None) -> EncoderConfig:
    """Return the configuration with both dropouts replaced, unless `dropout` is None."""
    if dropout is None:
        return config
    return dataclasses.replace(
        config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read a model folder's weights under our names (BERT's, the encoder's under "bert.").

    Pruned layers come without their padding.

    Raises:
        UserError: no weights file, or a damaged one.
    """
    state, shape = read_tensors(folder), read_config(folder / CONFIG)
    ours = our_names(state, shape.family)
    return strip({ours[key]: value for key, value in state.items()}, shape, folder)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read a model folder's weights as they are named there, old names of layers made new.

    Raises:
        UserError: no weights file, or a damaged one.
    """
    return {_today(key): value for key, value in _read_file(weights_file(folder)).items()}


def weights_file(folder: Path) -> Path:
    """Return the file with a model folder's weights.

    Raises:
        UserError: there is none.
    """
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: neither {WEIGHTS} nor {OLD_WEIGHTS} there; expected a model folder")


def our_names(names: Iterable[str], family: Family) -> dict[str, str]:
    """Name a file's weights as we do: the file's name → ours.

    Layer normalisation may have its old names, and the encoder may lack its prefix.
    """
    today = {name: _today(name) for name in names}
    prefix = family.prefix
    if not any(name.startswith(prefix) for name in today.values()):
        today = {name: f"{prefix}{new}" for name, new in today.items()}
    return {name: family.ours(new) for name, new in today.items()}


def original_of(name: str) -> str | None:
    """Return our name of what a file's tensor repeats; "" for counted tables; None: its own."""
    for ending, original in _REPEATED.items():
        if name == ending or name.endswith(f".{ending}"):
            return original
    return None


def untied(path: Path, name: str) -> str:
    """Say that an output matrix is not the embeddings."""
    return (
        f"{path}: {name} is a tensor of its own; hanmo's heads score pieces with "
        f"{original_of(name)} in its place, as the published models do"
    )


def names_on_disk(names: Iterable[str], family: Family) -> dict[str, str]:
    """Name weights as transformers does: our name → the file's.

    ELECTRA's classifier of sequences is two layers, the first standing for the pooler; its tagger
    is one, under the plain name.
    """
    given = list(names)
    plain = () if any(name.startswith(_POOLER) for name in given) else ("classifier.",)
    return {n: n if n.startswith(plain) else family.on_disk(n) for n in given}


def restore_weights(model: nn.Module, folder: Path) -> None:
    """Put back all weights of a model that was saved in `folder`, bit for bit."""
    model.load_state_dict(_read_state(model, folder))


def _read_state(
    model: nn.Module, folder: Path, layers: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """Read what a folder has for a model, companions included, under the model's own names."""
    state = read_weights(folder)
    if (folder / HEADS).is_file():
        state |= _read_file(folder / HEADS)
    if layers is not None:
        state = with_layers(state, layers)
    own_name = _encoder_name(model)
    if own_name != _PREFIX:
        state = {_renamed(name, _PREFIX, own_name): tensor for name, tensor in state.items()}
    for name, companion in _companions(model).items():
        if (folder / name / CONFIG).is_file():
            found = _read_state(companion, folder / name)
            state |= {f"{name}.{key}": tensor for key, tensor in found.items()}
    return state


def _companions(model: nn.Module) -> dict[str, nn.Module]:
    return dict(getattr(model, "companions", {}))


def _config(model: Any) -> EncoderConfig:
    config: EncoderConfig = model.encoder.config
    return config


def _encoder_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(_PREFIX): t for n, t in state.items() if n.startswith(_PREFIX)}


def _encoder_name(model: nn.Module) -> str:
    """Return the prefix of the encoder's parameters: on disk it is "bert.", in a model any."""
    encoder = getattr(model, "encoder", None)
    return next((f"{name}." for name, part in model.named_modules() if part is encoder), _PREFIX)


def _renamed(name: str, old: str, new: str) -> str:
    return new + name.removeprefix(old) if name.startswith(old) else name


def _today(name: str) -> str:
    for old, new in _OLD_NAMES:
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.is_file():
        checked(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise UserError(f"{path}: holds no state dict; expected names and tensors")
        return state
    except FileNotFoundError:
        raise UserError(f"{path}: missing, though config.json speaks of its heads") from None
    except pickle.UnpicklingError:
        # torch's own message explains how to run the code inside; that is not our advice.
        raise UserError(
            f"{path}: damaged, or a pickle that holds more than tensors, which hanmo does not run; "
            "expected plain weights, best as model.safetensors"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged weights ({error}); fetch or make it again") from None


def _load(model: nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    shapes = [
        f"{name} {tuple(state[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & state.keys())
        if state[name].shape != wanted[name].shape
    ]
    if missing or shapes:
        problems = [f"missing {', '.join(missing)}"] if missing else []
        problems += [f"wrong shape: {'; '.join(shapes)}"] if shapes else []
        raise UserError(f"{folder}: weights do not fit config.json: {'; '.join(problems)}")
    model.load_state_dict({name: state[name] for name in wanted})
