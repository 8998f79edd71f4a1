"""Find words, parts of speech, entities and relations in a corpus.

In: a folder of kind "corpus", or files that are annotated already (CoNLL-U). Out: a folder of kind
"sentences" with one Parquet part per input part. The parts are made by several processes; their
bytes do not depend on the number, and an interrupted run goes on where it stopped.

    hanmo annotate work/corpus/zhwiki --out work/sentences/zhwiki --annotator crf --workers 8

With --sample some sentences are annotated and shown, with the speed and the time that all of it
would take, before a long run begins:

    hanmo annotate work/corpus/zhwiki --sample 20 --workers 8
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from hanmo.annotate.column_store import write_columns
from hanmo.annotate.columns import Columns
from hanmo.annotate.sentence import Annotator, Sentence
from hanmo.annotate.store import ROW_GROUP, write_part
from hanmo.annotate.tagsets import MISSING
from hanmo.core import registry, remote
from hanmo.core.artifact import building, checked
from hanmo.core.errors import UserError, nearest
from hanmo.core.execute import run_tasks
from hanmo.core.executor import make_executor
from hanmo.core.files import json_lines
from hanmo.core.flags import hyphens
from hanmo.core.parts import part_name, parts_of
from hanmo.core.urls import shown
from hanmo.text.normalize import normalize_all
from hanmo.text.sentences import split_sentences

ANNOTATORS = "hanmo.annotate.annotators"
REMOTE = ("corpus", "out", "options")  # settings that may be URLs, read and written by parts
PLUGIN = {"annotator": (ANNOTATORS, "Annotator")}
BATCH = 256  # sentences that an annotator gets at a time
GROUP_CHARS = 50_000  # of documents that are cleaned together

Documents: TypeAlias = Iterable[tuple[str, list[str]]]  # id, sentences


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo annotate`.

    Attributes:
        corpus: Folders made by `hanmo prepare`; or files, for an annotator of annotated files.
        out: Folder to make.
        annotator: Name of an annotator, a dotted module, or a path to a .py file.
        max_chars: Longest sentence in characters; a longer one is cut at a comma or blank.
        workers: How many tasks run at a time.
        executor: Where tasks run: processes here, a Ray or a Slurm cluster (docs/scaling.md).
        executor_options: Options of the executor, each KEY=VALUE.
        overwrite: Replace a folder that was made with other settings.
        sample: Instead of all: annotate so many sentences from all over the corpus, show them, and
            estimate the time for all of it with `workers`. Nothing is written.
        options: Options of the annotator by name.
    """

    corpus: list[Path] = field(metadata={"positional": True})
    out: Path | None = field(metadata={"output": True, "unless": ("sample",)})
    annotator: str = "crf"
    max_chars: int = 500
    workers: int = 1
    executor: str = "local"
    executor_options: list[str] = field(default_factory=list[str])
    overwrite: bool = False
    sample: int | None = field(default=None, metadata={"content": False})
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run(config: Config) -> dict[str, Any]:
    """Make the sentences folder, or show a sample.

    Returns:
        Counts: documents, sentences, words, characters, labels_LAYER for every layer,
        dropped_documents (without a sentence), dropped_characters (control characters and the
        like), and what the annotator counts of its own, such as cut_sentences.

    Raises:
        UserError: Bad settings or input, or not one sentence.
    """
    for name in ("max_chars", "workers"):
        if getattr(config, name) < 1:
            raise UserError(f"--{hyphens(name)}: got {getattr(config, name)}, expected 1 or more")
    annotator: Any = make_annotator(config.annotator, config.options)
    # Every option, so that a call that leaves defaults out is the same as one that gives them.
    options = {option.name: getattr(annotator, option.name) for option in fields(annotator)}
    config = replace(config, options=options)
    # Where and how fast the annotator works may change between a run and its continuation.
    content = [x.name for x in fields(annotator) if x.metadata.get("content", True)]
    settings = replace(config, options={name: options[name] for name in content})
    executor = make_executor(config.executor, config.executor_options)
    parts = _parts(config.corpus, reads_files=hasattr(annotator, "read_documents"))
    if config.sample is not None:
        from hanmo.commands import _sampling

        if config.sample < 1:
            raise UserError(f"--sample: got {config.sample}, expected 1 or more")
        work = _sampling.Work(
            partial(_checked, annotator),
            partial(_write, annotator),
            ROW_GROUP if hasattr(annotator, "columns") else BATCH,
        )
        return _sampling.look(config, work, len(parts), executor)
    if config.out is None:
        raise UserError("annotate: --out missing; see: hanmo annotate --help")
    inputs = {f"{number:06d} {path.name}": path for number, path in enumerate(config.corpus)}
    code = registry.outside_source(ANNOTATORS, config.annotator)
    if code is not None:
        inputs["annotator code"] = code
    for number, path in enumerate(getattr(annotator, "sources", ())):
        inputs[f"annotator {number}"] = path
    with building(
        config.out, kind="sentences", config=settings, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if build.finished:
            return build.counts
        step = partial(_annotate_part, config, parts, build.dir)
        total: Counter[str] = Counter()
        made = run_tasks(
            step,
            len(parts),
            workers=config.workers,
            state_dir=build.state_dir / "tasks",
            title=f"annotate ({config.annotator})",
            executor=executor,
            names=[part.path for part in parts],
        )
        for counts in made:
            total.update(counts)
        if not total["sentences"]:
            remote.remove_tree(build.dir)  # nothing to continue
            raise UserError(f"{', '.join(map(str, config.corpus))}: not one sentence to annotate")
        build.counts.update(total)
        return build.counts


def make_annotator(name: str, options: Mapping[str, Any]) -> Annotator:
    """Load an annotator by name and build it with its options.

    Raises:
        UserError: No such annotator, or an option that it does not have.
    """
    made = registry.member(ANNOTATORS, name, "Annotator")
    known = [option.name for option in fields(made)]
    for option in options:
        if option not in known:
            raise UserError(f"annotator {name}: no option {option!r}{nearest(option, known)}")
    for value in options.values():
        if isinstance(value, Path):
            remote.fetched_tree(value)
    annotator: Annotator = made(**options)
    return annotator


@dataclass(frozen=True, slots=True)
class _Part:
    """One file to work on: a part of a corpus folder, or a file that is annotated already."""

    path: Path
    is_corpus: bool


def _parts(inputs: list[Path], *, reads_files: bool) -> list[_Part]:
    parts: list[_Part] = []
    for path in inputs:
        if remote.is_folder(path):
            parts += [_Part(part, True) for part in parts_of(path, "corpus")]
        elif not remote.is_file(path):
            raise UserError(f"{path}: no such file or folder")
        elif not reads_files:
            raise UserError(
                f"{path}: a file; expected a corpus folder; make one with: hanmo prepare {path} "
                "(only annotators of annotated files, such as conllu, take files)"
            )
        else:
            parts.append(_Part(path, False))
    if not parts:
        raise UserError("nothing to annotate: no corpus folder or file was given")
    return parts


def _annotate_part(config: Config, parts: list[_Part], folder: Path, number: int) -> dict[str, int]:
    """Annotate one part and write it; returns its counts."""
    part, counts = parts[number], Counter[str]()
    # Made here, not once for all parts: an annotator need not pickle.
    annotator = make_annotator(config.annotator, config.options)
    if part.is_corpus:
        read: Callable[[Path], Documents] = partial(
            _split_documents, max_chars=config.max_chars, counts=counts
        )
    else:
        read = getattr(annotator, "read_documents")  # noqa: B009
    path, source = folder / part_name(number, ".parquet"), shown(part.path)
    with remote.borrowed(part.path):
        _write(annotator, path, read(part.path), source, counts)
    return dict(counts)


def _write(
    annotator: Annotator, path: Path, documents: Documents, source: str, counts: Counter[str]
) -> None:
    if hasattr(annotator, "columns"):
        write_columns(path, _in_columns(annotator, documents, source, counts))
    else:
        write_part(path, _annotated(annotator, documents, source, counts))


def _split_documents(path: Path, max_chars: int, counts: Counter[str]) -> Documents:
    """Yield the documents of a corpus part with their sentences."""
    for group in _groups(record for _, record in json_lines(checked(path))):
        for record, text in zip(group, normalize_all([one["text"] for one in group]), strict=True):
            counts["dropped_characters"] += len(record["text"]) - len(text)
            spans = split_sentences(text, max_chars=max_chars)
            yield record["id"], [text[start:end] for start, end in spans]


def _groups(records: Iterable[Any]) -> Iterator[list[Any]]:
    """Group documents by their length, so that cleaning them together needs bounded memory."""
    group: list[Any] = []
    n_chars = 0
    for record in records:
        group.append(record)
        n_chars += len(record["text"])
        if n_chars >= GROUP_CHARS:
            yield group
            group, n_chars = [], 0
    if group:
        yield group


def _annotated(
    annotator: Annotator, documents: Documents, source: str, counts: Counter[str]
) -> Iterator[tuple[str, Sentence]]:
    """Yield document ids and annotated sentences, checked and counted."""
    texts = _texts(documents, counts)
    reads = hasattr(annotator, "read_documents")  # such texts are what it reads sentences from
    while batch := list(islice(texts, BATCH)):
        sentences = _call(annotator, [text for _, text in batch], counts)
        if len(sentences) != len(batch):
            raise UserError(
                f"{source}: the annotator returned {len(sentences)} sentences for {len(batch)}"
            )
        for (document, text), sentence in zip(batch, sentences, strict=True):
            _check_text(sentence, None if reads else text, f"{source}: document {document!r}")
            sentence.validate(f"{source}: document {document!r}")
            _count(sentence, counts)
            yield document, sentence


def _checked(annotator: Any, texts: Sequence[str]) -> list[Sentence]:
    """Annotate some sentences, checked as those of a run."""
    documents = [("of the sample", list(texts))]
    return [one for _, one in _annotated(annotator, documents, "the sample", Counter())]


def _check_text(sentence: Any, text: str | None, where: str) -> None:
    """Refuse what is no sentence, or not the one that an annotator of somebody's was given."""
    if not isinstance(sentence, Sentence):
        kind = type(sentence).__name__
        raise UserError(f"{where}: the annotator returned a {kind}; expected Sentence objects")
    if text is not None and sentence.text != text:
        raise UserError(
            f"{where}: the annotator returned {sentence.text[:20]!r} for {text[:20]!r}; expected "
            "the same texts in the same order"
        )


def _call(annotator: Annotator, texts: list[str], counts: Counter[str]) -> list[Sentence]:
    """Annotate texts; count what the annotator says that it had to do to them."""
    if not hasattr(annotator, "annotate_counted"):
        return _listed(annotator.annotate(texts))
    sentences, found = annotator.annotate_counted(texts)
    counts.update(found)
    return _listed(sentences)


def _listed(sentences: Any) -> list[Sentence]:
    if not isinstance(sentences, Iterable):
        kind = type(sentences).__name__
        raise UserError(f"the annotator returned a {kind}; expected a list of Sentence objects")
    return list(sentences)


def _in_columns(
    annotator: Any, documents: Documents, source: str, counts: Counter[str]
) -> Iterator[Columns]:
    """Yield blocks of annotated sentences, checked and counted."""
    texts = _texts(documents, counts)
    while batch := list(islice(texts, ROW_GROUP)):
        found: Columns = annotator.columns([text for _, text in batch])
        if list(found.texts) != [text for _, text in batch]:
            raise UserError(f"{source}: the annotator returned other sentences than it was given")
        found = replace(found, documents=[document for document, _ in batch])
        found.validate(source)
        counts["sentences"] += len(batch)
        counts["words"] += len(found.words)
        counts["characters"] += int(found.lengths.sum())
        for layer, ids in found.layers.items():
            counts[f"labels_{layer}"] += int((ids != MISSING).sum())
        yield found


def _texts(documents: Documents, counts: Counter[str]) -> Iterator[tuple[str, str]]:
    for document, texts in documents:
        counts["documents" if texts else "dropped_documents"] += 1
        for text in texts:
            yield document, text


def _count(sentence: Sentence, counts: Counter[str]) -> None:
    counts["sentences"] += 1
    counts["words"] += len(sentence.words)
    counts["characters"] += len(sentence.text)
    for layer, labels in sentence.layers.items():
        counts[f"labels_{layer}"] += len(labels) - labels.count(None)
