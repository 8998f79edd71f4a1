"""What a model folder holds: its family and its heads, told by the names of its weights.

In: a folder of Hugging Face's or hanmo's. Out: its configuration, its weights, what they are.

    contents_of(Path("models/chinese-roberta-wwm-ext")).family     # "bert"
"""

import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hanmo.core.errors import UserError
from hanmo.model import zoo
from hanmo.model.checkpoint import CONFIG, read_tensors

# Family, as `model_type` has it → beginning of transformers' class names, and of the weights.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "bert": ("Bert", "bert."),
    "electra": ("Electra", "electra."),
    "albert": ("Albert", "albert."),
    "distilbert": ("DistilBert", "distilbert."),
}
# Configurations of archives of weights, beside which there is no config.json.
_OTHER_CONFIGS = "*config*.json"
_NO_CONFIGS = ("tokenizer_config.json", "generation_config.json", "adapter_config.json")


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """What sits on an encoder.

    Attributes:
        suffix: end of transformers' class name.
        parts: family → beginnings of names, each of which its weights must have.
    """

    suffix: str
    parts: Mapping[str, tuple[str, ...]]


_CLASSIFIER = dict.fromkeys(FAMILIES, ("classifier.",))
HEADS: Mapping[str, Head] = {
    "encoder": Head("Model", {}),
    "masked-lm": Head(
        "ForMaskedLM",
        {
            "bert": ("cls.predictions.transform.",),
            "electra": ("generator_predictions.",),
            "albert": ("predictions.",),
            "distilbert": ("vocab_transform.",),
        },
    ),
    "pre-training": Head(
        "ForPreTraining",
        {
            "bert": ("cls.predictions.transform.", "cls.seq_relationship."),
            "electra": ("discriminator_predictions.",),
            "albert": ("predictions.", "sop_classifier."),
        },
    ),
    "sequence-classification": Head("ForSequenceClassification", _CLASSIFIER),
    "token-classification": Head("ForTokenClassification", _CLASSIFIER),
    "question-answering": Head("ForQuestionAnswering", dict.fromkeys(FAMILIES, ("qa_outputs.",))),
}
# The output bias starts at exactly zero, and any training step moves it (facts/09 no. 5).
_BIASES: Mapping[str, str] = {
    "bert": "cls.predictions.bias",
    "electra": "generator_lm_head.bias",
    "albert": "predictions.bias",
    "distilbert": "vocab_projector.bias",
}
# Heads of pre-training, as against those of a task.
_PRETRAINED = ("masked-lm", "pre-training")


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """A model folder, read.

    Attributes:
        folder: where it lies.
        raw: its configuration, as the file has it, but for numbers that do not fit the weights.
        family: of `FAMILIES`.
        state: its weights under the names of the file.
    """

    folder: Path
    raw: Mapping[str, Any]
    family: str
    state: Mapping[str, Tensor]

    def has(self, head: str) -> bool:
        """Whether the weights of a head are there."""
        if not HEADS[head].parts:
            return True
        parts = HEADS[head].parts.get(self.family)
        return parts is not None and all(map(self._any, parts))

    def trained(self, head: str) -> bool:
        """Whether a head was ever trained, as far as its weights tell."""
        bias = self.state.get(_BIASES[self.family])
        return not self._predicts(head) or (bias is not None and bool(bias.any()))

    def _predicts(self, head: str) -> bool:
        """Whether a head has the parts that predict pieces."""
        masked = HEADS["masked-lm"].parts[self.family]
        return set(masked) <= set(HEADS[head].parts.get(self.family, ()))

    def _any(self, beginning: str) -> bool:
        return any(name.startswith(beginning) for name in self.state)

    def default_head(self) -> str:
        """Return the head that the configuration names, or the weights tell.

        Raises:
            UserError: the configuration names a class that is none of `HEADS`.
        """
        stated = next(iter(self.raw.get("architectures") or ()), None)
        if stated is not None:
            named = next((head for head, one in HEADS.items() if stated.endswith(one.suffix)), None)
            if named is None:
                raise UserError(
                    f"{self.folder}: its config.json names {stated}, which hanmo.load does not "
                    f"know; choose a head: {', '.join(HEADS)}"
                )
            if self.has(named) and self.trained(named):
                return named
        for head in ("pre-training", "masked-lm", "question-answering"):
            if self.has(head) and self.trained(head):
                return head
        if stated is None and self._any("classifier."):
            # A classifier of sequences reads the pooler, or has a layer of its own for it.
            pooled = ("classifier.dense.", "pre_classifier.", "bert.pooler.", "albert.pooler.")
            whole = any(map(self._any, pooled))
            return "sequence-classification" if whole else "token-classification"
        return "encoder"

    def require(self, head: str) -> str:
        """Return a head that is there and trained.

        Raises:
            UserError: it is not; says what is there and the way out.
        """
        if not self.has(head):
            there = [one for one in HEADS if one != "encoder" and self.has(one)]
            held = f"it has {', '.join(there)}" if there else "it is an encoder alone"
            raise UserError(f"{self.folder}: has no {head} head: {held}; {self._way_out(head)}")
        if not self.trained(head):
            raise UserError(
                f"{self.folder}: its {head} head was never trained (its output bias is all zeros "
                "or missing), as in several published models; its answers would be noise; "
                f"{self._way_out(head)}"
            )
        return head

    def _way_out(self, head: str) -> str:
        if head not in _PRETRAINED:
            return f"train one with hanmo finetune {self.folder} --task … --save-model"
        if not self._predicts("pre-training"):  # the two halves of an ELECTRA
            if self.has("pre-training"):
                return "its generator has it: take the folder or the id of the generator"
            if self.has("masked-lm"):
                return "the discriminator has it: take the folder or the id of the discriminator"
        return (
            f"train it with hanmo pretrain --init {self.folder}, take head='encoder', or a model "
            "that was released with one, such as lert-base"
        )


