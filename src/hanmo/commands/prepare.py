"""Turn raw Chinese text into a corpus: read, clean, filter, drop duplicates, cut into parts.

In: files and folders of plain text, JSON lines, Parquet, CSV, WikiExtractor's output, web pages and
web archives, compressed or not. Out: a folder of kind "corpus" with `part-00000.jsonl.zst` … and
the counts of what was kept and dropped, and why; on request a folder of kind "dropped" with what is
not in it. A killed run is continued by the same command; the bytes are the same for any number of
workers. More: docs/preparing.md.

    hanmo prepare raw/wiki.txt.xz raw/news --out work/corpus --workers 8
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from hanmo.commands._prepare_settings import Config, options_of
from hanmo.core import remote
from hanmo.core.artifact import Build, building
from hanmo.core.errors import INCOMPLETE, UserError
from hanmo.core.execute import run_tasks
from hanmo.core.executor import make_executor
from hanmo.core.files import open_bytes, write_atomic
from hanmo.core.log import say
from hanmo.core.registry import outside_source
from hanmo.core.urls import is_remote
from hanmo.corpus.inputs import AUTO, READERS, InputFile, find_inputs
from hanmo.corpus.layouts import WITHOUT_BLANK_LINES
from hanmo.corpus.passes import Counts, Folders, make_corpus
from hanmo.corpus.spool import Options, group_files, line_of, missing_path
from hanmo.corpus.treating import Missing

MISSING = "missing.jsonl"
REMOTE = ("inputs", "out", "dropped")  # settings that may be URLs
LARGE_BYTES = 1 << 30
_NOT_READ = ("dropped_unreadable", "files_incomplete", "files_unknown")


def run(config: Config) -> dict[str, int | float]:
    """Make the corpus folder.

    Returns:
        Counts: `documents_in`, `kept`, `characters`, `parts`, `dropped_REASON` for every reason
        met, `files_LAYOUT` for every way in which files were read, and more (docs/formats.md);
        `exit_code` when something could not be read.

    Raises:
        UserError: Bad settings or input, or not one document left.
    """
    options = options_of(config)
    unknown: list[Missing] = []
    files = _find(config, unknown)
    _refuse_out_inside(config)
    inputs = {f"{number:06d} {file.label}": file.path for number, file in enumerate(files)}
    code = None if config.format == AUTO else outside_source(READERS, config.format)
    if code is not None:
        inputs["reader"] = code

    def made(out: Path, kind: str) -> AbstractContextManager[Build]:
        return building(out, kind=kind, config=config, inputs=inputs, overwrite=config.overwrite)

    with ExitStack() as stack:
        build = stack.enter_context(made(config.out, "corpus"))
        aside = _enter_aside(stack, config, build, made)
        if not build.finished:
            groups = group_files(files)
            _tell_large(files, config.workers)
            counts = _make(build, aside, groups, options, config)
            if unknown:
                counts["files_unknown"] = len(unknown)
            _tell_missing(build, len(groups), unknown)
            build.counts.update(counts)
            if aside is not None and not aside.finished:
                kinds = {k: n for k, n in counts.items() if k.startswith("dropped_")}
                aside.counts.update(kinds)
    return _result(config, build)


def _find(config: Config, unknown: list[Missing]) -> list[InputFile]:
    def note(path: Path, relative: Path, error: UserError) -> None:
        unknown.append(Missing(InputFile(path, path.name, relative.as_posix(), ""), error, None))

    skips = config.on_error == "skip"
    files = find_inputs(config.inputs, form=config.format, unknown=note if skips else None)
    if not files:
        raise unknown[0].error
    return files


def _enter_aside(
    stack: ExitStack,
    config: Config,
    build: Build,
    made: Callable[[Path, str], AbstractContextManager[Build]],
) -> Build | None:
    """Open the folder for dropped documents, which must be as old as the corpus."""
    if config.dropped is None:
        return None
    try:
        aside = stack.enter_context(made(config.dropped, "dropped"))
    except UserError as error:
        raise UserError(str(error).replace("--out", "--dropped")) from error.__cause__
    if build.finished and not aside.finished:
        remote.remove_tree(aside.dir)
        raise UserError(
            f"--dropped {config.dropped}: {config.out} is finished, and dropped documents are "
            "written while it is made; pass --overwrite to make both"
        )
    if build.finished or aside.finished:
        return aside
    begun, known = build.state_dir / "with-dropped", aside.state_dir / "begun"
    if remote.exists(begun) and not remote.exists(known):
        raise UserError(
            f"--dropped {config.dropped}: not the folder in which the interrupted run put "
            "dropped documents; repeat that one to continue, or pass --overwrite to start again"
        )
    if build.has_progress and not remote.exists(begun):
        raise UserError(
            f"--dropped {config.dropped}: the interrupted run was made without it, and what it "
            "dropped is gone; leave --dropped out to continue, or pass --overwrite to start again"
        )
    for mark in (known, begun):
        write_atomic(mark, "")
    return aside


def _make(
    build: Build,
    aside: Build | None,
    groups: Sequence[Sequence[InputFile]],
    options: Options,
    config: Config,
) -> Counts:
    executor = make_executor(config.executor, config.executor_options)

    def tasks(
        step: Callable[[int], Counts], names: Sequence[str], folder: str, title: str
    ) -> Sequence[Counts]:
        alone = len(names) == 1  # it sees all documents: in this process
        return run_tasks(
            step,
            len(names),
            workers=1 if alone else config.workers,
            state_dir=build.state_dir / folder,
            title=title,
            executor=None if alone else executor,
            names=names,
        )

    dropped = aside.dir if aside is not None and not aside.finished else None
    folders = Folders(build.dir, build.state_dir / "clean", dropped)
    counts = make_corpus(folders, groups, options, tasks)
    if counts["kept"] == 0:
        first = _first_missing(build, len(groups))
        for one in filter(None, (build, aside)):
            remote.remove_tree(one.dir)  # nothing to continue: other settings may start at once
        raise UserError(_nothing_left(counts, first))
    return counts


def _tell_large(files: Sequence[InputFile], workers: int) -> None:
    """Say which files are so large that a run can neither share nor continue them well."""
    large = [
        file
        for file in files
        if not is_remote(file.path) and file.path.stat().st_size >= LARGE_BYTES
    ]
    if large:
        size = large[0].path.stat().st_size / 2**30
        say(
            f"prepare: {len(large):,} files of {LARGE_BYTES / 2**30:.0f} GiB and more, such as "
            f"{large[0].path} ({size:.1f} GiB): a file is one task, read by one of {workers:,} "
            "workers and again from its beginning after a kill; cut it to do better (split -C 500M)"
        )


def _tell_missing(build: Build, n_groups: int, unknown: Sequence[Missing]) -> None:
    """Put together what each group could not read; no file when all was read."""
    lines = [line_of(one.record()) for one in unknown]
    lines += [remote.read_bytes(path) for path in _missing_of_groups(build, n_groups)]
    if lines:
        write_atomic(build.dir / MISSING, b"".join(lines))


def _missing_of_groups(build: Build, n_groups: int) -> list[Path]:
    folder = build.state_dir / "clean"
    there = {path.name for path in remote.children(folder)}
    paths = [missing_path(folder, group) for group in range(n_groups)]
    return [path for path in paths if path.name in there]


def _first_missing(build: Build, n_groups: int) -> str | None:
    for path in _missing_of_groups(build, n_groups)[:1]:
        error: str = json.loads(remote.read_bytes(path).partition(b"\n")[0])["error"]
        return error
    return None


def _result(config: Config, build: Build) -> dict[str, int | float]:
    counts = dict(build.counts)
    if again := counts.get("repeated_ids"):
        say(
            f"prepare: {again:,} documents have the id of an earlier one; #2, #3 … is added to "
            "theirs (is --id-key the right one?)"
        )
    if doubtful := counts.get(f"files_{WITHOUT_BLANK_LINES}"):
        say(
            f"prepare: {doubtful:,} long files without a blank line are a document each; if they "
            "have a document a line, give --layout lines"
        )
    if not any(counts.get(name) for name in _NOT_READ):
        return counts
    path = config.out / MISSING
    with open_bytes(path) as stream:
        first = json.loads(stream.readline())["error"]
    told = ", ".join(f"{counts[name]:,} {name}" for name in _NOT_READ if counts.get(name))
    say(f"prepare: not all could be read ({told}; see {path}), first: {first}")
    return {**counts, "exit_code": INCOMPLETE}


def _nothing_left(counts: dict[str, int], missing: str | None) -> str:
    n_read = counts["documents_in"] - counts.get("dropped_unreadable", 0)
    if not n_read and missing is not None:
        return f"no document could be read; the first mistake: {missing}"
    reasons = [
        f"{n:,} {name.removeprefix('dropped_')}"
        for name, n in counts.items()
        if name.startswith("dropped_")
    ]
    also = f"; the first mistake: {missing}" if missing is not None else ""
    return (
        f"no document left of {counts['documents_in']:,}: dropped as {', '.join(reasons)}; relax "
        f"the limits (--min-chars, --min-chinese, …) or check --layout{also}"
    )


def _refuse_out_inside(config: Config) -> None:
    for flag, folder in (("--out", config.out), ("--dropped", config.dropped)):
        for path in config.inputs:
            if (
                folder
                and remote.is_folder(path)
                and folder.resolve().is_relative_to(path.resolve())
            ):
                raise UserError(
                    f"{flag} {folder} lies inside the input folder {path}, so that a second run "
                    "would read the first one's output; choose a folder outside"
                )
    if config.dropped is not None:
        out, dropped = config.out.resolve(), config.dropped.resolve()
        if dropped.is_relative_to(out) or out.is_relative_to(dropped):
            raise UserError(f"--dropped {config.dropped} and --out {config.out}: one in the other")
