"""Steps that turn a UD tree (content words are heads) into LTP's shape (function words are).

In: heads and relations as lists, which the steps change in place. Out: the same lists. Positions
are counted from 0, the root's head is -1. Relations keep UD v2 names until they become labels,
except POB and ``prep`` (a preposition, whose label depends on where it stands). The order matters:
a localiser must be a head before the preposition in front of it takes it as its object
(在 森林 中: 在 ← 中 ← 森林).

Example: 他 是 学生, with 学生 as root, becomes 是 as root, 他 nsubj and 学生 obj of 是.
"""

from dataclasses import dataclass

from hanmo.annotate import _ud_words as words

VERBAL = frozenset({"v", "a", "z", "i"})
_CLAUSES = ("advcl", "parataxis", "discourse", "ccomp", "punct", "dep", "vocative")
_ADVERBIAL = frozenset({"acl", "advcl", "dep", "xcomp", "ccomp", "case", "mark", "nmod", "obl"})


@dataclass(slots=True)
class Arcs:
    """A tree under change; all lists have one item per word.

    Attributes:
        forms: The words, folded to simplified characters.
        pos: LTP parts of speech.
        heads: Positions of the heads, -1 for the root.
        rels: Relations.
    """

    forms: list[str]
    pos: list[str]
    heads: list[int]
    rels: list[str]

    def dependents(self, head: int) -> list[int]:
        """Return the positions of the words whose head is `head`, in order."""
        return [i for i, other in enumerate(self.heads) if other == head]

    def put_above(self, function: int, content: int, relation: str) -> None:
        """Make `function` take the place of its head `content`, which becomes its dependent."""
        self.heads[function], self.rels[function] = self.heads[content], self.rels[content]
        self.heads[content], self.rels[content] = function, relation

    def base(self, position: int) -> str:
        """Return the relation without its subtype."""
        return self.rels[position].partition(":")[0]

    def is_verbal(self, position: int) -> bool:
        """Say whether the word is a predicate by its part of speech."""
        return self.pos[position] in VERBAL


def copulas(arcs: Arcs) -> None:
    """是, 为: the copula becomes the head, the predicate its object (VOB)."""
    for copula in range(len(arcs.heads)):
        predicate = arcs.heads[copula]
        is_copula = arcs.rels[copula] == "cop" and arcs.forms[copula].endswith(words.COPULAS)
        if not is_copula or predicate < copula:
            continue
        arcs.put_above(copula, predicate, "obj")
        for other in arcs.dependents(predicate):
            clause = arcs.base(other) in _CLAUSES
            if other < copula or (other > predicate and clause):
                arcs.heads[other] = copula


def classifiers(arcs: Arcs) -> None:
    """一 个 人: the number or determiner hangs on the classifier."""
    for classifier, pos in enumerate(arcs.pos):
        if pos != "q" or classifier == 0 or arcs.heads[classifier] <= classifier:
            continue
        number = classifier - 1
        if arcs.heads[number] == arcs.heads[classifier] and arcs.base(number) in ("nummod", "det"):
            arcs.heads[number] = classifier


def localisers(arcs: Arcs) -> None:
    """森林 中: the localiser becomes the head, the noun or clause before it ATT."""
    for local in range(len(arcs.heads)):
        noun = arcs.heads[local]
        placed = arcs.pos[local] == "nd" and arcs.forms[local] in words.LOCALISERS
        placed = placed or arcs.forms[local] == "时"
        if not placed or not 0 <= noun < local or arcs.base(local) not in _ADVERBIAL:
            continue
        arcs.put_above(local, noun, "nmod")
        if arcs.rels[local] != "root" and arcs.heads[local] >= 0:
            under_verb = arcs.is_verbal(arcs.heads[local])
            if under_verb and arcs.base(local) in _ADVERBIAL:
                arcs.rels[local] = "obl"
        for other in arcs.dependents(noun):
            preposition = other < noun and arcs.pos[other] == "p"
            if other > local or preposition:
                arcs.heads[other] = local


def prepositions(arcs: Arcs) -> None:
    """在 森林: the preposition becomes the head, the noun its object (POB); also 把, 将 and 被."""
    for preposition, pos in enumerate(arcs.pos):
        if pos != "p":
            continue
        content = arcs.heads[preposition]
        if arcs.forms[preposition] in words.DISPOSALS and arcs.base(preposition) in ("aux", "case"):
            _disposal(arcs, preposition, content)
        elif arcs.base(preposition) in ("case", "mark") and content > preposition:
            arcs.put_above(preposition, content, "POB")
            if arcs.base(preposition) not in ("root", "conj", "parataxis"):
                arcs.rels[preposition] = "prep"
            for other in arcs.dependents(content):
                if other < preposition:
                    arcs.heads[other] = preposition
        elif arcs.base(preposition) not in ("case", "mark", "aux"):
            _headed_object(arcs, preposition)


def _disposal(arcs: Arcs, preposition: int, verb: int) -> None:
    """把 书 放下: the noun between 把, 将 or 被 and the verb is the object of the preposition."""
    if arcs.base(preposition) == "case":
        noun = verb
        arcs.put_above(preposition, noun, "POB")
    else:
        between = [
            i
            for i in arcs.dependents(verb)
            if preposition < i < verb and arcs.base(i) in ("obj", "nsubj", "obl")
        ]
        if between:
            arcs.heads[between[0]], arcs.rels[between[0]] = preposition, "POB"
    arcs.rels[preposition] = "prep"


def _headed_object(arcs: Arcs, preposition: int) -> None:
    """Treat a preposition that already heads its noun: the noun is POB."""
    objects = [
        i
        for i in arcs.dependents(preposition)
        if i > preposition and arcs.base(i) in ("nmod", "obj", "obl", "nsubj", "ccomp", "xcomp")
    ]
    if not objects:
        return
    arcs.rels[objects[-1]] = "POB"
    if arcs.base(preposition) not in ("root", "conj", "parataxis"):
        arcs.rels[preposition] = "prep"


def preposition_verbs(arcs: Arcs) -> None:
    """Prepositions that the treebank calls verbs: 在 学校 上班, and 生 于 上海.

    The first kind depends on a verb that follows; the second stands right after its verb (CMP) and
    takes over the object behind it.
    """
    for position, form in enumerate(arcs.forms):
        verb = arcs.heads[position]
        if arcs.pos[position] != "v" or verb < 0 or not arcs.is_verbal(verb):
            continue
        postverbal = verb == position - 1 and arcs.base(position) == "mark"
        if (
            verb > position
            and form in words.PREPOSITION_VERBS
            and arcs.base(position) in _ADVERBIAL
        ):
            objects = _objects(arcs, position, position, verb)
        elif postverbal and form in words.POSTVERBAL_PREPOSITIONS:
            objects = _objects(arcs, verb, position, len(arcs.forms))
        else:
            continue
        if objects:
            arcs.pos[position], arcs.rels[position] = "p", "prep"
            arcs.heads[objects[0]], arcs.rels[objects[0]] = position, "POB"


def _objects(arcs: Arcs, head: int, start: int, end: int) -> list[int]:
    """Return the nominal dependents of `head` between two positions."""
    return [
        i
        for i in arcs.dependents(head)
        if start < i < end and arcs.base(i) in ("obj", "nmod", "obl")
    ]
