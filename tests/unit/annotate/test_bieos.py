"""Entity notations: round trips, repair and errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate.bieos import (
    Entity,
    bieos_to_spans,
    iob2_to_bieos,
    iob2_to_spans,
    repair,
    spans_to_bieos,
)
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError

KINDS = ("Nh", "Ns", "Ni")
SAME = {kind: kind for kind in KINDS}


@st.composite
def entities(draw: st.DrawFn) -> tuple[list[Entity], int]:
    found: list[Entity] = []
    position = 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=6)):
        start = position + gap
        position = start + length
        found.append((start, position, draw(st.sampled_from(KINDS))))
    return found, position + draw(st.integers(0, 2))


@given(entities())
def test_spans_survive_bieos_and_come_from_iob2(case: tuple[list[Entity], int]) -> None:
    found, n_words = case
    labels = spans_to_bieos(found, n_words)
    assert set(labels) <= set(TAGSETS["ner"])
    assert bieos_to_spans(labels) == found
    iob2 = ["O"] * n_words
    for start, end, kind in found:
        iob2[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    assert iob2_to_spans(iob2) == found
    assert iob2_to_bieos(iob2, SAME) == labels
    assert repair(labels) == labels


@given(st.lists(st.sampled_from(TAGSETS["ner"]), max_size=12))
def test_repair_makes_any_sequence_legal_and_keeps_what_is_an_entity(labels: list[str]) -> None:
    fixed = repair(labels)
    assert spans_to_bieos(bieos_to_spans(fixed), len(fixed)) == fixed
    for before, after in zip(labels, fixed, strict=True):
        assert before[1:] == after[1:]  # only B, I, E, S may change, never O or the type
        assert (before == "O") == (after == "O")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["I-Nh"], ["S-Nh"]),
        (["B-Nh", "O"], ["S-Nh", "O"]),
        (["B-Nh", "B-Nh", "E-Nh"], ["S-Nh", "B-Nh", "E-Nh"]),
        (["B-Nh", "I-Ns", "E-Ns"], ["S-Nh", "B-Ns", "E-Ns"]),
        (["E-Ni", "E-Ni"], ["S-Ni", "S-Ni"]),
        (["I-Ni", "I-Ni", "O"], ["B-Ni", "E-Ni", "O"]),
    ],
)
def test_repair(labels: list[str], expected: list[str]) -> None:
    assert repair(labels) == tuple(expected)


def test_conversion_maps_types_and_drops_others() -> None:
    labels = ["B-PER", "I-PER", "O", "B-MISC", "I-MISC", "B-LOC", "B-ORG"]
    assert iob2_to_bieos(labels) == ("B-Nh", "E-Nh", "O", "O", "O", "S-Ns", "S-Ni")


def test_bad_labels_are_named() -> None:
    with pytest.raises(UserError, match="'I-PER' after 'O'"):
        iob2_to_spans(["O", "I-PER"])
    with pytest.raises(UserError, match="'I-LOC' after 'B-PER'"):
        iob2_to_spans(["B-PER", "I-LOC"])
    with pytest.raises(UserError, match="'B' is not an IOB2 label"):
        iob2_to_spans(["B"])
    with pytest.raises(UserError, match="'M-PER' is not a BIEOS label"):
        bieos_to_spans(["M-PER"])
    with pytest.raises(ValueError, match="overlaps"):
        spans_to_bieos([(0, 2, "Nh"), (1, 3, "Ns")], 3)
