"""Training examples of an annotator: sentences with the layers that a file gives.

In: CoNLL-U treebanks in UD (words, parts of speech, relations) and IOB2 entity files (words,
entities); or folders of sentences that another annotator made. Out: `Sentence` objects; a sentence
that stands in both kinds of file has all layers.
Sentences are the same when their words are the same.

Example: ``read_examples([Path("dev.conllu")], [Path("train.iob2"), Path("dev.iob2")])``
"""

from collections.abc import Sequence
from pathlib import Path

from hanmo.annotate.bieos import iob2_to_bieos
from hanmo.annotate.conllu import read_conllu
from hanmo.annotate.iob2 import read_iob2
from hanmo.annotate.sentence import Sentence, locate_words
from hanmo.annotate.store import read_part
from hanmo.annotate.ud import Converted, convert
from hanmo.annotate.word_merge import merge_words
from hanmo.core.artifact import read_manifest
from hanmo.core.errors import UserError


def read_examples(treebank: Sequence[Path], ner: Sequence[Path]) -> list[Sentence]:
    """Read treebanks and entity files.

    Args:
        treebank: CoNLL-U files with UD relations.
        ner: IOB2 files.

    Returns:
        The sentences of the entity files, then those of the treebanks that are in none of them.
        A sentence that comes twice in one kind of file is kept once.

    Raises:
        UserError: A damaged file (file and line are named).
    """
    entities: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
    for path in ner:
        for tagged in read_iob2(path):
            entities.setdefault(tagged.forms, (tagged.text, _labels(tagged.tags, tagged.where)))
    trees: dict[tuple[str, ...], Converted] = {}
    for path in treebank:
        for tree in read_conllu(path):
            labels = entities.get(tree.forms)
            trees.setdefault(tree.forms, convert(tree, labels[1] if labels else None))
    examples: list[Sentence] = []
    for forms, (text, tags) in entities.items():
        layers = {"ner": tags}
        if forms in trees:
            layers |= {"pos": trees[forms].pos, "dep": trees[forms].dep}
        examples.append(Sentence(text, locate_words(text, forms), layers))
    for forms, converted in trees.items():
        if forms not in entities:
            words = locate_words(converted.text, forms)
            layers = {"pos": converted.pos, "dep": converted.dep}
            examples.append(Sentence(converted.text, words, layers))
    return examples


def read_annotated(folders: Sequence[Path]) -> list[Sentence]:
    """Read folders of kind "sentences", made by an annotator that fills all layers.

    A label that is missing there takes its layer out of the sentence.

    Raises:
        UserError: Not a finished folder of that kind, or a damaged part.
    """
    examples: list[Sentence] = []
    for folder in folders:
        for name in sorted(read_manifest(folder, "sentences").files):
            for _, sentence in read_part(folder / name):
                whole = {k: v for k, v in sentence.layers.items() if None not in v}
                if sentence.words:
                    examples.append(Sentence(sentence.text, sentence.words, whole))
    return examples


def _labels(tags: Sequence[str], where: str) -> tuple[str, ...]:
    try:
        return iob2_to_bieos(tags)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def join_words(example: Sentence) -> Sentence:
    """Join suffixes, prefixes and date units with their words (see `word_merge`).

    Parts of speech decide what is joined, so the sentence must have them; relations are optional.
    In Chinese the last part of such a word is its head, whose relation the word takes.
    """
    n = len(example.words)
    # `read_examples` and `read_annotated` leave out layers with missing labels.
    given = {k: tuple(x for x in v if x is not None) for k, v in example.layers.items()}
    merged = merge_words(
        Converted(
            text=example.text,
            forms=tuple(example.forms),
            pos=given["pos"],
            dep=given.get("dep", ("ATT",) * n),
            heads=(*range(2, n + 1), 0),
            ner=given.get("ner"),
        )
    )
    found = {"pos": merged.pos, "dep": merged.dep, "ner": merged.ner or ()}
    layers = {layer: found[layer] for layer in example.layers}
    return Sentence(example.text, locate_words(example.text, merged.forms), layers)
