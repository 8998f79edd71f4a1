"""Where an answer lies in its passage, in characters.

`answer_start` is right in most rows; CMRC 2018 has 200 of 9,657 dev answers, and some in training,
where it is not (most say -1), and the text is looked for (facts/10).
"""

# Texts that stand for an answer which is no span of the passage (CJRC).
YES, NO, NONE = "YES", "NO", ""


def locate_answer(context: str, text: str, start: int) -> tuple[int, int] | None:
    """Return [begin, stop) of an answer, or None where its text is nowhere.

    `start` counts when the text is there; else the nearest place where it is, or the first one when
    `start` is negative. HFL's baseline always takes the first (facts/10).
    """
    if start >= 0 and context.startswith(text, start):
        return start, start + len(text)
    places = []
    place = context.find(text)
    while place >= 0:
        places.append(place)
        place = context.find(text, place + 1)
    if not places:
        return None
    best = places[0] if start < 0 else min(places, key=lambda one: abs(one - start))
    return best, best + len(text)


def truth(value: object) -> bool:
    """Read a flag: CJRC has the texts "true" and "false", SQuAD 2.0 true and false.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError(f'is_impossible: got {value!r}; expected true, false, "true" or "false"')
