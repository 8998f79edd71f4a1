"""Fit linear CRFs with CRFsuite, and tag a training set without having seen it.

In: attributes and labels of sentences. Out: opened taggers, or jack-knifed labels. L-BFGS with an
L1 penalty: no randomness, so the same data give the same bytes, and most weights are exactly zero.

Example: ``Fitter(Options(), scratch).fit(rows, labels, folder / "pos.crfsuite")``
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo.annotate._crf_features import Row
from hanmo.core.errors import UserError
from hanmo.core.log import Progress

Labels = Sequence[str | None]


@dataclass(frozen=True)
class Options:
    """How the taggers are trained.

    Attributes:
        l1: Weight of the L1 penalty of the three layers; greater means a smaller model.
        l1_segmentation: The same for segmentation.
        l2: Weight of the L2 penalty.
        iterations: Passes of L-BFGS; half as many for the taggers that are used in training only.
        folds: Parts of the jack-knife.
        silver: Tag sentences that have entities only, to train parts of speech on them.
        merge: Join suffixes, prefixes and date units with their words, as LTP segments.
    """

    l1: float = 0.1
    l1_segmentation: float = 0.25
    l2: float = 0.02
    iterations: int = 100
    folds: int = 5
    silver: bool = True
    merge: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, least in (
            ("folds", 2),
            ("iterations", 2),
            ("l1", 0),
            ("l1_segmentation", 0),
            ("l2", 0),
        ):
            if getattr(self, name) < least:
                raise UserError(f"{name}: got {getattr(self, name)}, expected {least} or more")


def _trainer(pycrfsuite: Any, settings: Mapping[str, float]) -> Any:
    """Return CRFsuite's trainer, which tells `bar` of its iterations."""

    class Trainer(pycrfsuite.Trainer):  # type: ignore[misc]
        bar: Progress

        def message(self, message: str) -> None:
            if "Iteration #" in message:
                self.bar.advance()

    return Trainer("lbfgs", settings, verbose=False)


class Fitter:
    """Fits taggers with the options' penalties."""

    def __init__(self, options: Options, scratch: Path) -> None:
        self.options = options
        self._scratch = scratch
        self._n_helpers = 0

    def fit(
        self,
        rows: Sequence[Sequence[Row]],
        labels: Sequence[Labels],
        path: Path | None = None,
        *,
        l1: float | None = None,
    ) -> Any:
        """Return an opened tagger; without a path it is a helper, trained half as long."""
        import pycrfsuite

        options = self.options
        settings = {
            "c1": options.l1 if l1 is None else l1,
            "c2": options.l2,
            "max_iterations": options.iterations if path else options.iterations // 2,
        }
        trainer = _trainer(pycrfsuite, settings)
        for sentence_rows, sentence_labels in zip(rows, labels, strict=True):
            trainer.append(sentence_rows, sentence_labels)
        self._n_helpers += 1
        target = path or self._scratch / f"{self._n_helpers}.crfsuite"
        with Progress("fit", settings["max_iterations"], "iterations") as bar:
            trainer.bar = bar
            trainer.train(str(target))
        tagger = pycrfsuite.Tagger()
        tagger.open(str(target))
        return tagger

    def jack_knife(
        self, rows: Sequence[Sequence[Row]], labels: Sequence[Labels]
    ) -> list[list[str]]:
        """Return the labels that a tagger trained without the sentence's fold gives."""
        folds = self.options.folds
        result: list[list[str]] = [[] for _ in rows]
        for fold in range(folds):
            kept = [i for i in range(len(rows)) if i % folds != fold]
            tagger = self.fit([rows[i] for i in kept], [labels[i] for i in kept])
            for i in range(fold, len(rows), folds):
                result[i] = tagger.tag(rows[i])
        return result
