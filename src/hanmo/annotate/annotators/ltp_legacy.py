"""LTP 4's fast perceptrons (`LTP/legacy`): words, parts of speech, entities, no relations.

In: texts. Out: sentences with the layers pos and ner, from a model folder or its id at Hugging
Face. The folder has ``config.json`` with the files of its tasks (`cws`, `pos`, `ner`); models that
`ltp_extension` trained load as well. The Rust library is used directly: `import ltp` would bring
torch. It leaves blanks inside words; here a blank ends a word before parts of speech are sought.

Example: ``hanmo annotate work/corpus --annotator ltp-legacy --ltp-legacy.model models/ltp-legacy``
"""

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanmo.annotate._ltp_folder import INSTALL, find_folder, need, read_config
from hanmo.annotate._ltp_words import place_words, to_lert
from hanmo.annotate.sentence import Sentence
from hanmo.core.errors import UserError, nearest

_LAYERS = ("pos", "ner")
_CLASSES = {"cws": "CWSModel", "pos": "POSModel", "ner": "NERModel"}


@dataclass(frozen=True, slots=True)
class Annotator:
    """Perceptrons of LTP 4.

    Attributes:
        model: Folder of the model, or its id at Hugging Face: LTP/legacy.
        layers: Layers to fill besides the words; fewer are faster.
    """

    model: str | None = field(default=None, metadata={"content": False})  # `sources` is
    layers: tuple[str, ...] = _LAYERS

    def __post_init__(self) -> None:
        """Check the layers.

        Raises:
            UserError: One that these models do not have.
        """
        for layer in self.layers:
            if layer not in _LAYERS:
                raise UserError(
                    f"the ltp-legacy annotator has no layer {layer!r}{nearest(layer, _LAYERS)}"
                )

    @property
    def sources(self) -> tuple[Path, ...]:
        """The model's folder: its digest goes into the manifest of what was annotated with it."""
        return (find_folder(self.model, "--ltp-legacy.model"),)

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        """Annotate texts, one sentence each.

        Raises:
            UserError: No model, or one that cannot be used; or ltp_extension is not installed.
        """
        folder = find_folder(self.model, "--ltp-legacy.model")
        # Entities are sought with parts of speech.
        needed = ("cws", *(layer for layer in _LAYERS[: 2 if "ner" in self.layers else 1]))
        models = _models(folder, needed if self.layers else needed[:1])
        # parallelism: processes are hanmo's, and Rust's threads do not survive a fork.
        words = models["cws"].batch_predict(list(texts), parallelism=False)
        places = [
            [span for parts in place_words(text, forms) for span in parts]
            for text, forms in zip(texts, words, strict=True)
        ]
        forms = [[text[a:b] for a, b in spans] for text, spans in zip(texts, places, strict=True)]
        found: dict[str, list[list[str]]] = {}
        if self.layers:
            found["pos"] = models["pos"].batch_predict(forms, parallelism=False)
        if "ner" in self.layers:
            found["ner"] = models["ner"].batch_predict(forms, found["pos"], parallelism=False)
        return [
            Sentence(
                text,
                tuple(spans),
                {layer: to_lert(layer, found[layer][i], forms[i]) for layer in self.layers},
            )
            for i, (text, spans) in enumerate(zip(texts, places, strict=True))
        ]


@functools.lru_cache(maxsize=2)
def _models(folder: Path, tasks: tuple[str, ...]) -> Mapping[str, Any]:
    """Open the models of the tasks; a process keeps them open."""
    files = read_config(folder, neural=False)["tasks"]
    try:
        library = importlib.import_module("ltp_extension.perceptron")
    except ImportError:
        raise UserError(
            f"annotator ltp-legacy: ltp_extension is not installed; {INSTALL}"
        ) from None
    opened: dict[str, Any] = {}
    for task in tasks:
        if task not in files:
            raise UserError(
                f"{folder}: no model for {task!r}, only for {', '.join(files)}; choose others: "
                "--ltp-legacy.layers"
            )
        need(folder, str(files[task]))
        with (folder / files[task]).open("rb"):
            pass  # what the system has against it, the library would tell as a RuntimeError
        try:
            opened[task] = getattr(library, _CLASSES[task]).load(str(folder / files[task]))
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{folder / files[task]}: not a model of ltp_extension ({reason}); fetch it again"
            ) from None
    return opened
