"""Sentences: checks, rows, and finding words in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate.sentence import Sentence, locate_words
from hanmo.core.errors import UserError

GOOD = Sentence("我们 去", ((0, 2), (3, 4)), {"pos": ("r", None)})


def test_a_good_sentence_passes_and_survives_its_row() -> None:
    GOOD.validate()
    row = GOOD.to_row("d")
    assert row["words"] == ["我们", "去"] == GOOD.forms
    assert row["starts"] == [0, 3]
    assert row["pos"] == ["r", None]
    assert row["ner"] is None
    assert Sentence.from_row(row) == ("d", GOOD)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (Sentence("我们", ((0, 1), (0, 2)), {}), r"word span \(0, 2\)"),
        (Sentence("我们", ((0, 3),), {}), r"word span \(0, 3\)"),
        (Sentence("我们", ((0, 0), (0, 2)), {}), r"word span \(0, 0\)"),
        (Sentence("我们去", ((0, 1), (2, 3)), {}), r"characters 1–2 \('们'\) belong to no word"),
        (Sentence("我们去", ((0, 2),), {}), r"\('去'\) belong to no word"),
        (Sentence("我", ((0, 1),), {"srl": ("x",)}), "unknown layer 'srl'"),
        (Sentence("我", ((0, 1),), {"pos": ()}), "layer pos has 0 labels for 1 words"),
        (Sentence("我", ((0, 1),), {"dep": ("SBVV",)}), "unknown dep label 'SBVV'.*'SBV'"),
    ],
)
def test_what_is_wrong_is_named(sentence: Sentence, message: str) -> None:
    with pytest.raises(UserError, match=f"file:3: .*{message}"):
        sentence.validate("file:3")


@given(
    st.lists(st.text("我们去a1😀。", min_size=1, max_size=4), max_size=6),
    st.lists(st.sampled_from(["", " ", "\u3000", "\n "]), min_size=7, max_size=7),
)
def test_words_are_found_whatever_white_space_is_between(words: list[str], gaps: list[str]) -> None:
    text = gaps[0] + "".join(word + gap for word, gap in zip(words, gaps[1:], strict=False))
    spans = locate_words(text, words)
    assert [text[start:end] for start, end in spans] == words
    Sentence(text, spans, {}).validate()


def test_words_with_white_space_inside_are_found() -> None:
    assert locate_words("a b c", ["a b", "c"]) == ((0, 3), (4, 5))
    with pytest.raises(UserError, match="word 1 is ''"):
        locate_words("a", [""])
