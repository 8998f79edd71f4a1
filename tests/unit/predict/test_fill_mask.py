import math
from pathlib import Path

import numpy as np
import pytest
import torch
from predict_cases import MAX_LENGTH, VOCAB, make_model, save

from hanmo.core.errors import UserError
from hanmo.predict._beam import Question, Ranking, fill
from hanmo.predict._how import How
from hanmo.predict._masks import fillers
from hanmo.predict.fill_mask import Predict
from hanmo.text.tokenizer import Tokenizer

N_FILLERS = int(fillers(Tokenizer(VOCAB), len(VOCAB)).sum())


def table_rank(table: np.ndarray, beam: int):
    """Rank from a made-up joint distribution over [V, V, V]: exact conditionals."""

    def rank(questions: list[Question]) -> list[Ranking]:
        answers = []
        for question in questions:
            fixed = {p: int(i) for p, i in enumerate(question.ids) if i >= 0}
            joint = table[tuple(fixed.get(place, slice(None)) for place in range(3))]
            joint = joint / joint.sum()
            rows = []
            for axis in range(len(question.places)):
                others = tuple(a for a in range(joint.ndim) if a != axis)
                rows.append(joint.sum(axis=others))
            scores = np.log(np.array(rows))
            order = np.argsort(-scores, axis=1)[:, :beam]
            answers.append(Ranking(np.take_along_axis(scores, order, 1), order))
        return answers

    return rank


def test_with_true_conditionals_the_joint_distribution_comes_back() -> None:
    table = np.random.default_rng(5).dirichlet(np.full(64, 0.3)).reshape(4, 4, 4) + 1e-9
    word = Question(np.full(3, -1, dtype=np.int32), (0, 1, 2))
    [filled] = fill([word], table_rank(table, 64), beam=64)
    assert len(filled.fillings) == 64
    for filling in filled.fillings:
        assert math.exp(filling.log_probability) == pytest.approx(
            table[filling.pieces] / table.sum()
        )
    best = np.unravel_index(table.argmax(), table.shape)
    assert filled.fillings[0].pieces == tuple(int(i) for i in best)


def test_words_of_different_lengths_fill_together_as_alone() -> None:
    table = np.random.default_rng(6).dirichlet(np.full(64, 0.3)).reshape(4, 4, 4) + 1e-9
    words = [
        Question(np.array([-1, -1, -1], dtype=np.int32), (0, 1, 2)),
        Question(np.array([2, -1, 1], dtype=np.int32), (1,)),
        Question(np.array([-1, 3, -1], dtype=np.int32), (0, 2)),
    ]
    rank = table_rank(table, 3)
    together = fill(words, rank, beam=3)
    alone = [fill([word], rank, beam=3)[0] for word in words]
    assert [f.fillings for f in together] == [f.fillings for f in alone]
    assert fill([], rank, beam=3) == []


def test_one_mask_equals_a_plain_softmax_over_the_whole_vocabulary(mlm: Path) -> None:
    from transformers import BertForMaskedLM

    answer = Predict().load(mlm, top_k=4)(["我在[MASK]工作。"])[0]
    ids = [2, *(VOCAB.index(c) for c in "我在"), 4, *(VOCAB.index(c) for c in "工作。"), 3]
    with torch.inference_mode():
        logits = BertForMaskedLM.from_pretrained(mlm)(torch.tensor([ids])).logits[0, 3]
    expected = logits.softmax(-1)[: len(VOCAB)]
    expected[~torch.from_numpy(fillers(Tokenizer(VOCAB), len(VOCAB)))] = 0
    values, pieces = expected.topk(4)
    [word] = answer["words"]
    assert [f["text"] for f in word["fillings"]] == [
        VOCAB[i].removeprefix("##") for i in pieces.tolist()
    ]
    for found, value in zip(word["masks"][0], values.tolist(), strict=True):
        assert found["probability"] == pytest.approx(value, rel=1e-4)
    assert [m["text"] for m in word["masks"][0]] == [f["text"] for f in word["fillings"]]


