"""Entity labels over words: BIEOS from and to spans, and from IOB2.

In: one label per word, such as ``O B-PER I-PER``. Out: the same entities in another notation.
BIEOS (LTP's notation) marks the first word B, the last E, those between I, a single word S.

Example: ``iob2_to_bieos(["B-PER", "I-PER", "O"])`` gives ``("B-Nh", "E-Nh", "O")``.
"""

from collections.abc import Iterable, Mapping, Sequence

from hanmo.annotate.tagsets import ENTITY_TYPES
from hanmo.core.errors import UserError

Entity = tuple[int, int, str]  # first word, word after the last one, type


def bieos_to_spans(labels: Sequence[str]) -> list[Entity]:
    """Return the entities of a BIEOS sequence, legal or not.

    A sequence that BIEOS does not allow (an I after O, a B that no E closes) is read leniently:
    neighbouring words of one type form one entity unless a B, S or E says otherwise.
    """
    entities: list[Entity] = []
    start, kind = -1, ""
    for position, label in enumerate(labels):
        mark, _, name = label.partition("-")
        if mark not in ("B", "I", "E", "S", "O") or (mark == "O") == bool(name):
            raise UserError(f"label {label!r} is not a BIEOS label — expected O or B-, I-, E-, S-")
        if start >= 0 and (mark in ("O", "B", "S") or name != kind):
            entities.append((start, position, kind))
            start = -1
        if mark != "O" and start < 0:
            start, kind = position, name
        if mark in ("E", "S"):
            entities.append((start, position + 1, kind))
            start = -1
    if start >= 0:
        entities.append((start, len(labels), kind))
    return entities


def spans_to_bieos(entities: Iterable[Entity], n_words: int) -> tuple[str, ...]:
    """Write entities as BIEOS labels.

    Raises:
        ValueError: Entities overlap, are empty or lie outside the sentence.
    """
    labels = ["O"] * n_words
    for start, end, kind in entities:
        if not 0 <= start < end <= n_words or any(x != "O" for x in labels[start:end]):
            raise ValueError(f"entity {(start, end, kind)} is empty, overlaps or is out of range")
        labels[start:end] = [f"I-{kind}"] * (end - start)
        labels[start] = f"B-{kind}"
        labels[end - 1] = f"E-{kind}" if end - start > 1 else f"S-{kind}"
    return tuple(labels)


def repair(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the nearest legal BIEOS sequence; a legal sequence comes back unchanged."""
    return spans_to_bieos(bieos_to_spans(labels), len(labels))


def iob2_to_spans(labels: Sequence[str]) -> list[Entity]:
    """Return the entities of an IOB2 sequence.

    Raises:
        UserError: A label is not IOB2, or an I does not continue an entity of its type.
    """
    entities: list[Entity] = []
    previous = "O"
    for position, label in enumerate(labels):
        mark, _, kind = label.partition("-")
        if mark not in ("B", "I", "O") or (mark == "O") == bool(kind):
            raise UserError(f"label {label!r} is not an IOB2 label — expected O, B-TYPE or I-TYPE")
        if mark == "I":
            if previous not in (f"B-{kind}", f"I-{kind}"):
                raise UserError(f"label {label!r} after {previous!r} — an entity begins with B-")
            start, _, _ = entities[-1]
            entities[-1] = (start, position + 1, kind)
        elif mark == "B":
            entities.append((position, position + 1, kind))
        previous = label
    return entities


def iob2_to_bieos(
    labels: Sequence[str], types: Mapping[str, str] = ENTITY_TYPES
) -> tuple[str, ...]:
    """Turn IOB2 labels into BIEOS labels of LTP's types; a type outside `types` becomes O."""
    entities = [(s, e, types[kind]) for s, e, kind in iob2_to_spans(labels) if kind in types]
    return spans_to_bieos(entities, len(labels))
