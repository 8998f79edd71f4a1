"""From files to a corpus folder: the passes in their order, those that are asked for.

Every pass is tasks of `run_tasks`, so a killed run goes on where it was, and its bytes are the same
for any number of workers. The passes: clean, match near duplicates, choose, find repeated
paragraphs, divide, write, put aside.

    counts = make_corpus(Folders(build.dir, state, None), files, Options(), run)
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

from hanmo.core.parts import part_name
from hanmo.corpus.choosing import choose, divide, find_repeated, match_bucket
from hanmo.corpus.inputs import InputFile
from hanmo.corpus.paragraphs import SLICES
from hanmo.corpus.spool import Index, Options, clean_group
from hanmo.corpus.writing import PART_SUFFIX, write_aside, write_part

Counts = dict[str, int]
# (step, what each task works on, folder for its state, title) → the counts of each task
Run = Callable[[Callable[[int], Counts], Sequence[str], str, str], Sequence[Counts]]

_ALWAYS = ("documents_in", "kept", "characters", "parts")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a corpus is made.

    Attributes:
        out: For the parts.
        work: For chunks and indexes.
        dropped: For the documents that are dropped, or None.
    """

    out: Path
    work: Path
    dropped: Path | None


def make_corpus(
    folders: Folders, groups: Sequence[Sequence[InputFile]], options: Options, run: Run
) -> Counts:
    """Run the passes and return what they counted; no part is written when nothing is kept.

    Raises:
        UserError: What cannot be read.
    """
    work, n = folders.work, len(groups)
    work.mkdir(exist_ok=True)
    step: Callable[[int], Counts] = partial(clean_group, groups, options, work, folders.dropped)
    groups_named = [", ".join(str(file.path) for file in group) for group in groups]
    counts = [*run(step, groups_named, "1-clean", "prepare: read and clean")]
    if options.near.similarity:
        step = partial(match_bucket, n, options.near.buckets, work)
        names = [f"band {rank}" for rank in range(options.near.buckets)]
        run(step, names, "2-match", "prepare: find near duplicates")
    step = partial(choose, n, options, work)
    counts += run(step, ["all documents"], "3-choose", "prepare: find duplicates")
    if options.paragraphs.any:
        step = partial(find_repeated, n, options, work)
        names = [f"slice {rank} of the paragraphs" for rank in range(SLICES)]
        counts += run(step, names, "4-paragraphs", "prepare: find repeated paragraphs")
    step = partial(divide, n, options, work, folders.dropped is not None)
    [division] = run(step, ["all documents"], "5-divide", "prepare: divide into parts")
    counts.append(division)
    if division["kept"]:
        step = partial(write_part, work, options, folders.out)
        parts = [part_name(rank, PART_SUFFIX) for rank in range(division["parts"])]
        run(step, parts, "6-write", "prepare: write parts")
        if folders.dropped is not None:
            sizes = [len(Index.load(work, group).lengths) for group in range(n)]
            n_before = [0, *accumulate(sizes)]
            step = partial(write_aside, n_before, work, options, folders.dropped)
            run(step, groups_named, "7-aside", "prepare: write what is dropped")
    return _total(counts)


def _total(parts: Sequence[Counts]) -> Counts:
    """Add up the counts; reasons that were never met are left out."""
    total: Counter[str] = Counter()
    for counts in parts:
        total.update(counts)
    met = {name: n for name, n in sorted(total.items()) if n and name not in _ALWAYS}
    return {**{name: total[name] for name in _ALWAYS}, **met}
