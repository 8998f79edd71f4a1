"""Tags and entities: seqeval's two ways of reading, and the way back."""

import itertools
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, IOBES, Tokens

from hanmo.tasks.entities import entities_of, scheme_of, strict_entities_of, tags_of

TYPES = ("PER", "LOC", "book-title", "_")
BIO = ("O", *(f"{letter}-{kind}" for letter in "BI" for kind in TYPES), "B", "I")
BIEOS = (*BIO, *(f"{letter}-{kind}" for letter in "ES" for kind in TYPES), "E", "S")


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[tuple[str, int, int]], int]:
    """Entities that do not overlap, some side by side, and the length of their sentence."""
    cuts = draw(st.lists(st.integers(0, 20), unique=True, max_size=10).map(sorted))
    spans = list(itertools.pairwise(cuts))
    kept = draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
    found = [
        (draw(st.sampled_from(TYPES)), start, end)
        for keep, (start, end) in zip(kept, spans, strict=True)
        if keep
    ]
    return found, max(cuts, default=0) + draw(st.integers(0, 3))


@settings(deadline=None)
@given(sentences(), st.sampled_from(["bio", "bieos"]), st.randoms())
def test_tags_of_entities_are_read_back(
    sentence: tuple[list[tuple[str, int, int]], int], scheme: str, order: random.Random
) -> None:
    entities, n = sentence
    shuffled = sorted(entities, key=lambda _: order.random())
    tags = tags_of(shuffled, n, scheme)
    assert len(tags) == n
    assert entities_of(tags) == strict_entities_of(tags, scheme) == entities
    if entities:
        assert scheme_of([tags]) == scheme


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(BIEOS), max_size=12))
def test_default_mode_is_seqeval(tags: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = get_entities(tags)
    assert entities_of(tags) == [(kind, start, last + 1) for kind, start, last in theirs]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(BIO), max_size=12))
def test_strict_bio_is_seqeval(tags: list[str]) -> None:
    theirs = [(one.tag, one.start, one.end) for one in Tokens(tags, IOB2).entities]
    assert strict_entities_of(tags, "bio") == theirs


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(BIEOS), max_size=12))
def test_strict_bieos_is_seqeval(tags: list[str]) -> None:
    theirs = [(one.tag, one.start, one.end) for one in Tokens(tags, IOBES).entities]
    assert strict_entities_of(tags, "bieos") == theirs


def test_cases_by_hand() -> None:
    assert entities_of([]) == entities_of(["O", "O"]) == []
    broken = ["I-PER", "I-PER", "B-PER", "I-LOC", "O", "E-LOC"]
    assert entities_of(broken) == [("PER", 0, 2), ("PER", 2, 3), ("LOC", 3, 4), ("LOC", 5, 6)]
    assert strict_entities_of(broken, "bieos") == []
    assert strict_entities_of(broken[:5], "bio") == [("PER", 2, 3)]
    whole = ["S-PER", "B-PER", "I-PER", "E-PER", "B-LOC", "E-PER"]
    assert strict_entities_of(whole, "bieos") == [("PER", 0, 1), ("PER", 1, 4)]
    assert tags_of([("PER", 0, 1), ("LOC", 1, 4)], 5, "bio") == [
        "B-PER", "B-LOC", "I-LOC", "I-LOC", "O"
    ]  # fmt: skip
    assert tags_of([("PER", 0, 1), ("LOC", 1, 4)], 5, "bieos") == [
        "S-PER", "B-LOC", "I-LOC", "E-LOC", "O"
    ]  # fmt: skip
    assert scheme_of([["O"], ["B-PER", "I-PER"]]) == scheme_of([]) == "bio"
    assert scheme_of([["O"], ["B-E"]]) == "bio", "the type does not count"
    assert scheme_of([["O"], ["S-PER"]]) == scheme_of([["E-PER"]]) == "bieos"


@pytest.mark.parametrize("tag", ["", "X-PER", "b-PER", "O-PER", "PER", "BPER", "M-PER"])
def test_unknown_tags_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="expected O, or B, I, E or S"):
        entities_of(["O", tag])


def test_wrong_schemes_are_refused() -> None:
    with pytest.raises(ValueError, match="'iob': expected bio or bieos"):
        strict_entities_of(["O"], "iob")
    with pytest.raises(ValueError, match="'iob': expected bio or bieos"):
        tags_of([], 1, "iob")
    with pytest.raises(ValueError, match="E and S are no tags"):
        strict_entities_of(["O", "S-PER"], "bio")


@pytest.mark.parametrize(
    "entity", [("A", 1, 1), ("A", 2, 1), ("A", -1, 1), ("A", 3, 5), ("", 0, 1)]
)
def test_spans_outside_are_refused(entity: tuple[str, int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected a type and a span in 0\.\.4"):
        tags_of([entity], 4, "bio")


def test_overlaps_are_refused() -> None:
    with pytest.raises(ValueError, match="overlaps another"):
        tags_of([("A", 0, 2), ("B", 1, 3)], 4, "bio")
