from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from predict_cases import MAX_LENGTH

from hanmo.core.errors import UserError
from hanmo.predict.embed import Predict

TEXTS = ["我去上海", "他", "new york，北京。"]


def expected(folder: Path, text: str, pool: str, last: int) -> Any:
    from transformers import AutoTokenizer, BertModel

    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        layers = model(**inputs, output_hidden_states=True).hidden_states
    hidden = torch.stack(layers[-last:]).mean(0)[0]
    return (hidden[0] if pool == "cls" else hidden.mean(0)).numpy()


@pytest.mark.parametrize("pool", ["mean", "cls"])
@pytest.mark.parametrize("last", [1, 2])
def test_vectors_are_those_of_transformers(
    mlm: Path, pool: Literal["mean", "cls"], last: int
) -> None:
    answers = Predict(pool=pool, last_layers=last).load(mlm)(TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer["text"] == text
        wanted = expected(mlm, text, pool, last)
        assert answer["embedding"] == pytest.approx(wanted, abs=3e-5)


def test_normalized_vectors_have_length_one(mlm: Path) -> None:
    plain = Predict().load(mlm)(TEXTS)
    for one, other in zip(Predict(normalize=True).load(mlm)(TEXTS), plain, strict=True):
        assert np.linalg.norm(one["embedding"]) == pytest.approx(1, abs=1e-5)
        assert np.dot(one["embedding"], other["embedding"]) > 0


def test_long_texts_are_refused_or_cut(mlm: Path) -> None:
    text = "我" * MAX_LENGTH
    with pytest.raises(UserError, match=r"this model takes 24; .*--cut"):
        Predict().load(mlm)([text])
    [cut, whole] = Predict(cut=True).load(mlm)([text, "我" * (MAX_LENGTH - 2)])
    assert cut["truncated"] is True
    assert "truncated" not in whole
    assert cut["embedding"] == pytest.approx(whole["embedding"], abs=1e-5)


@pytest.mark.parametrize("n", [0, 3])
def test_layers_that_are_not_there_are_refused(mlm: Path, n: int) -> None:
    with pytest.raises(UserError, match=rf"--last-layers: got {n}; .* has 2 layers"):
        Predict(last_layers=n).load(mlm)
