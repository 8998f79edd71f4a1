"""Paragraphs that stand in several documents: later copies, and lines of very many documents.

In: for each group of documents the hashes of their paragraphs, cut into slices of the hash space
(`Paragraphs.save`). Out: the numbers of the paragraphs to remove, of one slice at a time, so that
memory is a sixteenth of all hashes. Paragraphs are numbered through all groups.

- `seen`: a paragraph of at least `dedup_chars` characters that stood in the corpus before; the
  first one stays.
- `frequent`: a paragraph of any length that stands in at least `frequent_in` documents; none stays.

    removed = repeated_in_slice(folder, n_groups, keep, options, number=3)
"""

from array import array
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.core.files import write_atomic
from hanmo.core.remote import fetched
from hanmo.corpus.dedup import as_hashes, grouped, text_digest

SLICES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ParagraphOptions:
    """Which paragraphs to remove.

    Attributes:
        dedup_chars: Least characters of a paragraph that is removed where it comes again; 0: none.
        frequent_in: Documents in which a paragraph stands that is removed everywhere; 0: none.
    """

    dedup_chars: int = 0
    frequent_in: int = 0

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.dedup_chars or self.frequent_in)


@dataclass(slots=True)
class Paragraphs:
    """The paragraphs of a group of documents, as they are added."""

    digests: bytearray = field(default_factory=bytearray)
    lengths: "array[int]" = field(default_factory=lambda: array("i"))
    counts: "array[int]" = field(default_factory=lambda: array("i"))

    def add(self, text: str) -> None:
        """Add a document."""
        paragraphs = text.split("\n")
        for paragraph in paragraphs:
            self.digests += text_digest(paragraph)
            self.lengths.append(len(paragraph))
        self.counts.append(len(paragraphs))

    def save(self, folder: Path, group: int) -> None:
        """Write `000003.paragraphs.npz`; the arrays of one slice are read alone."""
        hashes = as_hashes(self.digests)
        lengths = np.array(self.lengths, dtype=np.int32)
        arrays: dict[str, NDArray[Any]] = {
            "lengths": lengths,
            "counts": np.array(self.counts, dtype=np.int32),
        }
        slice_of = hashes[:, 0] % np.uint64(SLICES)
        for number in range(SLICES):
            places = np.flatnonzero(slice_of == number).astype(np.uint32)
            arrays[f"places{number}"] = places
            arrays[f"hashes{number}"] = hashes[places]
        stream = BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        write_atomic(_path(folder, group), stream.getvalue())


@dataclass(frozen=True, slots=True)
class Repeated:
    """Numbers of paragraphs to remove, ascending."""

    seen: NDArray[np.int64]
    frequent: NDArray[np.int64]


def repeated_in_slice(
    folder: Path, n_groups: int, keep: NDArray[np.bool_], options: ParagraphOptions, number: int
) -> Repeated:
    """Find the paragraphs to remove whose hashes lie in one slice.

    Args:
        folder: Where the groups' paragraphs are.
        n_groups: Number of groups.
        keep: bool [N] over all documents: the others count as absent.
        options: Which paragraphs to remove.
        number: The slice.
    """
    parts: list[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]] = []
    long_enough: list[NDArray[np.bool_]] = []
    document = paragraph = 0
    for group in range(n_groups):
        with np.load(fetched(_path(folder, group))) as arrays:
            counts, lengths = arrays["counts"], arrays["lengths"]
            places, hashes = arrays[f"places{number}"], arrays[f"hashes{number}"]
        owners = np.repeat(np.arange(len(counts)), counts)[places] + document
        kept = keep[owners]
        parts.append((hashes[kept], places[kept].astype(np.int64) + paragraph, owners[kept]))
        long_enough.append(lengths[places[kept]] >= max(1, options.dedup_chars))
        document += len(counts)
        paragraph += len(lengths)
    hashes, places, owners = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(places) == 0:
        return Repeated(places, places)
    order, opens = grouped(hashes)
    places, owners, is_long = places[order], owners[order], np.concatenate(long_enough)[order]
    groups = np.cumsum(opens) - 1
    # In a group documents ascend: each is counted where it begins.
    new_owner = opens | np.concatenate([[True], owners[1:] != owners[:-1]])
    n_documents = np.bincount(groups, weights=new_owner).astype(np.int64)[groups]
    frequent = (n_documents >= options.frequent_in) & (options.frequent_in > 0)
    seen = ~opens & is_long & (options.dedup_chars > 0) & ~frequent
    return Repeated(np.sort(places[seen]), np.sort(places[frequent]))


def shortened(
    folder: Path, n_groups: int, removed: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each document's length without its removed paragraphs, and its first paragraph.

    Args:
        folder: Where the groups' paragraphs are.
        n_groups: Number of groups.
        removed: int64, ascending: numbers of paragraphs.

    Returns:
        Characters, line ends included, int64 [N]; number of the first paragraph, int64 [N + 1].
    """
    lengths, starts = [np.empty(0, dtype=np.int64)], [np.zeros(1, dtype=np.int64)]
    paragraph = 0
    for group in range(n_groups):
        with np.load(fetched(_path(folder, group))) as arrays:
            counts, own = arrays["counts"].astype(np.int64), arrays["lengths"].astype(np.int64)
        first, last = np.searchsorted(removed, (paragraph, paragraph + len(own)))
        own += 1  # the line end
        own[removed[first:last] - paragraph] = 0
        ends = np.cumsum(counts)
        sums = np.concatenate([[0], np.cumsum(own)])
        lengths.append(np.maximum(sums[ends] - sums[ends - counts] - 1, 0))
        starts.append(ends + paragraph)
        paragraph += len(own)
    return np.concatenate(lengths), np.concatenate(starts)


def _path(folder: Path, group: int) -> Path:
    return folder / f"{group:06d}.paragraphs.npz"
