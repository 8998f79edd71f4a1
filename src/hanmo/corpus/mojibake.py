"""Characters of Chinese text that was read in a wrong encoding and stored so.

Three mistakes account for nearly all of it: UTF-8 read as GBK (浣犲ソ for 你好), UTF-8 read as
Latin-1 or Windows-1252 (ä½ å¥½), GBK read as Latin-1 (ÄãºÃ). The first gives Chinese characters,
so that a share of Chinese characters does not find it; it is proved by reading the line back.

    misread_chars("浣犲ソ锛屼笘鐣屻€?")    # 11
"""

import re

# Each is the first two bytes of a frequent character in UTF-8, read as GBK. Most of them are rare
# in real text; whether a line is misread is decided by what it becomes when it is read back.
_FREQUENT = "的一是不了在人有我他这来上大为和国地到以说时要就出会你好，。、：；？！“”《"
_MARKS = re.compile("[" + "".join(c.encode()[:2].decode("gbk") for c in _FREQUENT) + "]")
_RIGHT_TO_WRONG = 3  # characters that come out right when a misread line is read back, to wrong
_HIGH = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_UTF8_AS_LATIN = re.compile(f"(?:[ã-éï][{_HIGH}]{{2}}){{2,}}")
_GBK_AS_LATIN = re.compile("(?:[\xb0-\xf7][\xa1-\xfe]){3,}")
_ORNAMENTS = re.compile("[\xa0-\xbf×÷]")


def misread_chars(text: str) -> int:
    """Count the characters of a text that a wrong encoding made."""
    found = sum(len(run) for run in _UTF8_AS_LATIN.findall(text))
    for run in _GBK_AS_LATIN.findall(_UTF8_AS_LATIN.sub(" ", text) if found else text):
        # ······ and ±±±±±± are ornaments; of misread text up to two thirds look like that.
        found += len(run) if 4 * len(_ORNAMENTS.findall(run)) <= 3 * len(run) else 0
    if _MARKS.search(text):
        found += sum(len(line) for line in text.split("\n") if _is_utf8_as_gbk(line))
    return found


def _is_utf8_as_gbk(line: str) -> bool:
    if not _MARKS.search(line):
        return False
    back = line.encode("gb18030", "replace").decode("utf-8", "replace")
    wrong = back.count("\ufffd")
    right = sum(char > "\u2000" for char in back) - wrong
    return right >= 2 and right >= _RIGHT_TO_WRONG * wrong
