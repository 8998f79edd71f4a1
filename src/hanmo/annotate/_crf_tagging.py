"""From texts to words and labels: batches of sentences through the four CRFs.

In: texts, or texts with their words. Out: word spans; parts of speech, entity labels (always legal
BIEOS) and relations (always exactly one HED). Parts of speech come first; entities and relations
see them.

Example: ``segment(model, ["我们去北京"])`` gives ``[[(0, 2), (2, 3), (3, 5)]]``.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from hanmo.annotate._crf_features import Span, unit_forms, units
from hanmo.annotate._crf_model import NO_POS, CrfModel
from hanmo.annotate._crf_viterbi import best_path
from hanmo.annotate.sentence import Sentence


def segment(model: CrfModel, texts: Sequence[str]) -> list[list[Span]]:
    """Return the word spans of texts; white space always ends a word and belongs to none."""
    forms = [unit_forms(text) for text in texts]
    filled = [units_of_text for units_of_text in forms if units_of_text]
    if not filled:
        return [[] for _ in texts]
    emissions = model.segmentation.emissions(filled)
    lengths = np.array([len(units_of_text) for units_of_text in filled])
    path = best_path(emissions, lengths, model.chains["cws"])
    closing = model.ends_word[path].tolist()
    words: list[list[Span]] = []
    start = 0
    for text, text_forms in zip(texts, forms, strict=True):
        after = start + len(text_forms)
        words.append(_words(text, text_forms, closing[start:after]))
        start = after
    return words


def _words(text: str, forms: Sequence[str], closing: Sequence[bool]) -> list[Span]:
    """Join units up to each closing one."""
    ends = list(accumulate(map(len, forms)))
    if ends and ends[-1] != len(text):
        return _parted_words(units(text), closing)
    closed = [end for end, closes in zip(ends, closing, strict=True) if closes]
    return list(zip([0, *closed], closed, strict=False))


def _parted_words(spans: Sequence[Span], closing: Sequence[bool]) -> list[Span]:
    """Join units of a text with white space."""
    words: list[Span] = []
    begin = spans[0][0]
    following = [start for start, _ in spans[1:]] + [-1]
    for (_, end), closes, after in zip(spans, closing, following, strict=True):
        if closes or end != after:
            words.append((begin, end))
            begin = after
    return words


def tag_words(
    model: CrfModel,
    texts: Sequence[str],
    words: Sequence[Sequence[Span]],
    layers: Sequence[str],
) -> list[Sentence]:
    """Return sentences with the given words and layers.

    Args:
        model: The model.
        texts: The sentences.
        words: Their word spans.
        layers: Which of the model's layers to fill.
    """
    found: dict[str, list[list[str]]] = {layer: [] for layer in layers}
    forms = [
        [text[start:end] for start, end in spans]
        for text, spans in zip(texts, words, strict=True)
        if spans
    ]
    if forms and layers:
        found = _labels(model, forms, layers)
    sentences: list[Sentence] = []
    number = 0
    for text, spans in zip(texts, words, strict=True):
        labels = {layer: tuple(found[layer][number]) if spans else () for layer in layers}
        sentences.append(Sentence(text, tuple(spans), labels))
        number += bool(spans)
    return sentences


def _labels(
    model: CrfModel, forms: list[list[str]], layers: Sequence[str]
) -> dict[str, list[list[str]]]:
    """Return the labels of each layer; no sentence is empty."""
    lengths = np.array([len(words) for words in forms])
    scorer = model.words
    rows = scorer.words(forms)
    if "pos" in model.layers:
        pos = _decode(model, "pos", scorer.pos_emissions(rows, lengths), lengths)
    else:
        pos = [[NO_POS] * len(words) for words in forms]
    found = {"pos": pos}
    if "ner" in layers or "dep" in layers:
        tags = scorer.tag_numbers(pos)
        if "ner" in layers:
            emissions = scorer.entity_emissions(rows, tags, lengths)
            found["ner"] = _decode(model, "ner", emissions, lengths)
        if "dep" in layers:
            emissions = scorer.relation_emissions(rows, tags, forms, pos)
            found["dep"] = _decode(model, "dep", emissions, lengths)
    return {layer: found[layer] for layer in layers}


def _decode(
    model: CrfModel, layer: str, emissions: np.ndarray, lengths: np.ndarray
) -> list[list[str]]:
    names = model.labels[layer]
    path = best_path(emissions, lengths, model.chains[layer])
    flat = [names[number] for number in path.tolist()]
    ends = np.cumsum(lengths).tolist()
    return [flat[end - n : end] for end, n in zip(ends, lengths.tolist(), strict=True)]
