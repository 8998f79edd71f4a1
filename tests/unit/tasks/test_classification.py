"""Encoding and decoding of the classification kind."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.tasks.kind import RowSkipped, load_kind
from hanmo.tasks.kinds._pooled import fit
from hanmo.tasks.task import Example, Settings, Task
from training_cases import CHARACTERS, tokenizer

KIND = load_kind("classification")
TASK = Task(
    name="toy",
    kind="classification",
    splits={},
    columns={},
    labels=("bad", "good"),
    settings=Settings(max_length=12),
)


def google_truncation(a: int, b: int, room: int) -> list[int]:
    """`_truncate_seq_pair` of Google's run_classifier, piece by piece."""
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return [a, b]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40))
def test_pairs_lose_pieces_as_in_googles_script(a: int, b: int, room: int) -> None:
    assert fit([a, b], room) == google_truncation(a, b, room)
    assert fit([a], room) == [min(a, room)]


def test_a_text_and_a_pair() -> None:
    made = tokenizer()
    a, b = "".join(CHARACTERS[:3]), "".join(CHARACTERS[5:7])
    ids = [made.id_of[c] for c in a + b]
    one = KIND.encode(Example("1", {"text_a": a}, "good"), TASK, made)
    two = KIND.encode(Example("1", {"text_a": a, "text_b": b}, None), TASK, made)
    [sequence], [pair] = one.sequences, two.sequences
    assert sequence.inputs["input_ids"].tolist() == [made.cls_id, *ids[:3], made.sep_id]
    assert sequence.inputs["token_type_ids"].tolist() == [0] * 5
    assert sequence.targets["label"].tolist() == [1]
    assert pair.inputs["input_ids"].tolist() == (
        [made.cls_id, *ids[:3], made.sep_id, *ids[3:], made.sep_id]
    )
    assert pair.inputs["token_type_ids"].tolist() == [0] * 5 + [1] * 3
    assert pair.targets["label"].tolist() == [-1]
    assert not one.truncated


@settings(deadline=None)
@given(st.lists(st.text(CHARACTERS, max_size=20), min_size=1, max_size=2), st.integers(4, 16))
def test_no_sequence_is_too_long(texts: list[str], max_length: int) -> None:
    task = dataclasses.replace(TASK, settings=Settings(max_length=max_length))
    fields = dict(zip(("text_a", "text_b"), texts, strict=False))
    made = KIND.encode(Example("1", fields, "bad"), task, tokenizer())
    n = len(made.sequences[0].inputs["input_ids"])
    whole = sum(map(len, texts)) + 1 + len(texts)
    assert n == min(whole, max_length)
    assert made.truncated == (whole > max_length)


def test_the_most_probable_label_is_the_answer() -> None:
    features = [
        KIND.encode(Example(name, {"text_a": CHARACTERS[0]}, None), TASK, tokenizer())
        for name in ("x", "y")
    ]
    logits = np.array([[0.0, np.log(3)], [1000.0, -1000.0]], dtype=np.float32)
    first, second = KIND.decode(features, {"label": logits}, TASK)
    assert (first.id, first.answer, first.scores) == ("x", "good", {"bad": 0.25, "good": 0.75})
    assert (second.id, second.answer, second.scores) == ("y", "bad", {"bad": 1.0, "good": 0.0})


CRIMES = dataclasses.replace(TASK, labels=())


def gold(label: object, **options: str) -> object:
    """The label that is read of a row."""
    row = {"text_a": "x", "label": label}
    return load_kind("classification", options).read("1", row, CRIMES, train=True).gold


def test_labels_that_are_lists() -> None:
    assert gold(["盗窃", "抢劫"], several="first") == "盗窃"
    assert gold(["盗窃"], several="first") == gold(["盗窃"], several="skip") == "盗窃"
    assert gold([3, 4], several="first") == "3"
    assert gold("盗窃", several="skip") == "盗窃"
    assert gold(None, several="first") is None
    with pytest.raises(RowSkipped) as skipped:
        gold(["盗窃", "抢劫"], several="skip")
    assert skipped.value.reason == "several_labels"
    for options in ({}, {"several": "error"}):
        with pytest.raises(ValueError, match=r"label: got the list .*several = .first. or .skip."):
            gold(["盗窃"], **options)
    for several in ("first", "skip"):
        with pytest.raises(ValueError, match="an empty list"):
            gold([], several=several)


def test_characters_that_labels_lose() -> None:
    brackets = {"several": "first", "label_without": "[]"}
    assert gold(["[引诱、容留、介绍]卖淫"], **brackets) == "引诱、容留、介绍卖淫"
    assert gold("[a]") == "[a]"
    assert gold(None, label_without="[]") is None
