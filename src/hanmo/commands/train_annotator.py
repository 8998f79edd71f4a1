"""Train the offline annotator (words, parts of speech, entities, relations) and score it.

In: CoNLL-U treebanks in Universal Dependencies and IOB2 entity files; or folders of kind
"sentences" that a slower annotator made. Out: a model folder for `hanmo annotate --annotator crf`
with a report on the held-out files. The same files and options give the same bytes.

    hanmo train-annotator --treebank dev.conllu --ner train.iob2 --out work/annotator
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hanmo.annotate.training import Options


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo train-annotator`.

    Attributes:
        out: Model folder to make.
        treebank: CoNLL-U files in UD: words, parts of speech, relations.
        ner: IOB2 files: words, entities. A sentence may be in both kinds of file.
        sentences: Folders made by `hanmo annotate` with an annotator that fills all layers.
        dev: CoNLL-U files to score the model on; not trained on.
        dev_ner: IOB2 files to score the model on; not trained on.
        l1: Weight of the L1 penalty of the three layers; a greater one makes a smaller model.
        l1_segmentation: The same for segmentation.
        l2: Weight of the L2 penalty.
        iterations: Passes of L-BFGS; half as many for taggers that are used in training only.
        folds: Parts of the jack-knife.
        silver: Tag sentences that have entities only, to train parts of speech on them.
        merge: Join suffixes, prefixes and date units with their words, as LTP segments.
        overwrite: Replace a folder that was made with other settings.
    """

    out: Path
    treebank: list[Path] = field(default_factory=list[Path])
    ner: list[Path] = field(default_factory=list[Path])
    sentences: list[Path] = field(default_factory=list[Path])
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


def run(config: Config) -> dict[str, int | float]:
    """Train, write the folder, score.

    Returns:
        Counts of the training data and, with held-out files, the main scores in percent.

    Raises:
        UserError: No or bad training data, or `out` is something else.
    """
    from hanmo.annotate._crf_model import KIND, write_model_card
    from hanmo.annotate.examples import read_annotated, read_examples
    from hanmo.annotate.training import train
    from hanmo.core.artifact import building
    from hanmo.core.files import write_json
    from hanmo.core.log import say

    # The settings without paths: the folder must not depend on where the files lay.
    settings = {option.name: getattr(config, option.name) for option in fields(Options)}
    options = Options(**settings)
    with building(
        config.out,
        kind=KIND,
        config=settings,
        inputs=_inputs(config),
        overwrite=config.overwrite,
    ) as build:
        if build.finished:
            return build.counts
        examples = read_examples(config.treebank, config.ner) + read_annotated(config.sentences)
        build.counts.update(train(examples, build.dir, options, say))
        write_model_card(build.dir, settings)
        if config.dev or config.dev_ner:
            result = _report(config, build.dir)
            write_json(build.dir / "report.json", result)
            build.counts.update(_main_scores(result))
    return build.counts


def _inputs(config: Config) -> dict[str, Path]:
    inputs: dict[str, Path] = {}
    for kind in ("treebank", "ner", "sentences", "dev", "dev_ner"):
        paths: Sequence[Path] = getattr(config, kind)
        inputs.update({f"{kind} {n} {path.name}": path for n, path in enumerate(paths, 1)})
    return inputs


def _report(config: Config, folder: Path) -> dict[str, Any]:
    from hanmo.annotate.crf_report import report, table
    from hanmo.annotate.examples import join_words, read_examples
    from hanmo.core.log import say

    gold = read_examples(config.dev, config.dev_ner)
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
