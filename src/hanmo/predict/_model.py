"""Open model folders for prediction, and say what a folder holds when it is the wrong one."""

import dataclasses
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.model.checkpoint import CONFIG, load_masked_lm, read_extra
from hanmo.model.config import EncoderConfig, read_config
from hanmo.model.mlm_head import judge_model
from hanmo.predict._engine import PIECES, Network, open_engine
from hanmo.predict._forward import Forward
from hanmo.predict._how import How
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import VOCAB_FILE


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A masked language model, ready to be asked."""

    config: EncoderConfig
    tokenizer: Tokenizer
    forward: Forward


def open_masked_lm(folder: Path, how: How, *, pieces: bool) -> Opened:
    """Open a folder with a masked-LM head.

    Args:
        folder: model folder.
        how: it is run.
        pieces: whether the head itself will be asked, and must have been trained.

    Raises:
        UserError: no such folder, no MLM head, or one that was never trained.
    """
    config = read_config(folder / CONFIG)
    layers = {name: tuple(tags) for name, tags in read_extra(folder).get("layers", {}).items()}
    tokenizer = open_tokenizer(folder, config.vocab_size, how)
    engine = open_engine(how, folder, lambda: masked_lm_network(folder), pad_id=tokenizer.pad_id)
    if pieces and PIECES not in engine.heads:
        why = engine.lacks.get(PIECES, "its export does not give it")
        raise UserError(f"{folder}: no masked-LM head to ask: {why}")
    return Opened(config, tokenizer, Forward(engine, layers))


def masked_lm_network(folder: Path) -> Network:
    """Load a masked language model with its label heads.

    A head as initialised does not count: published models were saved with such, and fill masks
    with noise (facts/09 no. 5); labels beside it may be trained all the same.

    Raises:
        UserError: no such folder, or no MLM head.
    """
    model = load_masked_lm(folder, dropout=0.0).eval()
    found = judge_model(model.cls)
    if found.trained:
        return Network(model, (PIECES, *model.layers))
    lacks = {
        PIECES: f"its masked-LM head was never trained ({'; '.join(found.reasons)}), as in several "
        "published models; its answers would be noise; train it with hanmo pretrain --init "
        f"{folder}"
    }
    return Network(model, tuple(model.layers), lacks)


def open_tokenizer(folder: Path, vocab_size: int, how: How) -> Tokenizer:
    """Read a model folder's vocabulary, or take the one that `how` shares.

    Raises:
        UserError: none there, or more pieces than the model knows.
    """
    shared = {} if how.shared is None else how.shared
    tokenizer: Tokenizer | None = shared.get(folder / VOCAB_FILE)
    if tokenizer is not None:
        return tokenizer
    tokenizer = Tokenizer.load(folder)
    if tokenizer.size > vocab_size:
        raise UserError(
            f"{folder}: vocab.txt has {tokenizer.size:,} pieces, config.json says {vocab_size:,}; "
            "expected the vocabulary that the model was trained with"
        )
    shared[folder / VOCAB_FILE] = tokenizer
    return tokenizer


def describe(folder: Path) -> str:
    """Say in a few words what a model folder holds, for messages."""
    extra = read_extra(folder)
    held = []
    if extra.get("layers"):
        held.append(f"label heads {', '.join(extra['layers'])}")
    if extra.get("task"):
        held.append(f"a model fine-tuned on {extra['task']}")
    return " and ".join(held) or "an encoder without label heads"
