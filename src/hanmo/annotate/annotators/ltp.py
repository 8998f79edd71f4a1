"""LTP 4's neural models: the words and labels that LERT was made with.

In: texts. Out: sentences with the layers pos, ner and dep, from a folder of a model (``LTP/small``,
``base`` and so on) or its id at Hugging Face. Slow on a CPU (some 4,000 characters a second a core
with ``small``): `hanmo train-annotator --teacher ltp` has the fast `crf` learn from it. Words keep
their places in the text; a blank ends a word; a text beyond the encoder's 512 pieces is cut, each
part is annotated, and the parts are joined. The models are free for universities and individual
researchers, not for companies.

Example: ``hanmo annotate work/corpus --annotator ltp --ltp.model models/ltp-small --out sentences``
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hanmo.annotate._ltp_folder import find_folder
from hanmo.annotate._ltp_model import Found, open_neural
from hanmo.annotate._ltp_words import part_labels, place_words, runs, to_lert, with_one_root
from hanmo.annotate.sentence import Sentence, Span
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError, nearest


@dataclass(frozen=True, slots=True)
class Annotator:
    """A neural model of LTP 4.

    Attributes:
        model: Folder of the model, or its id at Hugging Face, such as LTP/small.
        layers: Layers to fill besides the words; fewer are faster.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1".
        batch_size: Most sentences that are computed together.
        threads: Threads of each process on the CPU; more processes do more than more threads.
    """

    model: str | None = field(default=None, metadata={"content": False})  # `sources` is
    layers: tuple[str, ...] = tuple(TAGSETS)
    device: str = field(default="auto", metadata={"content": False})
    batch_size: int = field(default=32, metadata={"content": False})
    threads: int = field(default=1, metadata={"content": False})

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UserError: A layer that does not exist, or a number below 1.
        """
        for layer in self.layers:
            if layer not in TAGSETS:
                raise UserError(
                    f"the ltp annotator has no layer {layer!r}{nearest(layer, TAGSETS)}"
                )
        if min(self.batch_size, self.threads) < 1:
            raise UserError(
                f"--ltp.batch-size {self.batch_size}, --ltp.threads {self.threads}; "
                "expected 1 or more"
            )

    @property
    def sources(self) -> tuple[Path, ...]:
        """The model's folder: its digest goes into the manifest of what was annotated with it."""
        return (find_folder(self.model, "--ltp.model"),)

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        """Annotate texts, one sentence each.

        Raises:
            UserError: No model, or one that cannot be used (see `open_neural`).
        """
        return self.annotate_counted(texts)[0]

    def annotate_counted(self, texts: Sequence[str]) -> tuple[list[Sentence], Mapping[str, int]]:
        """Annotate texts; count what LTP could not take as it is.

        Returns:
            Sentences, and counts: ``cut_sentences`` (too long for the encoder; annotated in
            parts), ``parted_words`` (had a blank inside), ``unseen_words`` (of characters that
            LTP's tokenizer drops; without labels).
        """
        folder = find_folder(self.model, "--ltp.model")
        model = open_neural(folder, self.device, self.threads)
        for layer in self.layers:
            if layer not in model.layers:
                raise UserError(
                    f"{folder}: a model without layer {layer!r}; choose: --ltp.layers "
                    f"{' '.join(model.layers)}"
                )
        counts: Counter[str] = Counter()
        found = model.run(texts, self.layers, self.batch_size)
        sentences = [
            self._sentence(text, parts, counts) for text, parts in zip(texts, found, strict=True)
        ]
        return sentences, +counts  # without zeros

    def _sentence(self, text: str, found: Sequence[Found], counts: Counter[str]) -> Sentence:
        words: list[Span] = []
        labels: dict[str, list[list[str | None]]] = {layer: [] for layer in self.layers}
        counts["cut_sentences"] += len(found) > 1
        for one in found:
            start = one.part.start
            part = text[start : one.part.end]
            if not one.forms:
                unseen = runs(part)
                counts["unseen_words"] += len(unseen)
                words += [(start + a, start + b) for a, b in unseen]
                for of_layer in labels.values():
                    of_layer.append([None] * len(unseen))
                continue
            places = place_words(part, one.forms)
            counts["parted_words"] += sum(len(spans) > 1 for spans in places)
            spans = [span for of_word in places for span in of_word]
            words += [(start + a, start + b) for a, b in spans]
            for layer, of_layer in labels.items():
                of_layer.append([*part_labels(layer, one.layers[layer], places)])
        forms = [text[a:b] for a, b in words]
        layers = {
            layer: to_lert(layer, _joined(layer, of_layer), forms)
            for layer, of_layer in labels.items()
        }
        return Sentence(text, tuple(words), layers)


def _joined(layer: str, parts: Sequence[Sequence[str | None]]) -> list[str | None]:
    """Return the labels of all parts of a text; a tree has one root."""
    if layer == "dep":
        return with_one_root(parts)
    return [label for labels in parts for label in labels]
