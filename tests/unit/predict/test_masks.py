import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predict_cases import VOCAB

from hanmo.core.errors import UserError
from hanmo.predict._masks import fillers, join_pieces, read_masked
from hanmo.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer(VOCAB)


def pieces(text: str) -> list[str]:
    return [VOCAB[i] for i in read_masked(text, TOKENIZER, max_length=99).ids]


def test_touching_masks_are_one_word_and_a_blank_makes_two() -> None:
    masked = read_masked("我[MASK][mask] [Mask]去[MASK]", TOKENIZER, max_length=99)
    assert masked.words == ((2, 3), (4,), (6,))
    assert [masked.text[a:b] for a, b in masked.spans] == ["[MASK][mask]", "[Mask]", "[MASK]"]
    for word in masked.words:
        assert (masked.ids[list(word)] == TOKENIZER.mask_id).all()


def test_other_specials_in_a_text_are_ordinary_text() -> None:
    assert pieces("[SEP]好[MASK]") == ["[CLS]", "[UNK]", "[UNK]", "[UNK]", "好", "[MASK]", "[SEP]"]


@given(st.lists(st.sampled_from(["[MASK]", "我", " ", "NEW", "，", "[", "mask]", "york"])))
def test_places_are_exactly_the_masks(parts: list[str]) -> None:
    text = "".join(parts)
    if "[MASK]" not in text.upper():
        with pytest.raises(UserError):
            read_masked(text, TOKENIZER, max_length=999)
        return
    masked = read_masked(text, TOKENIZER, max_length=999)
    places = [place for word in masked.words for place in word]
    assert places == np.flatnonzero(masked.ids == TOKENIZER.mask_id).tolist()
    assert "".join(text[a:b] for a, b in masked.spans).upper() == "[MASK]" * len(places)
    # [MASK] is no letter, so the crate's own special handling gives the same pieces.
    expected = TOKENIZER.encode(text.replace("[mask]", "[MASK]"), specials=True).ids
    assert masked.ids[1:-1].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "empty text"),
        ("我在上海", r"no \[MASK\] in '我在上海'"),
        ("我" * 30 + "[MASK]", "text of 33 pieces .* takes 32"),
    ],
)
def test_bad_texts_are_explained(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_masked(text, TOKENIZER, max_length=32)


def test_pieces_are_joined_as_text() -> None:
    assert join_pieces(["上", "海"]) == "上海"
    assert join_pieces(["new", "york", "##er", "，", "new"]) == "new yorker，new"
    assert join_pieces(["##er"]) == "er"


def test_fillers_are_the_pieces_that_some_text_is_made_of() -> None:
    allowed = fillers(TOKENIZER, len(VOCAB) + 3)
    assert len(allowed) == len(VOCAB) + 3
    named = {VOCAB[i] for i in np.flatnonzero(allowed)}
    assert named == set(VOCAB) - {*VOCAB[:6], "##京", "##，"}
