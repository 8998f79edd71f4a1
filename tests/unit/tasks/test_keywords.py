"""Keywords and a text: what comes first, and what is cut."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.tasks.kind import RowSkipped, load_kind
from hanmo.tasks.task import Example, Settings, Task
from kind_cases import MIXED
from training_cases import CHARACTERS, tokenizer

A, B, C = CHARACTERS[:3]
KIND = load_kind("keywords")


def make_task(max_length: int = 32) -> Task:
    return Task(
        name="toy",
        kind="keywords",
        splits={},
        columns={},
        labels=("0", "1"),
        settings=Settings(max_length=max_length),
    )


def read(keywords: Any, text: str = C, label: Any = "1") -> Example:
    row = {"text": text, "keywords": keywords, "label": label}
    return KIND.read("1", row, make_task(), train=True)


def test_keywords_come_first() -> None:
    made = read([A, B + A, " "], C * 2)
    assert made.fields == {"text": C * 2, "keywords": f"{A} {B}{A}"}
    [sequence] = KIND.encode(made, make_task(), tokenizer()).sequences
    pieces = [tokenizer().vocab[i] for i in sequence.inputs["input_ids"].tolist()]
    assert pieces == ["[CLS]", A, B, A, "[SEP]", C, C, "[SEP]"]
    assert sequence.inputs["token_type_ids"].tolist() == [0] * 5 + [1] * 3
    assert sequence.targets["label"].tolist() == [1]


def test_the_separator_is_an_option() -> None:
    kind = load_kind("keywords", {"separator": "，"})
    row = {"text": C, "keywords": [A, B], "label": 1}
    made = kind.read("1", row, make_task(), train=True)
    [sequence] = kind.encode(made, make_task(), MIXED).sequences
    pieces = [MIXED.vocab[i] for i in sequence.inputs["input_ids"].tolist()]
    assert pieces == ["[CLS]", A, "，", B, "[SEP]", C, "[SEP]"]


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 40), st.integers(4, 40))
def test_the_text_alone_is_cut(n_keywords: int, n_text: int, max_length: int) -> None:
    task = make_task(max_length)
    one = KIND.encode(read([A] * n_keywords, B * n_text), task, tokenizer())
    ids = one.sequences[0].inputs["input_ids"].tolist()
    room = max_length - 3
    assert ids.count(tokenizer().id_of[A]) == min(n_keywords, room)
    assert ids.count(tokenizer().id_of[B]) == min(n_text, room - min(n_keywords, room))
    assert len(ids) <= max_length
    assert one.truncated == (n_keywords + n_text > room)


@pytest.mark.parametrize("keywords", [A, None, [1], {A: B}])
def test_keywords_are_a_list_of_texts(keywords: Any) -> None:
    with pytest.raises(ValueError, match=r"keywords: got .*; expected a list of texts"):
        read(keywords)


def test_rows_without_keywords_or_text_are_left_out() -> None:
    for keywords, text in (([], C), ([" "], C), ([A], " ")):
        with pytest.raises(RowSkipped, match="empty_text"):
            read(keywords, text)
