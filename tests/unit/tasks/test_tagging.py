"""Tags of characters: schemes, windows, odd characters, legal sequences, CLUENER's entities."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.ragged import Array
from hanmo.tasks.entities import Entity, entities_of, tags_of
from hanmo.tasks.kind import Features, RowSkipped, load_kind
from hanmo.tasks.kinds.tagging import Kind, _allowed, _viterbi
from hanmo.tasks.splits import read_split, with_labels
from hanmo.tasks.task import Example, Settings, Task
from kind_cases import ALPHABET, MIXED, targets_of
from training_cases import CHARACTERS, tokenizer

A, B, C = CHARACTERS[:3]
TYPES = ("PER", "book-title")
TASK = Task(
    name="toy",
    kind="tagging",
    splits={},
    columns={"text": "text", "label": "tags"},
    reader="conll",
    labels=TYPES,
    settings=Settings(max_length=12),
)


def make(**options: Any) -> Kind:
    kind = load_kind("tagging", options)
    assert isinstance(kind, Kind)
    return kind


def read(text: Any, label: Any, *, task: Task = TASK, kind: Kind = make()) -> Example:  # noqa: B008
    return kind.read("1", {"text": text, "label": label}, task, train=True)


def ready(kind: Kind, task: Task = TASK) -> Task:
    """The task with the tags of its head."""
    return dataclasses.replace(task, labels=kind.labels(task, []))


def perfect(features: list[Features], task: Task) -> Array:
    """Logits that are sure of the targets."""
    return np.eye(len(task.labels), dtype=np.float32)[targets_of(features, "label")] * 9


@st.composite
def sentences(draw: st.DrawFn) -> tuple[str, list[Entity]]:
    text = draw(st.text(ALPHABET, min_size=1, max_size=40))
    cuts = draw(st.lists(st.integers(0, len(text)), unique=True, max_size=12).map(sorted))
    spans = [pair for pair in itertools.pairwise(cuts) if draw(st.booleans())]
    return text, [(draw(st.sampled_from(TYPES)), start, end) for start, end in spans]


@settings(deadline=None)
@given(
    st.lists(sentences(), min_size=1, max_size=3),
    st.sampled_from(["bio", "bieos"]),
    st.sampled_from(["bio", "bieos", "bmes"]),
    st.booleans(),
    st.integers(1, 20),
    st.integers(4, 50),
)
def test_gold_entities_come_back(  # noqa: PLR0917
    made: list[tuple[str, list[Entity]]],
    scheme: str,
    written: str,
    legal: bool,
    stride: int,
    max_length: int,
) -> None:
    kind = make(scheme=scheme, legal=legal, stride=stride)
    task = dataclasses.replace(ready(kind), settings=Settings(max_length=max_length))
    examples = []
    for text, entities in made:
        tags = tags_of(entities, len(text), "bieos" if written == "bmes" else written)
        if written == "bmes":
            tags = ["M" + tag[1:] if tag[0] == "I" else tag for tag in tags]
        examples.append(read(text, tags, task=task))
        assert entities_of(examples[-1].gold) == entities
    features = [kind.encode(one, task, MIXED) for one in examples]
    for (text, _), one in zip(made, features, strict=True):
        # A piece a character, whatever the character.
        n = one.extras["windows"].max()
        assert n == len(text)
        assert all(len(s.inputs["input_ids"]) <= max_length for s in one.sequences)
    answers = kind.decode(features, {"label": perfect(features, task)}, task)
    for (text, entities), one in zip(made, answers, strict=True):
        assert list(one.answer) == tags_of(entities, len(text), "bio")


def test_windows_of_a_long_text_overlap() -> None:
    text = [CHARACTERS[n % 50] for n in range(40)]
    for stride, expected in ((128, 5), (3, 3)):
        one = make(stride=stride).encode(read(text, None), ready(make()), tokenizer())
        begins = one.extras["windows"][:, 0]
        assert set(np.diff(begins).tolist()) == {expected}
    short = make().encode(read(text[:10], None), ready(make()), tokenizer())
    assert short.extras["windows"].tolist() == [[0, 10]]


def test_each_character_is_tagged_in_the_window_that_shows_most_around_it() -> None:
    kind, task = make(stride=5), ready(make())
    one = kind.encode(read(CHARACTERS[:15], None), task, tokenizer())
    assert one.extras["windows"].tolist() == [[0, 10], [5, 15]]
    logits = np.zeros((20, len(task.labels)), np.float32)
    logits[:10, 1] = 1  # the first window says B-PER, the second O
    [answer] = kind.decode([one], {"label": logits}, task)
    assert answer.answer == ("B-PER",) * 8 + ("O",) * 7


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        (A, A),
        ("a", "a"),
        ("B", "b"),
        ("Ａ", "ａ"),  # full-width: lower case, not narrow
        (CHARACTERS[149], CHARACTERS[149]),
        (" ", "[UNK]"),
        ("　", "[UNK]"),
        ("\t", "[UNK]"),
        ("\u200b", "[UNK]"),
        ("\ufffd", "[UNK]"),
        ("\U0001f600", "[UNK]"),
        ("é", "[UNK]"),
        ("á", "a"),
        ("[CLS]", "["),  # a longer token: its first piece, never a special one
        ("12", "12"),
    ],
)
def test_a_character_is_one_piece(character: str, expected: str) -> None:
    one = make().encode(read([character, A], None), ready(make()), MIXED)
    [sequence] = one.sequences
    pieces = [MIXED.vocab[i] for i in sequence.inputs["input_ids"].tolist()]
    assert pieces == ["[CLS]", expected, A, "[SEP]"]
    assert sequence.positions.tolist() == [1, 2]
    assert sequence.targets["label"].tolist() == [-1, -1]


def test_labels_are_the_schemes_tags_of_every_type() -> None:
    assert make().labels(TASK, []) == (*("O", "B-PER", "I-PER", "B-book-title", "I-book-title"),)
    assert make(scheme="bieos").labels(dataclasses.replace(TASK, labels=("X",)), []) == (
        *("O", "B-X", "I-X", "E-X", "S-X"),
    )
    again = ready(make())
    assert make().labels(again, []) == again.labels, "types or tags may be stated"
    free = dataclasses.replace(TASK, labels=())
    examples = [read(A + B, tags, task=free) for tags in (["O", "B-Z"], ["B-A", "E-A"])]
    assert make().labels(free, examples) == ("O", "B-A", "I-A", "B-Z", "I-Z")
    with pytest.raises(ValueError, match="not one entity in the training split"):
        make().labels(free, [read(A, ["O"], task=free)])


@pytest.mark.parametrize(
    "tag", ["", "-PER", "BI-PER", "EM-PER", "B", "B-", "X-PER", "PER", "b-PER"]
)
def test_unknown_tags_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="; expected O, or B-, I-, M-, E- or S- and a type"):
        read(A + B, ["O", tag])


def test_tags_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="tag 'B-LOC'; the task's types are PER, book-title"):
        read(A, ["B-LOC"])
    with pytest.raises(ValueError, match="1 tags for 2 characters; expected one each"):
        read(A + B, ["O"])
    for label in ("O O", [1, 2], [], 3):
        with pytest.raises(ValueError, match=r"label: got .*; expected tags or entities"):
            read(A + B, label)
    for text in (3, [1], {"a": 1}):
        with pytest.raises(ValueError, match=r"text: got .*; expected text, or characters"):
            read(text, ["O"])
    with pytest.raises(RowSkipped, match="empty_text"):
        read("", [])
    with pytest.raises(UserError, match=r"options\.stride: got 0; expected 1 or more"):
        load_kind("tagging", {"stride": 0})


def test_other_splits_may_be_written_in_another_scheme(tmp_path: Path) -> None:
    train, dev = tmp_path / "train.txt", tmp_path / "dev.txt"
    train.write_text(f"{A} B-PER\n{B} I-PER\n{C} O\n", encoding="utf-8")
    dev.write_text(f"{A} B-PER\n{B} M-PER\n{C} E-PER\n{A} S-PER\n", encoding="utf-8")
    for labels in ((), TYPES):
        task = dataclasses.replace(TASK, labels=labels)
        task = with_labels(task, read_split(task, "train", train))
        [one] = read_split(task, "dev", dev).examples
        assert one.gold == ("B-PER", "I-PER", "I-PER", "B-PER")
    dev.write_text(f"{A} O\n\n{A} O\n{B} B-LOC\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"dev\.txt:3: tag 'B-LOC'; the task's types are PER, book"):
        read_split(task, "dev", dev)


# Legal sequences.


@settings(deadline=None)
@given(
    st.sampled_from(["bio", "bieos"]),
    st.integers(1, 5),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
)
def test_legal_decoding_is_the_best_of_all_legal_sequences(
    scheme: str, n: int, n_types: int, seed: int
) -> None:
    labels = make(scheme=scheme).labels(dataclasses.replace(TASK, labels=TYPES[:n_types]), [])
    assume(len(labels) ** n <= 7000)
    logits = np.random.default_rng(seed).normal(0, 2, (n, len(labels)))
    best = -np.inf
    for numbers in itertools.product(range(len(labels)), repeat=n):
        tags = [labels[number] for number in numbers]
        if tags_of(entities_of(tags), n, scheme) == tags:
            best = max(best, float(logits[np.arange(n), list(numbers)].sum()))
    found = _viterbi(logits, _allowed(labels))
    tags = [labels[number] for number in found.tolist()]
    assert tags_of(entities_of(tags), n, scheme) == tags
    assert logits[np.arange(n), found].sum() == pytest.approx(best)


@settings(deadline=None)
@given(st.sampled_from(["bio", "bieos"]), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_legal_answers_need_no_repair(scheme: str, n: int, seed: int) -> None:
    kind = make(scheme=scheme, legal=True, stride=4)
    task = ready(kind)
    one = kind.encode(read(A * n, None), task, tokenizer())
    rng = np.random.default_rng(seed)
    places = one.extras["windows"]
    m = int((places[:, 1] - places[:, 0]).sum())
    logits = rng.normal(0, 9, (m, len(task.labels))).astype(np.float32)
    [legal] = kind.decode([one], {"label": logits}, task)
    assert list(legal.answer) == tags_of(entities_of(legal.answer), n, "bio")
    [free] = make(scheme=scheme, stride=4).decode([one], {"label": logits}, task)
    assert len(free.answer) == len(legal.answer) == n


# CLUENER's entities.


def test_entities_have_inclusive_ends() -> None:
    made = read(A + B + C + A, {"PER": {A + B: [[0, 1]], A: [[3, 3]]}})
    assert made.gold == ("B-PER", "I-PER", "O", "B-PER")
    assert made.noted == ()
    assert read(A + B, {}).gold == ("O", "O")


def test_nested_entities_are_counted() -> None:
    label = {
        "book-title": {B: [[1, 1]], B + C: [[1, 2]]},
        "PER": {A + B + C: [[0, 2]], C: [[3, 3]]},
    }
    made = read(A + B + C + C, label)
    assert made.gold == ("B-PER", "I-PER", "I-PER", "B-PER")
    assert made.noted == ("nested_entity_left_out",) * 2


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ({"PER": {A: [[1, 1]]}}, f"PER '{A}' is not at characters 1 to 1; there: '{B}'"),
        ({"PER": {A: [[0, 1]]}}, f"PER '{A}' is not at characters 0 to 1"),
        ({"PER": {C: [[2, 2]]}}, f"PER '{C}' is not at characters 2 to 2; there: ''"),
        ({"PER": {B: [[-1, -1]]}}, "is not at characters -1 to -1"),
        ({"PER": {"": [[1, 0]]}}, "expected a type and a span"),
        ({"PER": [A]}, r"PER: got .*; expected entities, each with its \[first, last\]"),
        ({"PER": {A: [0, 0]}}, "PER: got .*; expected entities"),
        ({"PER": {A: [[0]]}}, "PER: got .*; expected entities"),
        ({"PER": {A: [["x", "y"]]}}, "PER: got .*; expected entities"),
        ({"LOC": {A: [[0, 0]]}}, "tag 'B-LOC'; the task's types are PER, book-title"),
    ],
)
def test_misplaced_entities_are_refused(label: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read(A + B, label)
