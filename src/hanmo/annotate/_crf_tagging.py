"""From text to words and labels with the four taggers of a CRF model.

In: a text, or its words. Out: word spans; parts of speech, entity labels (always legal BIEOS) and
relations (always exactly one HED). Parts of speech come first; entities and relations see them.

Example: ``segment(tagger, "我们去北京")`` gives ``[(0, 2), (2, 3), (3, 5)]``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hanmo.annotate._crf_features import (
    Row,
    Span,
    entity_features,
    relation_features,
    segmentation_features,
    units,
    word_features,
)
from hanmo.annotate.bieos import repair
from hanmo.annotate.sentence import Sentence

ROOT = "HED"


def segment(tagger: Any, text: str) -> list[Span]:
    """Return the word spans of a text; white space always ends a word and belongs to none.

    Args:
        tagger: The `pycrfsuite.Tagger` of segmentation tags.
        text: Any text.
    """
    spans = units(text)
    if not spans:
        return []
    tags = tagger.tag(segmentation_features([text[start:end] for start, end in spans]))
    words: list[Span] = []
    begin = spans[0][0]
    for i in range(len(spans) - 1):
        end, following = spans[i][1], spans[i + 1][0]
        # A linear CRF may give a tag pair that it never saw (B S): either side ends the word.
        if tags[i] in "SE" or tags[i + 1] in "SB" or end != following:
            words.append((begin, end))
            begin = following
    words.append((begin, spans[-1][1]))
    return words


def tag_words(
    taggers: Mapping[str, Any], text: str, words: Sequence[Span], layers: Sequence[str]
) -> Sentence:
    """Return a sentence with the given words and layers.

    Args:
        taggers: A `pycrfsuite.Tagger` for each of pos, ner and dep.
        text: The sentence.
        words: Its word spans.
        layers: Which of pos, ner and dep to fill.
    """
    if not layers or not words:
        return Sentence(text, tuple(words), {layer: () for layer in layers})
    forms = [text[start:end] for start, end in words]
    rows = word_features(forms)
    pos = taggers["pos"].tag(rows)
    found: dict[str, tuple[str | None, ...]] = {"pos": tuple(pos)}
    if "ner" in layers:
        found["ner"] = entity_labels(taggers["ner"], entity_features(rows, pos))
    if "dep" in layers:
        found["dep"] = relation_labels(taggers["dep"], relation_features(rows, forms, pos))
    return Sentence(text, tuple(words), {layer: found[layer] for layer in layers})


def entity_labels(tagger: Any, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the best entity labels, repaired where BIEOS does not allow them."""
    labels = tagger.tag(rows)
    return repair(labels) if any(label != "O" for label in labels) else tuple(labels)


def relation_labels(tagger: Any, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return relations with exactly one HED.

    Where the best sequence has none or several, the word with the greatest marginal probability of
    HED keeps it, and each other such word takes its next best label.
    """
    labels = tagger.tag(rows)
    roots = [i for i, label in enumerate(labels) if label == ROOT]
    if len(roots) == 1 or not labels:
        return tuple(labels)
    root = max(roots or range(len(labels)), key=lambda i: (tagger.marginal(ROOT, i), -i))
    others = sorted(set(tagger.labels()) - {ROOT})
    for i in roots:
        if i != root:
            labels[i] = max(others, key=lambda label: tagger.marginal(label, i))
    labels[root] = ROOT
    return tuple(labels)