def test_a_wide_beam_finds_what_enumeration_finds(mlm: Path) -> None:
    from transformers import BertForMaskedLM

    allowed = np.flatnonzero(fillers(Tokenizer(VOCAB), len(VOCAB))).tolist()
    reference = BertForMaskedLM.from_pretrained(mlm).eval()
    start = [2, VOCAB.index("去"), 4, 4, VOCAB.index("。"), 3]
    with torch.inference_mode():
        first = reference(torch.tensor([start])).logits[0].log_softmax(-1)
        surest = max((2, 3), key=lambda place: first[place, allowed].max())
        other = 5 - surest
        expected = {}
        for piece in allowed:
            ids = list(start)
            ids[surest] = piece
            second = reference(torch.tensor([ids])).logits[0, other].log_softmax(-1)
            for last in allowed:
                pair = (piece, last) if surest == 2 else (last, piece)
                expected[pair] = float(first[surest, piece] + second[last])
    best = sorted(expected, key=lambda pair: -expected[pair])[:6]
    answer = Predict(beam=N_FILLERS).load(mlm, top_k=6)(["去[MASK][MASK]。"])[0]
    fillings = answer["words"][0]["fillings"]
    assert [f["probability"] for f in fillings] == pytest.approx(
        [math.exp(expected[pair]) for pair in best], rel=1e-4
    )


def test_unknown_length_is_ranked_by_the_mean_of_its_pieces(mlm: Path) -> None:
    ask = Predict(mask_length="1-3", beam=N_FILLERS).load(mlm, top_k=200)
    [answer] = ask(["去[word]。"])
    [word] = answer["words"]
    assert "masks" not in word
    assert (word["start"], word["end"]) == (1, 7)
    scores = [f["score"] for f in word["fillings"]]
    assert scores == sorted(scores, reverse=True)
    assert {f["n_pieces"] for f in word["fillings"]} == {1, 2, 3}
    for n in (1, 2, 3):
        [fixed] = ask(["去" + "[MASK]" * n + "。"])
        best = fixed["words"][0]["fillings"][0]
        ours = next(f for f in word["fillings"] if f["n_pieces"] == n)
        assert ours["text"] == best["text"]
        assert ours["probability"] == pytest.approx(best["probability"], rel=1e-4)
        assert best["score"] == pytest.approx(best["probability"] ** (1 / n))
    assert answer["filled"] == "去" + word["fillings"][0]["text"] + "。"


def test_answers_do_not_depend_on_batching(mlm: Path) -> None:
    texts = ["我[MASK]", "他在[MASK][MASK]工作，去[MASK]。", "New [mask]", "去[WORD]"]
    ask = Predict().load(mlm)
    together, alone = ask(texts), [ask([text])[0] for text in texts]
    one_by_one = Predict().load(mlm, how=How(batch_tokens=1))(texts)
    for other in (alone, one_by_one):
        for a, b in zip(together, other, strict=True):
            assert (a["text"], a["filled"]) == (b["text"], b["filled"])
            for x, y in zip(a["words"], b["words"], strict=True):
                for f, g in zip(x["fillings"], y["fillings"], strict=True):
                    assert f["probability"] == pytest.approx(g["probability"], rel=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty text"),
        ("去[WORD]和[WORD]", "either one .WORD. and nothing else"),
        ("去[WORD]和[MASK]", "either one .WORD. and nothing else"),
        ("我" * (MAX_LENGTH - 2) + "[WORD]", f"this model takes {MAX_LENGTH}"),
    ],
)
def test_bad_texts_are_explained(mlm: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Predict().load(mlm).query(text)


@pytest.mark.parametrize("length", ["0", "4-2", "1-9", "two", "-1", ""])
def test_bad_lengths_are_explained(mlm: Path, length: str) -> None:
    with pytest.raises(UserError, match="--mask-length"):
        Predict(mask_length=length).load(mlm)


def test_an_untrained_head_is_refused(tmp_path: Path) -> None:
    model = make_model(layers=False)
    torch.nn.init.zeros_(model.cls.predictions.bias)
    folder = save(tmp_path / "model", model)
    with pytest.raises(UserError, match="never trained"):
        Predict().load(folder)