def contents_of(folder: Path, model: zoo.Model | None = None) -> Contents:
    """Read a model folder.

    Args:
        folder: hanmo's or Hugging Face's.
        model: the published model that it should be; its numbers count where the configuration's
            do not fit the weights.

    Raises:
        UserError: no configuration, no weights, damaged ones, or another family.
    """
    raw = _configuration(folder)
    if not any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")):
        _refuse_tf(folder)
    state = read_tensors(folder)
    return Contents(folder, _fitting(raw, state, model, folder), _family(raw, state, folder), state)


def _configuration(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        others = [one for one in sorted(folder.glob(_OTHER_CONFIGS)) if one.name not in _NO_CONFIGS]
        if len(others) != 1:
            found = f"; of {', '.join(one.name for one in others)} rename one" if others else ""
            raise UserError(
                f"{path}: no such file; expected a model folder with config.json{found}"
            )
        path = others[0]
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(raw, dict) or not raw.keys() & {"hidden_size", "dim"}:
        raise UserError(f"{path}: no hidden_size in it; expected the configuration of a model")
    return raw


def _family(raw: Mapping[str, Any], state: Mapping[str, Tensor], folder: Path) -> str:
    """Tell the family: by the weights' names, then by `model_type`, then by its numbers."""
    for family, (_, prefix) in FAMILIES.items():
        if any(name.startswith(prefix) for name in state):
            return family
    stated = raw.get("model_type", "albert" if "num_hidden_groups" in raw else "bert")
    if stated not in FAMILIES:
        raise UserError(
            f"{folder}: model_type {stated!r}, and its weights are not named as a BERT's; expected "
            f"one of {', '.join(FAMILIES)}; where it is a BERT after all, write model_type "
            '"bert" into its config.json'
        )
    return str(stated)


def _fitting(
    raw: dict[str, Any], state: Mapping[str, Tensor], model: zoo.Model | None, folder: Path
) -> dict[str, Any]:
    """Take a published model's numbers where the configuration's do not fit the weights.

    ELECTRA's generators are confused with their discriminators (facts/04: 256 against 64).
    """
    ends = ("attention.self.query.weight", "attention.query.weight")
    width = next((len(tensor) for name, tensor in state.items() if name.endswith(ends)), None)
    if model is None or width in (None, raw.get("hidden_size")):
        return raw
    shape = model.shape
    if shape.hidden_size != width:
        return raw
    warnings.warn(
        f"{folder}: config.json says hidden_size {raw.get('hidden_size')}, its weights have "
        f"{width}; the numbers of {model.name} are taken",
        stacklevel=4,
    )
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    numbers = {name: getattr(shape, name) for name in names}
    return {**raw, **numbers, "embedding_size": shape.embedding_width}


def _refuse_tf(folder: Path) -> None:
    """Say what to do with a TF1 checkpoint; the reader of weights refuses anything else."""
    checkpoints = sorted(folder.glob("*.index"))
    if not checkpoints:
        return
    archives = zoo.of_archive(folder.resolve().name)
    known = f" (by its name {' or '.join(one.name for one in archives)})" if archives else ""
    raise UserError(
        f"{folder}: a TensorFlow checkpoint{known}: {checkpoints[0].name}; make a model folder of "
        "it with hanmo convert first"
    )
