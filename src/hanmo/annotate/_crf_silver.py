"""Silver parts of speech: tags for sentences of which only words and entities are known.

In: sentences, some with gold parts of speech. Out: the same sentences, all with parts of speech.
The tagger that gives them also sees the gold entities, so it tells person, place and organisation
names apart; the final tagger, which does not see them, learns names from the result.

Example: ``with_silver(examples, fitter)``
"""

from collections.abc import Sequence
from dataclasses import replace

from hanmo.annotate._crf_features import Row, word_features
from hanmo.annotate._crf_fitting import Fitter, Labels
from hanmo.annotate.sentence import Sentence


def with_silver(examples: Sequence[Sentence], fitter: Fitter) -> list[Sentence]:
    """Give each sentence without parts of speech those of a tagger that sees gold entities."""
    rows = [_with_gold_entities(word_features(e.forms), e.layers.get("ner")) for e in examples]
    known = [i for i, example in enumerate(examples) if "pos" in example.layers]
    tagger = fitter.fit([rows[i] for i in known], [examples[i].layers["pos"] for i in known])
    return [
        example
        if "pos" in example.layers
        else replace(example, layers={**example.layers, "pos": tuple(tagger.tag(row))})
        for example, row in zip(examples, rows, strict=True)
    ]


def _with_gold_entities(rows: list[Row], entities: Labels | None) -> list[Row]:
    if entities is None:
        return rows
    around = ["O", *entities, "O"]
    return [
        (*row, f"N{b}".encode(), f"M{a} {b}".encode(), f"K{b} {c}".encode())
        for row, a, b, c in zip(rows, around, around[1:], around[2:], strict=False)
    ]


def without_silver(tagged: Sequence[Sentence], gold: Sequence[Sentence]) -> list[Sentence]:
    """Take silver parts of speech, needed for joining words only, away again."""
    return [
        new
        if "pos" in old.layers
        else replace(new, layers={k: v for k, v in new.layers.items() if k != "pos"})
        for new, old in zip(tagged, gold, strict=True)
    ]
