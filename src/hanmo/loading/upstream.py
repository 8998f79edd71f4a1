"""Transformers' tokenizer and model of a folder, built from what `contents.py` read.

The tokenizer gets its vocabulary as {piece: id}, split at line feeds alone: transformers 5 makes an
all-[UNK] tokenizer of `BertTokenizer(vocab_file=…)` without a word (facts/16). The model gets the
weights as tensors, after they were compared with what its class wants, so that nothing is left
random and no code in a file runs.
"""

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from hanmo.core.errors import UserError
from hanmo.loading.contents import FAMILIES, HEADS, Contents
from hanmo.text.vocab import read_vocab

# What a tokenizer_config.json may say of BERT's tokenizer.
_OF_TOKENIZER = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
# What a config.json says for others: it is what hanmo.load decides itself, or no number.
_DECIDED = ("model_type", "architectures", "auto_map", "dtype", "torch_dtype", "hanmo")
_POOLED = ("pooler.", "bert.pooler.", "albert.pooler.")
_SHOWN = 3  # names of weights in a message


def tokenizer_of(contents: Contents) -> Any:
    """Return the folder's BertTokenizer.

    Raises:
        UserError: no vocabulary, an unusable one, or more pieces than the model has.
    """
    transformers = _library()
    folder = contents.folder
    vocab = read_vocab(folder)
    size = contents.raw.get("vocab_size", len(vocab))
    if len(vocab) > size:
        raise UserError(
            f"{folder}: vocab.txt has {len(vocab):,} pieces, config.json says {size:,}; expected "
            "the vocabulary that the model was trained with"
        )
    path = folder / "tokenizer_config.json"
    stated: Mapping[str, Any] = {}
    if path.is_file():
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not JSON: {error}") from None
    longest = contents.raw.get("max_position_embeddings", 512)
    return transformers.BertTokenizer(
        vocab={piece: i for i, piece in enumerate(vocab)},
        model_max_length=min(stated.get("model_max_length") or longest, longest),
        name_or_path=str(folder),
        **{key: stated[key] for key in _OF_TOKENIZER if key in stated},
    )


def model_of(contents: Contents, head: str) -> Any:
    """Return the folder's model with a head, of the class of its family.

    Raises:
        UserError: weights that are missing or of another shape.
    """
    transformers = _library()
    title, _ = FAMILIES[contents.family]
    made = getattr(transformers, title + HEADS[head].suffix, None)
    if made is None:
        raise UserError(f"{contents.folder}: transformers has no {title}{HEADS[head].suffix}")
    numbers = {key: value for key, value in contents.raw.items() if key not in _DECIDED}
    config = getattr(transformers, f"{title}Config").from_dict(numbers)
    options = _options(contents, head, made)
    with torch.device("meta"):
        skeleton = made(config, **options)
    state = _fitted(skeleton, contents)
    with _quiet(transformers):
        model = made.from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, **options
        )
    model.config.architectures = [made.__name__]
    model.config._name_or_path = str(contents.folder)
    return model.eval()


def _options(contents: Contents, head: str, made: Any) -> dict[str, Any]:
    """Leave out the pooler of an encoder whose folder has none: it would be random."""
    pooled = any(name.startswith(_POOLED) for name in contents.state)
    takes = "add_pooling_layer" in inspect.signature(made).parameters
    return {"add_pooling_layer": False} if head == "encoder" and takes and not pooled else {}


def _fitted(skeleton: Any, contents: Contents) -> dict[str, Tensor]:
    """Return the weights under the names that a model wants; those it lacks are left out."""
    wanted: dict[str, Tensor] = skeleton.state_dict()
    prefix = f"{skeleton.base_model_prefix}."
    state = contents.state
    if not any(name.startswith(prefix) for name in wanted):  # an encoder
        given = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    elif not any(name.startswith(prefix) for name in state):  # saved as an encoder
        given = {f"{prefix}{name}": tensor for name, tensor in state.items()}
        given = {**state, **given}
    else:
        given = dict(state)
    tied = set(getattr(skeleton, "all_tied_weights_keys", None) or {})
    missing = sorted(wanted.keys() - given.keys() - tied)
    shapes = [
        f"{name} {tuple(given[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & given.keys() - tied)
        if given[name].shape != wanted[name].shape
    ]
    if missing or shapes:
        problems = [f"missing {_some(missing)}"] if missing else []
        problems += [f"wrong shape: {_some(shapes)}"] if shapes else []
        raise UserError(
            f"{contents.folder}: weights do not fit config.json as {type(skeleton).__name__}: "
            f"{'; '.join(problems)}; expected the configuration that belongs to them (of an "
            "ELECTRA, that of the same half)"
        )
    return {name: tensor for name, tensor in given.items() if name in wanted and name not in tied}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' progress bar off; nothing is left for its report to say."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise UserError(
            "transformers is not installed: pip install 'hanmo[transformers]'; library='hanmo' "
            "works without it"
        ) from None
    return transformers
