"""Which network a model folder holds: a fine-tuned one, a masked LM, or an encoder alone.

network = network_of(Path("work/lert"))
network.heads             # ("pieces", "pos", "ner", "dep")
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hanmo.data.batches import collate
from hanmo.data.ragged import Corrupted, join
from hanmo.model.checkpoint import CONFIG, load_encoder, load_masked_lm, read_extra, read_weights
from hanmo.model.encoder import Encoder
from hanmo.model.mlm_head import judge_model
from hanmo.model.trainable import Batch, Outputs
from hanmo.predict._engine import PIECES
from hanmo.predict._task_model import ASKED_BY, load_task_network
from hanmo.tasks.kind import load_kind

# Positions at which a sequence is asked, in trials: a multiple of what any kind of task asks at.
N_ASKED = 5
_MLM = "cls.predictions."
# Ends of transformers' class names → the kind that such a folder is asked by, if it names none.
_KINDS: Mapping[str, str] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "span",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A network and the names of its scores.

    Attributes:
        module: a `Trainable`, in evaluation mode.
        heads: names of its scores at the asked positions.
        asked_by: kinds of answers that these heads give; any encoder can be embedded besides.
    """

    module: nn.Module
    heads: tuple[str, ...]
    asked_by: tuple[str, ...]

    @property
    def depth(self) -> int:
        """Number of layers."""
        encoder: Any = self.module.encoder
        return int(encoder.config.num_hidden_layers)


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


def network_of(folder: Path) -> Network:
    """Open the network of a folder.

    Raises:
        UserError: no model folder, or weights that do not fit it.
    """
    extra = read_extra(folder)
    raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    stated = str((raw.get("architectures") or [""])[0])
    kind = extra.get("kind") or next(
        (kind for end, kind in _KINDS.items() if stated.endswith(end)), None
    )
    if kind is not None:
        answers = load_kind(kind, extra.get("options")).answers
        module = load_task_network(folder, answers=answers, default_kind=kind)
        return Network(module, _heads(module), (ASKED_BY[answers],))
    if not any(name.startswith(_MLM) for name in read_weights(folder)):
        return Network(Bare(load_encoder(folder, dropout=0.0)).eval(), (), ())
    masked = load_masked_lm(folder, dropout=0.0).eval()
    # A head as initialised fills masks with noise; labels beside it may be trained all the same.
    pieces = (PIECES,) if judge_model(masked.cls).trained else ()
    fills, labels = (("fill-mask",) if pieces else ()), (("tags",) if masked.layers else ())
    return Network(masked, (*pieces, *masked.layers), (*fills, *labels))


def _heads(module: Any) -> tuple[str, ...]:
    """Return the names of a model's scores, by running it."""
    ids = np.arange(2 * N_ASKED, dtype=np.int32)
    sequence = Corrupted({"input_ids": ids}, np.arange(N_ASKED), {})
    arrays = collate(join([sequence]), max_length=len(ids), pad_id=0, pack=False)
    with torch.inference_mode():
        return tuple(module.outputs(Batch.from_arrays(arrays)).logits)
