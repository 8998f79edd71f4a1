"""Records of the original pre-training scripts → the text that they were masked from.

In: the features of an Example, those of `record_formats.py` and ALBERT's `token_boundary`. Out:
documents without masks. The labels are put in at the masked places (kept and random ones too).
Labels of albert_zh and roberta_zh keep the "##" by which their scripts marked that a character
continues a word (facts/05): the plain character is put in, and the mark is what is known of words.

What a record does not tell: where words begin between pieces that were not chosen (each is a word
of its own), sentences within a segment (one sentence), and what stood before and behind: a record
is a document, and so is each segment of a pair of which the second is a random one.

    restorer = Restorer(Tokenizer.load(vocab))
    restorer.add(read_example(record.data))
    restorer.documents()
"""

import hashlib
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.tagsets import MISSING, TAGSETS
from hanmo.data.documents import Documents
from hanmo.data.example import Values
from hanmo.data.ragged import Array, IntArray
from hanmo.data.record_formats import ANSWER, INPUTS, LABELS, MASKED
from hanmo.text.tokenizer import Tokenizer

BOUNDARY = "token_boundary"
_ALWAYS = ("records", "unrestored_records", "masked_positions", "mended_labels", "mended_inputs")
KEY = np.dtype([("high", "<u8"), ("low", "<u8")])  # digest of a document's pieces and sentences


class RecordError(ValueError):
    """An Example that is no record of pre-training; the message says what is wrong with it."""


class Restorer:
    """Restores records one by one and gathers their documents.

    Args:
        tokenizer: of the vocabulary that the ids refer to.
        swapped: next_sentence_labels 1 says that the segments were swapped (ALBERT), not that the
            second is a random one (BERT).

    Attributes:
        counts: records, unrestored_records (with a [MASK] at no masked place; left out),
            masked_positions, mended_labels and mended_inputs ("##" and a character that never
            continues anything, mapped to the plain one), random_next or swapped pairs.
        n_pieces: of the documents gathered.
    """

    def __init__(self, tokenizer: Tokenizer, *, swapped: bool = False) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(_ALWAYS, 0))
        self.n_pieces = 0
        self._tokenizer, self._swapped = tokenizer, swapped
        self._plain, self._continues = _continuations(tokenizer)
        self._ids: list[Array] = []
        self._starts: list[Array] = []
        self._sentences: list[int] = []  # pieces of each
        self._documents: list[int] = []  # sentences of each
        self._labels: dict[str, list[Array]] = {name: [] for name in TAGSETS}
        self._keys: list[bytes] = []

    def add(self, features: Mapping[str, Values]) -> None:
        """Restore one record.

        Raises:
            RecordError: features are missing, or their values cannot be.
        """
        record = _Record(features, self._tokenizer)
        self.counts["records"] += 1
        self.counts["masked_positions"] += len(record.positions)
        originals = record.ids.copy()
        originals[record.positions] = record.labels
        ids = self._plain[originals]
        if (ids == self._tokenizer.mask_id).any():
            self.counts["unrestored_records"] += 1
            return
        if not (ids == self._tokenizer.sep_id).any():  # nothing that ends a segment
            self.counts["unrestored_records"] += 1
            return
        mended = ids != originals
        n_labels = int(mended[np.unique(record.positions)].sum())
        self.counts["mended_labels"] += n_labels
        self.counts["mended_inputs"] += int(mended.sum()) - n_labels
        starts = ~self._continues[originals]
        if record.boundary is not None:
            starts &= record.boundary != 0
        self._split(record, ids, starts)

    def _split(self, record: "_Record", ids: IntArray, starts: NDArray[np.bool_]) -> None:
        """Cut a record at its [SEP]s into sentences, and into documents where they are two."""
        ends = np.flatnonzero(ids == self._tokenizer.sep_id)
        begins = np.concatenate([[1], ends[:-1] + 1])
        spans = [(a, b) for a, b in zip(begins.tolist(), ends.tolist(), strict=True) if b > a]
        groups = [spans]
        if record.answer == 1 and len(spans) > 1:
            self.counts["swapped_pairs" if self._swapped else "random_next_pairs"] += 1
            first = [span for span in spans if not record.segments[span[0]]]
            second = [span for span in spans if record.segments[span[0]]]
            groups = [second + first] if self._swapped else [first, second]
        for group in groups:
            if group:
                self._gather(record, ids, starts, group)

    def _gather(
        self,
        record: "_Record",
        ids: IntArray,
        starts: NDArray[np.bool_],
        spans: list[tuple[int, int]],
    ) -> None:
        which = np.concatenate([np.arange(a, b) for a, b in spans])
        sizes = [b - a for a, b in spans]
        words = starts[which]
        words[np.cumsum([0, *sizes[:-1]])] = True
        pieces = ids[which].astype("<u4")
        self._ids.append(pieces)
        self._starts.append(words.astype(np.uint8))
        for name, values in self._labels.items():
            values.append(record.layers.get(name, record.unknown)[which])
        self._sentences += sizes
        self._documents.append(len(sizes))
        text = pieces.tobytes() + b"|" + np.array(sizes, dtype="<u4").tobytes()
        self._keys.append(hashlib.blake2b(text, digest_size=KEY.itemsize).digest())
        self.n_pieces += len(which)

    def documents(self) -> tuple[Documents, NDArray[np.void]]:
        """Return what was gathered (the layers of which something is known), and a `KEY` of each.

        Documents with equal keys hold the same sentences.
        """
        labels = {name: _joined(values, np.int8) for name, values in self._labels.items()}
        dtype = np.uint16 if self._tokenizer.size < 1 << 16 else np.uint32
        documents = Documents(
            _joined(self._ids, dtype),
            _joined(self._starts, np.uint8),
            np.cumsum([0, *self._sentences], dtype=np.int64),
            np.cumsum([0, *self._documents], dtype=np.int64),
            {name: values for name, values in labels.items() if (values != MISSING).any()},
        )
        return documents, np.frombuffer(b"".join(self._keys), dtype=KEY)


