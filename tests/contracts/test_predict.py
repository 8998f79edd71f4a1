"""The contract of kinds of answers, run over every file in `predict`.

All kinds are asked the same texts: a masked word in each, so that those that fill or label masks
have something to do. Most ask one folder that has several heads; a kind with a head of its own
needs an entry in `HEADS`.
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
from hanmo.predict._how import How
from hanmo.predict._predictor import Predictor
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from hanmo.tasks.kinds._reader import Reader
from hanmo.tasks.kinds.regression import squared_error
from hanmo.tasks.kinds.tagging import Tagger
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


def tagger(folder: Path) -> None:
    tags = ("O", "B-PER", "I-PER")
    model = Tagger(random_encoder(TINY, seed=1), len(tags))
    initialise(model.classifier, 2.0, torch.Generator().manual_seed(2))
    labels = {str(n): tag for n, tag in enumerate(tags)}
    extra = {"kind": "tagging", "max_length": 16}
    save_model(folder, model, tokenizer=tokenizer(), id2label=labels, extra=extra)


def reader(folder: Path) -> None:
    model = Reader(random_encoder(TINY, seed=1), 1)
    initialise(model.qa_outputs, 2.0, torch.Generator().manual_seed(2))
    extra = {"kind": "span", "options": {"doc_stride": 4}, "max_length": 24}
    save_model(folder, model, tokenizer=tokenizer(), extra=extra)


def regressor(folder: Path) -> None:
    model = Pooled(random_encoder(TINY, seed=1), 1, squared_error)
    initialise(model.classifier, 2.0, torch.Generator().manual_seed(2))
    initialise(model.bert.get_submodule("pooler"), 0.5, torch.Generator().manual_seed(3))
    extra = {"kind": "regression", "fields": ["text_a"]}
    save_model(folder, model, tokenizer=tokenizer(), id2label={"0": "LABEL_0"}, extra=extra)


# Kinds whose model has a head of its own → what writes one into a folder.
HEADS = {"entities": tagger, "answer": reader, "score": regressor}
# Kinds that need no head at all.
HEADLESS = ("embed",)
# Kinds that read texts of any length, in windows.
IN_WINDOWS = ("entities", "answer")
# Kinds whose answers have nothing to rank.
UNRANKED = ("entities", "score", "embed")


@pytest.fixture(params=registry.names(PACKAGE))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options(name: str) -> Any:
    return registry.load(PACKAGE, name).Predict()


@pytest.fixture
def folder(name: str, everything: Path, tmp_path: Path) -> Path:
    """A folder that the kind can ask."""
    if name not in HEADS:
        return everything
    HEADS[name](tmp_path / "own")
    return tmp_path / "own"


def questions(ask: Predictor) -> list[dict[str, str]]:
    """The texts as a kind takes them: where it takes two, both are the text."""
    return [dict.fromkeys(ask.fields, text) for text in TEXTS]


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


def test_every_text_has_one_answer_and_json_keeps_it(options: Any, folder: Path) -> None:
    ask = options.load(folder)
    assert isinstance(ask, Predictor)
    assert ask.engine == "torch fp32"
    answers = ask(questions(ask))
    assert [next(iter(answer.values())) for answer in answers] == TEXTS
    for answer in answers:
        assert json.loads(json.dumps(answer, ensure_ascii=False, allow_nan=False)) == answer
        rows = ask.rows(answer)
        assert rows
        assert all(len(row) == len(ask.columns) for row in rows)
        assert all(isinstance(cell, str) for row in rows for cell in row)
    assert ask([]) == []


def test_a_question_is_a_text_texts_or_fields(options: Any, folder: Path) -> None:
    ask = options.load(folder)
    for one in questions(ask)[:3]:
        texts = tuple(one.values())
        forms = ["\t".join(texts), texts, one, {"id": 7, **one}]
        answers = [ask([form])[0] for form in forms]
        assert all(answer == answers[0] for answer in answers)
        assert ask.cost(ask.query(one)) >= len(texts[0].strip()) // 6
    with pytest.raises(UserError, match=r"no field 'txet'.*this model takes"):
        ask.query({**questions(ask)[0], "txet": "x"})
    with pytest.raises(UserError, match="this model takes"):
        ask.query({"id": "1"})
    with pytest.raises(UserError, match=r"expected (a )?text"):
        ask.query({field: ["x"] for field in ask.fields})
    with pytest.raises(UserError, match="half of a character"):
        ask.query(dict.fromkeys(ask.fields, "\ud800[MASK]"))


def test_answers_repeat_and_do_not_depend_on_what_runs_beside(options: Any, folder: Path) -> None:
    ask = options.load(folder)
    asked = questions(ask)
    answers = ask(asked)
    assert ask(asked) == answers
    assert options.load(folder)(asked) == answers
    one_by_one = options.load(folder, how=How(batch_tokens=1))
    said, numbers = parted([one_by_one([one])[0] for one in asked])
    expected, expected_numbers = parted(answers)
    assert said == expected
    assert numbers == pytest.approx(expected_numbers, abs=1e-5)  # sums in another order


def test_bf16_says_the_same_with_other_digits(options: Any, folder: Path) -> None:
    ask = options.load(folder, how=How(precision="bf16"))
    assert ask.engine == "torch bf16"
    answers = ask(questions(ask))
    assert len(answers) == len(TEXTS)
    assert answers != options.load(folder)(questions(ask))


def test_top_k_shortens_the_answers_only(name: str, options: Any, folder: Path) -> None:
    loaded = [options.load(folder, top_k=k) for k in (3, 1)]
    many, few = (ask(questions(ask)) for ask in loaded)
    if name in UNRANKED:
        assert many == few
    else:
        assert len(json.dumps(few)) < len(json.dumps(many))
    assert [list(answer) for answer in few] == [list(answer) for answer in many]


def test_a_text_that_cannot_be_answered_is_refused_on_reading(
    name: str, options: Any, folder: Path
) -> None:
    ask = options.load(folder)
    with pytest.raises(UserError, match=r"empty (text|question|context)"):
        ask.query(dict.fromkeys(ask.fields, " \t"))
    long = dict.fromkeys(ask.fields, CHARACTERS[0] * TINY.max_position_embeddings + "[MASK]")
    if name in IN_WINDOWS:
        [answer] = ask([long])
        assert ask.cost(ask.query(long)) > TINY.max_position_embeddings
        assert next(iter(answer.values())) == next(iter(long.values()))
        return
    with pytest.raises(UserError, match="this model takes"):
        ask.query(long)


def test_a_folder_without_the_head_is_refused(name: str, options: Any, tmp_path: Path) -> None:
    save_model(tmp_path / "bare", Bare(random_encoder(TINY, seed=0)), tokenizer=tokenizer())
    if name in HEADLESS:
        assert options.load(tmp_path / "bare")([CHARACTERS[0]])
    else:
        with pytest.raises(UserError, match=r"bare: .*hanmo (pretrain|finetune)"):
            options.load(tmp_path / "bare")
    with pytest.raises(UserError, match="nowhere"):
        options.load(tmp_path / "nowhere")
