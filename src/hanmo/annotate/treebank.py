"""Treebank and entity file as one: sentences with words, tree and entities.

In: a CoNLL-U file and an IOB2 file of the same sentences (UD Chinese-GSD and UNER Chinese-GSDSIMP).
Out: pairs (tree, BIEOS labels). The words are taken from the entity file, so that a traditional
treebank gets the simplified words of its entity file.

Example: ``zipped = zip_treebank(Path("zh-ud-train.conllu"), Path("train.iob2"))``
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from hanmo.annotate.bieos import iob2_to_bieos
from hanmo.annotate.conllu import Tree, read_conllu
from hanmo.annotate.iob2 import read_iob2
from hanmo.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Treebank:
    """Sentences with trees and entities.

    Attributes:
        sentences: (tree with the words of the entity file, BIEOS labels of LTP's types).
        n_dropped: Sentences whose words do not have the same lengths in both files.
    """

    sentences: list[tuple[Tree, tuple[str, ...]]]
    n_dropped: int


def zip_treebank(conllu_path: Path, iob2_path: Path) -> Treebank:
    """Join a treebank with its entity file, sentence by sentence in file order.

    Args:
        conllu_path: The trees.
        iob2_path: The entities.

    Raises:
        UserError: The files do not have the same number of sentences, or share none.
    """
    trees, tagged = list(read_conllu(conllu_path)), list(read_iob2(iob2_path))
    if len(trees) != len(tagged):
        raise UserError(
            f"{conllu_path} has {len(trees):,} sentences and {iob2_path} {len(tagged):,} — "
            f"expected the same sentences in both files"
        )
    sentences = [
        (
            dataclasses.replace(tree, forms=named.forms, text=named.text),
            iob2_to_bieos(named.tags),
        )
        for tree, named in zip(trees, tagged, strict=True)
        if list(map(len, tree.forms)) == list(map(len, named.forms))
    ]
    if not sentences:
        raise UserError(f"{conllu_path} and {iob2_path} share no sentence with equal word lengths")
    return Treebank(sentences, len(trees) - len(sentences))
