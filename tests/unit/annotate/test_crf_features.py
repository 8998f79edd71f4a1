"""Attributes of the CRF annotator: units cover the text, rows match units and words."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate._crf_features import (
    entity_features,
    relation_features,
    segmentation_features,
    symbol,
    units,
    word_features,
)

FORMS = ["他", "在", "2004", "年", "去", "Beijing", "，", "买", "了", "书", "。"]
TAGS = ["r", "p", "nt", "nt", "v", "ws", "wp", "v", "u", "n", "wp"]


@given(st.text(max_size=60))
def test_units_cover_everything_but_white_space(text: str) -> None:
    spans = units(text)
    covered = "".join(text[start:end] for start, end in spans)
    assert covered == "".join(c for c in text if not c.isspace())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_a_run_of_letters_and_digits_is_one_unit() -> None:
    text = "用 iPhone15 和ＡＢ１看3.5英寸"
    assert [text[a:b] for a, b in units(text)] == [
        "用", "iPhone15", "和", "ＡＢ１", "看", "3", ".", "5", "英", "寸",
    ]  # fmt: skip


def test_symbols_keep_shape_and_fold_width() -> None:
    assert symbol("2004") == symbol("２００４") == ("#4", "0")
    assert symbol("iPhone") == symbol("Ｗｅｂ") == ("#a", "a")
    assert symbol("三百") == ("三百", "n")
    assert symbol("，")[0] == ","
    assert symbol("汉") == ("汉", "c")


@given(st.lists(st.text(alphabet="我你的1aA，。 看", min_size=1, max_size=3), max_size=12))
def test_one_row_per_unit_and_word(forms: list[str]) -> None:
    rows = segmentation_features(forms)
    assert len(rows) == len(forms)
    assert all(len(row) == len(set(row)) == 11 for row in rows)
    assert len(word_features(forms)) == len(forms)


def test_segmentation_rows_do_not_depend_on_far_characters() -> None:
    left, right = list("天上的白云很大啊"), list("水下的白云很大吗")
    assert segmentation_features(left)[4] == segmentation_features(right)[4]
    assert segmentation_features(left)[3] != segmentation_features(left)[4]


def test_clause_attributes_stop_at_a_comma() -> None:
    rows = relation_features(word_features(FORMS), FORMS, TAGS)
    assert b"xr 0-" in rows[0]  # nothing before the first word
    assert b"xnt 0p" in rows[2]  # preposition to the left
    assert b"xwp 1v" in rows[6]
    assert b"xv 1-" in rows[7]  # a verb in the sentence, none in the clause
    assert b"yr v," in rows[0]  # a verb to the right, a comma ends the clause
    assert b"yn -." in rows[9]


def test_tags_reach_two_words_in_relations_and_one_in_entities() -> None:
    words = word_features(FORMS)
    other = [*TAGS[:4], "a", *TAGS[5:]]

    def changed(one: list[tuple[bytes, ...]], two: list[tuple[bytes, ...]]) -> list[int]:
        return [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]

    assert changed(entity_features(words, TAGS), entity_features(words, other)) == [3, 4, 5]
    relations = [relation_features(words, FORMS, tags) for tags in (TAGS, other)]
    assert {2, 3, 4, 5, 6} <= set(changed(*relations))
