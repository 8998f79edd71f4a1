"""Which network a model folder holds: a fine-tuned one, a masked LM, or an encoder alone.

network, asked_by = network_of(Path("work/lert"))
network.heads             # ("pieces", "pos", "ner", "dep")
asked_by                  # ("fill-mask", "tags", "embed")
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from hanmo.core.files import parsed
from hanmo.model.checkpoint import CONFIG, load_encoder, read_extra, read_weights
from hanmo.model.config import read_config
from hanmo.model.encoder import Encoder
from hanmo.model.trainable import Batch, Outputs
from hanmo.predict._engine import PIECES, Network, open_engine
from hanmo.predict._how import REPORT, How
from hanmo.predict._model import masked_lm_network, open_tokenizer
from hanmo.predict._task_model import ASKED_BY, task_network
from hanmo.tasks.kind import load_kind

ALWAYS = ("embed",)  # kinds of answers that any encoder gives
_MLM = "cls.predictions."
# Ends of transformers' class names → the kind that such a folder is asked by, if it names none.
_KINDS: Mapping[str, str] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "span",
}


class Bare(nn.Module):
    """An encoder alone: it has no scores."""

    architecture = "BertModel"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.bert = encoder

    @property
    def encoder(self) -> Encoder:
        """All of it."""
        return self.bert

    def outputs(self, batch: Batch) -> Outputs:
        """Encode the asked positions."""
        return Outputs(self.bert(*batch.inputs, batch.positions, batch.layout), {})


def network_of(folder: Path) -> tuple[Network, tuple[str, ...]]:
    """Open the network of a folder.

    Returns:
        It, and the kinds of answers that it gives.

    Raises:
        UserError: no model folder, or weights that do not fit it.
    """
    kind = _task_kind(folder)
    if kind is not None:
        answers = load_kind(kind, read_extra(folder).get("options")).answers
        network = task_network(folder, answers=answers, default_kind=kind)
        return network, (ASKED_BY[answers], *ALWAYS)
    if not any(name.startswith(_MLM) for name in read_weights(folder)):
        return bare_network(folder), ALWAYS
    masked = masked_lm_network(folder)
    return masked, (*_asked_by(masked.heads), *ALWAYS)


def open_shared(folder: Path, how: How) -> tuple[str, ...]:
    """Load a folder's engine into what `how` shares.

    Returns:
        The kinds of answers that it gives; `embed`, which any engine can be asked, comes last.

    Raises:
        UserError: as `network_of`, or no file for the engine that `how` names.
    """
    report = folder / REPORT
    if report.is_file():  # an export, perhaps without torch's weights
        return tuple(parsed(report)["asked_by"])  # the first of them opens it
    network, kinds = network_of(folder)
    tokenizer = open_tokenizer(folder, read_config(folder / CONFIG).vocab_size, how)
    open_engine(how, folder, lambda: network, pad_id=tokenizer.pad_id)
    return kinds


def bare_network(folder: Path) -> Network:
    """Open a folder's encoder alone."""
    return Network(Bare(load_encoder(folder, dropout=0.0)).eval(), ())


def _task_kind(folder: Path) -> str | None:
    """Return the kind of task that a folder was fine-tuned by, or looks like."""
    extra = read_extra(folder)
    raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    stated = str((raw.get("architectures") or [""])[0])
    looks = next((kind for end, kind in _KINDS.items() if stated.endswith(end)), None)
    kind: str | None = extra.get("kind") or looks
    return kind


def _asked_by(heads: Sequence[str]) -> tuple[str, ...]:
    fills = ("fill-mask",) if PIECES in heads else ()
    return (*fills, *(("tags",) if set(heads) - {PIECES} else ()))
