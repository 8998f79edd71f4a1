"""UD Chinese trees as LTP words, parts of speech and dependency relations.

In: a `Tree` in UD v1 or v2 names (UD Chinese-GSD and its descendants), and its entity labels. Out:
`Converted` with labels of LERT's inventories. The tree is changed first (copula, classifier,
localiser and preposition become heads, in this order), then each arc gets its label from a table
and from the side and the part of speech of its head. Where UD and LTP differ without a rule that
fits every case (adverbial clauses, adnominal clauses under verbs) the table follows the majority.
LTP's scheme: Che et al. 2021, N-LTP, and the relation table of the Chinese Dependency Treebank.

Example: for 他 是 学生, with 学生 as the root, ``convert(tree).dep`` is ``("SBV", "HED", "VOB")``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanmo.annotate import _ud_structure as structure
from hanmo.annotate._ud_pos import pos_tags
from hanmo.annotate._ud_structure import VERBAL, Arcs
from hanmo.annotate._ud_words import fold
from hanmo.annotate.conllu import Tree
from hanmo.core.errors import UserError

# Names of UD v1 (2016) that v2 changed; `case:suff` and the like are UD Chinese-GSD's own.
V1_RELATIONS: Mapping[str, str] = {
    "dobj": "obj",
    "nsubjpass": "nsubj:pass",
    "csubjpass": "csubj:pass",
    "auxpass": "aux:pass",
    "neg": "advmod",
    "foreign": "flat:foreign",
    "name": "flat:name",
    "mwe": "fixed",
    "remnant": "orphan",
    "case:suff": "compound",
    "case:pref": "compound",
    "case:aspect": "aux",
    "case:dec": "case",
}

_ATTRIBUTES = (
    *("amod", "compound", "det", "nummod", "clf", "appos", "flat", "fixed", "goeswith"),
    *("acl:relcl", "vocative", "reparandum", "orphan"),
)

# Relation, or the part before its colon -> LTP label wherever the word stands.
PLAIN: Mapping[str, str] = {
    "root": "HED",
    "punct": "WP",
    "nsubj": "SBV",
    "csubj": "SBV",
    "nsubj:pass": "FOB",
    "csubj:pass": "FOB",
    "ccomp": "VOB",
    "iobj": "IOB",
    "obl:patient": "FOB",
    "dislocated": "FOB",
    "conj": "COO",
    "parataxis": "COO",
    "list": "COO",
    "cc": "LAD",
    "mark:rel": "RAD",
    "mark:adv": "RAD",
    "discourse:sp": "RAD",
    "POB": "POB",
    "compound:dir": "CMP",
    "compound:ext": "CMP",
    "compound:vv": "CMP",
    "compound:svc": "COO",
    **dict.fromkeys(_ATTRIBUTES, "ATT"),
}

# Relation -> (label left of the head, label right of the head).
SIDED: Mapping[str, tuple[str, str]] = {
    "obj": ("FOB", "VOB"),
    "xcomp": ("ADV", "VOB"),
    "obl": ("ADV", "CMP"),
    "nmod": ("ADV", "CMP"),
    "prep": ("ADV", "CMP"),
    "advmod": ("ADV", "CMP"),
    "aux": ("ADV", "ADV"),
    "cop": ("ADV", "CMP"),
    "mark": ("ADV", "CMP"),
    "case": ("ADV", "RAD"),
    "discourse": ("ADV", "RAD"),
}

_CLAUSES = frozenset({"acl", "advcl", "dep"})
_OBLIQUES = frozenset({"nmod", "obl", "prep"})  # ADV or CMP of a verb, ATT of a noun
_PARTICLE_RELATIONS = frozenset({"case", "mark", "aux", "acl", "discourse", "advmod"})


@dataclass(frozen=True, slots=True)
class Converted:
    """A sentence in LTP's labels; all tuples have one item per word.

    Attributes:
        text: The sentence.
        forms: The words.
        pos: Parts of speech (`TAGSETS["pos"]`).
        dep: Relations (`TAGSETS["dep"]`).
        heads: Number of the head word from 1, 0 for the root.
        ner: BIEOS labels (`TAGSETS["ner"]`), or None when they were not given.
    """

    text: str
    forms: tuple[str, ...]
    pos: tuple[str, ...]
    dep: tuple[str, ...]
    heads: tuple[int, ...]
    ner: tuple[str, ...] | None = None


def convert(
    tree: Tree, entities: Sequence[str] | None = None, *, prepositions: bool = True
) -> Converted:
    """Convert one tree.

    Args:
        tree: A tree with heads and relations.
        entities: BIEOS labels of LTP's types, one per word; they tell person, place and
            organisation names apart (nh, ns, ni), which are all nz without them.
        prepositions: Also read 在, 用, 以 … as prepositions where the treebank calls them verbs.

    Raises:
        UserError: The tree has no heads, or there is not one entity label per word.
    """
    if tree.heads is None:
        raise UserError(f"{tree.where}: no heads — a UD tree needs columns HEAD and DEPREL")
    if entities is not None and len(entities) != len(tree.forms):
        raise UserError(f"{tree.where}: {len(entities)} entity labels for {len(tree.forms)} words")
    arcs = Arcs(
        forms=[fold(form) for form in tree.forms],
        pos=pos_tags(tree, entities),
        heads=[head - 1 for head in tree.heads],
        rels=[V1_RELATIONS.get(rel, rel) for rel in tree.deprels],
    )
    structure.copulas(arcs)
    structure.classifiers(arcs)
    structure.localisers(arcs)
    structure.prepositions(arcs)
    if prepositions:
        structure.preposition_verbs(arcs)
    return Converted(
        text=tree.text,
        forms=tree.forms,
        pos=tuple(arcs.pos),
        dep=tuple(_label(arcs, position) for position in range(len(arcs.heads))),
        heads=tuple(head + 1 for head in arcs.heads),
        ner=None if entities is None else tuple(entities),
    )


def _label(arcs: Arcs, position: int) -> str:
    """Return the LTP label of one arc of the changed tree."""
    head, relation, base = arcs.heads[position], arcs.rels[position], arcs.base(position)
    pos = arcs.pos[position]
    if head < 0:
        return "HED"
    if pos == "wp" or base == "POB":
        return "WP" if pos == "wp" else "POB"
    if pos == "u" and base in _PARTICLE_RELATIONS:
        return "ADV" if arcs.forms[position] == "所" else "RAD"
    if relation == "obj" and _is_pivot(arcs, position, head):
        return "DBL"
    return PLAIN.get(relation) or PLAIN.get(base) or _placed_label(arcs, position, head)


def _placed_label(arcs: Arcs, position: int, head: int) -> str:
    """Return the label of a relation that depends on the side and the kind of its head."""
    base, under_verb = arcs.base(position), arcs.is_verbal(head)
    if base in _CLAUSES and (under_verb or (base != "acl" and arcs.pos[position] in VERBAL)):
        return _clause(arcs, position, head)
    if base in _CLAUSES or (base in _OBLIQUES and not under_verb):
        return "ATT"
    sides = SIDED.get(base)
    return "ATT" if sides is None else sides[position > head]


def _clause(arcs: Arcs, position: int, head: int) -> str:
    """Return the label of a clause under a predicate: adverbial when close before it, else COO."""
    close = position < head and not any(pos == "wp" for pos in arcs.pos[position:head])
    return "ADV" if close else "COO"


def _is_pivot(arcs: Arcs, position: int, head: int) -> bool:
    """请 我 吃饭: the object that is also the subject of a complement to its right (DBL)."""
    return position > head and any(
        other > position and arcs.base(other) in ("xcomp", "ccomp")
        for other in arcs.dependents(head)
    )