def _joined(parts: list[Array], dtype: type[np.generic]) -> Array:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts]).astype(dtype)


def _continuations(tokenizer: Tokenizer) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return id → plain id, and which entries begin with "##".

    An entry "##X" is mapped to "X" where the tokenizer never gives it because X always stands
    alone, as Chinese characters and punctuation marks do; other entries stand for themselves.
    """
    plain = np.arange(tokenizer.size, dtype=np.int64)
    marked = [(i, piece[2:]) for i, piece in enumerate(tokenizer.vocab) if piece.startswith("##")]
    continues = np.zeros(tokenizer.size, dtype=np.bool_)
    continues[[i for i, _ in marked]] = True
    single = [(i, rest) for i, rest in marked if len(rest) == 1 and rest in tokenizer.id_of]
    encodings = tokenizer.encode_batch([f"a{rest}" for _, rest in single])
    for (i, rest), encoding in zip(single, encodings, strict=True):
        if len(encoding) > 1 and encoding.ids[-1] == tokenizer.id_of[rest]:
            plain[i] = tokenizer.id_of[rest]
    return plain, continues


class _Record:
    """The features of one Example, checked.

    Attributes:
        ids, segments: int64 [n], without the padding.
        positions, labels: int64 [M], of the places with weight.
        layers: layer → int8 [n], -1 where nothing is known.
        unknown: int8 [n], all -1.
        boundary: int64 [n] or None.
        answer: next_sentence_labels, or None.
    """

    def __init__(self, features: Mapping[str, Values], tokenizer: Tokenizer) -> None:
        _check_names(features)
        read = {name: _numbers(name, values) for name, values in features.items() if name in _KNOWN}
        self.ids, mask, self.segments = _of_one_length(read, INPUTS)
        n = int((mask != 0).sum())
        if not mask[:n].all():
            raise RecordError("input_mask: zeros among the ones; expected ones, then zeros")
        self.ids, self.segments = self.ids[:n], self.segments[:n]
        _check_ids("input_ids", self.ids, tokenizer)
        special = (tokenizer.cls_id, tokenizer.sep_id)
        if n < 2 or (self.ids[0], self.ids[-1]) != special:
            ends = self.ids[[0, -1]].tolist() if n else []
            raise RecordError(
                f"input_ids: begin and end with {ends}; expected {list(special)}, [CLS] and [SEP] "
                "of this vocabulary: is it the one that the records were made with?"
            )
        self.unknown = np.full(n, MISSING, dtype=np.int8)
        self.layers: dict[str, NDArray[np.int8]] = {}
        self.positions = self.labels = np.zeros(0, dtype=np.int64)
        if MASKED[0] in read:
            self._read_masks(read, tokenizer)
        self.boundary = (
            _of_one_length(read, (INPUTS[0], BOUNDARY))[1][:n] if BOUNDARY in read else None
        )
        answer = read.get(ANSWER)
        self.answer = None if answer is None or len(answer) != 1 else int(answer[0])

    def _read_masks(self, read: Mapping[str, Array], tokenizer: Tokenizer) -> None:
        names = [name for name in _LAYERS if name in read]
        positions, labels, weights, *layers = _of_one_length(read, (*MASKED, *names))
        there = weights > 0
        self.positions, self.labels = positions[there], labels[there]
        if len(self.positions) and not 0 <= self.positions.min() <= self.positions.max() < len(
            self.ids
        ):
            raise RecordError(
                f"masked_lm_positions: {self.positions.max()}; the sequence has {len(self.ids)} "
                "pieces"
            )
        _check_ids("masked_lm_ids", self.labels, tokenizer)
        for name, values in zip(names, layers, strict=True):
            layer, known = _LAYERS[name], values[there]
            n_labels = len(TAGSETS[layer])
            if len(known) and not 0 <= known.min() <= known.max() < n_labels:
                raise RecordError(f"{name}: {known.max()}; expected 0 to {n_labels - 1}")
            self.layers[layer] = self.unknown.copy()
            self.layers[layer][self.positions] = known


_LAYERS = {f"{layer}{LABELS}": layer for layer in TAGSETS}
_KNOWN = frozenset({*INPUTS, *MASKED, *_LAYERS, BOUNDARY, ANSWER})


def _check_names(features: Mapping[str, Values]) -> None:
    wanted = [*INPUTS]
    if any(name in features for name in (*MASKED, *_LAYERS)):
        wanted += MASKED
    missing = [name for name in wanted if name not in features]
    if missing:
        raise RecordError(
            f"no {', '.join(missing)} (found: {', '.join(sorted(features)) or 'nothing'}); "
            "expected the features of BERT's, ALBERT's, LERT's or ELECTRA's pre-training"
        )


def _numbers(name: str, values: Values) -> Array:
    kind = "f" if name == MASKED[2] else "i"
    if isinstance(values, list) or (len(values) and values.dtype.kind != kind):
        expected = "floats" if kind == "f" else "whole numbers"
        raise RecordError(f"{name}: a list of another kind; expected {expected}")
    return values


def _of_one_length(read: Mapping[str, Array], names: tuple[str, ...]) -> list[Array]:
    lengths = [len(read[name]) for name in names]
    if len(set(lengths)) > 1:
        sizes = ", ".join(f"{name} {n}" for name, n in zip(names, lengths, strict=True))
        raise RecordError(f"lists of different lengths: {sizes}")
    return [read[name] for name in names]


def _check_ids(name: str, ids: Array, tokenizer: Tokenizer) -> None:
    if len(ids) and not 0 <= ids.min() <= ids.max() < tokenizer.size:
        wrong = ids[(ids < 0) | (ids >= tokenizer.size)][0]
        raise RecordError(
            f"{name}: {wrong}; this vocabulary has {tokenizer.size:,} entries: is it the one that "
            "the records were made with?"
        )
