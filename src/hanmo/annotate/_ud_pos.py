"""Parts of speech of UD Chinese trees as LTP's, with the word lists and positions that it takes.

In: a tree's tags, forms and arcs, and its entity labels. Out: one LTP part of speech per word.
Doubtful choices are marked with "?".

Example: a GSD `IN` is `nd` after its noun (森林 中), `p` before it (在 森林), `c` before a clause
(如果 …).
"""

from collections.abc import Sequence

from hanmo.annotate import _ud_words as words
from hanmo.annotate._ud_words import fold
from hanmo.annotate.conllu import Tree
from hanmo.annotate.tagsets import UD_UPOS, UD_XPOS


def pos_tags(tree: Tree, entities: Sequence[str] | None) -> list[str]:
    """Return LTP parts of speech.

    Args:
        tree: A tree with heads.
        entities: BIEOS labels of LTP's types, one per word; None when not known (every proper noun
            is then nz).
    """
    return [_pos(tree, position, entities) for position in range(len(tree.forms))]


def _pos(tree: Tree, position: int, entities: Sequence[str] | None) -> str:
    form = fold(tree.forms[position])
    xpos, upos = tree.xpos[position], tree.upos[position]
    if form in ("%", "％"):
        return "%"
    tag = UD_XPOS.get(xpos) or UD_UPOS.get(upos, "n")
    if upos == "PUNCT" or xpos == "XX":
        return "wp" if not any(c.isalnum() for c in form) else _of_unknown(form, tag)
    kind = entities[position] if entities else "O"
    if tag == "nz":
        return kind[2:].lower() if kind != "O" else "nz"
    chosen = _CHOOSERS.get(tag)
    return chosen(tree, position, form, kind) if chosen else tag


def _of_unknown(form: str, tag: str) -> str:
    return "u" if form in ("的", "之") else tag


def _noun(tree: Tree, position: int, form: str, kind: str) -> str:
    if form == "等":
        return "u"
    if tree.deprels[position].endswith(":tmod") or form in words.TIMES:
        return "nt"
    if form in words.LOCALISERS:
        return "nd"
    if tree.deprels[position] == "clf":
        return "q"
    return {"S-Ns": "ns", "S-Nh": "nh", "S-Ni": "ni"}.get(kind, "n")


def _suffix(tree: Tree, position: int, form: str, kind: str) -> str:
    return "k" if len(form) == 1 else _noun(tree, position, form, kind)


def _prefix(tree: Tree, position: int, form: str, kind: str) -> str:
    if form in words.PREFIXES:
        return "h"
    return "a" if form in words.GRADABLE_PREFIXES else "b"


def _classifier(tree: Tree, position: int, form: str, kind: str) -> str:
    number = fold(tree.forms[position - 1]) if position else ""
    return "nt" if _is_date(number, form) else "q"


def _number(tree: Tree, position: int, form: str, kind: str) -> str:
    following = fold(tree.forms[position + 1]) if position + 1 < len(tree.forms) else ""
    return "nt" if _is_date(form, following) else "m"


def _is_date(number: str, unit: str) -> bool:
    """Say whether number and unit name a date (2004 年), not a duration (3 年)?"""
    if unit not in words.DATE_UNITS or not number:
        return False
    if unit == "年":
        return number == "元" or (len(number) >= 2 and all(c in words.NUMERALS for c in number))
    return True


def _adjective(tree: Tree, position: int, form: str, kind: str) -> str:
    if form in words.QUANTITIES:
        return "m"
    return "b" if form in words.DISTINGUISHERS else "a"


def _adverb(tree: Tree, position: int, form: str, kind: str) -> str:
    if form == "所":
        return "u"
    return "c" if form in words.CONJUNCTIVE_ADVERBS else "d"


def _adposition(tree: Tree, position: int, form: str, kind: str) -> str:
    head = tree.heads[position] - 1 if tree.heads else position
    if form in ("时", "的时候"):
        return "n"
    if 0 <= head < position and form not in words.CONJUNCTIONS and tree.xpos[position] != "BB":
        return "nd"
    if form in words.CONJUNCTIONS:
        clause = head >= 0 and tree.upos[head] in ("VERB", "AUX", "ADJ")
        return "c" if clause or form not in words.CAUSES else "p"
    return "p"


def _conjunction(tree: Tree, position: int, form: str, kind: str) -> str:
    # The v2 treebank writes 也 则 就 as SCONJ/RB; RB is read first. SCONJ alone may be 的.
    return "u" if form in ("的", "地", "得", "之") else "c"


_CHOOSERS = {
    "n": _noun,
    "k": _suffix,
    "b": _prefix,
    "q": _classifier,
    "m": _number,
    "a": _adjective,
    "d": _adverb,
    "p": _adposition,
    "c": _conjunction,
}
