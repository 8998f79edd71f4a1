"""Reasons to drop a document, each a small pure function of its text.

A rule takes a text and the options and returns None, or the reason as a short name; the name
becomes a count of the run (`dropped_too-short`). `RAW_RULES` see the text as it was read,
`RULES` see it cleaned; the first reason found counts.

    reason_to_drop("ok", "ok", FilterOptions())    # "too-short"
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hanmo.corpus.boilerplate import boilerplate_chars
from hanmo.corpus.mojibake import misread_chars

Reason = Literal[
    "broken-encoding",
    "control-characters",
    "empty",
    "too-short",
    "too-long",
    "too-few-chinese",
    "repetitive",
    "boilerplate",
]

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
# U+FFFD; C1 controls (UTF-8 read as Latin-1); 锟斤拷 (U+FFFD in UTF-8 read as GBK).
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_BROKEN = re.compile("[\ufffd\x80-\x84\x86-\x9f]|锟斤拷")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """Limits beyond which a document is dropped.

    Attributes:
        min_chars: Fewest characters.
        max_chars: Most characters.
        min_chinese: Smallest share of Chinese characters among those that are not white space.
        max_broken: Largest share of characters that a wrong encoding left behind.
        max_control: Largest share of control characters, white space not counted.
        max_repeated: Largest share of characters in paragraphs that came before in the document.
        max_boilerplate: Largest share of characters in boilerplate lines.
    """

    min_chars: int = 20
    max_chars: int = 1_000_000
    min_chinese: float = 0.3
    max_broken: float = 0.005
    max_control: float = 0.05
    max_repeated: float = 0.5
    max_boilerplate: float = 1.0


Rule = Callable[[str, FilterOptions], Reason | None]


def broken_encoding(text: str, options: FilterOptions) -> Reason | None:
    """Drop a raw text with many replacement characters or other traces of a wrong encoding."""
    broken = sum(len(found) for found in _BROKEN.findall(text)) + misread_chars(text)
    return "broken-encoding" if broken > options.max_broken * len(text) else None


def control_characters(text: str, options: FilterOptions) -> Reason | None:
    """Drop a raw text with many control characters: a binary file, or text cut out of one."""
    control = len(_CONTROL.findall(text))
    return "control-characters" if control > options.max_control * len(text) else None


def empty(text: str, options: FilterOptions) -> Reason | None:
    """Drop a text with nothing in it."""
    return None if text else "empty"


def too_short(text: str, options: FilterOptions) -> Reason | None:
    """Drop a text of too few characters."""
    return "too-short" if len(text) < options.min_chars else None


def too_long(text: str, options: FilterOptions) -> Reason | None:
    """Drop a text of too many characters: most often a list, a dump or lost document ends."""
    return "too-long" if len(text) > options.max_chars else None


def too_few_chinese(text: str, options: FilterOptions) -> Reason | None:
    """Drop a text that is hardly Chinese."""
    visible = len(text) - text.count(" ") - text.count("\n")
    chinese = sum(len(run) for run in _HAN.findall(text))
    return "too-few-chinese" if chinese < options.min_chinese * visible else None


def repetitive(text: str, options: FilterOptions) -> Reason | None:
    """Drop a text that repeats its own paragraphs (menus, boilerplate)."""
    paragraphs = text.split("\n")
    repeated = len("".join(paragraphs)) - sum(map(len, set(paragraphs)))
    return "repetitive" if repeated > options.max_repeated * len(text) else None


def boilerplate(text: str, options: FilterOptions) -> Reason | None:
    """Drop a text that is mostly menus, copyright notices and the like."""
    if options.max_boilerplate >= 1:  # the usual case, and every line would be looked at
        return None
    found = boilerplate_chars(text)
    return "boilerplate" if found > options.max_boilerplate * len(text) else None


RAW_RULES: Sequence[Rule] = (broken_encoding, control_characters)
RULES: Sequence[Rule] = (empty, too_short, too_long, too_few_chinese, repetitive, boilerplate)


def reason_to_drop(raw: str, cleaned: str, options: FilterOptions) -> Reason | None:
    """Return the first reason to drop a document, or None to keep it.

    Args:
        raw: The text as it was read.
        cleaned: The text after `hanmo.corpus.cleaning.clean`.
        options: The limits.
    """
    for rules, text in ((RAW_RULES, raw), (RULES, cleaned)):
        for rule in rules:
            reason = rule(text, options)
            if reason is not None:
                return reason
    return None
