"""Word lists for the conversion of UD Chinese treebanks: data only.

In: nothing. Out: sets of words, in simplified characters, and `fold`, which turns the traditional
characters that occur in the lists into simplified ones. Compiled by hand from the word classes of
the 863 part-of-speech set, for the words that UD Chinese-GSD tags otherwise than LTP.

Example: ``fold("之後") in LOCALISERS``.
"""


def _words(rows: str) -> frozenset[str]:
    return frozenset(rows.split())


_FOLD = str.maketrans(
    "後裡裏內間個們並於為雖還總時東舊來極熱強貳兩幾數萬億號世紀當現過將從對與",
    "后里里内间个们并于为虽还总时东旧来极热强贰两几数万亿号世纪当现过将从对与",
)


def fold(form: str) -> str:
    """Return the form in the characters of these word lists."""
    return form.translate(_FOLD)


LOCALISERS = _words("""
上 下 中 内 外 前 后 里 间 旁 左 右 东 西 南 北 东部 西部 南部 北部 中部 东南 东北 西南 西北
之间 之后 之前 之中 之上 之下 之内 之外 之际 以后 以前 以来 以内 以外 以上 以下 以东 以西
以南 以北 其中 其间 期间 中间 附近 周围 旁边 上面 下面 里面 外面 前面 后面 左侧 右侧 上方 下方
""")
TIMES = _words("""
今天 昨天 明天 今年 去年 明年 现在 目前 当时 后来 最后 最终 最初 同时 当年 当日 近年 如今 早期
初期 晚期 后期 中期 时期 近代 古代 现代 当代 春季 夏季 秋季 冬季 早上 上午 中午 下午 晚上 夜间
同年 次年 翌年 过去 未来 平时 此时 随后 当初 以往 往年
""")
DATE_UNITS = _words("年 月 日 世纪 年代")
QUANTITIES = _words("一些 大量 不少 多数 少数 许多 大多数 部分 众多 大批")
DISTINGUISHERS = _words("""
主要 高速 公共 专业 大型 小型 中型 高级 高等 初级 中级 一般 唯一 临时 私人 有限 全能 特大 男 女
正 副 双 单 国际 国有 民用 军用 野生 人工 慢性 急性 首席 常务 特种 远程 新型 首要 共同 彩色
""")
CONJUNCTIVE_ADVERBS = _words("""
但 而 因此 并且 但是 然而 不过 于是 所以 而且 因而 从而 并 且 可是 否则 反而 故 然 况且 何况
此外 例如 比如 只是 甚至
""")
CONJUNCTIONS = _words("""
如果 虽然 虽 尽管 即使 若 若是 假如 倘若 因为 由于 只要 只有 无论 不论 不管 就算 既然 除非 哪怕
如 要是 既 以至
""")
# Conjunctions before a clause, prepositions before a noun.
CAUSES = _words("因为 由于 如")
PREFIXES = _words("副 总 老 小 非 超 第 阿")
GRADABLE_PREFIXES = _words("大 新 旧 高 低 长 短 热 强 深 宽 轻 软 远 近 重 厚 薄 冷 快 慢")
NUMERALS = frozenset("0123456789〇零一二三四五六七八九０１２３４５６７８９○")

COPULAS = ("是", "为", "即", "非")
DISPOSALS = _words("把 将 被")
PREPOSITION_VERBS = _words("""
在 用 以 到 由 从 对 向 与 于 随 按 据 至 自 给 跟 随着 按照 依照 根据 通过 针对 沿着 沿
""")
POSTVERBAL_PREPOSITIONS = _words("于 在 自 至 向 往 以")
