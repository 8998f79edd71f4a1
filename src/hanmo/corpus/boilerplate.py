r"""Lines that belong to a page and not to its text: menus, calls to click, copyright, ornaments.

Each rule is a small pure function of one line; its name is a count (`lines_dropped_navigation`).
They know the words that Chinese sites use and are strict on purpose: a line that has a sentence in
it stays. Lines of other words that stand in very many documents are found by counting
(`corpus/paragraphs.py`).

    without_boilerplate("首页 > 新闻\n黄河很长。")    # ("黄河很长。", {"navigation": 1})
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

LineReason = Literal["navigation", "call-to-click", "copyright", "page-links", "ornament"]
LineRule = Callable[[str], LineReason | None]

LONGEST_LINE = 200  # characters; longer ones are text, whatever they begin with
_SENTENCE = re.compile("[。！？；]")
_PLACES = (
    "首页|主页|登录|登陆|注册|退出|联系我们|关于我们|网站地图|站点地图|帮助|帮助中心|搜索|导航|频道|"
    "更多|收藏|收藏本站|论坛|博客|手机版|电脑版|客户端|下载|视频|图片|新闻|专题|会员中心|招聘|"
    "广告服务|友情链接|意见反馈|免责声明|法律声明|隐私政策|版权声明|当前位置|您的位置|"
    "首頁|登錄|登入|註冊|聯繫我們|關於我們|網站地圖|幫助|搜尋|更多|論壇"
)
_SEPARATOR = re.compile(r"\s*[|｜>＞»›/／·•┊│─\t]\s*|\s+")
_PLACE = re.compile(f"(?:{_PLACES})[:：]?")
_CLICK = re.compile(
    "[\\[【(（<《>»→]*(?:请|您可以|欢迎)?(?:"
    "(?:点击|点此|单击|点选)(?:这里|此处|链接|图片|标题|下方|上方|蓝字|右上角)*"
    "(?:查看|进入|下载|阅读|登录|注册|播放|关注|观看|购买|报名|订阅|返回|放大|收听|看)*"
    "(?:更多|全文|原文|详情|大图|视频|内容|我们)*|"
    "(?:立即|马上|免费|快速|用户|会员)*(?:登录|登陆|注册|下载|报名|购买|咨询|订阅)+|"
    "(?:扫一扫|扫码|扫描二维码|长按二维码|长按识别)\\S{0,12}|"
    "(?:查看|阅读|展开|点击)(?:全文|更多|原文|详情|大图)|收起全文|"
    "分享(?:到|至)[:：]?\\S{0,20}|加入收藏|设为首页|"
    "(?:打印|打印本页|关闭窗口|关闭|我要评论|发表评论|回复|举报|点赞|转发|收藏)"
    ")[\\]】)）>》»→>!！.…]*"
)
_COPYRIGHT = re.compile(
    r"版权所有|版權所有|©|copyright\s*(?:\(c\)|\d{4})|all rights reserved|ICP[备備证證]|公网安备|"
    r"未经.{0,12}(?:授权|许可|同意|允许).{0,8}(?:不得|禁止|请勿|严禁|谢绝).{0,8}(?:转载|转贴|摘编|镜像)",
    re.IGNORECASE,
)
# A text has one reading at most ("返回目录" is two items, a number is its digits): with two, a line
# that fails at its end would be tried in 2^n ways.
_LINKS = re.compile(
    r"(?=.*(?:[上下][一1]?[页篇章頁]|[尾末]页|第\s*\d+\s*[页頁]|共\s*\d+\s*[页頁]|返回))"
    r"(?:[上下][一1]?[页篇章頁]|[首尾末]页|首頁|返回(?:顶部|列表)?|目录|"
    r"第\s*\d+\s*[页頁]|共\s*\d+\s*[页頁]|\d|[\s\[\]【】()（）<>«»‹›|｜/.…:：,，-])+"
)
_WORD = re.compile(r"\w")


def navigation(line: str) -> LineReason | None:
    """Drop a row of places of a site: `首页 | 新闻 | 登录`, `当前位置：首页 > 新闻`."""
    if _SENTENCE.search(line):
        return None
    items = [item for item in _SEPARATOR.split(line.replace("：", "： ").strip()) if item]
    if len(items) < 2 or any(len(item) > 12 for item in items):
        return None
    places = sum(_PLACE.fullmatch(item) is not None for item in items)
    return "navigation" if places >= 2 or (places and line.count(">") >= 1) else None


def call_to_click(line: str) -> LineReason | None:
    """Drop a line that only asks for a click: `点击查看更多`, `登录`, `扫码关注我们`."""
    return "call-to-click" if len(line) <= 40 and _CLICK.fullmatch(line.strip()) else None


def copyright_notice(line: str) -> LineReason | None:
    """Drop a copyright notice or a licence number of a site."""
    return "copyright" if _COPYRIGHT.search(line) and line.count("。") <= 1 else None


def page_links(line: str) -> LineReason | None:
    """Drop links between pages: `上一页 1 2 3 下一页`, `返回顶部`."""
    return "page-links" if len(line) <= 80 and _LINKS.fullmatch(line) else None


def ornament(line: str) -> LineReason | None:
    """Drop a rule or a row of signs: at least three characters, no letter or digit among them."""
    return "ornament" if len(line) >= 3 and _WORD.search(line) is None else None


LINE_RULES: Sequence[LineRule] = (
    navigation,
    call_to_click,
    copyright_notice,
    page_links,
    ornament,
)


def line_reason(line: str) -> LineReason | None:
    """Return the first reason to drop a line, or None to keep it."""
    if not line or len(line) > LONGEST_LINE:
        return None
    return next((reason for rule in LINE_RULES if (reason := rule(line))), None)


def without_boilerplate(text: str) -> tuple[str, Mapping[str, int]]:
    """Return a text without its boilerplate lines, and how many of each kind there were."""
    found: Counter[str] = Counter()
    kept = []
    for line in text.split("\n"):
        reason = line_reason(line)
        if reason is None:
            kept.append(line)
        else:
            found[reason] += 1
    return ("\n".join(kept), found) if found else (text, found)


def boilerplate_chars(text: str) -> int:
    """Count the characters that lie in boilerplate lines."""
    return sum(len(line) for line in text.split("\n") if line_reason(line) is not None)
