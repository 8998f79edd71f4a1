"""The label inventories of the linguistic layers in LERT's order, and tables that lead to them.

In: labels of a tagger or treebank. Out: labels of the 28 + 13 + 14 inventory, and their ids. The
index of a label in `TAGSETS` is the row of the released LERT heads, so the order is never changed.
Source of the lists: ymcui/LERT, src/README.md and src/run_pretraining.py lines 110-112; the letters
are LTP's (863 part-of-speech set; relations of the Chinese Dependency Treebank). Entity labels use
B, I, E, S over *words*. Two labels that LTP documents are not in LERT's list: part of speech `g`
and `x`, relation `IS`; `ltp_pos` and `ltp_dep` replace them.

Example: ``label_ids("dep", ["SBV", "HED", None])`` gives ``array([4, 7, -1], dtype=int8)``.
"""

import functools
from collections.abc import Iterable, Mapping

import numpy as np

from hanmo.core.errors import UserError, nearest

MISSING = -1  # id of a word whose label is not known


def _labels(row: str) -> tuple[str, ...]:
    return tuple(row.split())


TAGSETS: Mapping[str, tuple[str, ...]] = {
    "pos": _labels("n v wp u d a m p r ns c q nt nh nd j i b ni nz nl z k ws o h e %"),
    "ner": _labels("O S-Ns S-Nh B-Ni E-Ni I-Ni S-Ni B-Ns E-Ns I-Ns B-Nh E-Nh I-Nh"),
    "dep": _labels("ATT WP ADV VOB SBV COO RAD HED POB CMP LAD FOB DBL IOB"),
}

# Entity types of other corpora -> LTP's three; a type that is absent here is no entity (O).
# CoNLL and UNER: PER LOC ORG; OntoNotes: GPE, FAC; MSRA and People's Daily: nr ns nt; LTP: itself.
ENTITY_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("PER", "PERSON", "nr", "Nh"), "Nh"),
    **dict.fromkeys(("LOC", "GPE", "FAC", "ns", "Ns"), "Ns"),
    **dict.fromkeys(("ORG", "nt", "Ni"), "Ni"),
}


def _table(rows: str) -> dict[str, str]:
    """Read rows 'target: source source …' into {source: target}."""
    table: dict[str, str] = {}
    for row in rows.strip().splitlines():
        target, sources = row.split(":", 1)
        table.update(dict.fromkeys(sources.split(), target.strip()))
    return table


# ICTCLAS / PKU part of speech (jieba, rjieba, HanLP 1) -> LTP. `x` is decided by the word's
# characters. Doubtful rows: vn, ad, mq, l, zg, y (LTP has no class of its own for them).
ICTCLAS_POS: Mapping[str, str] = _table("""
n:  n nl ng g
nh: nr nr1 nr2 nrj nrf nrt nrfg nrg
ns: ns nsf
ni: nt
nz: nz
ws: nx eng xu
i:  i l vl al bl dl
j:  j
h:  h
k:  k
nt: t tg
nl: s
nd: f
v:  v vd vn vf vx vi vg vq vshi vyou
a:  a ad an ag
b:  b
z:  z zg
r:  r rr rz rg ry
m:  m mg mq
q:  q qv qt
d:  d df dg
p:  p pba pbei
c:  c cc
u:  u uj ul uv ug ud uz y ude1 ude2 ude3 ule uzhe uguo uls usuo udeng uyy udh uzhi ulian
e:  e
o:  o
wp: x w xx
""")

# UD Chinese-GSD language-specific tag -> LTP, before the lexical and positional rules of `ud`.
UD_XPOS: Mapping[str, str] = _table("""
n:  NN
nz: NNP
q:  NNB
k:  SFN SFV SFA
b:  PFA PFN
m:  CD LS
v:  VV VC MD VERB
a:  JJ
d:  RB
p:  IN BB
c:  CC
r:  PRP PRD WP DT
u:  DEC DEV AS UH
ws: FW ADD XX
wp: EC , . : ( ) `` '' " / HYPH ...
""")

# Universal part of speech -> LTP, for treebanks without a language-specific column.
UD_UPOS: Mapping[str, str] = _table("""
n:  NOUN
nz: PROPN
v:  VERB AUX
a:  ADJ
d:  ADV
r:  PRON DET
m:  NUM
p:  ADP
c:  CCONJ SCONJ CONJ
u:  PART
e:  INTJ
wp: PUNCT SYM
ws: X
""")


def ictclas_pos(tag: str, word: str) -> str:
    """Return LTP's part of speech for an ICTCLAS tag.

    `x` (anything that the dictionary lacks) is decided by the word's characters: digits are m,
    Chinese characters n, other letters ws, the rest wp.
    """
    mapped = ICTCLAS_POS.get(tag) or ICTCLAS_POS.get(tag[:1], "n")
    if mapped != "wp":
        return mapped
    letters = [character for character in word if character.isalpha()]
    if not letters:
        return "m" if any(character.isdigit() for character in word) else "wp"
    return "n" if all(_is_chinese(character) for character in letters) else "ws"


def _is_chinese(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff"


def ltp_pos(tag: str, word: str) -> str:
    """Replace the two tags that LTP documents and LERT lacks: g by n, x by ws or n."""
    if tag == "x":
        return "ws" if any(c.isascii() and c.isalpha() for c in word) else "n"
    return "n" if tag == "g" else tag


def ltp_dep(relation: str, pos: str | None) -> str:
    """Replace the relation IS (independent structure), which LERT lacks, by WP or COO."""
    if relation != "IS":
        return relation
    return "WP" if pos == "wp" else "COO"


@functools.cache
def _ids(layer: str) -> dict[str | None, int]:
    if layer not in TAGSETS:
        raise UserError(f"unknown layer {layer!r} — expected one of: {', '.join(TAGSETS)}")
    ids: dict[str | None, int] = {label: i for i, label in enumerate(TAGSETS[layer])}
    ids[None] = MISSING
    return ids


def label_ids(layer: str, labels: Iterable[str | None]) -> np.ndarray:
    """Turn labels into ids.

    Args:
        layer: A key of `TAGSETS`.
        labels: One label per word; None where the label is missing.

    Returns:
        int8 array, one id per label, `MISSING` (-1) for None.

    Raises:
        UserError: Unknown layer, or a label outside its inventory (the nearest one is named).
    """
    ids = _ids(layer)
    labels = list(labels)
    try:
        return np.array([ids[label] for label in labels], dtype=np.int8)
    except KeyError:
        raise unknown_label(layer, next(x for x in labels if x not in ids)) from None


def unknown_label(layer: str, label: object, where: str = "") -> UserError:
    """Build the error for a label outside the inventory of `layer`."""
    at = f"{where}: " if where else ""
    return UserError(f"{at}unknown {layer} label {label!r}{nearest(str(label), TAGSETS[layer])}")
