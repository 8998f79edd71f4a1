"""Words of UD Chinese-GSD joined the way LTP and Peking University segment.

In: `Converted`. Out: `Converted` with fewer words. GSD cuts off suffixes (北京 市, 记 者), prefixes
(副 主席) and date units (2004 年), which LTP keeps inside the word. Words are joined only when no
entity begins or ends between them, so entities stay whole; the joined word takes arc and label of
its highest member.

Example: 他/r 任/v 副/h 主席/n becomes 他/r 任/v 副主席/n.
"""

from hanmo.annotate.bieos import bieos_to_spans, spans_to_bieos
from hanmo.annotate.sentence import locate_words
from hanmo.annotate.ud import Converted

_STEMS = frozenset({"n", "nz", "ns", "ni", "nh", "v", "j", "a", "nt", "b"})
_DATE_UNITS = frozenset({"年", "月", "日"})
_ENTITY_POS = {"Nh": "nh", "Ns": "ns", "Ni": "ni"}


def merge_words(sentence: Converted) -> Converted:
    """Join suffixes, prefixes and date units with their words; labels and arcs stay consistent."""
    groups = _groups(sentence)
    if len(groups) == len(sentence.forms):
        return sentence
    place = [new for new, (start, end, _) in enumerate(groups) for _ in range(start, end)]
    depths = _depths(sentence.heads)
    tops = [min(range(start, end), key=lambda i: (depths[i], -i)) for start, end, _ in groups]
    ner = None
    pos = [tag for _, _, tag in groups]
    if sentence.ner is not None:
        entities = [(place[s], place[e - 1] + 1, k) for s, e, k in bieos_to_spans(sentence.ner)]
        ner = spans_to_bieos(entities, len(groups))
        for new, (start, end, _) in enumerate(groups):
            if end - start > 1 and ner[new].startswith("S-"):
                pos[new] = _ENTITY_POS[ner[new][2:]]
    return Converted(
        text=sentence.text,
        forms=tuple("".join(sentence.forms[start:end]) for start, end, _ in groups),
        pos=tuple(pos),
        dep=tuple(sentence.dep[top] for top in tops),
        heads=tuple(
            0 if sentence.heads[top] == 0 else place[sentence.heads[top] - 1] + 1 for top in tops
        ),
        ner=ner,
    )


def _groups(sentence: Converted) -> list[tuple[int, int, str]]:
    """Return (first word, word after the last, part of speech) of each word to be."""
    spans = locate_words(sentence.text, sentence.forms)
    owner = [0] * len(sentence.forms)
    for number, (start, end, _) in enumerate(bieos_to_spans(sentence.ner or ()), 1):
        owner[start:end] = [number] * (end - start)
    groups: list[tuple[int, int, str]] = []
    for i, (form, tag) in enumerate(zip(sentence.forms, sentence.pos, strict=True)):
        if groups and spans[i - 1][1] == spans[i][0] and owner[i - 1] == owner[i]:
            start, _, before = groups[-1]
            merged = _merged_pos(before, sentence.forms[i - 1], form, tag)
            if merged:
                groups[-1] = (start, i + 1, merged)
                continue
        groups.append((i, i + 1, tag))
    return groups


def _merged_pos(before: str, form_before: str, form: str, tag: str) -> str | None:
    """Return the part of speech of two neighbours as one word, or None when they stay apart."""
    if tag == "k" and len(form) == 1 and form != "们" and before in _STEMS:
        return "v" if form == "化" else "n"
    if before == "nt" and tag == "nt" and form in _DATE_UNITS and form_before not in _DATE_UNITS:
        return "nt"
    if before == "h" and tag in ("n", "nh"):
        return tag
    return None


def _depths(heads: tuple[int, ...]) -> list[int]:
    """Return each word's distance from the root."""
    depths = [-1] * len(heads)
    for start in range(len(heads)):
        path: list[int] = []
        node = start
        while node >= 0 and depths[node] < 0:
            path.append(node)
            node = heads[node] - 1
        depth = depths[node] if node >= 0 else -1
        for position in reversed(path):
            depth += 1
            depths[position] = depth
    return depths
