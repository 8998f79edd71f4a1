"""Train the offline annotator (words, parts of speech, entities, relations) and score it.

In: CoNLL-U treebanks in Universal Dependencies and IOB2 entity files; folders of kind "sentences"
that a slower annotator made; or a slower annotator itself (the teacher) and a corpus, of which it
annotates a sample first. Out: a model folder for `hanmo annotate --annotator crf` with a report on
held-out files, and on held-out documents of the sample. The same files and options give the same
bytes.

    hanmo train-annotator --treebank dev.conllu --ner train.iob2 --out work/annotator
    hanmo train-annotator --teacher ltp --ltp.model models/ltp --corpus work/corpus --out work/fast
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.silver import Split, split, without, write_sample
from hanmo.annotate.tagsets import TAGSETS
from hanmo.annotate.training import Options
from hanmo.core import registry
from hanmo.core.artifact import OtherSettingsError
from hanmo.core.errors import UserError, nearest
from hanmo.core.log import say
from hanmo.core.outputs import refuse_inside

ANNOTATORS, COMMANDS = "hanmo.annotate.annotators", "hanmo.commands"
LAYERS = tuple(TAGSETS)
PLUGIN = {"teacher": (ANNOTATORS, "Annotator")}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo train-annotator`.

    Attributes:
        out: Model folder to make.
        treebank: CoNLL-U files in UD: words, parts of speech, relations.
        ner: IOB2 files: words, entities. A sentence may be in both kinds of file.
        sentences: Folders made by `hanmo annotate`; with --layers they need not have all layers.
        teacher: Annotator to learn from: a name, a dotted module, or a path to a .py file.
        corpus: Folders made by `hanmo prepare` of which the teacher annotates a sample.
        sample_chars: Characters of the sample, about; 0 takes the whole corpus.
        held_out: Share of the sample's documents to compare student and teacher on.
        teacher_dir: Where the sample and the teacher's sentences are kept; OUT-teacher if not
            given.
        workers: Processes of the teacher.
        layers: Layers to train besides the words; all three if not given, or with a teacher those
            that there are labels for.
        dev: CoNLL-U files to score the model on; not trained on.
        dev_ner: IOB2 files to score the model on; not trained on.
        l1: Weight of the L1 penalty of the three layers; a greater one makes a smaller model.
        l1_segmentation: The same for segmentation.
        l2: Weight of the L2 penalty.
        iterations: Passes of L-BFGS; half as many for taggers that are used in training only.
        folds: Parts of the jack-knife.
        silver: Tag sentences that have entities only, to train parts of speech on them.
        merge: Join suffixes, prefixes and date units with their words, as LTP segments.
        overwrite: Replace a model folder that was made with other settings.
        options: Options of the teacher by name.
    """

    out: Path = field(metadata={"output": True})
    treebank: list[Path] = field(default_factory=list[Path])
    ner: list[Path] = field(default_factory=list[Path])
    sentences: list[Path] = field(default_factory=list[Path])
    teacher: str | None = None
    corpus: list[Path] = field(default_factory=list[Path])
    sample_chars: int = 1_000_000
    held_out: float = 0.1
    teacher_dir: Path | None = field(default=None, metadata={"output": True})
    workers: int = 1
    layers: list[str] = field(default_factory=list[str])
    dev: list[Path] = field(default_factory=list[Path])
    dev_ner: list[Path] = field(default_factory=list[Path])
    l1: float = Options.l1
    l1_segmentation: float = Options.l1_segmentation
    l2: float = Options.l2
    iterations: int = Options.iterations
    folds: int = Options.folds
    silver: bool = Options.silver
    merge: bool = Options.merge
    overwrite: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run(config: Config) -> dict[str, int | float]:
    """Let the teacher annotate, train, write the folder, score.

    Returns:
        Counts of the training data; with held-out files the main scores in percent; with a teacher
        the main scores of agreement with it, ``agreement_…``, and what `silver.split` counts.

    Raises:
        UserError: No or bad training data, or `out` is something else.
    """
    from hanmo.annotate._crf_model import KIND, write_model_card
    from hanmo.annotate.examples import read_annotated, read_examples
    from hanmo.annotate.training import train, trainable_layers
    from hanmo.core.artifact import building
    from hanmo.core.files import write_json

    _check(config)
    # The settings without paths: the folder must not depend on where the files lay.
    settings = {option.name: getattr(config, option.name) for option in fields(Options)}
    options = Options(**settings)
    inputs = _inputs(config)
    identity = {**settings, **({"layers": config.layers} if config.layers else {})}
    if config.teacher:
        inputs["teacher"] = _teach(config)
        identity |= {"teacher": _shown(config.teacher), "held_out": config.held_out}
    with building(
        config.out, kind=KIND, config=identity, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if build.finished:
            return build.counts
        examples = read_examples(config.treebank, config.ner) + read_annotated(config.sentences)
        silver = None
        layers: Sequence[str] = config.layers or LAYERS
        if config.teacher:
            silver = split(inputs["teacher"], held_out=config.held_out)
            examples = without(examples, silver.held_out) + silver.training
            layers = config.layers or trainable_layers(examples, options)
            _tell_layers(config.teacher, layers)
        build.counts.update(train(examples, build.dir, options, say, layers))
        write_model_card(build.dir, settings)
        result: dict[str, Any] = {}
        if config.dev or config.dev_ner:
            result = _report(read_examples(config.dev, config.dev_ner), config, build.dir)
            build.counts.update(_main_scores(result))
        if silver is not None:
            result["agreement"] = _agreement(silver, config, build.dir)
            build.counts.update(silver.counts)
            scores = _main_scores(result["agreement"])
            build.counts.update({f"agreement_{name}": x for name, x in scores.items()})
        if result:
            write_json(build.dir / "report.json", result)
    return build.counts


def _check(config: Config) -> None:
    if bool(config.teacher) != bool(config.corpus):
        raise UserError("--teacher NAME and --corpus FOLDER go together; only one was given")
    if not (config.treebank or config.ner or config.sentences or config.teacher):
        raise UserError(
            "nothing to learn from; expected --treebank and --ner files, --sentences folders, or a "
            "--teacher with a --corpus"
        )
    refuse_inside(config.out, config.corpus)
    if not 0 < config.held_out < 1:
        raise UserError(f"--held-out: got {config.held_out}, expected a share between 0 and 1")
    if config.sample_chars < 0:
        raise UserError(f"--sample-chars: got {config.sample_chars}, expected 0 or more")
    for layer in config.layers:
        if layer not in LAYERS:
            raise UserError(f"--layers: no layer {layer!r}{nearest(layer, LAYERS)}")
    if config.teacher and hasattr(
        registry.member(ANNOTATORS, config.teacher, "Annotator"), "read_documents"
    ):
        raise UserError(
            f"--teacher {config.teacher}: reads files that are annotated already; make a folder of "
            f"them with: hanmo annotate FILES --annotator {config.teacher}, and give --sentences"
        )


def _shown(teacher: str) -> str:
    return Path(teacher).stem if teacher.endswith(".py") else teacher


def _teach(config: Config) -> Path:
    """Have the teacher annotate a sample; returns the folder of its sentences.

    Both folders stay: the labels are dear, and the student may be trained again without them being
    made again. A run that was stopped goes on with the part that it was at.
    """
    folder = config.teacher_dir or config.out.with_name(config.out.name + "-teacher")
    annotate = registry.load(COMMANDS, "annotate")
    try:
        counts = write_sample(config.corpus, folder / "sample", chars=config.sample_chars)
        say(f"sample: {counts['kept']:,} documents, {counts['characters']:,} characters")
        annotate.run(
            annotate.Config(
                corpus=[folder / "sample"],
                out=folder / "sentences",
                annotator=config.teacher,
                workers=config.workers,
                options=config.options,
            )
        )
    except OtherSettingsError as error:
        reason = str(error).partition("; choose another")[0].partition("; repeat those")[0]
        raise UserError(
            f"{reason}; what a teacher found is not replaced: give another --teacher-dir, or "
            f"delete {folder}"
        ) from None
    return folder / "sentences"


def _tell_layers(teacher: str, layers: Sequence[str]) -> None:
    absent = [layer for layer in LAYERS if layer not in layers]
    if absent:
        say(f"no labels by {_shown(teacher)} for {', '.join(absent)}: left out of the model")


def _inputs(config: Config) -> dict[str, Path]:
    inputs: dict[str, Path] = {}
    for kind in ("treebank", "ner", "sentences", "dev", "dev_ner"):
        paths: Sequence[Path] = getattr(config, kind)
        inputs.update({f"{kind} {n} {path.name}": path for n, path in enumerate(paths, 1)})
    return inputs


def _agreement(silver: Split, config: Config, folder: Path) -> dict[str, Any]:
    assert config.teacher is not None
    name, n = _shown(config.teacher), silver.counts
    say(
        f"agreement with {name} on {n['held_out_sentences']:,} sentences of "
        f"{n['held_out_documents']:,} documents that the model has not seen "
        f"(gold: what {name} says):"
    )
    return {"teacher": name, **_report(silver.held_out, config, folder)}


def _report(gold: list[Sentence], config: Config, folder: Path) -> dict[str, Any]:
    from hanmo.annotate.crf_report import report, table
    from hanmo.annotate.examples import join_words

    if config.merge:
        gold = [join_words(sentence) if "pos" in sentence.layers else sentence for sentence in gold]
    result = report(gold, folder)
    for line in table(result):
        say(line)
    return result


def _main_scores(result: dict[str, Any]) -> dict[str, float]:
    scores: dict[str, float] = {"words_f1": result["words"]["f1"]}
    for layer in ("pos", "dep"):
        if layer in result:
            scores[f"{layer}_accuracy"] = result[layer]["gold_words"]
    if "ner" in result:
        scores["ner_f1"] = result["ner"]["gold_words"]["f1"]
    return scores
