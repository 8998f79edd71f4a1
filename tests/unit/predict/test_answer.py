from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from predict_cases import VOCAB, make_model

from hanmo.model.checkpoint import save_model
from hanmo.predict.answer import Predict
from hanmo.tasks.kinds._reader import Reader
from hanmo.tasks.kinds.span import Kind
from hanmo.tasks.task import LABEL, Example, Settings, Task
from hanmo.text.tokenizer import Tokenizer

TASK = Task(name="toy", kind="span", splits={}, columns={}, settings=Settings(max_length=12))


def save_reader(folder: Path, **options: object) -> Path:
    torch.manual_seed(2)
    n_types = len(Kind(**options).types)  # type: ignore[arg-type]
    model = Reader(make_model(layers=False).encoder, n_types)
    torch.nn.init.normal_(model.qa_outputs.weight, std=1.0)
    extra = {"kind": "span", "max_length": 16, "options": {"doc_stride": 4, **options}}
    save_model(folder, model, tokenizer=Tokenizer(VOCAB), extra=extra)
    return folder


def test_the_best_span_is_that_of_transformers(tmp_path: Path) -> None:
    from transformers import BertForQuestionAnswering

    folder = save_reader(tmp_path / "reader")
    reference = BertForQuestionAnswering.from_pretrained(folder).eval()
    question, context = "他去", "我在上海工作"
    ids = [2, *map(VOCAB.index, question), 3, *map(VOCAB.index, context), 3]
    segments = [0] * 4 + [1] * 7
    with torch.inference_mode():
        out = reference(torch.tensor([ids]), token_type_ids=torch.tensor([segments]))
    asked = [0, *range(4, 10)]
    starts = out.start_logits[0, asked].log_softmax(-1).double().numpy()[1:]
    ends = out.end_logits[0, asked].log_softmax(-1).double().numpy()[1:]
    scores = {(a, b): starts[a] + ends[b] for a in range(6) for b in range(a, 6)}
    left, right = max(scores, key=scores.__getitem__)
    [answer] = Predict().load(folder)([(question, context)])
    assert answer["question"] == question
    assert "context" not in answer
    best = answer["answers"][0]
    assert (best["start"], best["end"]) == (left, right + 1)
    assert answer["answer"] == best["text"] == context[left : right + 1]
    assert best["probability"] == pytest.approx(np.exp(scores[left, right]), abs=2e-6)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_ranked_spans_are_the_greedy_choice_among_all(
    n: int, longest: int, top: int, seed: int
) -> None:
    """Every span of every window that may begin there, best first, none overlapping."""
    kind = Kind(doc_stride=3, max_answer_length=longest)
    tokenizer = Tokenizer(VOCAB)
    context = "".join(np.random.default_rng(seed).choice(list("我在上海北京工作"), n))
    one = kind.encode(Example("", {"question": "去", "context": context}, None), TASK, tokenizer)
    windows = one.extras["windows"].tolist()
    sizes = [1 + stop - begin for begin, stop in windows]
    logits = np.random.default_rng(seed).normal(size=(sum(sizes), 2)).astype(np.float32)
    arrays = {LABEL: logits}
    [found] = kind.ranked([one], arrays, top)

    def margin(place: int, window: list[int]) -> float:
        return min(place - window[0], window[1] - 1 - place) + 0.01 * (window[1] - window[0])

    spans: dict[tuple[int, int], float] = {}
    first = 0
    for window, size in zip(windows, sizes, strict=True):
        table = logits[first : first + size].astype(np.float64)
        table -= np.log(np.exp(table).sum(0))
        first += size
        for a in range(window[0], window[1]):
            seen = [margin(a, w) for w in windows if w[0] <= a < w[1]]
            if margin(a, window) < max(seen) or window != next(
                w for w in windows if w[0] <= a < w[1] and margin(a, w) == max(seen)
            ):
                continue
            for b in range(a, min(a + longest, window[1])):
                spans[a, b] = table[1 + a - window[0], 0] + table[1 + b - window[0], 1]
    expected: list[tuple[int, int]] = []
    for a, b in sorted(spans, key=spans.__getitem__, reverse=True):
        if len(expected) < top and all(b < c or a > d for c, d in expected):
            expected.append((a, b))
    assert [(x["start"], x["end"] - 1) for x in found] == expected
    assert kind.decode([one], arrays, TASK)[0].answer == found[0]["text"]


def test_kinds_of_answers_are_told(tmp_path: Path) -> None:
    folder = save_reader(tmp_path / "reader", no_answer=True, yes_no=True)
    ask = Predict().load(folder)
    [answer] = ask([{"question": "他去", "context": "我在上海工作，" * 5}])
    assert set(answer["kinds"]) == {"span", "none", "YES", "NO"}
    assert answer["answer"] in {"", "YES", "NO", answer["answers"][0]["text"]}
    assert len(ask.rows(answer)) == len(answer["answers"]) + 4


def test_a_question_that_is_cut_is_told(tmp_path: Path) -> None:
    folder = save_reader(tmp_path / "reader", max_query_length=4)
    [whole, cut] = Predict().load(folder)([("他去", "上海"), ("他去上海工作", "上海")])
    assert "truncated" not in whole
    assert cut["truncated"] is True
