import json
import shutil
from pathlib import Path

import pytest
import torch
from predict_cases import MAX_LENGTH, VOCAB, make_model

from hanmo.core.errors import UserError
from hanmo.model.checkpoint import save_model
from hanmo.predict.entities import Predict
from hanmo.tasks.kinds.tagging import Tagger
from hanmo.text.tokenizer import Tokenizer

TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def save_tagger(folder: Path, bias: float = 0.0) -> Path:
    torch.manual_seed(1)
    model = Tagger(make_model(layers=False).encoder, len(TAGS))
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    torch.nn.init.zeros_(model.classifier.bias)
    model.classifier.bias.data[0] = bias
    extra = {"task": "toy", "kind": "tagging", "max_length": 12, "options": {"stride": 4}}
    names = {str(i): tag for i, tag in enumerate(TAGS)}
    save_model(folder, model, tokenizer=Tokenizer(VOCAB), extra=extra, id2label=names)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tagger(tmp_path_factory.mktemp("tagger"), bias=-3.0)


def test_tags_and_probabilities_are_those_of_transformers(folder: Path) -> None:
    from transformers import BertForTokenClassification

    reference = BertForTokenClassification.from_pretrained(folder).eval()
    text = "我去上海好 "
    ids = [VOCAB.index(c) if c != " " else 1 for c in text]  # a blank is [UNK]
    with torch.inference_mode():
        logits = reference(torch.tensor([[2, *ids, 3]])).logits[0, 1:-1]
    expected = logits.softmax(-1)
    [answer] = Predict().load(folder)([text])
    tags = [TAGS[n] for n in expected.argmax(-1).tolist()]
    assert answer["entities"]
    inside = set()
    for entity in answer["entities"]:
        places = range(entity["start"], entity["end"])
        inside.update(places)
        assert entity["text"] == text[entity["start"] : entity["end"]]
        assert {tags[place][2:] for place in places} == {entity["type"]}
        own = [n for n, tag in enumerate(TAGS) if tag[2:] == entity["type"]]
        mean = float(expected[list(places)][:, own].sum(-1).mean())
        assert entity["probability"] == pytest.approx(mean, abs=2e-6)
    assert [tags[n] == "O" for n in range(len(text))] == [n not in inside for n in range(len(text))]


def test_a_long_text_is_read_in_windows_and_offsets_are_its_own(folder: Path) -> None:
    text = "我在上海工作，他去北京。" * 7
    assert len(text) > MAX_LENGTH
    ask = Predict().load(folder)
    [answer] = ask([text])
    assert ask.cost(ask.query(text)) > len(text)
    ends = [0]
    for entity in answer["entities"]:
        assert entity["text"] == text[entity["start"] : entity["end"]] != ""
        assert ends[-1] <= entity["start"] < entity["end"] <= len(text)
        ends.append(entity["end"])
    assert max(ends) > MAX_LENGTH
    assert len(answer["entities"]) > 7


def test_a_text_without_entities_says_so(tmp_path: Path) -> None:
    ask = Predict().load(save_tagger(tmp_path / "model", bias=50.0))
    [answer] = ask(["我去上海"])
    assert answer == {"text": "我去上海", "entities": []}
    assert ask.rows(answer) == [("-", "", "", "", "")]


def test_another_kind_of_model_names_the_right_question(folder: Path, mlm: Path) -> None:
    from hanmo.predict.classify import Predict as Classify

    with pytest.raises(
        UserError, match=r"answers with tags; ask it with hanmo predict .* entities"
    ):
        Classify().load(folder)
    with pytest.raises(UserError, match="no label names"):
        Predict().load(mlm)


def retagged(folder: Path, to: Path, names: list[str]) -> Path:
    """Copy a tagger with other names of its tags."""
    shutil.copytree(folder, to)
    raw = json.loads((to / "config.json").read_text(encoding="utf-8"))
    raw["id2label"] = {str(n): name for n, name in enumerate(names)}
    del raw["hanmo"]["kind"]
    (to / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    return to


def test_tags_of_other_programs(folder: Path, tmp_path: Path) -> None:
    """M goes on as I does, classes of special pieces mark nothing, bare letters have one type."""
    text = "我去上海好，他去北京。"
    [own] = Predict().load(folder)([text])
    bmes = retagged(folder, tmp_path / "bmes", ["[PAD]", "B-LOC", "M-LOC", "B-PER", "M-PER"])
    assert Predict().load(bmes)([text]) == [own]
    bare = retagged(folder, tmp_path / "bare", ["O", "B", "I", "B", "I"])
    [answer] = Predict().load(bare)([text])
    assert answer["entities"]
    for one in answer["entities"]:
        assert one["type"] == "_"
        assert one["probability"] > 0.3
    pos = retagged(folder, tmp_path / "pos", ["n", "v", "O", "B", "I"])
    with pytest.raises(UserError, match=r"id2label in config\.json: tag 'n': expected O, or B"):
        Predict().load(pos)
