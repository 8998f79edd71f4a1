"""The weights in a CRFsuite model file, as arrays.

In: a file that `pycrfsuite.Trainer` wrote. Out: `Weights`. CRFsuite's own tagger takes attributes
as strings, one sentence at a time, and spends nearly all its time on them; with the weights as
tables, whole batches of sentences are scored by array look-ups.
Format (little endian; crfsuite, lib/crf/src/crf1d_model.c and lib/cqdb): a header of 48 bytes, then
chunks: features (20 bytes each: type, source, target, weight) and two string tables, for labels and
for attributes, whose "backward" part lists the place of each string by number.

Example: ``read_weights(folder / "pos.crfsuite").labels`` gives ``("n", "v", …)``.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanmo.core.errors import UserError

_HEADER = struct.Struct("<4sI4s9I")
_FEATURE = np.dtype([("type", "<u4"), ("source", "<u4"), ("target", "<u4"), ("weight", "<f8")])
_STATE, _TRANSITION = 0, 1


@dataclass(frozen=True, slots=True)
class Weights:
    """A linear-chain CRF with A attributes and L labels.

    Attributes:
        labels: The labels.
        attributes: Attribute to its row in `state`.
        state: float32 [A, L], score of a label where the attribute stands.
        transitions: float32 [L, L], score of a label (column) after another (row).
    """

    labels: tuple[str, ...]
    attributes: dict[bytes, int]
    state: np.ndarray
    transitions: np.ndarray


def no_weights(labels: tuple[str, ...]) -> Weights:
    """Return what stands for a tagger that a model does not have."""
    n = len(labels)
    return Weights(labels, {}, np.zeros((0, n), np.float32), np.zeros((n, n), np.float32))


def read_weights(path: Path) -> Weights:
    """Read a model file.

    Raises:
        UserError: Not a CRFsuite model, or a damaged one.
    """
    raw = path.read_bytes()
    try:
        return _parse(raw)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a CRFsuite model ({error}); train the annotator again: "
            "hanmo train-annotator"
        ) from None


def _parse(raw: bytes) -> Weights:
    magic, size, kind, _, _, n_labels, n_attributes, *places = _HEADER.unpack_from(raw)
    at_features, at_labels, at_attributes, _, _ = places
    if magic != b"lCRF" or kind != b"FOMC":
        raise ValueError(f"begins with {raw[:12]!r}")
    if size != len(raw):
        raise ValueError(f"{len(raw):,} bytes instead of {size:,}")
    (n_features,) = struct.unpack_from("<I", raw, at_features + 8)
    features = np.frombuffer(raw, _FEATURE, n_features, at_features + 12)
    state = np.zeros((n_attributes, n_labels), dtype=np.float32)
    transitions = np.zeros((n_labels, n_labels), dtype=np.float32)
    for array, number in ((state, _STATE), (transitions, _TRANSITION)):
        chosen = features[features["type"] == number]
        array[chosen["source"], chosen["target"]] = chosen["weight"]
    labels = tuple(label.decode() for label in _strings(raw, at_labels, n_labels))
    names = _strings(raw, at_attributes, n_attributes)
    return Weights(labels, {name: i for i, name in enumerate(names)}, state, transitions)


def _strings(raw: bytes, start: int, count: int) -> list[bytes]:
    """Return the strings of a table by number."""
    magic, _, _, _, n_backward, backward = struct.unpack_from("<4s5I", raw, start)
    if magic != b"CQDB" or n_backward < count:
        raise ValueError(f"string table with {n_backward} of {count} strings")
    result: list[bytes] = []
    for place in struct.unpack_from(f"<{count}I", raw, start + backward):
        record = start + place
        (size,) = struct.unpack_from("<I", raw, record + 4)
        if record + 8 + size > len(raw):
            raise ValueError("a string ends outside the file")
        result.append(raw[record + 8 : record + 7 + size])  # the last byte is NUL
    return result
