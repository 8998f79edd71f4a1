"""Spans of passages: where answers lie, what windows are trained on, and the way back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hanmo.core.errors import UserError
from hanmo.data.batches import split
from hanmo.data.ragged import Array
from hanmo.model.checkpoint import random_encoder
from hanmo.model.encoder import initialise
from hanmo.model.trainable import Batch, totals_of
from hanmo.tasks.kind import Features, RowSkipped, load_kind
from hanmo.tasks.kinds._answers import locate_answer, truth
from hanmo.tasks.kinds._windows import best_seen
from hanmo.tasks.kinds.span import Kind, best_span
from hanmo.tasks.splits import read_split
from hanmo.tasks.task import Example, Settings, Task
from hanmo.text.tokenizer import Tokenizer
from kind_cases import MIXED, TEXTS, arrays_of, packed, positions_of
from training_cases import CHARACTERS, TINY, tokenizer

A, B, C, D, E = CHARACTERS[:5]
NAMES = ("start", "end")


def make_task(max_length: int = 24, **options: Any) -> Task:
    return Task(
        name="toy",
        kind="span",
        splits={},
        columns={"context": "context", "question": "question", "label": "answers"},
        reader="squad",
        options=options,
        settings=Settings(max_length=max_length),
    )


def make(**options: Any) -> Kind:
    kind = load_kind("span", options)
    assert isinstance(kind, Kind)
    return kind


CJRC = make(no_answer=True, yes_no=True)


def read(
    context: str,
    *answers: tuple[str, int],
    question: str = A,
    train: bool = True,
    kind: Kind = make(),  # noqa: B008 - frozen
    **more: Any,
) -> Example:
    given = [{"text": text, "answer_start": start} for text, start in answers]
    row = {"context": context, "question": question, "label": given, **more}
    return kind.read("Q", row, make_task(), train=train)


def pieces_of(one: Features) -> list[list[int]]:
    return [sequence.inputs["input_ids"].tolist() for sequence in one.sequences]


def perfect(one: Features) -> Array:
    """Logits that are sure of the targets."""
    columns = [np.concatenate([s.targets[name] for s in one.sequences]) for name in NAMES]
    return np.where(np.stack(columns, axis=1) == 1, 50.0, 0.0).astype(np.float32)


def answer(kind: Kind, one: Features, logits: Array, types: Array | None = None) -> str:
    arrays = {"label": logits} | ({} if types is None else {"type": types})
    [prediction] = kind.decode([one], arrays, make_task())
    return str(prediction.answer)


# Where answers lie.


@pytest.mark.parametrize(
    ("start", "expected", "moved"),
    [
        (1, (1, 3), False),
        (5, (5, 7), False),
        (2, (1, 3), True),  # wrong: the nearest
        (4, (5, 7), True),
        (3, (1, 3), True),  # as near: the first
        (99, (5, 7), True),
        (-1, (1, 3), True),  # unknown: the first
    ],
)
def test_an_answer_is_where_it_says_or_else_nearest(
    start: int, expected: tuple[int, int], moved: bool
) -> None:
    made = read(A + B + C + A + D + B + C, (B + C, start))
    assert made.fields["span"] == expected
    assert made.noted == ("answer_found_by_text",) * moved
    assert made.gold == (B + C,)


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=3), st.integers(-1, 14))
def test_answers_are_found_as_by_a_search_of_every_place(
    context: str, text: str, start: int
) -> None:
    there = [i for i in range(len(context)) if context[i : i + len(text)] == text]
    found = locate_answer(context, text, start)
    if not there:
        assert found is None
        return
    assert found is not None
    best = min(there) if start < 0 else min(there, key=lambda place: (abs(place - start), place))
    assert found == (best, best + len(text))


def test_the_first_answer_is_trained_on_and_all_are_gold() -> None:
    made = read(A + B + C, (C, 2), (A + B, 0))
    assert (made.fields["span"], made.gold) == ((2, 3), (C, A + B))


def write(folder: Path, *answers: dict[str, Any], name: str = "train.json") -> Path:
    questions = [
        {"id": f"Q{n}", "question": B, "answers": [one]} for n, one in enumerate(answers, start=1)
    ]
    passage = {"context": A + B + C, "id": "P", "qas": questions}
    path = folder / name
    path.write_text(json.dumps({"data": [{"paragraphs": [passage]}]}), encoding="utf-8")
    return path


def test_an_answer_that_is_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": B, "answer_start": 1}, {"text": D, "answer_start": 1})
    with pytest.raises(UserError, match=r"train\.json: question Q2: the answer .* not in its pass"):
        read_split(make_task(), "train", path)
    skipping = read_split(make_task(unlocated="skip"), "train", path)
    assert [one.id for one in skipping.examples] == ["Q1"]
    assert skipping.skipped == {"answer_not_in_context": 1}
    dev = read_split(make_task(), "dev", path)
    assert [(one.gold, one.fields["span"]) for one in dev.examples] == [
        ((B,), (1, 2)),
        ((D,), None),
    ]


def test_an_empty_answer_is_no_answer() -> None:
    with pytest.raises(ValueError, match="an empty answer; set no_answer = true"):
        read(A, ("", -1))
    assert read(A, ("", -1), train=False).gold == ("",)
    assert read(A, ("", -1), kind=CJRC).fields["type"] == ""


def test_hidden_test_sets_have_no_answers_or_empty_lists() -> None:
    row = {"context": A, "question": B}
    for more in ({}, {"label": None}, {"label": []}):
        assert make().read("Q", row | more, make_task(), train=False).gold is None
    # In SQuAD 2.0 an empty list says that there is no answer.
    assert CJRC.read("Q", row | {"label": []}, make_task(), train=False).gold == ("",)
    unmarked = row | {"label": [], "is_impossible": None}
    assert CJRC.read("Q", unmarked, make_task(), train=False).gold is None
    marked = row | {"label": [], "is_impossible": True}
    assert CJRC.read("Q", marked, make_task(), train=False).gold == ("",)
    with pytest.raises(ValueError, match="an empty answer"):
        read(A)


@pytest.mark.parametrize("label", ["text", [1], [{"text": 1}], [{"answer_start": 0}], {"text": A}])
def test_answers_of_another_shape_are_refused(label: Any) -> None:
    row = {"context": A, "question": B, "label": label}
    with pytest.raises(ValueError, match=r"answers: got .*; expected a list of"):
        make().read("Q", row, make_task(), train=True)


def test_an_answer_without_a_place_is_looked_for() -> None:
    row = {"context": A + B, "question": B, "label": [{"text": B}]}
    assert make().read("Q", row, make_task(), train=True).fields["span"] == (1, 2)


def test_an_empty_question_is_answered_but_not_trained_on() -> None:
    with pytest.raises(RowSkipped, match="empty_text"):
        read(A, (A, 0), question="")
    made = read(A + B, (B, 1), question=" ", train=False)
    one = make().encode(made, make_task(), tokenizer())
    ids = tokenizer().id_of
    assert pieces_of(one) == [[ids["[CLS]"], ids["[SEP]"], ids[A], ids[B], ids["[SEP]"]]]
    assert answer(make(), one, perfect(one)) == B
    with pytest.raises(RowSkipped, match="empty_text"):
        read(" ", (A, 0))
    with pytest.raises(ValueError, match="question: a JSON list"):
        read(A, (A, 0), question=[A], train=False)  # type: ignore[arg-type]


# Windows and targets.


def test_a_question_and_its_passage() -> None:
    one = make().encode(read(A + B + C, (B + C, 1), question=D), make_task(), tokenizer())
    ids = tokenizer().id_of
    [sequence] = one.sequences
    assert pieces_of(one) == [[ids[x] for x in ("[CLS]", D, "[SEP]", A, B, C, "[SEP]")]]
    assert sequence.inputs["token_type_ids"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert sequence.positions.tolist() == [0, 3, 4, 5]  # [CLS] and the passage alone
    assert sequence.targets["start"].tolist() == [-1, -1, 1, -1]
    assert sequence.targets["end"].tolist() == [-1, -1, -1, 1]
    assert set(sequence.targets) == {"start", "end"}
    assert not one.truncated


def test_a_long_question_is_cut() -> None:
    made = read("".join(CHARACTERS[:9]), (B, 1), question="".join(CHARACTERS[20:30]))
    one = make(max_query_length=3).encode(made, make_task(), tokenizer())
    assert [tokenizer().vocab[i] for i in pieces_of(one)[0][1:4]] == CHARACTERS[20:23]
    assert pieces_of(one)[0][4] == tokenizer().sep_id
    assert one.truncated
    # At least one piece of the passage is left room for.
    short = make().encode(made, make_task(max_length=8), tokenizer())
    assert all(len(pieces) <= 8 for pieces in pieces_of(short))
    assert answer(make(), short, perfect(short)) == B


def test_windows_with_the_answer_are_trained_on_it_and_others_on_cls() -> None:
    kind, context = make(doc_stride=3), "".join(CHARACTERS[:12])
    one = kind.encode(read(context, (context[5:8], 5)), make_task(max_length=10), tokenizer())
    assert one.extras["windows"].tolist() == [[0, 6], [3, 9], [6, 12]]
    placed = [
        [int(np.flatnonzero(s.targets[name] == 1)[0]) for name in NAMES] for s in one.sequences
    ]
    assert placed == [[0, 0], [3, 5], [0, 0]]  # the others have only a part of it
    assert answer(kind, one, perfect(one)) == context[5:8]


@pytest.mark.parametrize(
    ("context", "text", "expected"),
    [
        ("ab" + A, "b", "ab"),  # a whole piece
        ("abb" + A, "bb", "abb"),  # "ab", "##b"
        (A + " \u200b" + B, B, B),
        (A + "\u200b" + B, A + "\u200b" + B, A + "\u200b" + B),
        ("AB" + A, "AB", "AB"),
        ("\ufffd" + A + "é" + B, "é" + B, "é" + B),
        ("12，" + A, "2，", "12，"),
    ],
)
def test_an_answer_comes_back_in_whole_pieces(context: str, text: str, expected: str) -> None:
    one = make().encode(read(context, (text, -1), question="a"), make_task(), MIXED)
    assert answer(make(), one, perfect(one)) == expected


@settings(deadline=None, max_examples=200)
@given(TEXTS, TEXTS, st.data())
@example("ab" * 20, "a", None)
def test_targets_decode_to_the_answer(question: str, context: str, data: Any) -> None:
    assume(context.strip() and question.strip())
    begin, n, stride = 0, 3, 5
    if data is not None:
        begin = data.draw(st.integers(0, len(context) - 1))
        n = data.draw(st.integers(1, 8))
        stride = data.draw(st.integers(1, 12))
    text = context[begin : begin + n]
    assume(text.strip())
    kind = make(doc_stride=stride, max_query_length=4, max_answer_length=50)
    one = kind.encode(
        read(context, (text, begin), question=question), make_task(max_length=20), MIXED
    )
    spans = MIXED.encode(context).spans.tolist()
    mine = [i for i, (a, b) in enumerate(spans) if a < begin + len(text) and b > begin]
    places = one.extras["windows"].tolist()
    inside = [bool(mine) and w[0] <= mine[0] and mine[-1] < w[1] for w in places]
    on_cls = [bool(s.targets["start"][0] == 1) for s in one.sequences]
    assert on_cls == [not there for there in inside]
    for sequence in one.sequences:
        assert [int((sequence.targets[name] == 1).sum()) for name in NAMES] == [1, 1]
    if not mine:  # nothing but what gives no piece
        return
    lengths = [b - a for a, b in places]
    owner = int(np.searchsorted(np.cumsum(lengths), best_seen(np.array(places))[mine[0]], "right"))
    assume(inside[owner])  # or the answer is longer than what the window shows of its surroundings
    assert answer(kind, one, perfect(one)) == context[spans[mine[0]][0] : spans[mine[-1]][1]]


def test_a_passage_without_pieces_has_no_answer() -> None:
    made = read("\u200b\ufffd", ("\u200b", 0))
    one = make().encode(made, make_task(), MIXED)
    assert positions_of(one) == 1
    assert answer(make(), one, perfect(one)) == ""


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


def test_a_passage_of_several_questions_is_encoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, asked = Tokenizer(tokenizer().vocab), []
    encode = Tokenizer.encode
    monkeypatch.setattr(
        Tokenizer, "encode", lambda self, text: asked.append(text) or encode(self, text)
    )
    for question in (B, C):
        make().encode(read(A + B, (A, 0), question=question), make_task(), made)
    assert asked == [B, A + B, C]
