"""Spans of passages: where answers lie, what windows are trained on, and the way back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.tasks.kind import RowSkipped
from hanmo.tasks.kinds._answers import locate_answer
from hanmo.tasks.kinds._windows import best_seen
from hanmo.tasks.splits import read_split
from hanmo.text.tokenizer import Tokenizer
from kind_cases import MIXED, TEXTS, positions_of
from span_cases import CJRC, NAMES, A, B, C, D, answer, make, make_task, perfect, pieces_of, read
from training_cases import CHARACTERS, tokenizer

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
