import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from predict_cases import MAX_LENGTH, VOCAB, make_model

from hanmo.core.errors import UserError
from hanmo.model.checkpoint import save_model
from hanmo.predict._networks import network_of
from hanmo.predict.classify import Predict
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from hanmo.text.tokenizer import Tokenizer

LABELS = ("坏", "中", "好")


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    model = Pooled(make_model(layers=False).encoder, len(LABELS), cross_entropy)
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    folder = tmp_path_factory.mktemp("classifier")
    save_model(
        folder,
        model,
        tokenizer=Tokenizer(VOCAB),
        extra={"task": "toy", "kind": "classification", "max_length": 8},
        id2label={str(i): label for i, label in enumerate(LABELS)},
    )
    return folder


@pytest.mark.parametrize(
    ("text", "pair"), [("我在上海工作，他在北京。", None), ("我去", "他去上海")]
)
def test_probabilities_are_those_of_transformers(
    fine_tuned: Path, text: str, pair: str | None
) -> None:
    from transformers import AutoTokenizer, BertForSequenceClassification

    reference = BertForSequenceClassification.from_pretrained(fine_tuned).eval()
    inputs = AutoTokenizer.from_pretrained(fine_tuned)(text, pair, return_tensors="pt")
    with torch.inference_mode():
        expected = reference(**inputs).logits[0].softmax(-1).tolist()
    [answer] = Predict().load(fine_tuned)([text if pair is None else f"{text}\t{pair}"])
    found = {item["label"]: item["probability"] for item in answer["labels"]}
    assert found == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=2e-6)
    assert answer["label"] == LABELS[expected.index(max(expected))] == answer["labels"][0]["label"]


def test_answers_keep_the_order_of_the_texts(fine_tuned: Path) -> None:
    texts = ["我在上海工作", "好", "他去北京。", "New York"]
    ask = Predict().load(fine_tuned, top_k=2)
    together = ask(texts)
    assert [answer["text"] for answer in together] == texts
    assert len({answer["labels"][0]["probability"] for answer in together}) == len(texts)
    for answer in together:
        [alone] = ask([answer["text"]])
        assert alone["label"] == answer["label"]
        assert len(answer["labels"]) == 2
    assert ask([]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" ", "empty text"),
        ("我\t", "empty text_b"),
        ("我\t他\t好", "3 texts; this model takes text_a and perhaps text_b"),
        ("我" * (MAX_LENGTH - 1), f"text of {MAX_LENGTH + 1} pieces .* takes {MAX_LENGTH}"),
    ],
)
def test_bad_texts_are_explained(fine_tuned: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Predict().load(fine_tuned).query(text)


def test_a_folder_without_label_names_says_what_it_holds(lert: Path) -> None:
    with pytest.raises(UserError, match=r"holds label heads .*pos.*hanmo finetune --save-model"):
        Predict().load(lert)


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    model = make_model(layers=False)
    folder = tmp_path / "model"
    save_model(folder, model, tokenizer=Tokenizer(VOCAB), id2label={"0": "a", "1": "b"})
    with pytest.raises(UserError, match=r"not bert\.pooler.*classifier\.weight"):
        Predict().load(folder)


def test_a_model_takes_as_many_texts_as_it_was_fine_tuned_on(tmp_path: Path) -> None:
    for fields, text in ((["text_a"], "我去\t他去"), (["text_a", "text_b"], "我去")):
        model = Pooled(make_model(layers=False).encoder, len(LABELS), cross_entropy)
        folder = tmp_path / str(len(fields))
        save_model(
            folder,
            model,
            tokenizer=Tokenizer(VOCAB),
            extra={"task": "toy", "kind": "classification", "fields": fields},
            id2label={str(i): label for i, label in enumerate(LABELS)},
        )
        ask = Predict().load(folder)
        with pytest.raises(UserError, match=f"this model takes {' and '.join(fields)}"):
            ask([text])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem_type": "multi_label_classification"}, "multi_label_classification in config"),
    ],
)
def test_classifiers_that_do_not_take_one_of_several_are_refused(
    fine_tuned: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = Path(shutil.copytree(fine_tuned, tmp_path / "model"))
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del raw["hanmo"]["kind"]
    (folder / "config.json").write_text(json.dumps(raw | changes), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Predict().load(folder)
    # It can be exported and asked for vectors all the same.
    assert network_of(folder)[1] == ("classify", "embed")
