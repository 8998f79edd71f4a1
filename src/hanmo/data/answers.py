"""What a teacher said of a corpus, stored beside its shards, and read back in any order.

    phase-0/repeat-0/00000/        sequences 0 to 4,095 of the first phase, masked the first way
        marks.npy                  uint32 [S], a checksum of each sequence as the teacher saw it
        asked.npy, pieces.npy      int64 [S + 1], where its asked positions and its pieces begin
        classes.npy, logits.npy    [M, k], the most likely pieces of each asked position, best first
        hidden-4.npy               [N, H], what layer 4 gave, for every piece
    teacher.json                   the teacher's config.json
    manifest.json                  how the sequences were made; a student's run must say the same

A student's sequences are masked again by themselves; that they are the same is checked.

    answers = AnswerSet(Path("work/answers"), 0)
    answers.add(corrupted, repeats=…, indices=…)
"""

import dataclasses
import functools
import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hanmo.core import artifact
from hanmo.core.errors import UserError
from hanmo.core.files import sync_folder
from hanmo.data.ragged import Array, Corrupted, IntArray

KIND = "answers"
TEACHER = "teacher.json"
PART = 4096  # sequences of a part, which is what a kill costs
_OPEN_PARTS = 64  # of memory maps, which are cheap; a shuffled order touches all parts


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Answers to sequences one after the other.

    Attributes:
        marks: uint32 [S].
        asked: int64 [S + 1].
        pieces: int64 [S + 1].
        classes: [M, k]; None where no logits were wanted.
        logits: [M, k]; None as well.
        hidden: layer → [N, H].
    """

    marks: Array
    asked: IntArray
    pieces: IntArray
    classes: Array | None
    logits: Array | None
    hidden: Mapping[int, Array]


def part_folder(folder: Path, phase: int, repeat: int, part: int) -> Path:
    """Return where a part lies."""
    return folder / f"phase-{phase}" / f"repeat-{repeat}" / f"{part:05d}"


def write_part(folder: Path, part: Part) -> None:
    """Write a part; it is there whole or not at all."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    arrays: dict[str, Array | None] = {
        name: getattr(part, name) for name in ("marks", "asked", "pieces", "classes", "logits")
    }
    arrays |= {f"hidden-{layer}": values for layer, values in part.hidden.items()}
    for name, values in arrays.items():
        if values is not None:
            np.save(partial / f"{name}.npy", values)
    sync_folder(partial)
    partial.rename(folder)


def bytes_of(*, sequences: int, asked: int, pieces: int, top_k: int, hidden: int, item: int) -> int:
    """Say what answers take on the disk.

    Args:
        sequences: how many, in all ways of masking.
        asked: their asked positions.
        pieces: their pieces.
        top_k: most likely pieces of each asked position; 0: none.
        hidden: numbers of all stored layers for a piece.
        item: bytes of a logit or such a number.
    """
    return sequences * (4 + 2 * 8) + asked * top_k * (4 + item) + pieces * hidden * item


def marks_of(corrupted: Corrupted) -> Array:
    """A checksum of each sequence: its pieces as they stand, and where something is asked."""
    ids = np.ascontiguousarray(corrupted.inputs["input_ids"], dtype=np.int32)
    offsets = corrupted.offsets
    bounds = np.searchsorted(corrupted.positions, offsets)
    asked = np.ascontiguousarray(corrupted.positions, dtype=np.int64)
    marks = np.empty(len(corrupted), dtype=np.uint32)
    for number in range(len(corrupted)):
        begin, end = int(offsets[number]), int(offsets[number + 1])
        own = asked[bounds[number] : bounds[number + 1]] - begin
        marks[number] = zlib.crc32(own.tobytes(), zlib.crc32(ids[begin:end].tobytes()))
    return marks


