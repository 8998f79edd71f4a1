"""Turn raw Chinese text into a corpus: read, clean, filter, drop duplicates, cut into parts.

In: files and folders of plain text, JSON lines or Parquet, compressed or not. Out: a folder of
kind "corpus" with `part-00000.jsonl.zst` … and the counts of what was kept and dropped, and why.
A killed run is continued by the same command; the bytes are the same for any number of workers.

    hanmo prepare raw/wiki.txt.xz raw/news --out work/corpus --workers 8
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hanmo.core.artifact import Build, building
from hanmo.core.errors import UserError
from hanmo.core.execute import run_tasks
from hanmo.core.executor import make_executor
from hanmo.corpus.documents import ReadOptions
from hanmo.corpus.filters import FilterOptions
from hanmo.corpus.inputs import InputFile, find_inputs
from hanmo.corpus.layouts import Layout
from hanmo.corpus.spool import Options, clean_group, decide, group_files, write_part


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo prepare`.

    Attributes:
        inputs: Files (.txt, .jsonl, .json with a record a line, .parquet; all but the last also
            with .gz, .bz2, .xz, .zst behind) and folders of them.
        out: Folder to make.
        layout: How plain text is cut into documents: "paragraphs" (one paragraph a line, a blank
            line between documents), "sentences" (the same with one sentence a line, joined),
            "lines" (one document a line) or "auto" (paragraphs or sentences, by each file's look).
        text_key: JSON key or Parquet column of the text.
        id_key: JSON key or Parquet column of the id; without it, file name and number.
        min_chars: Drop documents of fewer characters.
        max_chars: Drop documents of more characters.
        min_chinese: Drop documents with a smaller share of Chinese characters.
        max_broken: Drop documents with a larger share of characters from a wrong encoding.
        max_repeated: Drop documents with a larger share of text in repeated paragraphs.
        strip_html: Remove tags and decode entities.
        keep_duplicates: Keep documents whose text was seen before.
        part_chars: Characters of a part, about; later stages work on parts in parallel.
        max_line_mib: Longest line of a text file accepted, in MiB.
        workers: How many tasks run at a time.
        executor: Where tasks run: processes here, a Ray or a Slurm cluster (docs/scaling.md).
        executor_options: Options of the executor, each KEY=VALUE.
        overwrite: Replace a folder that was made with other settings.
    """

    inputs: list[Path] = field(metadata={"positional": True})
    out: Path
    layout: Layout = "auto"
    text_key: str = "text"
    id_key: str | None = None
    min_chars: int = 20
    max_chars: int = 1_000_000
    min_chinese: float = 0.3
    max_broken: float = 0.005
    max_repeated: float = 0.5
    strip_html: bool = False
    keep_duplicates: bool = False
    part_chars: int = 700_000
    max_line_mib: int = 8
    workers: int = 1
    executor: str = "local"
    executor_options: list[str] = field(default_factory=list[str])
    overwrite: bool = False


def run(config: Config) -> dict[str, int | float]:
    """Make the corpus folder.

    Returns:
        Counts: `documents_in`, `kept`, `characters`, `parts`, `dropped_REASON` for every reason
        met, `files_LAYOUT` for every way in which files were read.

    Raises:
        UserError: Bad settings or input, or not one document left.
    """
    options = _options(config)
    files = find_inputs(config.inputs)
    _refuse_out_inside(config)
    inputs = {f"{number:06d} {file.source}": file.path for number, file in enumerate(files)}
    with building(
        config.out, kind="corpus", config=config, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if not build.finished:
            build.counts.update(_make(build, files, options, config))
        return build.counts


def _make(
    build: Build, files: Sequence[InputFile], options: Options, config: Config
) -> dict[str, int]:
    executor = make_executor(config.executor, config.executor_options)
    groups = group_files(files)
    folder = build.state_dir / "clean"
    folder.mkdir(exist_ok=True)
    cleaning = run_tasks(
        partial(clean_group, groups, options, folder),
        len(groups),
        workers=config.workers,
        state_dir=build.state_dir / "1-clean",
        title="prepare: read and clean",
        executor=executor,
        names=[", ".join(str(file.path) for file in group) for group in groups],
    )
    [decision] = run_tasks(
        partial(decide, len(groups), options, folder),
        1,
        workers=1,
        state_dir=build.state_dir / "2-decide",
        title="prepare: find duplicates",
    )
    counts = _total([*cleaning, decision])
    if counts["kept"] == 0:
        shutil.rmtree(build.dir)  # nothing to continue: other settings may start at once
        raise UserError(_nothing_left(counts))
    run_tasks(
        partial(write_part, folder, build.dir),
        decision["parts"],
        workers=config.workers,
        state_dir=build.state_dir / "3-write",
        title="prepare: write parts",
        executor=executor,
    )
    return counts


def _total(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    """Add up the counts; reasons that were never met are left out."""
    total: Counter[str] = Counter()
    for counts in parts:
        total.update(counts)
    always = ("documents_in", "kept", "characters", "parts")
    met = {name: n for name, n in sorted(total.items()) if n and name not in always}
    return {**{name: total[name] for name in always}, **met}


def _nothing_left(counts: dict[str, int]) -> str:
    reasons = [
        f"{n:,} {name.removeprefix('dropped_')}"
        for name, n in counts.items()
        if name.startswith("dropped_")
    ]
    return (
        f"no document left of {counts['documents_in']:,}: dropped as {', '.join(reasons)}; relax "
        "the limits (--min-chars, --min-chinese, …) or check --layout"
    )


def _options(config: Config) -> Options:
    for name in ("max_line_mib", "part_chars", "max_chars"):
        if getattr(config, name) < 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag}: got {getattr(config, name)}, expected 1 or more")
    for name in ("min_chinese", "max_broken", "max_repeated"):
        if not 0 <= getattr(config, name) <= 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag}: got {getattr(config, name)}, expected a share, 0 to 1")
    if config.min_chars > config.max_chars:
        raise UserError(
            f"--min-chars: got {config.min_chars:,}, expected at most --max-chars "
            f"({config.max_chars:,})"
        )
    return Options(
        read=ReadOptions(
            layout=config.layout,
            text_key=config.text_key,
            id_key=config.id_key,
            max_line_mib=config.max_line_mib,
        ),
        filters=FilterOptions(
            min_chars=config.min_chars,
            max_chars=config.max_chars,
            min_chinese=config.min_chinese,
            max_broken=config.max_broken,
            max_repeated=config.max_repeated,
        ),
        strip_html=config.strip_html,
        keep_duplicates=config.keep_duplicates,
        part_chars=config.part_chars,
    )


def _refuse_out_inside(config: Config) -> None:
    for path in config.inputs:
        if path.is_dir() and config.out.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"--out {config.out} lies inside the input folder {path}, so that a second run "
                "would read the first one's output; choose a folder outside"
            )
