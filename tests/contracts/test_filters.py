"""Every rule of hanmo.corpus.filters: pure, None for good text, a known reason for bad text."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.corpus.cleaning import clean
from hanmo.corpus.filters import (
    RAW_RULES,
    RULES,
    FilterOptions,
    Reason,
    Rule,
    reason_to_drop,
)

OPTIONS = FilterOptions(min_chars=10, max_chars=200, max_boilerplate=0.5)
GOOD = "黄河是中国第二长河，发源于青藏高原。\n它流经九个省区，最后注入渤海。"
BAD: dict[str, str] = {
    "broken-encoding": "黄河是中国\ufffd\ufffd第二长河，发源于青藏高原。",
    "control-characters": "黄河是中国第二长河，\x00\x01发源于青藏高原。",
    "empty": " \u200b\n\n",
    "too-short": "黄河很长。",
    "too-long": "黄河是中国第二长河，" * 21,
    "too-few-chinese": "The Yellow River is the second longest river of 中国.",
    "repetitive": "\n".join(["甲组 乙组 丙组 丁组", "黄河很长。"] + ["甲组 乙组 丙组 丁组"] * 4),
    "boilerplate": "首页 | 新闻 | 登录\n黄河很长，它流经九省。\n版权所有 © 2020 某公司",
}
ALL_RULES = [*RAW_RULES, *RULES]


def name(rule: Rule) -> str:
    return rule.__name__.replace("_", "-")


def test_every_rule_has_a_reason_and_a_bad_example() -> None:
    assert {name(rule) for rule in ALL_RULES} == set(get_args(Reason)) == set(BAD)


@pytest.mark.parametrize("rule", ALL_RULES, ids=name)
def test_rule(rule: Rule) -> None:
    assert rule.__doc__
    assert rule(GOOD, OPTIONS) is None
    bad = BAD[name(rule)] if rule in RAW_RULES else clean(BAD[name(rule)])
    assert rule(bad, OPTIONS) == name(rule)
    assert rule(bad, OPTIONS) == name(rule)


@pytest.mark.parametrize("reason", BAD)
def test_the_reason_given_is_the_bad_examples_own(reason: str) -> None:
    assert reason_to_drop(GOOD, clean(GOOD), OPTIONS) is None
    assert reason_to_drop(BAD[reason], clean(BAD[reason]), OPTIONS) == reason


@pytest.mark.parametrize("rule", ALL_RULES, ids=name)
@given(text=st.text("中文a\ufffd\n ", max_size=40))
def test_any_text_gets_none_or_the_rules_own_reason(rule: Rule, text: str) -> None:
    assert rule(text, OPTIONS) in (None, name(rule))


@pytest.mark.parametrize("reason", sorted(set(BAD) - {"empty"}))
def test_every_limit_can_be_lifted(reason: str) -> None:
    lifted = {
        "broken-encoding": replace(OPTIONS, max_broken=1),
        "too-short": replace(OPTIONS, min_chars=0),
        "too-long": replace(OPTIONS, max_chars=10_000),
        "too-few-chinese": replace(OPTIONS, min_chinese=0),
        "repetitive": replace(OPTIONS, max_repeated=1),
        "control-characters": replace(OPTIONS, max_control=1),
        "boilerplate": replace(OPTIONS, max_boilerplate=1),
    }
    assert reason_to_drop(BAD[reason], clean(BAD[reason]), lifted[reason]) is None


def test_limits_are_exact() -> None:
    ten = "黄河是中国第二长河。"
    assert len(ten) == 10
    assert reason_to_drop(ten, ten, replace(OPTIONS, min_chars=10, max_chars=10)) is None
    assert reason_to_drop(ten, ten, replace(OPTIONS, min_chars=11)) == "too-short"
    assert reason_to_drop(ten, ten, replace(OPTIONS, max_chars=9, min_chars=0)) == "too-long"
    half = "中文 ab cd字词"
    assert reason_to_drop(half, half, replace(OPTIONS, min_chars=0, min_chinese=0.5)) is None
    assert (
        reason_to_drop(half, half, replace(OPTIONS, min_chars=0, min_chinese=0.51))
        == "too-few-chinese"
    )
