"""A checkpoint between two forms: our names, and tensors that are read when they are needed.

Every reader of a form makes `Contents`, every writer takes one, so n forms need n readers and n
writers. Names are those of hanmo's models (BERT's of Hugging Face, the encoder's under "bert."); an
ELECTRA generator's stand under "generator.". A tensor is read when it is written, so a conversion
holds one at a time.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hanmo.model.config import EncoderConfig

GENERATOR = "generator."
# Adam's moments, as a checkpoint of `hanmo pretrain` names them: "NAME/m" is tensor NAME's first.
SLOTS = ("m", "v")


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A tensor somewhere: what is known of it, and how to read it.

    Attributes:
        shape: as `read` gives it.
        dtype: numpy's, bfloat16 being ml_dtypes'.
        read: returns the values, read-only perhaps; called anew it reads anew.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], NDArray]

    @classmethod
    def of(cls, array: NDArray) -> "Stored":
        """Wrap an array that is in memory."""
        return cls(array.shape, array.dtype, lambda: array)

    @property
    def transposed(self) -> "Stored":
        """The matrix turned: TensorFlow multiplies from the other side."""
        return Stored(self.shape[::-1], self.dtype, lambda: np.ascontiguousarray(self.read().T))

    def cast(self, kind: np.dtype) -> "Stored":
        """The values in another floating-point type; whole numbers stay."""
        if self.dtype.kind not in "fV":  # ml_dtypes' are "V" to numpy
            return self
        return Stored(self.shape, kind, lambda: self.read().astype(kind))

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def same(self, other: "Stored") -> bool:
        """Whether the values are those of another tensor."""
        return self.shape == other.shape and bool(np.array_equal(self.read(), other.read()))


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """A checkpoint.

    Attributes:
        config: shape of the encoder; of an ELECTRA, the discriminator's.
        tensors: our name → tensor.
        generator: shape of the ELECTRA generator whose tensors are there too, or None.
        layers: label layer → its labels, in the order of the head's rows.
        raw: `config.json` of the folder it came from, as it stands there; empty if there was none.
        raw_generator: that of the generator's folder.
        slots: "NAME/m" and "NAME/v" → Adam's moments, if the checkpoint has them.
        step: training steps made, an integer, if it says so.
        vocabulary: bytes of `vocab.txt`, or None.
        flags: of its tokenizer, where that is not BERT's uncased one (`vocabulary.py`).
        notes: what a reader assumed or left out, for the report.
        theirs: our name → the source's, where it has other names, for messages.
    """

    config: EncoderConfig
    tensors: Mapping[str, Stored]
    generator: EncoderConfig | None = None
    layers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    raw_generator: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    slots: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    step: Stored | None = None
    vocabulary: bytes | None = None
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    theirs: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def cast(self, dtype: str) -> "Contents":
        """Return the same with floating-point weights of another type; Adam's moments stay."""
        kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
        tensors = {name: tensor.cast(kind) for name, tensor in self.tensors.items()}
        # Where the type is stated it would be wrong now.
        said = ("dtype", "torch_dtype")
        raw = {key: np.dtype(kind).name if key in said else v for key, v in self.raw.items()}
        second = {key: kind.name if key in said else v for key, v in self.raw_generator.items()}
        return dataclasses.replace(self, tensors=tensors, raw=raw, raw_generator=second)

    def with_activation(self, name: str) -> "Contents":
        """Return the same with another activation, of both halves of an ELECTRA."""
        second = self.generator and dataclasses.replace(self.generator, hidden_act=name)
        key = self.config.family.keys.get("hidden_act", "hidden_act")
        raws = [{**raw, key: name} if raw else raw for raw in (self.raw, self.raw_generator)]
        return dataclasses.replace(
            self,
            config=dataclasses.replace(self.config, hidden_act=name),
            generator=second,
            raw=raws[0],
            raw_generator=raws[1],
        )

    def half(self, which: str) -> "Contents":
        """Return one model of an ELECTRA: "discriminator" or "generator".

        Its tensors have the names that a model of its own has.
        """
        if which == "generator":
            assert self.generator is not None
            own = {
                name.removeprefix(GENERATOR): tensor
                for name, tensor in self.tensors.items()
                if name.startswith(GENERATOR)
            }
            config, raw = self.generator, self.raw_generator
            slots = {
                name.removeprefix(GENERATOR): tensor
                for name, tensor in self.slots.items()
                if name.startswith(GENERATOR)
            }
        else:
            own = {n: t for n, t in self.tensors.items() if not n.startswith(GENERATOR)}
            config, raw = self.config, self.raw
            slots = {n: t for n, t in self.slots.items() if not n.startswith(GENERATOR)}
        return dataclasses.replace(
            self,
            config=config,
            tensors=own,
            generator=None,
            raw=raw,
            raw_generator={},
            slots=slots,
            step=None if which == "generator" else self.step,
        )
