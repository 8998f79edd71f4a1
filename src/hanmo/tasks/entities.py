"""Tags ↔ entities: what a sequence of tags such as B-PER, I-PER, O marks, and the way back.

A tag is `O`, or one of B, I, E, S with a type behind a hyphen (`B-PER`); a bare letter has the type
`_`. The schemes are "bio" (B, I, O: begin, inside, outside; IOB2 in seqeval) and "bieos" (E ends an
entity of several tags, S is one of a single tag; IOBES in seqeval). An entity is
`(type, start, end)` with the end exclusive, in positions of the sequence.

Both ways of reading are seqeval 1.2.2's (https://github.com/chakki-works/seqeval): `entities_of` is
its default mode, the one of conlleval, which accepts any run of tags; `strict_entities_of` is
mode="strict", which drops an entity that the scheme does not allow.

    entities_of(["B-PER", "I-PER", "O", "I-LOC"])                 # [("PER", 0, 2), ("LOC", 3, 4)]
    strict_entities_of(["B-PER", "I-PER", "O", "I-LOC"], "bio")   # [("PER", 0, 2)]
"""

from collections.abc import Iterable, Sequence

Entity = tuple[str, int, int]

SCHEMES = ("bio", "bieos")
_OUTSIDE = ("O", "")


def entities_of(tags: Sequence[str]) -> list[Entity]:
    """Read the entities of one sequence, as forgiving as seqeval's default mode.

    I and E continue the entity of a B or I of the same type before them; any other tag but O begins
    an entity, whether or not its scheme would let it.

    Args:
        tags: [L] tags.

    Returns:
        Entities from left to right; they do not overlap.

    Raises:
        ValueError: a tag that is neither O nor one of B, I, E, S with a type.
    """
    return [(kind, start, end) for kind, start, end, _, _ in _runs(tags)]


def strict_entities_of(tags: Sequence[str], scheme: str) -> list[Entity]:
    """Read the entities of one sequence that follow the scheme, as seqeval's mode="strict".

    An entity has to begin with B, or with S in "bieos", where it also has to end with E or S.
    Runs that do not are no entities at all: nothing is repaired.

    Args:
        tags: [L] tags.
        scheme: "bio" or "bieos".

    Raises:
        ValueError: a tag or a scheme that is unknown, or E or S in "bio".
    """
    _check_scheme(scheme)
    if scheme == "bio" and scheme_of([tags]) != "bio":
        raise ValueError(f"tags {list(tags)}: E and S are no tags of the scheme 'bio'")
    return [
        (kind, start, end)
        for kind, start, end, first, last in _runs(tags)
        if first in "BS" and (scheme == "bio" or last in "ES")
    ]


def scheme_of(sequences: Iterable[Sequence[str]]) -> str:
    """Return "bieos" when any tag begins with E or S, else "bio"."""
    return "bieos" if any(tag[:1] in {"E", "S"} for tags in sequences for tag in tags) else "bio"


def tags_of(entities: Iterable[Entity], n: int, scheme: str) -> list[str]:
    """Write entities as tags; `strict_entities_of` and `entities_of` read them back.

    Args:
        entities: (type, start, end), end exclusive, in any order.
        n: length of the sequence.
        scheme: "bio" or "bieos".

    Returns:
        [n] tags.

    Raises:
        ValueError: an unknown scheme, or an entity that has no type, is empty, lies outside
            [0, n), or overlaps another one.
    """
    _check_scheme(scheme)
    tags = ["O"] * n
    for kind, start, end in entities:
        if not (kind and 0 <= start < end <= n):
            raise ValueError(f"entity {(kind, start, end)}: expected a type and a span in 0..{n}")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"entity {(kind, start, end)}: overlaps another one")
        letters = ["B", *"I" * (end - start - 1)]
        if scheme == "bieos":
            letters[-1] = "E" if len(letters) > 1 else "S"
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def _runs(tags: Sequence[str]) -> list[tuple[str, int, int, str, str]]:
    """Return (type, start, end, first letter, last letter) of every run of tags that go on."""
    runs: list[tuple[str, int, int, str, str]] = []
    before, kind_before = _OUTSIDE
    for at, tag in enumerate(tags):
        letter, kind = parts_of(tag)
        if letter in "IE" and before in "BI" and kind == kind_before:
            _, start, _, first, _ = runs.pop()
            runs.append((kind, start, at + 1, first, letter))
        elif letter != "O":
            runs.append((kind, at, at + 1, letter, letter))
        before, kind_before = letter, kind
    return runs


def parts_of(tag: str) -> tuple[str, str]:
    """Split a tag into its letter and its type; only the first hyphen separates.

    Raises:
        ValueError: a tag that is neither O nor one of B, I, E, S with a type.
    """
    if tag == "O":
        return _OUTSIDE
    letter, _, kind = tag.partition("-")
    if letter not in {"B", "I", "E", "S"}:
        raise ValueError(f"tag {tag!r}: expected O, or B, I, E or S with a type, such as 'B-PER'")
    return letter, kind or "_"


def _check_scheme(scheme: str) -> None:
    if scheme not in SCHEMES:
        raise ValueError(f"scheme {scheme!r}: expected {' or '.join(SCHEMES)}")
