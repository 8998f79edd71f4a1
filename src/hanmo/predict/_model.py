"""Open model folders for prediction, and say what a folder holds when it is the wrong one."""

from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.model.checkpoint import load_masked_lm, read_extra
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.mlm_head import judge_model
from hanmo.predict._forward import Forward
from hanmo.text.tokenizer import Tokenizer
from hanmo.train.devices import prepare


def open_masked_lm(folder: Path, *, batch_size: int) -> tuple[Tokenizer, MaskedLm, Forward]:
    """Open a folder with a trained masked-LM head.

    Raises:
        UserError: no such folder, no MLM head, or one that was never trained.
    """
    model = load_masked_lm(folder, dropout=0.0)
    tokenizer = open_tokenizer(folder, model.encoder.config.vocab_size)
    device = prepare("fp32").name
    forward = Forward(model, pad_id=tokenizer.pad_id, batch_size=batch_size, device=device)
    return tokenizer, model, forward


def require_trained_head(model: MaskedLm, folder: Path) -> None:
    """Refuse an MLM head as initialised: published models were saved with such (facts/09 no. 5).

    Raises:
        UserError: the head was never trained; says how that was judged.
    """
    found = judge_model(model.cls)
    if not found.trained:
        raise UserError(
            f"{folder}: its masked-LM head was never trained ({'; '.join(found.reasons)}), as in "
            "several published models; its answers would be noise; train it with hanmo pretrain "
            f"--init {folder}"
        )


def open_tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    """Read a model folder's vocabulary.

    Raises:
        UserError: none there, or more pieces than the model knows.
    """
    tokenizer = Tokenizer.load(folder)
    if tokenizer.size > vocab_size:
        raise UserError(
            f"{folder}: vocab.txt has {tokenizer.size:,} pieces, config.json says {vocab_size:,}; "
            "expected the vocabulary that the model was trained with"
        )
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
