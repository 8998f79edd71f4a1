"""The folder of a trained CRF annotator: four taggers, opened by memory map.

Folder (kind "annotator"): ``cws.crfsuite``, ``pos.crfsuite``, ``ner.crfsuite``, ``dep.crfsuite``
(python-crfsuite's own format), ``model.json`` (version of the templates, tag sets, training
options) and ``manifest.json`` with sizes and SHA-256 of these files. Nothing in it depends on the
time, the machine or the place of the training files.

Example: ``open_taggers(SHIPPED)["pos"].tag(word_features(["我们", "去"]))``.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.annotate._crf_features import FEATURES_VERSION
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import write_json

KIND = "annotator"
LAYERS = ("pos", "ner", "dep")
TASKS = ("cws", *LAYERS)
SEGMENT_TAGS = ("S", "B", "I", "E")  # word of one unit; first, inner, last unit of a longer word
SHIPPED = Path(__file__).parent / "models" / "crf-gsdsimp"


def tagger_path(folder: Path, task: str) -> Path:
    """Return the file of one tagger."""
    return folder / f"{task}.crfsuite"


def write_model_card(folder: Path, options: Mapping[str, Any]) -> None:
    """Write ``model.json``: what a reader must know to use the taggers, and how they were made."""
    card = {
        "features": FEATURES_VERSION,
        "tags": {"cws": list(SEGMENT_TAGS), **{layer: list(TAGSETS[layer]) for layer in TAGSETS}},
        "training": dict(options),
    }
    write_json(folder / "model.json", card)


@functools.lru_cache(maxsize=4)
def open_taggers(folder: Path) -> Mapping[str, Any]:
    """Open a model folder; a process keeps the last few open.

    Returns:
        A `pycrfsuite.Tagger` per task.

    Raises:
        UserError: The folder is not a finished annotator, a file is damaged (crfsuite itself
            would crash), or it was trained with other templates or tag sets.
    """
    import pycrfsuite

    read_manifest(folder, KIND)
    verify(folder)
    _check_card(folder / "model.json")
    opened: dict[str, Any] = {}
    for task in TASKS:
        tagger = pycrfsuite.Tagger()
        try:
            tagger.open(str(tagger_path(folder, task)))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{tagger_path(folder, task)}: not a CRFsuite model ({error}); train the annotator "
                "again: hanmo train-annotator"
            ) from None
        opened[task] = tagger
    return opened


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
