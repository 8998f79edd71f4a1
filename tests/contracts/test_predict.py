"""The contract of kinds of answers, run over every file in `predict`.

All kinds are asked the same texts of one folder that has every head: a masked word in each text,
so that those that fill or label masks have something to do. A kind with a head of its own needs it
in `everything`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import WEIGHTS, random_encoder, save_model
from hanmo.model.encoder import Encoder, initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.predict._predictor import Predictor
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from training_cases import CHARACTERS, TINY, tokenizer

PACKAGE = "hanmo.predict"
LABELS = {"0": "差", "1": "好", "2": "中"}
TEXTS = [
    "".join(CHARACTERS[start : start + n]) + "[MASK]" * (1 + start % 2) + CHARACTERS[-1 - start]
    for start, n in enumerate((1, 12, 4, 7, 2, 9))
] + [f"[MASK] {CHARACTERS[5]}[mask]", "[MASK]"]


class Bare(nn.Module):
    """An encoder and no head at all."""

    architecture = "BertModel"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.bert = encoder

    @property
    def encoder(self) -> Encoder:
        return self.bert


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an MLM head, label heads and a classifier."""
    folder = tmp_path_factory.mktemp("everything")
    model = MaskedLm(TINY, layers={name: tuple(tags) for name, tags in TAGSETS.items()})
    generator = torch.Generator().manual_seed(1)
    initialise(model, 0.5, generator)
    torch.nn.init.normal_(model.cls.predictions.bias, generator=generator)
    save_model(folder, model, tokenizer=tokenizer(), id2label=LABELS)
    classifier = Pooled(model.encoder, len(LABELS), cross_entropy)
    initialise(classifier.classifier, 2.0, generator)
    initialise(classifier.bert.get_submodule("pooler"), 0.5, generator)
    state = {name: tensor.contiguous() for name, tensor in classifier.state_dict().items()}
    save_file(load_file(folder / WEIGHTS) | state, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


@pytest.fixture(params=registry.names(PACKAGE))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options(name: str) -> Any:
    return registry.load(PACKAGE, name).Predict()


def parted(answers: Any) -> tuple[Any, list[float]]:
    """What an answer says, and its probabilities apart from it, in order."""
    numbers: list[float] = []

    def keep(number: str) -> str:
        numbers.append(float(number))
        return ""

    return json.loads(json.dumps(answers), parse_float=keep), numbers


def test_options_are_frozen_documented_and_have_defaults(name: str, options: Any) -> None:
    documented = type(options).__doc__ or ""
    fields = dataclasses.fields(options)
    assert documented
    assert ("\n    Attributes:\n" in documented) == bool(fields)
    for option in fields:
        assert f"\n        {option.name}: " in documented
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        options.anything = None
    assert registry.summary(PACKAGE, name).endswith(".")


def test_every_text_has_one_answer_and_json_keeps_it(options: Any, everything: Path) -> None:
    ask = options.load(everything)
    assert isinstance(ask, Predictor)
    answers = ask(TEXTS)
    assert [answer["text"] for answer in answers] == TEXTS
    for answer in answers:
        assert json.loads(json.dumps(answer, ensure_ascii=False, allow_nan=False)) == answer
        rows = ask.rows(answer)
        assert rows
        assert all(len(row) == len(ask.columns) for row in rows)
        assert all(isinstance(cell, str) for row in rows for cell in row)
    assert ask([]) == []


def test_answers_repeat_and_do_not_depend_on_what_runs_beside(
    options: Any, everything: Path
) -> None:
    ask = options.load(everything)
    answers = ask(TEXTS)
    assert ask(TEXTS) == answers
    assert options.load(everything)(TEXTS) == answers
    one_by_one = options.load(everything, batch_size=1)
    said, numbers = parted([one_by_one([text])[0] for text in TEXTS])
    expected, expected_numbers = parted(answers)
    assert said == expected
    assert numbers == pytest.approx(expected_numbers, abs=1e-5)  # sums in another order


def test_top_k_shortens_the_answers_only(options: Any, everything: Path) -> None:
    many, few = (options.load(everything, top_k=k)(TEXTS) for k in (3, 1))
    assert len(json.dumps(few)) < len(json.dumps(many))
    assert [list(answer) for answer in few] == [list(answer) for answer in many]


def test_a_text_that_cannot_be_answered_is_refused_on_reading(
    options: Any, everything: Path
) -> None:
    ask = options.load(everything)
    with pytest.raises(UserError, match="empty text"):
        ask.read(" \t")
    with pytest.raises(UserError, match="this model takes"):
        ask.read(CHARACTERS[0] * TINY.max_position_embeddings + "[MASK]")


def test_a_folder_without_the_head_is_refused(options: Any, tmp_path: Path) -> None:
    save_model(tmp_path / "bare", Bare(random_encoder(TINY, seed=0)), tokenizer=tokenizer())
    with pytest.raises(UserError, match=r"bare: .*hanmo (pretrain|finetune)"):
        options.load(tmp_path / "bare")
    with pytest.raises(UserError, match="nowhere"):
        options.load(tmp_path / "nowhere")
