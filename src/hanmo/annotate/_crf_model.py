"""The folder of a trained CRF annotator: four taggers as tables.

Folder (kind "annotator"): ``cws.crfsuite``, ``pos.crfsuite``, ``ner.crfsuite``, ``dep.crfsuite``
(python-crfsuite's own format), ``model.json`` (version of the templates, tag sets, training
options) and ``manifest.json`` with sizes and SHA-256 of these files. Nothing in it depends on the
time, the machine or the place of the training files.

Example: ``segment(open_model(SHIPPED), ["我们去北京"])``.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.annotate._crf_features import FEATURES_VERSION
from hanmo.annotate._crf_segment_scores import SegmentationScorer
from hanmo.annotate._crf_viterbi import Chain, exactly_once_chain, plain_chain, restricted_chain
from hanmo.annotate._crf_weights import read_weights
from hanmo.annotate._crf_word_scores import WordScorer
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import write_json

KIND = "annotator"
LAYERS = ("pos", "ner", "dep")
TASKS = ("cws", *LAYERS)
ROOT = "HED"
SEGMENT_TAGS = ("S", "B", "I", "E")  # word of one unit; first, inner, last unit of a longer word
SHIPPED = Path(__file__).parent / "models" / "crf-gsdsimp"


def tagger_path(folder: Path, task: str) -> Path:
    """Return the file of one tagger."""
    return folder / f"{task}.crfsuite"


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
    """The four taggers, ready for batches.

    Attributes:
        segmentation: Scores units.
        words: Scores words for the three layers.
        chains: Task to its chain of states.
        labels: Task to its label names.
        ends_word: bool per segmentation tag: a word ends with it.
    """

    segmentation: SegmentationScorer
    words: WordScorer
    chains: Mapping[str, Chain]
    labels: Mapping[str, tuple[str, ...]]
    ends_word: np.ndarray


def load_model(folder: Path) -> CrfModel:
    """Open the four taggers of a folder that this process has just written.

    Raises:
        UserError: A file is not a CRFsuite model.
    """
    weights = {task: read_weights(tagger_path(folder, task)) for task in TASKS}
    labels = {task: weights[task].labels for task in TASKS}
    chains = {
        "cws": restricted_chain(weights["cws"].transitions, labels["cws"], _tag_follows),
        "pos": plain_chain(weights["pos"].transitions),
        "ner": restricted_chain(weights["ner"].transitions, labels["ner"], _entity_follows),
        "dep": exactly_once_chain(weights["dep"].transitions, labels["dep"].index(ROOT)),
    }
    return CrfModel(
        segmentation=SegmentationScorer(weights["cws"]),
        words=WordScorer(*(weights[layer] for layer in LAYERS)),
        chains=chains,
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
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        version, tags = card["features"], card["tags"]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
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
