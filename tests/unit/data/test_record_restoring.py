"""Records are restored to the text that they were masked from; what cannot be one is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanmo.annotate.tagsets import TAGSETS
from hanmo.data.duplicates import firsts
from hanmo.data.record_restoring import RecordError, Restorer
from hanmo.text.tokenizer import Tokenizer

CHARACTERS = "天地玄黄宇宙洪荒日月"
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *(*CHARACTERS, "，", "a", "b", "1"),
    *(*(f"##{c}" for c in CHARACTERS), "##，", "##b", "##1", "##黄b"),
]
TOKENIZER = Tokenizer(VOCAB)
PAD, UNK, CLS, SEP, MASK = range(5)


def ids(text: str) -> list[int]:
    return [TOKENIZER.id_of[piece] for piece in text.split()]


def record(
    text: str, masks: dict[int, tuple[str, str]] | None = None, *, length: int = 24, most: int = 6
) -> dict[str, Any]:
    """Features of a record: pieces with specials, and place → (piece seen, label)."""
    pieces, chosen = ids(text), sorted((masks or {}).items())
    for place, (seen, _) in chosen:
        pieces[place] = TOKENIZER.id_of[seen]
    second = [0] * len(pieces)
    if pieces[:-1].count(SEP):
        first = pieces.index(SEP) + 1
        second = [0] * first + [1] * (len(pieces) - first)
    rest, left = [0] * (length - len(pieces)), [0] * (most - len(chosen))
    made: dict[str, Any] = {
        "input_ids": np.array([*pieces, *rest]),
        "input_mask": np.array([*[1] * len(pieces), *rest]),
        "segment_ids": np.array([*second, *rest]),
    }
    if masks is not None:
        made |= {
            "masked_lm_positions": np.array([*(place for place, _ in chosen), *left]),
            "masked_lm_ids": np.array(
                [*(TOKENIZER.id_of[label] for _, (_, label) in chosen), *left]
            ),
            "masked_lm_weights": np.array([*[1] * len(chosen), *left], dtype=np.float32),
        }
    return made


def restored(*records: dict[str, Any], swapped: bool = False) -> tuple[Restorer, list[Any]]:
    """The restorer, and for each document its sentences as texts, "/" before known word starts."""
    restorer = Restorer(TOKENIZER, swapped=swapped)
    for one in records:
        restorer.add(one)
    made, keys = restorer.documents()
    assert len(keys) == len(made.document_starts) - 1
    pieces = [
        ("" if start == 0 else "/") + VOCAB[i]
        for i, start in zip(made.ids, made.word_starts, strict=True)
    ]
    sentences = [
        "".join(pieces[a:b])
        for a, b in zip(made.sentence_starts[:-1], made.sentence_starts[1:], strict=True)
    ]
    documents = [
        sentences[a:b]
        for a, b in zip(made.document_starts[:-1], made.document_starts[1:], strict=True)
    ]
    return restorer, documents


def test_labels_are_put_in_at_masked_kept_and_random_places() -> None:
    text = "[CLS] 天 地 玄 黄 ， 宇 宙 [SEP]"
    masks = {2: ("[MASK]", "地"), 3: ("月", "玄"), 7: ("宙", "宙")}
    restorer, documents = restored(record(text, masks))
    assert documents == [["/天/地/玄/黄/，/宇/宙"]]
    assert restorer.counts["masked_positions"] == 3
    assert restorer.counts["mended_labels"] == 0


def test_labels_with_the_mark_of_a_word_are_the_plain_character() -> None:
    text = "[CLS] 天 地 玄 黄 ， 宇 宙 [SEP]"
    masks = {
        **{1: ("[MASK]", "天"), 2: ("##月", "##地"), 6: ("[MASK]", "宇")},
        **{7: ("宙", "##宙"), 5: ("[MASK]", "##，")},
    }
    restorer, documents = restored(record(text, masks))
    assert documents == [["/天地/玄/黄，/宇宙"]]  # 地, ， and 宙 continue a word
    assert restorer.counts["mended_labels"] == 3
    assert restorer.counts["mended_inputs"] == 0


def test_marks_that_were_left_in_the_input_are_mended_too() -> None:
    restorer, documents = restored(record("[CLS] 天 ##地 玄 [SEP]", {3: ("[MASK]", "玄")}))
    assert documents == [["/天地/玄"]]
    assert restorer.counts["mended_inputs"] == 1


def test_real_continuations_stay() -> None:
    restorer, documents = restored(record("[CLS] a ##b ##1 天 [SEP]", {2: ("[MASK]", "##b")}))
    assert documents == [["/a##b##1/天"]]
    assert restorer.counts["mended_labels"] == restorer.counts["mended_inputs"] == 0


def test_records_without_masks() -> None:
    _, documents = restored(record("[CLS] 天 地 [SEP] 玄 黄 [SEP]"))
    assert documents == [["/天/地", "/玄/黄"]]


def test_what_next_sentence_labels_mean() -> None:
    pair = record("[CLS] 天 地 [SEP] 玄 黄 [SEP]", {})
    for answer, swapped, expected in (
        (0, False, [["/天/地", "/玄/黄"]]),
        (1, False, [["/天/地"], ["/玄/黄"]]),
        (0, True, [["/天/地", "/玄/黄"]]),
        (1, True, [["/玄/黄", "/天/地"]]),
    ):
        one = {**pair, "next_sentence_labels": np.array([answer])}
        restorer, documents = restored(one, swapped=swapped)
        assert documents == expected
        name = "swapped_pairs" if swapped else "random_next_pairs"
        assert restorer.counts[name] == answer
    single = {**record("[CLS] 天 [SEP]", {}), "next_sentence_labels": np.array([1])}
    assert restored(single)[1] == [["/天"]]


def test_a_separator_within_a_segment_ends_a_sentence() -> None:
    one = record("[CLS] 天 地 [SEP] 玄 [SEP] 黄 [SEP]")
    one["segment_ids"][:] = 0
    assert restored(one)[1] == [["/天/地", "/玄", "/黄"]]
    assert restored(record("[CLS] [SEP]"))[1] == []


def test_labels_of_words_are_known_where_words_were_chosen() -> None:
    one = record("[CLS] 天 地 玄 黄 [SEP]", {2: ("[MASK]", "地"), 4: ("[MASK]", "黄")})
    tags = {"pos": ("v", "n"), "ner": ("O", "S-Ns"), "dep": ("HED", "ATT")}
    for layer, labels in tags.items():
        numbers = [TAGSETS[layer].index(label) for label in labels]
        one[f"{layer}_labels"] = np.array([*numbers, 0, 0, 0, 0])
    restorer = Restorer(TOKENIZER)
    restorer.add(one)
    made, _ = restorer.documents()
    for layer, labels in tags.items():
        found = [TAGSETS[layer][i] if i >= 0 else None for i in made.layers[layer]]
        assert found == [None, labels[0], None, labels[1]]
    assert restored(record("[CLS] 天 [SEP]", {}))[0].documents()[0].layers == {}


def test_albert_says_where_words_begin() -> None:
    one = record("[CLS] 天 地 玄 黄 [SEP]", {2: ("[MASK]", "地")})
    one["token_boundary"] = np.array([1, 1, 0, 1, 0, 1, *[0] * 18])
    assert restored(one)[1] == [["/天地/玄黄"]]


def test_a_mask_that_nobody_explains_leaves_the_record_out() -> None:
    sound = record("[CLS] 天 地 [SEP]", {})
    restorer, documents = restored(record("[CLS] 天 [MASK] [SEP]", {}), sound)
    assert documents == [["/天/地"]]
    assert restorer.counts["unrestored_records"] == 1
    assert restorer.counts["records"] == 2


def test_equal_documents_have_equal_keys() -> None:
    one = record("[CLS] 天 地 玄 [SEP]", {1: ("[MASK]", "天")})
    two = record("[CLS] 天 地 玄 [SEP]", {3: ("[MASK]", "玄")})
    other = record("[CLS] 天 地 [SEP] 玄 [SEP]", {})
    restorer, _ = restored(one, two, other, one)
    assert firsts(restorer.documents()[1]).tolist() == [0, 0, 2, 0]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_whatever_was_masked_comes_back(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 18))
    pieces = data.draw(st.lists(st.sampled_from(CHARACTERS), min_size=n, max_size=n))
    places = data.draw(st.sets(st.integers(1, n), max_size=6))
    seen = {
        place: (data.draw(st.sampled_from(["[MASK]", pieces[place - 1], *VOCAB])), "")
        for place in places
    }
    masks = {
        place: (shown, data.draw(st.sampled_from(["", "##"])) + pieces[place - 1])
        for place, (shown, _) in seen.items()
    }
    _, [[text]] = restored(record(f"[CLS] {' '.join(pieces)} [SEP]", masks))
    assert text.replace("/", "") == "".join(pieces)


def changed(**features: NDArray[Any] | list[bytes] | None) -> dict[str, Any]:
    made = record("[CLS] 天 地 玄 [SEP]", {2: ("[MASK]", "地")}) | features
    return {name: values for name, values in made.items() if values is not None}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "no input_ids, input_mask, segment_ids \\(found: nothing\\)"),
        (
            changed(segment_ids=None),
            "no segment_ids \\(found: input_ids, input_mask, masked_lm_ids",
        ),
        (changed(masked_lm_weights=None), "no masked_lm_weights \\(found: "),
        ({"image": [b"x"], "label": np.zeros(1, int)}, "\\(found: image, label\\); expected the"),
        (changed(input_ids=np.arange(3)), "different lengths: input_ids 3, input_mask 24"),
        (changed(masked_lm_ids=np.arange(3)), "masked_lm_positions 6, masked_lm_ids 3"),
        (changed(pos_labels=np.zeros(2, int)), "pos_labels 2"),
        (changed(pos_labels=np.full(6, 28)), "pos_labels: 28; expected 0 to 27"),
        (changed(token_boundary=np.zeros(2, int)), "token_boundary 2"),
        (changed(input_mask=np.tile([1, 0], 12)), "input_mask: zeros among the ones"),
        (changed(input_mask=np.zeros(24, int)), "begin and end with \\[\\]; expected \\[2, 3\\]"),
        (changed(input_ids=np.full(24, 6)), "begin and end with \\[6, 6\\]; expected \\[2, 3\\]"),
        (changed(input_ids=np.full(24, 99)), "input_ids: 99; this vocabulary has 33 entries"),
        (changed(masked_lm_ids=np.full(6, 77)), "masked_lm_ids: 77; this vocabulary has 33"),
        (changed(masked_lm_positions=np.full(6, 9)), "positions: 9; the sequence has 5 pieces"),
        (changed(masked_lm_weights=np.ones(6, int)), "masked_lm_weights: .* expected floats"),
        (changed(input_ids=np.ones(24)), "input_ids: .* expected whole numbers"),
        (changed(input_ids=[b"x"]), "input_ids: .* expected whole numbers"),
    ],
)
def test_what_is_no_record_is_refused(features: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Restorer(TOKENIZER).add(features)
