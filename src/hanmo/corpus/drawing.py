"""Sentences drawn evenly from a corpus, to look at before all of it is worked on.

In: parts of corpus folders; of many, some that lie evenly among them. Out: some sentences with
their documents' ids, in the order of the corpus, at equal distances in its text: a part and a
document give as many as their share of it. A part is read twice, as a stream; the same parts give
the same sentences.

    drawn = draw(parts, 20, max_chars=500)
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hanmo.core import remote
from hanmo.core.artifact import checked
from hanmo.core.files import json_lines
from hanmo.core.log import Progress
from hanmo.text.normalize import normalize
from hanmo.text.sentences import split_sentences

_MOST_PARTS = 32  # that are read of a large corpus: each must be read from its beginning


def draw(parts: Sequence[Path], n: int, *, max_chars: int) -> list[tuple[str, str]]:
    """Draw sentences.

    Args:
        parts: JSON-lines files of a corpus.
        n: How many; fewer come back where the corpus has no more, or short documents are met twice.
        max_chars: Longest sentence, as in `split_sentences`.

    Returns:
        Document id and sentence.

    Raises:
        UserError: A damaged part.
    """
    if len(parts) > _MOST_PARTS:
        places = (2 * np.arange(_MOST_PARTS) + 1) * len(parts) // (2 * _MOST_PARTS)
        parts = [parts[place] for place in places.tolist()]
    ends = np.cumsum([remote.size(part) for part in parts], dtype=np.float64)
    if not len(ends):
        return []
    # Packed bytes are near enough to text to say how much of it a part has.
    targets = (np.arange(n) + 0.5) / n * ends[-1]
    homes = np.minimum(np.searchsorted(ends, targets, side="right"), len(parts) - 1)
    drawn: list[tuple[str, str]] = []
    chosen = np.unique(homes)
    with Progress("draw sentences", len(chosen), "parts") as bar:
        for home in chosen.tolist():
            size = remote.size(parts[home])
            inside = (targets[homes == home] - (ends[home] - size)) / max(size, 1)
            with remote.borrowed(parts[home]) as part:
                drawn += _drawn_from(part, inside.tolist(), max_chars)
            bar.advance()
    return drawn


def _drawn_from(path: Path, places: list[float], max_chars: int) -> Iterator[tuple[str, str]]:
    """Yield the sentences at `places`, ascending shares of a part's text; none of them twice."""
    lengths = [len(record["text"]) for _, record in json_lines(checked(path))]
    ends = np.cumsum(lengths, dtype=np.float64)
    if not len(ends) or not ends[-1]:
        return
    targets = np.array(places) * ends[-1]
    rows = np.minimum(np.searchsorted(ends, targets, side="right"), len(ends) - 1)
    wanted = set(rows.tolist())
    for row, (_, record) in enumerate(json_lines(path)):
        if row not in wanted:
            continue
        text = normalize(record["text"]).text
        spans = split_sentences(text, max_chars=max_chars)
        inside = (targets[rows == row] - (ends[row] - lengths[row])) / max(lengths[row], 1)
        stops = [end for _, end in spans]
        found = np.searchsorted(stops, inside * len(text), side="right")
        free = list(dict.fromkeys(min(one, len(spans) - 1) for one in found.tolist() if spans))
        yield from ((record["id"], text[slice(*spans[one])]) for one in free)
