"""Lines of pages: every rule finds its own, and sentences stay."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.corpus.boilerplate import (
    LINE_RULES,
    LineReason,
    boilerplate_chars,
    line_reason,
    without_boilerplate,
)

LINES = {
    "navigation": ("首页 | 新闻 | 登录", "当前位置：首页 > 新闻 > 国际", "首頁 登入 註冊"),
    "call-to-click": ("点击查看更多", "登录", "扫码关注我们", "【查看原文】", "立即下载>>"),
    "copyright": ("版权所有 © 2020 某某公司", "京ICP备00000000号-1", "未经授权不得转载本站内容"),
    "page-links": ("上一页 1 2 3 下一页", "返回顶部", "共 12 页 第 3 页"),
    "ornament": ("-----", "★★★★", "……。。。"),
}
TEXT = (
    "白日依山尽 黄河入海流",
    "登录日志系统设计",
    "新闻与图片的关系",
    "未经托修人同意擅自使用托修车辆；",
    "他点击了“查看更多”，页面却没有变化。",
    "第三页的内容是什么？",
    "2020",
    "张三 李四 王五 赵六",
)


def test_every_rule_has_its_lines() -> None:
    assert set(LINES) == set(get_args(LineReason))
    assert len(LINE_RULES) == len(LINES)
    assert all(rule.__doc__ for rule in LINE_RULES)


@pytest.mark.parametrize(("reason", "line"), [(r, line) for r in LINES for line in LINES[r]])
def test_boilerplate_is_found(reason: str, line: str) -> None:
    assert line_reason(line) == reason


@pytest.mark.parametrize("line", TEXT)
def test_text_is_not(line: str) -> None:
    assert line_reason(line) is None


@given(st.lists(st.sampled_from([*TEXT, *(line for lines in LINES.values() for line in lines)])))
@settings(deadline=None)
def test_what_goes_is_counted_and_the_rest_keeps_its_order(lines: list[str]) -> None:
    text, counts = without_boilerplate("\n".join(lines))
    kept = [line for line in lines if line in TEXT]
    assert text == "\n".join(kept)
    assert sum(counts.values()) == len(lines) - len(kept)
    assert boilerplate_chars("\n".join(lines)) == sum(map(len, lines)) - sum(map(len, kept))
    assert boilerplate_chars(text) == 0


@given(st.text("首页 |>点击登录上下一123版权所有©-。甲", max_size=60))
@settings(deadline=None)
def test_any_line_gets_none_or_a_known_reason(line: str) -> None:
    assert line_reason(line) in (None, *LINES)


@pytest.mark.parametrize(
    "piece", ["1", "返回目录", "返回首页", "返回首頁", "上一页", "目录", "第 1 页 "]
)
def test_a_line_that_is_nearly_links_is_told_at_once(piece: str) -> None:
    """No items that can be read in two ways: 2^n readings of this line would take a day."""
    items = piece * (78 // len(piece))
    assert line_reason(f"返回{items[:76]}元") is None
    assert line_reason(items) == (None if piece in ("1", "目录") else "page-links")
