"""Chinese sentence splitting by punctuation, with character spans.

In: a text. Out: spans `[start, end)` of its sentences without outer white space; ascending, not
overlapping, covering every character that is not white space. Rules:

- 。 ！ ？ ｡ and ASCII ! ? end a sentence; so does a run of them (？！), …… or ......
- A single … does not, nor do ； and ; (they join clauses).
- Closing quotes and brackets stay with their sentence: “走吧。” ends after ”. An ASCII quote closes
  only when an odd number of them stands before it in the sentence.
- No end before ， 、 ； ：: “走吧！”，他说。 is one sentence. No end inside a short 《title》.
- ASCII . ends a sentence after Chinese, or before white space unless it belongs to a number, a list
  mark (1.), an initial (J.) or a known abbreviation (Dr.). ASCII ! and ? not inside an address.
- A line break always ends one. Above `max_chars` a sentence is cut after its last comma, else at
  white space, else anywhere. Every rule looks at a bounded window, so the time is linear.

    split_sentences("他说：“走吧。”然后离开。")    # [(0, 8), (8, 13)]
"""

import re
from collections.abc import Iterator

_CLOSERS = "”’」』）》】〉〕｝］〗〞)]}"
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_ENDS = (
    r"[。！？｡]|(?<=[。！？])[…⋯]+|[…⋯]{2,}|[.]{3,}|(?<![.])[.](?![.])"
    r"|(?<![A-Za-z0-9/])[!?](?!=)|[!?](?![A-Za-z0-9=&/_%-])"
)
_JOINERS = frozenset("，、；：,;:")
_ABBREVIATIONS = frozenset(
    ("al", "co", "corp", "dept", "dr", "ed", "etc", "fig", "gen", "inc", "jr", "ltd", "mr", "mrs")
) | frozenset(("ms", "no", "pp", "prof", "rev", "sr", "st", "vol", "vs"))
_WINDOW = 24  # characters before a full stop that may hold the word it shortens
_WORD_BEFORE = re.compile(r"[A-Za-z0-9]+\Z")
_AFTER_STOP = re.compile(r"\s+[A-Z\"'(\u2e80-\U0003ffff]|\s*\Z|[\u2e80-\U0003ffff]")
_NOT_BLANK = re.compile(r"\S")
_COMMAS = ("，", "；", "、", ",", ";", "：")


_MORE = f"(?:{_ENDS}|[{re.escape(_CLOSERS)}])*"
_TITLE = f"《[^《》{_BREAKS}]{{0,60}}》"
# Where an end may be: one quick class of characters.
_CANDIDATE = re.compile(f"[《。！？｡…⋯.!?{_BREAKS}]")
# What may stand there: a line break, a title in 《》, or a run of ends and closers.
_MARK = re.compile(f"(?P<title>{_TITLE})|(?P<line>[{_BREAKS}]+)|(?P<run>(?:{_ENDS}){_MORE})")
_TAIL = re.compile(_MORE)  # what may go on after an ASCII quote


def split_sentences(text: str, *, max_chars: int = 500) -> list[tuple[int, int]]:
    """Split a text into sentences.

    Args:
        text: any text; it need not be normalised.
        max_chars: longest sentence in characters; a longer one is cut at a comma, else a blank.

    Returns:
        Character spans without outer white space, ascending; together they cover every
        character that is not white space.

    Raises:
        ValueError: `max_chars` is below 1.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}; expected at least 1")
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _ends(text):
        is_whole = start < end <= start + max_chars
        if is_whole and not (text[start].isspace() or text[end - 1].isspace()):
            spans.append((start, end))  # most sentences
        else:
            spans.extend(_cut(text, start, end, max_chars))
        start = end
    return spans


def _ends(text: str) -> Iterator[int]:
    """Yield the end of every sentence, the end of the text last."""
    start = at = 0  # of the sentence; of what has not been looked at
    quotes = _Quotes(text) if '"' in text or "'" in text else None
    while (found := _CANDIDATE.search(text, at)) is not None:
        mark = _MARK.match(text, found.start())
        at = found.end() if mark is None else mark.end()
        if mark is None or mark.lastgroup == "title":
            continue
        if mark.lastgroup == "run":
            if quotes:
                at = quotes.close(mark.start(), at)
            if not _is_end(text, start, mark.start(), at):
                continue
        yield at
        start = at
        if quotes:
            quotes.restart(at)
    yield len(text)


class _Quotes:
    """ASCII quotes of the sentence so far; each character is counted once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.restart(0)

    def restart(self, at: int) -> None:
        self._counted = at
        self._open = {'"': False, "'": False}

    def close(self, start: int, end: int) -> int:
        """Move the end of the run [start, end) behind the quotes that close there."""
        for quote in self._open:
            self._open[quote] ^= self._text.count(quote, self._counted, start) % 2 == 1
        while end < len(self._text) and self._open.get(self._text[end], False):
            self._open[self._text[end]] = False
            more = _TAIL.match(self._text, end + 1)
            end = more.end() if more else end + 1
        self._counted = end
        return end


def _is_end(text: str, start: int, run: int, end: int) -> bool:
    if end < len(text) and text[end] in _JOINERS:
        return False
    if text[run] == "." and not text[run + 1 : end].strip(_CLOSERS + "\"'"):
        return _is_full_stop(text, start, run, end)
    return True


def _is_full_stop(text: str, start: int, dot: int, end: int) -> bool:
    """Decide whether one ASCII `.` at `dot`, closers up to `end`, ends the sentence."""
    before = text[max(start, dot - _WINDOW) : dot]
    word = _WORD_BEFORE.search(before)
    if word is None:
        glued = end < len(text) and text[end].isascii() and text[end].isalnum()
        return bool(before) and not before[-1].isspace() and not glued
    name = word[0]
    if (name.isalpha() and len(name) == 1) or name.lower() in _ABBREVIATIONS:
        return end == len(text)
    if name.isdigit() and before.strip() == name:  # a list mark, alone in its sentence so far
        return end == len(text)
    return _AFTER_STOP.match(text, end) is not None


def _cut(text: str, start: int, end: int, max_chars: int) -> Iterator[tuple[int, int]]:
    """Strip white space and yield the span, in parts when it is longer than `max_chars`."""
    while (found := _NOT_BLANK.search(text, start, end)) is not None:
        start = found.start()
        while text[end - 1].isspace():
            end -= 1
        stop = end if end - start <= max_chars else _cut_at(text, start, start + max_chars)
        last = stop
        while text[last - 1].isspace():
            last -= 1
        yield start, last
        start = stop


def _cut_at(text: str, start: int, limit: int) -> int:
    """Best place to cut in (start, limit]: after the last comma, else after the last blank."""
    floor = start + (limit - start) // 4  # no crumbs
    comma = max(text.rfind(mark, floor, limit) for mark in _COMMAS)
    if comma < 0:
        comma = next((i for i in range(limit - 1, floor - 1, -1) if text[i].isspace()), -1)
    return comma + 1 if comma >= 0 else limit
