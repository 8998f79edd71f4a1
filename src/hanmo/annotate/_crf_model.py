"""The folder of a trained CRF annotator: four taggers as tables.

Folder (kind "annotator"): ``cws.crfsuite``, ``pos.crfsuite``, ``ner.crfsuite``, ``dep.crfsuite``
(python-crfsuite's own format; a layer without a file is not filled), ``model.json`` (version of the
templates, tag sets, training options) and ``manifest.json`` with sizes and SHA-256 of these files.
Nothing in it depends on the time, the machine or the place of the training files.

Example: ``segment(open_model(SHIPPED), ["我们去北京"])``.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.annotate._crf_features import FEATURES_VERSION
from hanmo.annotate._crf_segment_scores import SegmentationScorer
from hanmo.annotate._crf_viterbi import Chain, exactly_once_chain, plain_chain, restricted_chain
from hanmo.annotate._crf_weights import Weights, no_weights, read_weights
from hanmo.annotate._crf_word_scores import WordScorer
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import write_json

KIND = "annotator"
LAYERS = ("pos", "ner", "dep")
TASKS = ("cws", *LAYERS)
ROOT = "HED"
NO_POS = "n"  # what entities and relations see everywhere where there are no parts of speech
SEGMENT_TAGS = ("S", "B", "I", "E")  # word of one unit; first, inner, last unit of a longer word
SHIPPED = Path(__file__).parent / "models" / "crf-gsdsimp"


def tagger_path(folder: Path, task: str) -> Path:
    """Return the file of one tagger."""
    return folder / f"{task}.crfsuite"


def layers_of(folder: Path) -> tuple[str, ...]:
    """Return the layers that a model folder has taggers for."""
    return tuple(layer for layer in LAYERS if tagger_path(folder, layer).is_file())


def write_model_card(folder: Path, options: Mapping[str, Any]) -> None:
    """Write ``model.json``: what a reader must know to use the taggers, and how they were made."""
    import pycrfsuite

    card = {
        "engine": f"CRFsuite {pycrfsuite.CRFSUITE_VERSION}",
        "features": FEATURES_VERSION,
        "tags": {"cws": list(SEGMENT_TAGS), **{layer: list(TAGSETS[layer]) for layer in TAGSETS}},
        "training": dict(options),
    }
    write_json(folder / "model.json", card)


@dataclass(frozen=True, slots=True)
class CrfModel:
    """The taggers, ready for batches.

    Attributes:
        segmentation: Scores units.
        words: Scores words for the three layers.
        layers: The layers that it has besides the words.
        chains: Task to its chain of states.
        labels: Task to its label names.
        ends_word: bool per segmentation tag: a word ends with it.
    """

    segmentation: SegmentationScorer
    words: WordScorer
    layers: tuple[str, ...]
    chains: Mapping[str, Chain]
    labels: Mapping[str, tuple[str, ...]]
    ends_word: np.ndarray


def load_model(folder: Path) -> CrfModel:
    """Open the taggers of a folder that this process has just written.

    Raises:
        UserError: A file is not a CRFsuite model.
    """
    layers = layers_of(folder)
    weights = {task: read_weights(tagger_path(folder, task)) for task in ("cws", *layers)}
    labels = {task: weights[task].labels for task in weights}
    absent = {"pos": no_weights((NO_POS,)), "ner": no_weights(()), "dep": no_weights(())}
    makers: Mapping[str, Callable[[Weights], Chain]] = {
        "cws": lambda task: restricted_chain(task.transitions, task.labels, _tag_follows),
        "pos": lambda task: plain_chain(task.transitions),
        "ner": lambda task: restricted_chain(task.transitions, task.labels, _entity_follows),
        "dep": lambda task: exactly_once_chain(task.transitions, task.labels.index(ROOT)),
    }
    return CrfModel(
        segmentation=SegmentationScorer(weights["cws"]),
        words=WordScorer(*(weights.get(layer, absent[layer]) for layer in LAYERS)),
        layers=layers,
        chains={task: makers[task](weights[task]) for task in weights},
        labels=labels,
        ends_word=np.array([label in ("S", "E") for label in labels["cws"]]),
    )


def _tag_follows(left: str, right: str) -> bool:
    """Say whether two segmentation tags may be neighbours ("" is the edge)."""
    return (left in ("B", "I")) == (right in ("I", "E"))


def _entity_follows(left: str, right: str) -> bool:
    """Say whether two BIEOS labels may be neighbours ("" is the edge)."""
    is_inside = left[:2] in ("B-", "I-")
    goes_on = right[:2] in ("I-", "E-")
    return is_inside == goes_on and (not goes_on or left[2:] == right[2:])


@functools.lru_cache(maxsize=4)
def open_model(folder: Path) -> CrfModel:
    """Check a finished model folder and open it; a process keeps the last few open.

    Raises:
        UserError: The folder is not a finished annotator, a file is damaged, or it was trained
            with other templates or tag sets.
    """
    read_manifest(folder, KIND)
    verify(folder)
    _check_card(folder / "model.json")
    return load_model(folder)


def _check_card(path: Path) -> None:
    raw = path.read_bytes()
    try:
        card = json.loads(raw)
        version, tags = card["features"], card["tags"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: unreadable ({error!r}); train the annotator again: hanmo train-annotator"
        ) from None
    if version != FEATURES_VERSION:
        raise UserError(
            f"{path}: features of version {version}; this hanmo makes version {FEATURES_VERSION}; "
            "train the annotator again: hanmo train-annotator"
        )
    for layer, labels in TAGSETS.items():
        if list(labels) != tags.get(layer):
            raise UserError(
                f"{path}: other labels in layer {layer!r} than this hanmo's; train the annotator "
                "again: hanmo train-annotator"
            )
