"""CMRC 2018 and CJRC scores: every corner by hand, and their laws on random texts."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.tasks import reading_metrics as rm

TEXTS = st.text(
    st.one_of(
        st.sampled_from("中国北京上海一龥㐀龦𠀀"),
        st.sampled_from("abXYİ09 .,'\"?!;%$()\u3000\n"),
        st.sampled_from("，。：？！“”；’《》·、「」（）－～『』…—‘"),
        st.sampled_from("-:_*^/\\~`+="),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=14,
)
GOLDS = st.lists(TEXTS, min_size=1, max_size=4)


def test_the_list_of_punctuation_is_the_scripts() -> None:
    assert len(rm.PUNCTUATION) == len(set(rm.PUNCTUATION)) == 33
    assert [one for one in rm.PUNCTUATION if len(one) > 1] == ["……"]
    for kept in "‘…—,.?!()'\";%":
        assert kept not in rm.PUNCTUATION


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \u3000", []),
        ("，。", []),
        ("北京", ["北", "京"]),
        ("iphone，6s", ["iphone6s"]),
        ("iPhone 6s", ["iphone", "6s"]),
        ("iphone，6s手机", ["iphone6s", "手", "机"]),
        ("用iPhone的", ["用", "iphone", "的"]),
        ("1-2", ["12"]),
        ("等…", ["等", "…"]),
        ("等……", ["等", "……"]),
        ("北—京", ["北", "—", "京"]),
        ("‘北’", ["‘", "北"]),
        ("龥龦", ["龥", "龦"]),
        ("㐀㐁一", ["㐀㐁", "一"]),
        ("龦龦一丁", ["龦龦", "一", "丁"]),
        ("don't", ["do", "n't"]),
        ("3.5%", ["3.5", "%"]),
        ("u.s.", ["u.s", "."]),
        ("见fig. 2.", ["见", "fig.", "2", "."]),
        ("(a)", ["(", "a", ")"]),
    ],
)
def test_words_of_cmrc(text: str, words: list[str]) -> None:
    assert rm.cmrc_words(text) == words


@pytest.mark.parametrize(
    ("golds", "text", "em", "f1"),
    [
        (["北京"], "北京", 1, 1),
        (["北京"], "《北京》。", 1, 1),
        (["北京"], " 北京\n", 1, 1),
        (["iPhone"], "IPHONE", 1, 1),
        (["北 京"], "北京", 0, 1),  # inner spaces count for EM only
        (["苹果"], "苹果 ，", 0, 1),  # so do those that punctuation laid bare
        (["等…"], "等", 0, 2 / 3),
        (["等……"], "等", 0, 2 / 3),
        (["北—京"], "北京", 0, 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)),
        (["‘北京"], "北京", 0, 0.8),
        (["北京，"], "北京,", 0, 0.8),  # the ASCII comma stays
        (["iphone，6s"], "iphone6s", 1, 1),
        (["iphone，6s"], "iphone 6s", 0, 0),
        (["一二三四"], "一五三四", 0, 0.5),  # a run of 2 of 4; the subsequence has 3
        (["一二三四"], "四三二一", 0, 0.25),
        (["北京市"], "在北京", 0, 2 / 3),
        (["北京"], "上海", 0, 0),
        (["北京"], "", 0, 0),
        (["", "北京"], "北京", 1, 1),
        ([""], "", 1, 0),
        (["，"], "。", 1, 0),  # nothing is left on either side
        (["上海", "在北京"], "北京", 0, 0.8),  # the best gold text
        (["北京", "在北京"], "在北京", 1, 1),
        (["㐀㐁"], "㐀", 0, 0),  # rare characters stick together
        (["龥龥"], "龥", 0, 2 / 3),
    ],
)
def test_cmrc_by_hand(golds: list[str], text: str, em: float, f1: float) -> None:
    assert rm.cmrc_em(golds, text) == em
    assert rm.cmrc_f1(golds, text) == pytest.approx(f1)


@pytest.mark.parametrize("golds", [[], (), "北京"])
def test_cmrc_needs_gold_texts(golds: object) -> None:
    for score in (rm.cmrc_em, rm.cmrc_f1):
        with pytest.raises(ValueError, match="gold texts: got"):
            score(golds, "北京")  # type: ignore[arg-type]


@settings(deadline=None)
@given(GOLDS, TEXTS)
def test_laws_of_cmrc(golds: list[str], text: str) -> None:
    em, f1 = rm.cmrc_em(golds, text), rm.cmrc_f1(golds, text)
    words = rm.cmrc_words(text)
    assert em in {0.0, 1.0}
    assert 0 <= f1 <= 1
    if em:
        assert f1 == (1 if words else 0) or any(rm.cmrc_words(gold) != words for gold in golds)
    if not words:
        assert f1 == 0
    assert rm.cmrc_em([*golds, text], text) == 1
    assert rm.cmrc_f1([*golds, text], text) == (1 if words else 0)
    assert em == max(rm.cmrc_em([gold], text) for gold in golds)
    assert f1 == max(rm.cmrc_f1([gold], text) for gold in golds)
    for gold in golds:
        assert rm.cmrc_f1([gold], text) == pytest.approx(rm.cmrc_f1([text], gold))
        assert rm.cmrc_f1([gold], text) == pytest.approx(slow_f1(rm.cmrc_words(gold), words))


def slow_f1(gold: list[str], words: list[str]) -> float:
    runs = [gold[i:j] for i in range(len(gold)) for j in range(i + 1, len(gold) + 1)]
    starts = range(len(words))
    run = max((len(r) for r in runs if any(words[k : k + len(r)] == r for k in starts)), default=0)
    return 2 * run / (len(gold) + len(words)) if run else 0.0


def test_the_report_is_the_scripts() -> None:
    expected = {"A": ("北京",), "B": ("上海", "在上海"), "C": ("一二三",)}
    report = rm.official_report(expected, {"A": "北京。", "B": "到上海", "X": "?"})
    f1 = 100 * (1 + 0.8) / 3  # B: a run of 2 in 2 and 3 words, or in 3 and 3
    assert report == {
        "AVERAGE": f"{(100 / 3 + f1) / 2:.3f}",
        "F1": f"{f1:.3f}",
        "EM": "33.333",
        "TOTAL": 3,
        "SKIP": 1,
    }
    assert list(report) == ["AVERAGE", "F1", "EM", "TOTAL", "SKIP"]
    empty = rm.official_report(expected, {})
    assert empty == {"AVERAGE": "0.000", "F1": "0.000", "EM": "0.000", "TOTAL": 3, "SKIP": 3}
    with pytest.raises(ValueError, match="no questions"):
        rm.official_report({}, {})


@pytest.mark.parametrize(
    ("golds", "text", "em", "f1"),
    [
        (["北京"], "北京", 1, 1),
        (["北京"], "，北 京！", 1, 1),
        (["ABC"], "a-b-c", 1, 1),
        (["北京"], "京北", 0, 1),  # the order does not count
        (["北北京"], "北北", 0, 0.8),  # two of 北, one more each time
        (["北京"], "北北", 0, 0.5),
        (["北京"], "上海", 0, 0),
        (["²"], "2", 0, 0),  # a digit to str.isdigit, and another one
        (["北京"], "", 0, 0),
        ([""], "北京", 0, 0),
        ([""], "。", 1, 1),  # nothing on either side agrees
        ([], "", 1, 1),  # no gold text: the answer is empty
        ([], "北京", 0, 0),
        (["是", "是的"], "是。", 1 / 2, (2 / 3 + 1) / 2),
        (["是", "是", "否"], "是", 1, 1),
        (["是", "否", "不"], "是", 2 / 3, 2 / 3),
    ],
)
def test_cjrc_by_hand(golds: list[str], text: str, em: float, f1: float) -> None:
    assert rm.cjrc_em(golds, text) == pytest.approx(em)
    assert rm.cjrc_f1(golds, text) == pytest.approx(f1)


def test_cjrc_refuses_a_text_for_a_list_of_texts() -> None:
    with pytest.raises(ValueError, match="gold texts: got '北京'"):
        rm.cjrc_em("北京", "北京")


@settings(deadline=None)
@given(GOLDS, TEXTS)
def test_laws_of_cjrc(golds: list[str], text: str) -> None:
    em, f1 = rm.cjrc_em(golds, text), rm.cjrc_f1(golds, text)
    assert 0 <= em <= f1 + 1e-12 <= 1 + 2e-12
    assert rm.cjrc_f1([text], text) == rm.cjrc_em([text, text], text) == 1
    assert f1 == pytest.approx(rm.cjrc_f1(golds[::-1], text))
    kept = [Counter(c for c in one.lower() if c.isalnum() and (c.isalpha() or c.isdigit()))
            for one in (golds[0], text)]  # fmt: skip
    if kept[0].total() and kept[1].total():
        total = kept[0].total() + kept[1].total()
        f1_of_one = 2 * (kept[0] & kept[1]).total() / total
        assert rm.cjrc_f1(golds[:1], text) == pytest.approx(f1_of_one)


def test_nltk_is_imported_only_for_words_and_torch_never() -> None:
    code = (
        "import sys\n"
        "from hanmo.tasks import metrics, reading_metrics\n"
        "assert not {'nltk', 'torch'} & sys.modules.keys()\n"
        "assert reading_metrics.cmrc_words('a b.') == ['a', 'b', '.']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
