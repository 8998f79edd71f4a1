"""Answers of windows: the best span, kinds of answers, and the loss."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hanmo.core.errors import UserError
from hanmo.data.batches import split
from hanmo.model.checkpoint import random_encoder
from hanmo.model.encoder import initialise
from hanmo.model.trainable import Batch, totals_of
from hanmo.tasks.kind import Features, load_kind
from hanmo.tasks.kinds._answers import truth
from hanmo.tasks.kinds.span import Kind, best_span
from kind_cases import arrays_of, packed, positions_of
from span_cases import CJRC, NAMES, A, B, C, D, answer, make, make_task, perfect, read
from training_cases import CHARACTERS, TINY, tokenizer

# The best span.


@settings(deadline=None)
@given(st.integers(0, 7), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_best_span_is_that_of_all_pairs(n: int, longest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n + 1, 2)).astype(np.float32)
    may_begin = rng.random(n) < 0.7
    score, left, right = best_span(logits, longest, may_begin)
    start, end = torch.tensor(logits).double().log_softmax(0).T.tolist()
    pairs = {
        (i, j): start[i + 1] + end[j + 1]
        for i in range(n)
        for j in range(i, min(n, i + longest))
        if may_begin[i]
    }
    if not pairs:
        assert score == -np.inf
        return
    assert score == pytest.approx(max(pairs.values()), abs=1e-9)
    assert pairs[left, right] == pytest.approx(score, abs=1e-9)


def test_no_answer_is_longer_than_the_longest() -> None:
    context = "".join(CHARACTERS[:10])
    one = make().encode(read(context, (context[2:8], 2)), make_task(), tokenizer())
    assert answer(make(), one, perfect(one)) == context[2:8]
    short = make(max_answer_length=3)
    logits = perfect(one)
    logits[5, 1] = 20.0  # the second-best end, within reach
    assert answer(short, one, logits) == context[2:5]


def test_the_surer_window_answers() -> None:
    kind, context = make(doc_stride=5), "".join(CHARACTERS[:15])
    one = kind.encode(read(context, (A, 0)), make_task(max_length=9), tokenizer())
    assert one.extras["windows"].tolist() == [[0, 5], [5, 10], [10, 15]]
    logits = np.zeros((18, 2), np.float32)
    logits[2] = 5.0
    logits[9] = 6.0  # the second window's third piece
    logits[12] = 9.0  # the third window says that it is not here
    logits[15] = 6.0
    assert answer(kind, one, logits) == context[7]


# Kinds of answers.


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("False", False), (True, True)])
def test_flags_are_texts_or_booleans(value: object, expected: bool) -> None:
    assert truth(value) is expected


@pytest.mark.parametrize("value", ["yes", 1, "", "0"])
def test_other_flags_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"is_impossible: got .*; expected true, false"):
        read(A, (A, 0), is_impossible=value)


def test_what_is_asked_is_what_the_flag_and_the_first_answer_say() -> None:
    assert CJRC.types == ("span", "", "YES", "NO")
    assert make().types == ("span",)
    assert make(yes_no=True).types == ("span", "YES", "NO")
    kinds = {
        flag + text: read(A + B, (text, -1), (B, 1), kind=CJRC, is_impossible=flag).fields["type"]
        for flag, text in (("true", ""), ("false", "YES"), ("false", "NO"), ("false", A))
    }
    assert kinds == {"true": "", "falseYES": "YES", "falseNO": "NO", f"false{A}": "span"}
    # An annotator's answer to a question that the flag calls unanswerable is scored all the same.
    odd = read(A + B, (B, 1), ("", -1), kind=CJRC, is_impossible="true")
    assert (odd.fields["type"], odd.fields["span"], odd.gold) == ("", None, (B, ""))


def test_windows_without_the_answer_are_none_and_yes_is_everywhere() -> None:
    kind = make(no_answer=True, yes_no=True, doc_stride=3)
    context, task = "".join(CHARACTERS[:12]), make_task(max_length=10)
    span, yes, none = (
        kind.encode(read(context, (text, -1), kind=kind), task, tokenizer())
        for text in (context[4:7], "YES", "")
    )
    assert [s.targets["type"][0] for s in span.sequences] == [1, 0, 1]
    assert [s.targets["type"][0] for s in yes.sequences] == [2, 2, 2]
    assert [s.targets["type"][0] for s in none.sequences] == [1, 1, 1]
    for sequence in (*span.sequences, *yes.sequences, *none.sequences):
        assert (sequence.targets["type"][1:] == -1).all()
    for sequence in (*yes.sequences, *none.sequences):
        assert [int(sequence.targets[name][0]) for name in NAMES] == [1, 1]
    # Without a type for "none", such windows say nothing of the type.
    only = make(yes_no=True, doc_stride=3)
    other = only.encode(read(context, (context[4:7], 4), kind=only), task, tokenizer())
    assert [s.targets["type"][0] for s in other.sequences] == [-1, 0, -1]


@pytest.mark.parametrize(
    ("likely", "expected"),
    [
        ([[9, 0, 0, 0], [0, 9, 0, 0]], B),  # found in one window
        ([[0, 9, 0, 0], [0, 9, 0, 0]], ""),  # in none
        ([[0, 9, 0, 0], [0, 0, 9, 0]], "YES"),
        ([[0, 0, 0, 9], [0, 9, 0, 0]], "NO"),
        ([[0, 0, 3, 9], [0, 0, 12, 0]], "YES"),  # the surer window
    ],
)
def test_the_kind_of_an_answer(likely: list[list[float]], expected: str) -> None:
    kind = make(no_answer=True, yes_no=True, doc_stride=3)
    made = read(A + B + C + D, (B, 1), kind=kind)
    one = kind.encode(made, make_task(max_length=7), tokenizer())
    assert one.extras["windows"].tolist() == [[0, 3], [3, 4]]
    types = np.full((positions_of(one), 4), 99.0, np.float32)  # only those of [CLS] count
    types[[0, 4]] = likely
    assert answer(kind, one, perfect(one), types) == expected


@pytest.mark.parametrize(
    "options", [{"doc_stride": 0}, {"max_query_length": -1}, {"max_answer_length": 0}]
)
def test_options_out_of_range(options: dict[str, int]) -> None:
    [name] = options
    with pytest.raises(UserError, match=rf"options\.{name}: got .* or more"):
        load_kind("span", options)


# The loss.


def several() -> tuple[Kind, list[Features], Any]:
    kind = make(no_answer=True, yes_no=True, doc_stride=4)
    made = make_task(max_length=16)
    context = "".join(CHARACTERS[:30])
    examples = [
        read(context[n : n + 6 + 3 * n], (text, -1), question=CHARACTERS[40 + n], kind=kind)
        for n, text in enumerate([context[1], "YES", "", context[5:8], "NO", context[9], ""])
    ]
    features = [kind.encode(one, made, tokenizer()) for one in examples]
    model, _ = kind.build(random_encoder(TINY, seed=0), made, weights={}, seed=0)
    initialise(model, 0.5, torch.Generator().manual_seed(1))
    return kind, features, model.eval()


def test_the_loss_is_plain_cross_entropy_over_each_window() -> None:
    _, features, model = several()
    batch = packed(features, max_length=64)
    sequences = [sequence for one in features for sequence in one.sequences]
    assert len(batch.input_ids) < len(sequences) / 2, "several windows a row"
    with torch.no_grad():
        outputs = model.outputs(batch)
        losses = model.losses(outputs, batch, progress=0.0)
    begin, both, kinds = 0, [], []
    for sequence in sequences:
        n = len(sequence.positions)
        for column, name in enumerate(NAMES):
            target = torch.tensor(np.flatnonzero(sequence.targets[name] == 1))
            own = outputs.logits["label"][begin : begin + n, column]
            both.append(F.cross_entropy(own[None], target))
        wanted = torch.tensor(sequence.targets["type"][:1])
        kinds.append(F.cross_entropy(outputs.logits["type"][begin : begin + 1], wanted))
        begin += n
    span, kind = torch.stack(both).mean(), torch.stack(kinds).mean()
    assert losses.parts["span"].item() == pytest.approx(span.item(), rel=1e-5)
    assert losses.parts["type"].item() == pytest.approx(kind.item(), rel=1e-5)
    assert losses.total.item() == pytest.approx((span + kind).item(), rel=1e-5)


@pytest.mark.parametrize("n", [2, 3])
def test_parts_of_packed_rows_add_up(n: int) -> None:
    _, features, model = several()
    arrays = arrays_of(features, max_length=64)
    totals = totals_of(arrays)
    parts = [Batch.from_arrays(part, totals=totals) for part in split(arrays, n)]
    assert len(parts) == n
    whole = model(Batch.from_arrays(arrays)).total
    gradients = torch.autograd.grad(whole, list(model.parameters()))
    total = torch.stack([model(part).total for part in parts]).sum()
    assert total.item() == pytest.approx(whole.item(), rel=1e-5)
    for one, other in zip(
        gradients, torch.autograd.grad(total, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_great_logits_do_not_overflow() -> None:
    _, features, model = several()
    batch = packed(features, max_length=64)
    outputs = model.outputs(batch)
    for logits in outputs.logits.values():
        logits.data.mul_(1e4)
    assert model.losses(outputs, batch, progress=0.0).total.isfinite()
