"""Classify texts with a fine-tuned model: a label, and the probability of every label.

In: a text; for a model fine-tuned on pairs, two texts with a tab between them. Out: the label and
the likeliest labels with probabilities. The folder is what `hanmo finetune --save-model` writes, or
a `BertForSequenceClassification` of transformers: labels are `id2label` of its config.json, and
`hanmo.kind` there (by default classification) names the kind that encodes and decodes.

    hanmo predict work/runs/seed-1/model classify "味道很好，下次还来。"
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.model.checkpoint import CONFIG, load_into, random_encoder, read_extra
from hanmo.model.config import read_config
from hanmo.predict._masks import require_length, require_text
from hanmo.predict._model import describe, open_tokenizer
from hanmo.predict._predictor import Answer, Predictor
from hanmo.tasks.batches import predict
from hanmo.tasks.kind import Features, Kind, load_kind
from hanmo.tasks.task import Example, Settings, Task
from hanmo.text.tokenizer import Tokenizer
from hanmo.train.devices import prepare

_DEFAULT_KIND = "classification"


@dataclass(frozen=True, slots=True)
class Predict:
    """Options of classify: none."""

    def load(self, folder: Path, *, top_k: int = 5, batch_size: int = 32) -> Predictor:
        """Open a fine-tuned model.

        Args:
            folder: model folder with a classifier.
            top_k: labels to give for each text.
            batch_size: not used: texts run together by length, some 8,000 pieces at a time.

        Raises:
            UserError: a folder without a classifier or label names.
        """
        kind = _kind(folder)
        task = _task(folder)
        config = read_config(folder / CONFIG)
        tokenizer = open_tokenizer(folder, config.vocab_size)
        model, _ = kind.build(random_encoder(config, seed=0), task, weights={}, seed=0)
        fresh = load_into(model, folder).fresh
        if fresh:
            raise UserError(
                f"{folder}: holds {describe(folder)}, not {', '.join(fresh)}; classify needs a "
                "fine-tuned model; make one with hanmo finetune --save-model"
            )
        device = prepare("fp32").name
        fields = tuple(read_extra(folder).get("fields", ()))
        classifier = _Classifier(tokenizer, model.to(device), kind, task, device, top_k, fields)
        columns = ("label", "probability")
        return Predictor(classifier.read, classifier.answer, columns, _rows)


@dataclass(frozen=True, slots=True)
class _Classifier:
    tokenizer: Tokenizer
    model: Any
    kind: Kind
    task: Task
    device: str
    top_k: int
    fields: tuple[str, ...] = ()  # those it was fine-tuned on, where its folder says so

    def read(self, text: str) -> tuple[str, Features]:
        require_text(text)
        parts = text.split("\t")
        names = self.fields or (*self.kind.fields, *self.kind.optional_fields)
        least = len(self.fields or self.kind.fields)
        if not least <= len(parts) <= len(names):
            between = " and " if self.fields else " and perhaps "
            raise UserError(
                f"{len(parts)} texts with tabs between them; this model takes {between.join(names)}"
            )
        for part in parts:
            require_text(part)
        pieces = sum(len(encoding) for encoding in self.tokenizer.encode_batch(parts))
        limit = self.task.settings.max_length
        require_length(pieces + 1 + len(parts), limit, text)
        example = Example("", dict(zip(names, parts, strict=False)), None)
        return text, self.kind.encode(example, self.task, self.tokenizer)

    def answer(self, queries: Sequence[tuple[str, Features]]) -> list[Answer]:
        if not queries:
            return []
        features = [one for _, one in queries]
        arrays = predict(
            self.model,
            features,
            max_length=self.task.settings.max_length,
            pad_id=self.tokenizer.pad_id,
            device=self.device,
            autocast=contextlib.nullcontext,
        )
        decoded = self.kind.decode(features, arrays, self.task)
        answers = []
        for (text, _), one in zip(queries, decoded, strict=True):
            best = sorted(one.scores.items(), key=lambda item: -item[1])[: self.top_k]
            labels = [{"label": label, "probability": value} for label, value in best]
            answers.append({"text": text, "label": one.answer, "labels": labels})
        return answers


def _kind(folder: Path) -> Kind:
    extra = read_extra(folder)
    name = extra.get("kind", _DEFAULT_KIND)
    try:
        kind = load_kind(name, extra.get("options"))
    except UserError as error:
        raise UserError(f"{folder}: was fine-tuned by the kind {name}: {error}") from None
    texts = {*kind.fields, *kind.optional_fields}
    if kind.answers != "label" or not texts <= {"text_a", "text_b"}:
        raise UserError(
            f"{folder}: was fine-tuned by the kind {name}, which answers with {kind.answers} from "
            f"{', '.join((*kind.fields, *kind.optional_fields))}; classify gives one label to a "
            "text or a pair of texts"
        )
    return kind


def _task(folder: Path) -> Task:
    """Describe the folder's task as far as encoding and decoding need it."""
    limit = read_config(folder / CONFIG).max_position_embeddings
    raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    names = raw.get("id2label") or {}
    if not names:
        raise UserError(
            f"{folder}: holds {describe(folder)}, no label names (id2label in config.json); "
            "classify needs a fine-tuned model; make one with hanmo finetune --save-model"
        )
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    # As long as the model allows: a text is answered whole or refused, never cut in silence.
    settings = Settings(max_length=limit)
    return Task(
        name=str(raw.get("hanmo", {}).get("task", folder.name)),
        kind=str(raw.get("hanmo", {}).get("kind", _DEFAULT_KIND)),
        splits={},
        columns={},
        labels=labels,
        settings=settings,
    )


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = [
        (item["label"], f"{item['probability']:.4f}") for item in answer["labels"]
    ]
    return shown or [(answer["label"], "")]  # a kind may decide without probabilities