class AnswerSet:
    """A finished folder of answers; pickles as its path.

    Args:
        folder: where it lies.
        number: which teacher of a student it is, from 0.
        phase: which of its phases is read.
        wanted: layers whose outputs are read; None: all that are there.
        logits: logits are read.

    Attributes:
        folder: where it lies.
        number: which teacher of a student it is, from 0.
        config: how its sequences were made.
        phase: which of its phases is read.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        *,
        phase: int = 0,
        wanted: frozenset[int] | None = None,
        logits: bool = True,
    ) -> None:
        self.folder, self.number, self.phase = folder, number, phase
        self._wanted, self._logits = wanted, logits
        self.config: Mapping[str, Any] = artifact.read_manifest(folder, KIND).config
        self._parts = functools.lru_cache(maxsize=_OPEN_PARTS)(self._open)

    def __reduce__(self) -> tuple[Any, ...]:
        made = functools.partial(
            AnswerSet, phase=self.phase, wanted=self._wanted, logits=self._logits
        )
        return made, (self.folder, self.number)

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers whose outputs are there."""
        return tuple(self.config["hidden"])

    @property
    def shape(self) -> Path:
        """The teacher's config.json."""
        return self.folder / TEACHER

    def of_phase(self, phase: int) -> "AnswerSet":
        """The same answers, of another phase."""
        return AnswerSet(
            self.folder, self.number, phase=phase, wanted=self._wanted, logits=self._logits
        )

    def add(self, corrupted: Corrupted, *, repeats: IntArray, indices: IntArray) -> Corrupted:
        """Put the answers to sequences beside them.

        Adds the targets "asked/<number>/classes" and "asked/<number>/logits", [M, k], and the
        inputs "hidden/<number>/<layer>", [N, H].

        Args:
            corrupted: as the student's run made them.
            repeats: int64 [S], which way of masking.
            indices: int64 [S], which sequence of the plan.

        Raises:
            UserError: answers that are not there, or to other sequences.
        """
        marks = marks_of(corrupted)
        found: dict[str, list[Array]] = {}
        for mark, repeat, index in zip(marks, repeats.tolist(), indices.tolist(), strict=True):
            part, place = self._parts(repeat, index // PART), index % PART
            if part.marks[place] != mark:
                raise UserError(
                    f"{self.folder}: answers to sequence {index} (way {repeat} of masking) are of "
                    "another one; were the shards, the masking or hanmo's version changed since? "
                    "run hanmo teach again"
                )
            asked = slice(int(part.asked[place]), int(part.asked[place + 1]))
            pieces = slice(int(part.pieces[place]), int(part.pieces[place + 1]))
            if self._logits and part.classes is not None and part.logits is not None:
                found.setdefault("classes", []).append(part.classes[asked])
                found.setdefault("logits", []).append(part.logits[asked])
            for layer, values in part.hidden.items():
                found.setdefault(f"hidden/{self.number}/{layer}", []).append(values[pieces])
        joined = {name: np.concatenate(values) for name, values in found.items()}
        own = {f"asked/{self.number}/{n}": v for n, v in joined.items() if "/" not in n}
        if "classes" in joined:
            own[f"asked/{self.number}/classes"] = joined["classes"].astype(np.int64)
        return dataclasses.replace(
            corrupted,
            inputs={**corrupted.inputs, **{n: v for n, v in joined.items() if "/" in n}},
            targets={**corrupted.targets, **own},
        )

    def _expected(self) -> set[str]:
        logits = {"classes", "logits"} if self._logits and self.config["top_k"] else set()
        hidden = {f"hidden-{layer}" for layer in self.layers if self._wants(layer)}
        return {"marks", "asked", "pieces"} | logits | hidden

    def _wants(self, layer: int) -> bool:
        return self._wanted is None or layer in self._wanted

    def _open(self, repeat: int, number: int) -> Part:
        folder = part_folder(self.folder, self.phase, repeat, number)
        try:
            arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
            lacking = self._expected() - arrays.keys()
            if lacking:
                raise KeyError(f"no {', '.join(sorted(lacking))}.npy")
            return Part(
                np.asarray(arrays["marks"]),
                np.asarray(arrays["asked"]),
                np.asarray(arrays["pieces"]),
                arrays.get("classes"),
                arrays.get("logits"),
                {
                    int(name[7:]): array
                    for name, array in sorted(arrays.items())
                    if name.startswith("hidden-") and self._wants(int(name[7:]))
                },
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{folder}: missing or damaged ({error}); run hanmo teach again"
            ) from None


def check_run(answers: AnswerSet, run: Mapping[str, Any]) -> None:
    """Refuse answers to other sequences than a run trains on.

    Args:
        answers: of a teacher.
        run: how the run's sequences are made, under the names of the manifest.

    Raises:
        UserError: says every setting that differs.
    """
    if run["shards_digest"] != answers.config.get("shards_digest"):
        raise UserError(
            f"{answers.folder}: answers to other shards than this run's; give those shards, or run "
            "hanmo teach with these"
        )
    different = [
        f"{name} is {json.dumps(wanted)} in this run, {json.dumps(answers.config.get(name))} there"
        for name, wanted in run.items()
        if answers.config.get(name) != wanted
    ]
    if different:
        seed = answers.config.get("seed")
        also = f" (--data-seed {seed} leaves --seed to the weights)" if seed != run["seed"] else ""
        raise UserError(
            f"{answers.folder}: answers to other sequences: {'; '.join(different)}; give this run "
            f"the settings of hanmo teach{also}, or run hanmo teach with this run's"
        )
