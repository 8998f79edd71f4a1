"""LTP's words in the text, blanks, cuts: pure functions, without LTP."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate._ltp_pieces import divide
from hanmo.annotate._ltp_words import part_labels, place_words, runs, to_lert, with_one_root
from hanmo.annotate.bieos import repair
from hanmo.annotate.sentence import Sentence
from hanmo.core.errors import UserError

TEXTS = st.text(alphabet="我在北京 \t\u3000aZ09，。！\u200b国", max_size=60)


@given(TEXTS, st.data())
def test_every_character_but_blanks_is_in_a_word(text: str, data: st.DataObject) -> None:
    # As LTP does: words tile the text from its first token on; blanks stay inside.
    first = len(text) - len(text.lstrip(" \t\u3000\u200b"))
    cuts = data.draw(st.sets(st.integers(first, len(text))).map(sorted))
    bounds = sorted({first, *cuts, len(text)}) if first < len(text) else []
    forms = [text[a:b] for a, b in pairwise(bounds)]
    parts = place_words(text, forms)
    assert len(parts) == len(forms)
    words = tuple(span for of_word in parts for span in of_word)
    if forms:
        Sentence(text, words, {}).validate()
    assert not any(c.isspace() for a, b in words for c in text[a:b])


def test_a_blank_ends_a_word() -> None:
    assert place_words("\u3000他 说New York。", ["他 ", "说", "New York", "。"]) == [
        [(1, 2)], [(3, 4)], [(4, 7), (8, 12)], [(12, 13)],
    ]  # fmt: skip
    assert place_words("\u200b我去", ["我", "去"]) == [[(0, 2)], [(2, 3)]]
    assert runs("a b\u3000c", 1) == [(2, 3), (4, 5)]
    with pytest.raises(UserError, match="LTP's word '他' is not in the text"):
        place_words("我去", ["我", "他"])


def test_labels_of_a_parted_word() -> None:
    parts = [[(0, 1)], [(1, 2), (3, 4), (5, 6)], []]
    assert part_labels("pos", ["v", "ns", "n"], parts) == ["v", "ns", "ns", "ns"]
    assert part_labels("dep", ["HED", "VOB", "ATT"], parts) == ["HED", "ATT", "ATT", "VOB"]
    assert part_labels("ner", ["O", "S-Ns", "O"], parts) == ["O", "B-Ns", "I-Ns", "E-Ns"]
    assert part_labels("ner", ["O", "O", "O"], parts) == ["O"] * 4


@given(
    st.lists(st.sampled_from([("O", 1), ("S-Ns", 1), ("BE", 2), ("BIE", 3)])),
    st.lists(st.integers(1, 4), min_size=60, max_size=60),
)
def test_parting_keeps_legal_entities_legal(
    shapes: list[tuple[str, int]], numbers: list[int]
) -> None:
    labels = [x for kind, n in shapes for x in (kind,) if n == 1]
    labels += [f"{mark}-Nh" for kind, n in shapes if n > 1 for mark in kind]
    parts = [[(0, 1)] * n for n in numbers[: len(labels)]]
    labels = labels[: len(parts)]
    if repair(labels) == tuple(labels):
        parted = part_labels("ner", labels, parts)
        assert repair(parted) == tuple(parted)


def test_a_joined_text_has_one_root() -> None:
    parts = [["SBV", "HED", "WP"], ["HED", "VOB"], [None], ["HED"]]
    assert with_one_root(parts) == ["SBV", "HED", "WP", "COO", "VOB", None, "COO"]
    assert with_one_root([[None], ["HED"], ["HED"]]) == [None, "HED", "COO"]


def test_labels_that_lert_lacks() -> None:
    assert to_lert("pos", ["g", "x", "x", None], ["民", "NBA", "々", "\u200b"]) == (
        "n", "ws", "n", None,
    )  # fmt: skip
    assert to_lert("dep", ["IS", "IS", "SBV"], ["，", "请看", "他"]) == ("WP", "COO", "SBV")
    assert to_lert("ner", ["S-Nh", "O"], ["他", "。"]) == ("S-Nh", "O")


@dataclass
class Encoding:
    """What the tokenizers library gives."""

    offsets: list[tuple[int, int]]
    word_ids: list[int]


def encode(text: str) -> Encoding:
    """A piece a character, two pieces for 한; runs of letters are one word; blanks are dropped."""
    offsets: list[tuple[int, int]] = []
    words: list[int] = []
    for place, character in enumerate(text):
        if character.isspace() or character == "\u200b":
            continue
        joined = place and character.isascii() and text[place - 1].isascii()
        joined = joined and character.isalnum() and text[place - 1].isalnum()
        number = words[-1] + (not joined) if words else 0
        for _ in range(2 if character == "한" else 1):
            offsets.append((place, place + 1))
            words.append(number)
    return Encoding(offsets, words)


@given(st.text(alphabet="我在，。 ab1한\u200b", max_size=200), st.integers(16, 40))
def test_parts_tile_the_text_and_fit(text: str, most: int) -> None:
    parts = divide(text, encode, most)
    assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == len(text)
    for part in parts:
        assert part.n_pieces <= most
        assert part.n_pieces == len(encode(text[part.start : part.end]).offsets)
    assert len(parts) == 1 or len(encode(text).offsets) > most


def test_cuts_are_where_they_disturb_least() -> None:
    def cut(text: str, most: int) -> list[str]:
        return [text[part.start : part.end] for part in divide(text, encode, most)]

    assert cut("我在这里，他也在。" * 3, 20) == ["我在这里，他也在。" * 2, "我在这里，他也在。"]
    assert cut("我" * 14 + "，" + "我" * 10, 20) == ["我" * 14 + "，", "我" * 10]
    assert cut("我" * 15 + "abcdefgh", 20) == ["我" * 15, "abcdefgh"]
    assert cut("我" * 21, 20) == ["我" * 20, "我"]
    assert cut("a" * 45, 20) == ["a" * 20, "a" * 20, "a" * 5]
