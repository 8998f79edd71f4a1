"""What a trained CRF annotator is worth on held-out sentences.

In: gold sentences and a model folder. Out: a dictionary of scores in percent, and the same as a
table. ``gold words`` means that the taggers are given the gold words, ``raw`` the text only.

Example: ``report(read_examples([dev_tree], [dev_entities]), folder)["words"]["f1"]``
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.annotate._crf_model import load_model
from hanmo.annotate._crf_tagging import segment, tag_words
from hanmo.annotate.scores import entity_score, label_accuracy, labelled_word_score, word_score
from hanmo.annotate.sentence import Sentence

_NAMES = {"pos": "part of speech", "dep": "relation"}


def report(gold: Sequence[Sentence], folder: Path) -> dict[str, Any]:
    """Score a model.

    Args:
        gold: Sentences with words; a layer that the model has is scored on the sentences that have
            it.
        folder: Model folder.

    Returns:
        ``words`` (precision, recall, f1); ``pos`` and ``dep`` with ``gold_words`` (accuracy) and
        ``raw`` (F1 of span and label); ``ner`` with ``gold_words`` and ``raw`` (entity F1). All in
        percent with two decimals.
    """
    model = load_model(folder)
    texts = [sentence.text for sentence in gold]
    on_gold = tag_words(model, texts, [sentence.words for sentence in gold], model.layers)
    raw = tag_words(model, texts, segment(model, texts), model.layers)
    result: dict[str, Any] = {"sentences": len(gold), "words": word_score(gold, raw).as_dict()}
    for layer in model.layers:
        known = [i for i, sentence in enumerate(gold) if layer in sentence.layers]
        if not known:
            continue
        chosen = [gold[i] for i in known]
        with_words, without = [on_gold[i] for i in known], [raw[i] for i in known]
        if layer == "ner":
            result[layer] = {
                "gold_words": entity_score(chosen, with_words).as_dict(),
                "raw": entity_score(chosen, without).as_dict(),
            }
        else:
            result[layer] = {
                "gold_words": round(100 * label_accuracy(chosen, with_words, layer), 2),
                "raw": labelled_word_score(chosen, without, layer).as_dict(),
            }
    return result


def table(result: Mapping[str, Any]) -> list[str]:
    """Return a report as lines of text."""
    lines = [f"{'':26}{'precision':>10}{'recall':>10}{'F1':>10}{'accuracy':>10}"]
    lines.append(_row("words", result["words"]))
    for layer, name in _NAMES.items():
        if layer in result:
            lines.append(f"{name + ', gold words':26}{'':30}{result[layer]['gold_words']:10.2f}")
            lines.append(_row(f"{name}, raw", result[layer]["raw"]))
    if "ner" in result:
        lines.append(_row("entity, gold words", result["ner"]["gold_words"]))
        lines.append(_row("entity, raw", result["ner"]["raw"]))
    return lines


def _row(name: str, score: Mapping[str, float]) -> str:
    return f"{name:26}{score['precision']:10.2f}{score['recall']:10.2f}{score['f1']:10.2f}"
