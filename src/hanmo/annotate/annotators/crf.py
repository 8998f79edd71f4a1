"""The default annotator: words, parts of speech, entities and relations, offline, by linear CRFs.

In: texts. Out: sentences with the layers pos, ner and dep. The shipped model is trained on
UD_Chinese-GSDSimp and UNER_Chinese-GSDSIMP (CC BY-SA 4.0, see its NOTICE); `hanmo train-annotator`
trains another. A relation is a label per word, as LERT needs it: no heads. Trained with
CRFsuite (Okazaki 2007), decoded here in batches.

Example: ``Annotator().annotate(["我们去北京。"])[0].layers["pos"]``
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanmo.annotate._crf_model import LAYERS, SHIPPED, layers_of, open_model, tagger_path
from hanmo.annotate._crf_tagging import segment, tag_words
from hanmo.annotate.sentence import Sentence
from hanmo.core.errors import UserError, nearest

# An opened model remembers words; threads of a process share it.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class Annotator:
    """Linear CRFs, one for the words and one per layer.

    Attributes:
        model: Folder made by `hanmo train-annotator`; None means the shipped model.
        layers: Layers to fill besides the words, all that the model has if not given; fewer are
            faster.
    """

    model: Path | None = None
    layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the layer names.

        Raises:
            UserError: A layer that this annotator does not have.
        """
        folder = self.model or SHIPPED
        # A folder that is not there is told of when it is opened.
        known = layers_of(folder) if tagger_path(folder, "cws").is_file() else LAYERS
        layers = known if self.layers is None else tuple(self.layers)
        object.__setattr__(self, "layers", layers)
        for layer in layers:
            if layer not in LAYERS:
                raise UserError(f"the crf annotator has no layer {layer!r}{nearest(layer, LAYERS)}")
            if layer not in known:
                has = " ".join(known) or "words only"
                raise UserError(f"{folder}: a model without layer {layer!r}; it has: {has}")

    @property
    def sources(self) -> tuple[Path, ...]:
        """The model's folder: its digest goes into the manifest of what was annotated with it."""
        return (self.model or SHIPPED,)

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        """Annotate texts, one sentence each.

        Raises:
            UserError: The model folder is missing, damaged or of another version.
        """
        # Opened here and kept per process, so that the annotator itself is small and picklable.
        model = open_model(self.model or SHIPPED)
        with _ONE_AT_A_TIME:
            return tag_words(model, texts, segment(model, texts), self.layers or ())
