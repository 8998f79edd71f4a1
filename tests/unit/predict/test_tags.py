from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from predict_cases import LAYERS, MAX_LENGTH, VOCAB

from hanmo.core.errors import UserError
from hanmo.data.batches import collate
from hanmo.data.ragged import Corrupted
from hanmo.model.checkpoint import load_masked_lm
from hanmo.model.trainable import Batch
from hanmo.predict._how import How
from hanmo.predict.tags import Predict

PLUGIN = '''
from dataclasses import dataclass
from hanmo.annotate.sentence import Sentence


@dataclass(frozen=True)
class Annotator:
    """Words of two characters."""

    layers = ("pos",)

    def annotate(self, texts):
        made = []
        for text in texts:
            spans = tuple((i, min(i + 2, len(text))) for i in range(0, len(text), 2))
            made.append(Sentence(text, spans, {"pos": ("n",) * len(spans)}))
        return made
'''


def expected_labels(folder: Path, pieces: Sequence[str], places: list[int]) -> dict[str, list]:
    model = load_masked_lm(folder, dropout=0.0).eval()
    ids = np.array([VOCAB.index(piece) for piece in ("[CLS]", *pieces, "[SEP]")])
    sample = Corrupted({"input_ids": ids}, np.array(places), {})
    batch = Batch.from_arrays(collate(sample, max_length=MAX_LENGTH, pad_id=0, pack=True))
    with torch.inference_mode():
        logits = model.outputs(batch).logits
    return {name: x.softmax(-1).mean(0).tolist() for name, x in logits.items()}


def check(word: dict, expected: dict[str, list]) -> None:
    assert list(word["layers"]) == list(LAYERS)
    for layer, labels in word["layers"].items():
        values = dict(zip(LAYERS[layer], expected[layer], strict=True))
        assert {x["label"] for x in labels} == set(values)
        for item in labels:
            assert item["probability"] == pytest.approx(values[item["label"]], rel=1e-4)
        probabilities = [x["probability"] for x in labels]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)


def test_a_word_has_the_mean_distribution_of_its_masks(lert: Path) -> None:
    [answer] = Predict().load(lert)(["他去[MASK][MASK]工作[MASK]"])
    first, second = answer["words"]
    pieces = ["他", "去", "[MASK]", "[MASK]", "工", "作", "[MASK]"]
    check(first, expected_labels(lert, pieces, [3, 4]))
    check(second, expected_labels(lert, pieces, [7]))
    assert (first["start"], first["end"], first["word"]) == (2, 14, "[MASK][MASK]")


def test_mask_words_hides_one_word_at_a_time(lert: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "pairs.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    ask = Predict(mask_words=True, annotator=str(plugin)).load(lert, how=How(batch_tokens=32))
    [answer] = ask(["他去上海。我在北京。"])
    # Two sentences of five characters, pairs within each.
    assert [w["word"] for w in answer["words"]] == ["他去", "上海", "。", "我在", "北京", "。"]
    pieces = list("他去上海。我在北京。")
    for word in answer["words"]:
        hidden = list(pieces)
        places = range(word["start"], word["end"])
        for place in places:
            hidden[place] = "[MASK]"
        check(word, expected_labels(lert, hidden, [p + 1 for p in places]))
        assert word["annotator"] == {"pos": "n"}


def test_top_k_limits_the_labels(lert: Path) -> None:
    [answer] = Predict().load(lert, top_k=1)(["他[MASK]"])
    assert [len(x) for x in answer["words"][0]["layers"].values()] == [1, 1]


def test_a_folder_without_label_heads_says_what_it_holds(mlm: Path) -> None:
    with pytest.raises(UserError, match=r"an encoder without label heads.*--objective lert"):
        Predict().load(mlm)


def test_masks_in_a_text_whose_words_are_to_be_masked_are_refused(lert: Path) -> None:
    with pytest.raises(UserError, match="--mask-words masks the words of a plain text"):
        Predict(mask_words=True, annotator="jieba").load(lert).query("他[MASK]")


def test_a_word_that_tokenizing_drops_is_left_out(lert: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "pairs.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    ask = Predict(mask_words=True, annotator=str(plugin)).load(lert)
    [answer] = ask(["他去\u200b\u200b上海"])
    assert [word["word"] for word in answer["words"]] == ["他去", "上海"]
